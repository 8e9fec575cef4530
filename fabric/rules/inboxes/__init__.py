"""Decisions about inboxes: which letters are settled, who may own them, what a sweeper does meanwhile."""
