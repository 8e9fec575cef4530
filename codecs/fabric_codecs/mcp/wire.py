"""MCP messages, shallowly: what a JSON-RPC message asks for, and the results that are written back.

| era    | revisions              | a request states its revision in   | results have                     |
|--------|------------------------|------------------------------------|----------------------------------|
| modern | 2026-07-28             | `params._meta`, on every request   | `resultType`, `_meta.serverInfo` |
| legacy | 2025-11-25, 2025-06-18 | `initialize`, once for the session | neither                          |

A CodecError raised here has the code to answer in `reason`; None stands for invalid params.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from fabric_codecs.core.jsonrpc import INVALID_PARAMS, Rpc
from fabric_codecs.core.jsonscan import JsonObject, compose, kind_of, quote
from fabric_codecs.errors import CodecError
from fabric_codecs.losses import Loss, loss_codes

__all__ = [
    "CANCELLED",
    "DISCOVER",
    "HEADER_MISMATCH",
    "INITIALIZE",
    "LEGACY",
    "METHOD_NOT_FOUND",
    "MODERN",
    "PING",
    "PROGRESS",
    "PROTOCOL_VERSION_KEY",
    "REVISIONS",
    "TOOLS_CALL",
    "TOOLS_LIST",
    "UNSUPPORTED_VERSION",
    "ToolCall",
    "loss_meta",
    "meta_of",
    "read_cancelled",
    "read_cursor",
    "read_offered_version",
    "read_tool_call",
    "stated_version",
    "write_discovered",
    "write_initialized",
    "write_result_body",
    "write_tools",
]

MODERN: Final = "2026-07-28"
LEGACY: Final = (
    "2025-11-25",
    "2025-06-18",
)  # the newest first: it is what an unknown revision is answered with
REVISIONS: Final = (MODERN, *LEGACY)

INITIALIZE: Final = "initialize"
PING: Final = "ping"
DISCOVER: Final = "server/discover"
TOOLS_LIST: Final = "tools/list"
TOOLS_CALL: Final = "tools/call"
PROGRESS: Final = "notifications/progress"
CANCELLED: Final = "notifications/cancelled"

METHOD_NOT_FOUND: Final = -32601
HEADER_MISMATCH: Final = -32020  # 2026-07-28, streamable HTTP, "Header validation"
UNSUPPORTED_VERSION: Final = -32022  # 2026-07-28, versioning

PROTOCOL_VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY: Final = "io.modelcontextprotocol/clientCapabilities"
SERVER_INFO_KEY: Final = "io.modelcontextprotocol/serverInfo"

# Agents come and go: a list is good for as long as a process's lease is between two refreshes.
LIST_TTL_MS: Final = 5000
DISCOVER_TTL_MS: Final = 3_600_000


class ToolCall(NamedTuple):
    """The params of a `tools/call`. `arguments` and `progress_token` are raw; the token is None when no
    progress is wanted."""

    name: str
    arguments: bytes
    progress_token: bytes | None
    params: JsonObject
    meta: JsonObject | None


def meta_of(rpc: Rpc) -> JsonObject | None:
    """The `_meta` of the params, if there is one."""
    params = rpc.body.object("params")
    return None if params is None else params.object("_meta")


def stated_version(rpc: Rpc) -> str:
    """The revision that a modern request states. Raises CodecError when a required `_meta` member is missing
    or of the wrong type."""
    meta = meta_of(rpc)
    missing = [key for key in (PROTOCOL_VERSION_KEY, CAPABILITIES_KEY) if meta is None or key not in meta]
    if meta is None or missing:
        raise _invalid(
            f"params._meta lacks {' and '.join(missing)}", "2026-07-28 basic, Per-request protocol fields"
        )
    meta.object(CAPABILITIES_KEY)
    return meta.text(PROTOCOL_VERSION_KEY) or ""


def loss_meta(losses: Sequence[Loss]) -> list[tuple[str, bytes]]:
    """The `_meta` member that says what was lost; none when nothing was."""
    codes = loss_codes(losses)
    return [("io.agentfabric/loss", msgspec.json.encode(codes.split(",")))] if codes else []


def read_tool_call(rpc: Rpc) -> ToolCall:
    """What a `tools/call` asks for. Raises CodecError."""
    params = rpc.body.object("params")
    name = params.text("name") if params is not None else None
    if params is None or name is None:
        raise _invalid("params.name is missing: it says which tool to call", "MCP tools")
    if params.kind("arguments") not in (None, "object"):
        raise _invalid("params.arguments is no object", "MCP tools")
    meta = params.object("_meta")
    token = None if meta is None else meta.get("progressToken")
    if token is not None and kind_of(token) not in ("string", "number"):
        raise _invalid("_meta.progressToken is neither a string nor a number", "MCP progress")
    return ToolCall(name, params.get("arguments") or b"{}", token, params, meta)


def read_cursor(rpc: Rpc) -> str:
    """Where a `tools/list` goes on; empty at the beginning."""
    params = rpc.body.object("params")
    return "" if params is None else params.text("cursor") or ""


def read_offered_version(rpc: Rpc) -> str:
    """The revision that an `initialize` offers."""
    params = rpc.body.object("params")
    version = params.text("protocolVersion") if params is not None else None
    if version is None:
        raise _invalid("params.protocolVersion is missing", "2025-11-25 lifecycle, Initialization")
    return version


def read_cancelled(rpc: Rpc) -> tuple[bytes, str]:
    """Which request a `notifications/cancelled` gives up (its raw id), and why."""
    params = rpc.body.object("params")
    request_id = params.get("requestId") if params is not None else None
    if params is None or request_id is None or kind_of(request_id) not in ("string", "number"):
        raise _invalid("params.requestId is missing: it says which request is given up", "MCP cancellation")
    return request_id, params.text("reason") or "the client gave it up"


def write_result_body(
    revision: str,
    members: Sequence[tuple[str, bytes]],
    *,
    server_info: bytes,
    meta: Sequence[tuple[str, bytes]] = (),
) -> bytes:
    """A result object with what its revision asks for. `server_info` is raw: `{"name":..,"version":..}`."""
    meta = list(meta)
    members = list(members)
    if revision == MODERN:
        members.insert(0, ("resultType", b'"complete"'))
        meta.append((SERVER_INFO_KEY, server_info))
    if meta:
        members.append(("_meta", compose(meta)))
    return compose(members)


def write_discovered(server_info: bytes, instructions: str) -> bytes:
    """The result of `server/discover`."""
    members = [
        ("supportedVersions", msgspec.json.encode(REVISIONS)),
        ("capabilities", b'{"tools":{}}'),
        ("instructions", quote(instructions)),
        ("ttlMs", b"%d" % DISCOVER_TTL_MS),
        ("cacheScope", b'"public"'),
    ]
    return write_result_body(MODERN, members, server_info=server_info)


def write_initialized(revision: str, server_info: bytes, instructions: str) -> bytes:
    """The result of `initialize`."""
    return compose(
        [
            ("protocolVersion", quote(revision)),
            ("capabilities", b'{"tools":{}}'),
            ("serverInfo", server_info),
            ("instructions", quote(instructions)),
        ]
    )


def write_tools(
    revision: str,
    tools: Sequence[bytes],
    *,
    cursor: str,
    server_info: bytes,
    meta: Sequence[tuple[str, bytes]] = (),
) -> bytes:
    """The result of `tools/list`: raw tools, and where the next page begins (empty: nowhere)."""
    members = [("tools", b"[" + b",".join(tools) + b"]")]
    if cursor:
        members.append(("nextCursor", quote(cursor)))
    if revision == MODERN:
        members += [("ttlMs", b"%d" % LIST_TTL_MS), ("cacheScope", b'"private"')]
    return write_result_body(revision, members, server_info=server_info, meta=meta)


def _invalid(what: str, clause: str) -> CodecError:
    return CodecError(what, protocol="mcp", clause=clause, reason=INVALID_PARAMS)
