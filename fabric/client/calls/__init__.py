"""Calls: the caller's desk, the agent's reception, and what runs between."""
