"""Decisions about agents: who lives, and who joined or left."""
