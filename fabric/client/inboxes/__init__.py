"""Inboxes: who leaves letters, who owns them, and the record of what is settled."""
