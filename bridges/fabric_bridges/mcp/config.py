"""Settings of the MCP edge: the section `[edges.mcp]`."""

from typing import Annotated

import msgspec

from fabric_bridges.http.config import Count, HttpSettings, Positive

__all__ = ["McpSettings"]


class McpSettings(HttpSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where MCP is spoken, how long a call may take, and how many legacy sessions are remembered."""

    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8181  # after the node's 8180

    deadline_s: Positive = 60.0  # of a tool call: the official SDKs give up after 60 s
    calls_max: Count = 1024  # twice the requests in flight: legacy clients leave, and their calls go on
    sessions_max: Count = 10_000  # a few hundred bytes each
    session_idle_s: Positive = 1800.0  # the official SDK's own server lets a session idle for half an hour
    tools_page_max: Count = 500  # tools in one page of tools/list; a declaration has 1 to 2 KiB
    answers_waiting_max: Count = 64  # progress a slow reader has not taken; beyond, the agent's is skipped
