"""The stateless era: every request says which revision it speaks, in its body and again in its headers.

In: headers and a message. Out: nothing, or the McpFault of the first rule that is broken, in this order:
`_meta` complete, headers single and equal to the body, revision served. (2026-07-28: basic, "Per-request
protocol fields"; streamable HTTP, "Header validation".)
"""

import re
from base64 import b64decode, b64encode

import msgspec
from starlette.datastructures import Headers

from fabric_bridges.mcp.faults import McpFault
from fabric_codecs.core.jsonrpc import Rpc
from fabric_codecs.mcp.wire import (
    DISCOVER,
    HEADER_MISMATCH,
    INITIALIZE,
    MODERN,
    PROTOCOL_VERSION_KEY,
    REVISIONS,
    TOOLS_CALL,
    UNSUPPORTED_VERSION,
    meta_of,
    stated_version,
)

__all__ = ["check_modern", "check_served", "is_modern"]

VERSION_HEADER = "mcp-protocol-version"
SESSION_HEADER = "mcp-session-id"
HANDSHAKE_REVISIONS = frozenset({"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"})

_sentinel = re.compile(r"=\?base64\?(.*)\?=").fullmatch


def is_modern(headers: Headers, rpc: Rpc) -> bool:
    """Which era a message belongs to: both live at one address."""
    meta = meta_of(rpc) if rpc.params is not None else None
    if meta is not None and PROTOCOL_VERSION_KEY in meta:
        return True
    version = headers.get(VERSION_HEADER)
    if version is not None and version not in HANDSHAKE_REVISIONS:
        return rpc.method != INITIALIZE
    return rpc.method == DISCOVER and SESSION_HEADER not in headers


def check_modern(headers: Headers, rpc: Rpc) -> None:
    """Raise what is wrong with a modern request: McpFault, or CodecError for its `_meta`."""
    version = stated_version(rpc)
    _check_header(headers, VERSION_HEADER, version)
    _check_header(headers, "mcp-method", rpc.method or "")
    if rpc.method == TOOLS_CALL:
        params = rpc.body.object("params")
        _check_header(headers, "mcp-name", (params.text("name") if params is not None else None) or "")
    check_served(version)


def check_served(version: str) -> None:
    """Raise McpFault with the revisions there are when `version` is none that this era has."""
    if version != MODERN:
        data = msgspec.json.encode({"supported": REVISIONS, "requested": version})
        raise McpFault(UNSUPPORTED_VERSION, f"MCP {version!r} is not served", data=data)


def _check_header(headers: Headers, name: str, body_value: str) -> None:
    values = headers.getlist(name)
    if len(values) == 1 and _decoded(values[0]) == body_value:
        return
    said = repr(values[0]) if len(values) == 1 else f"there {len(values)} times"
    raise McpFault(HEADER_MISMATCH, f"the header {name} is {said}; the body says {body_value!r}")


def _decoded(value: str) -> str | None:
    """A header's value; `=?base64?...?=` holds what a header cannot. None when that is malformed, so that it
    equals nothing."""
    wrapped = _sentinel(value)
    if wrapped is None:
        return value
    try:
        raw = b64decode(wrapped[1], validate=True)
        return raw.decode() if b64encode(raw).decode() == wrapped[1] else None
    except ValueError:
        return None
