"""Decisions about channels: how far a member is, what it lacks, how it joins and leaves the shared feed."""
