"""MCP -> Envelope: a `tools/call` becomes a request.

| envelope                   | from                                                                          |
|----------------------------|-------------------------------------------------------------------------------|
| data                       | `params.arguments`, the very bytes                                            |
| subject                    | the target: `agent.tool`                                                      |
| id, source                 | the edge: a JSON-RPC id is unique only among what is outstanding              |
| fabcorr                    | the JSON-RPC id with its type                                                 |
| fabver, fabmethod          | the revision, `tools/call`                                                    |
| traceparent, tracestate    | `_meta`, when they are what W3C says                                          |
| fabkey, fabhops, fabchain  | `_meta`: `io.agentfabric/idempotency-key`, `.../fabhops`, `.../fabchain`      |
| correlationid, causationid | `_meta["io.agentfabric/conversation"]`, `_meta["io.agentfabric/causationid"]` |
| native                     | the rest of `_meta` and of the params, raw: `_meta/<key>`, `params/<key>`     |

HTTP headers never come here, so neither do credentials.
"""

import re
from collections.abc import Callable

from fabric_codecs.bounds import MCP_META_BYTES_MAX
from fabric_codecs.core.jsonrpc import corr_of_id
from fabric_codecs.core.jsonscan import JsonObject
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.mcp.wire import PROTOCOL_VERSION_KEY, TOOLS_CALL, ToolCall

__all__ = ["CAUSATION_KEY", "CONVERSATION_KEY", "IDEMPOTENCY_KEY", "lift_call"]

CONVERSATION_KEY = "io.agentfabric/conversation"
CAUSATION_KEY = "io.agentfabric/causationid"
IDEMPOTENCY_KEY = "io.agentfabric/idempotency-key"

_ID_CHARS_MAX = 256  # of a conversation: four UUIDs with separators, and far below what a header may hold
_OF_THIS_HOP = frozenset(
    {
        "progressToken",
        PROTOCOL_VERSION_KEY,
        "io.modelcontextprotocol/clientCapabilities",
        "io.modelcontextprotocol/clientInfo",
        "io.modelcontextprotocol/logLevel",
    }
)

_is_traceparent = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]{1,400})?"
).fullmatch
_is_tracestate = re.compile(r"[\x20-\x7e]{1,512}").fullmatch
_is_identifier = re.compile(rf"[^\x00-\x1f\x7f-\x9f]{{1,{_ID_CHARS_MAX}}}").fullmatch
_is_chain = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,600}").fullmatch  # told, bounded by whoever lengthens it

# `_meta` members that become attributes, and what they must look like. A trace that is none is kept as it
# came: W3C says to go on without it. A conversation that is none is the caller's mistake.
_ATTRIBUTES: dict[str, tuple[str, Callable[[str], object], bool]] = {
    "traceparent": ("traceparent", _is_traceparent, False),
    "tracestate": ("tracestate", _is_tracestate, False),
    CONVERSATION_KEY: ("correlationid", _is_identifier, True),
    CAUSATION_KEY: ("causationid", _is_identifier, True),
    # A key that is none must not be passed over: the client counts on running the tool once.
    IDEMPOTENCY_KEY: ("fabkey", _is_identifier, True),
    "io.agentfabric/fabhops": ("fabhops", _is_identifier, True),
    "io.agentfabric/fabchain": ("fabchain", _is_chain, False),
}


def lift_call(
    call: ToolCall, *, request_id: bytes, target: str, id: str, source: str, revision: str
) -> Envelope:
    """The request that a `tools/call` is. `request_id` is the raw JSON-RPC id. Raises CodecError: the
    params are invalid."""
    native: list[tuple[str, bytes | None]] = []
    for name in call.params.names():
        if name not in ("name", "arguments", "_meta"):
            native.append((f"params/{name}", call.params.get(name)))
    attributes = _read_meta(call.meta, native) if call.meta is not None else {}
    size = sum(len(name) + len(raw or b"") for name, raw in native)
    if size > MCP_META_BYTES_MAX:
        what = f"{size:,} bytes of members beside name and arguments, allowed are {MCP_META_BYTES_MAX:,}"
        raise CodecError(what, protocol="mcp")
    request = Envelope(
        call.arguments,
        id=id,
        source=source,
        type="io.agentfabric.request",
        subject=target,
        datacontenttype="application/json",
        fabkind="request",
        fabproto="mcp",
        fabver=revision,
        fabmethod=TOOLS_CALL,
        fabcorr=corr_of_id(request_id),
        **attributes,
    )
    return request.with_native(native) if native else request


def _read_meta(meta: JsonObject, native: list[tuple[str, bytes | None]]) -> dict[str, str]:
    """The attributes in `_meta`; what is none of them, and means more than this hop, goes to `native`."""
    attributes: dict[str, str] = {}
    for key in meta.names():
        if key in _OF_THIS_HOP:
            continue
        attribute, looks_right, must = _ATTRIBUTES.get(key, ("", _is_identifier, False))
        value = meta.text(key) if attribute and meta.kind(key) == "string" else None
        if value is not None and looks_right(value):
            attributes[attribute] = value
        elif must:
            what = f"_meta[{key!r}] is no text of 1 to {_ID_CHARS_MAX} characters without control characters"
            raise CodecError(what, protocol="mcp", offset=meta.offset(key))
        else:
            native.append((f"_meta/{key}", meta.get(key)))
    return attributes
