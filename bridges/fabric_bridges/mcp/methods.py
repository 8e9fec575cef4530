"""What each MCP method answers, in both eras. The result is raw JSON; `tools/call` is in `deliver`."""

import msgspec

import fabric
from fabric.client import AgentCard, Fabric
from fabric_codecs.core.jsonrpc import Rpc
from fabric_codecs.errors import CodecError
from fabric_codecs.losses import Loss, LossCode
from fabric_codecs.mcp.tools import lower_tool, tool_name
from fabric_codecs.mcp.wire import (
    LEGACY,
    loss_meta,
    read_cursor,
    read_offered_version,
    write_discovered,
    write_initialized,
    write_tools,
)

__all__ = ["SERVER_INFO", "discover", "initialize", "list_tools"]

SERVER_INFO = msgspec.json.encode({"name": "agent-message-fabric", "version": fabric.__version__})
INSTRUCTIONS = (
    "The tools are those of the agents that are live on this message fabric now; each is named agent.tool. "
    "Agents come and go: list the tools again when one is not found."
)


def discover() -> bytes:
    """`server/discover`."""
    return write_discovered(SERVER_INFO, INSTRUCTIONS)


def initialize(rpc: Rpc) -> tuple[str, bytes]:
    """`initialize`: the revision agreed on (the client's, or our newest), and the result."""
    offered = read_offered_version(rpc)
    revision = offered if offered in LEGACY else LEGACY[0]
    return revision, write_initialized(revision, SERVER_INFO, INSTRUCTIONS)


async def list_tools(
    rpc: Rpc, speaker: Fabric, *, revision: str, page_max: int
) -> tuple[bytes, tuple[Loss, ...]]:
    """`tools/list`: a page of the tools of all live agents, by name. A cursor is the last name of the page
    before.

    A tool that MCP has no name for (too long) is left out, and `_meta` says so.
    """
    after = read_cursor(rpc)
    declared: dict[str, bytes] = {}
    losses: list[Loss] = []
    async for card in speaker.find():
        _declare(card, declared, losses)
    names = sorted(name for name in declared if name > after)
    page = names[:page_max]
    result = write_tools(
        revision,
        [declared[name] for name in page],
        cursor=page[-1] if len(names) > page_max else "",
        server_info=SERVER_INFO,
        meta=loss_meta(losses),
    )
    return result, tuple(losses)


def _declare(card: AgentCard, declared: dict[str, bytes], losses: list[Loss]) -> None:
    for tool in card.tools:
        try:
            lowered = lower_tool(card.name, tool)
        except CodecError as too_long:
            losses.append(Loss(LossCode.TOO_LARGE, f"{card.name}.{tool.name}", too_long.what))
        else:
            declared[tool_name(card.name, tool.name)] = lowered.message
            losses.extend(lowered.losses)
