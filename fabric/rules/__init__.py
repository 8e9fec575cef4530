"""Decisions, sans-IO: each a function of state, input and time that returns values. No loop, no socket, no
clock.

A module starts with its state table. Above: `fabric.jetstream` and `fabric.client` act on what is decided
here.
"""
