"""Decisions, sans-IO: each a function of state, input and time that returns values. No loop, no socket, no
clock.

A module starts with its state table. The rooms are those of `fabric.client`, and `log` for what is asked of
the server; what several of them need stands here. Above: `fabric.jetstream` and `fabric.client` act on what
is decided here.
"""
