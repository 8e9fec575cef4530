"""The MCP edge: the tools of every live agent, over Streamable HTTP, for clients of 2026-07-28 and of
2025-11-25.

`listener` is the HTTP side, `modern` the checks of the stateless era, `session` the sessions of the legacy
one, `methods` what each method answers, `deliver` a tool call's life, `faults` errors in MCP's words. Above:
the node, by the entry point `fabric.bridges`. Below: `fabric.client`, the mcp codec, the shared HTTP floor.
"""

from fabric_bridges.mcp.listener import edge

__all__ = ["edge"]
