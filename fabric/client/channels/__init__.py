"""Channels: publishers, members and the feeds they share."""
