"""Queues: putting jobs, working them, and how jobs end."""
