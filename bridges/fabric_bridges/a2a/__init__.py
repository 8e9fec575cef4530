"""The A2A edge: every live agent is an A2A 1.0 agent with a card, over JSON-RPC and server-sent events.

`listener` is the HTTP side, `methods` what each JSON-RPC method does, `session` a task's life, `tasks` the
bounded store of them, `deliver` the call behind a task and those who follow it, `faults` errors in A2A's
words. Above: the node, by the entry point `fabric.bridges`. Below: `fabric.client`, the a2a codec, the shared
HTTP floor.
"""

from fabric_bridges.a2a.listener import edge

__all__ = ["edge"]
