"""Decisions about queues: who is served next, how often a job is tried, which partition it goes into."""
