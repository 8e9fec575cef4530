"""Decisions about the log on the server: what is offered and unsettled, how much to ask for at once."""
