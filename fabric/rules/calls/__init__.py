"""Decisions about calls: what they may spend, how long a chain may be, how answers stream and are kept."""
