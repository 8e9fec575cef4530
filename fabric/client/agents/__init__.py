"""Agents: their cards, their place in the registry, and the leases that keep them."""
