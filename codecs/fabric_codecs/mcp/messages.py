"""MCP messages, both directions: bytes -> a checked message, and back without a byte changed.

In: a JSON-RPC message or, in 2025-03-26, a batch. Out: `Message`s, which keep the bytes they came in; a hop
changes only the members of `_meta` that are its own (`with_meta`). Above: edges and clients. Below:
`methods`, `core.jsonrpc`. Params and results stay raw; what no row of the table names is let be.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from fabric_codecs.bounds import JSON_BYTES_MAX, JSONRPC_BATCH_MAX
from fabric_codecs.core.jsonrpc import INVALID_PARAMS, INVALID_REQUEST, Rpc, read_rpc
from fabric_codecs.core.jsonscan import JsonObject, compose, elements, quote, scan
from fabric_codecs.errors import CodecError
from fabric_codecs.mcp.methods import MODERN, REVISIONS, Kind, Members, Method, find_method

__all__ = ["Message", "read_batch", "read_message", "with_meta", "write_batch", "write_message"]

BATCHES: Final = "2025-03-26"  # the only revision that has them
METHOD_NOT_FOUND: Final = -32601
UNSUPPORTED_VERSION: Final = -32022  # 2026-07-28, versioning
MODERN_META: Final[Members] = {
    "io.modelcontextprotocol/protocolVersion": "string",
    "io.modelcontextprotocol/clientCapabilities": "object",
}
# A result that is no final one holds what its type says and not what the method promises.
OTHER_RESULTS: Final[Mapping[str, Members]] = {
    "input_required": {},
    "task": {"taskId": "string", "status": "string"},
}


class Message(NamedTuple):
    """One message. `method` is its row, for an answer the row of what it answers; None where nobody said.

    `raw` are the bytes as they came; `rpc` is what JSON-RPC sees in them.
    """

    raw: bytes
    rpc: Rpc
    method: Method | None

    @property
    def about(self) -> str | None:
        """The tool, prompt, resource or task that a request is about."""
        if self.method is None or not self.method.about or self.rpc.params is None:
            return None
        params = self.rpc.body.object("params")
        return params.text(self.method.about) if params is not None else None


def read_message(
    data: bytes,
    *,
    revision: str,
    speaker: str,
    answers: str | None = None,
    bytes_max: int = JSON_BYTES_MAX,
) -> Message:
    """The message in `data`, of a `client` or a `server`.

    `answers` is the method that a result answers; without it only its form is checked. Raises CodecError
    whose `reason` is the code to answer.
    """
    _check_revision(revision)
    rpc = read_rpc(data, bytes_max=bytes_max)
    if rpc.kind in ("request", "notification"):
        return Message(data, rpc, _checked_call(rpc, revision, speaker))
    return Message(data, rpc, _checked_answer(rpc, revision, speaker, answers))


def read_batch(
    data: bytes, *, revision: str, speaker: str, bytes_max: int = JSON_BYTES_MAX
) -> tuple[Message, ...]:
    """The messages of a batch, or the one message. Raises CodecError for a batch in a revision without them,
    an empty one, one of more than JSONRPC_BATCH_MAX messages, and for the first message that is none."""
    if not data.lstrip(b" \t\r\n").startswith(b"["):
        return (read_message(data, revision=revision, speaker=speaker, bytes_max=bytes_max),)
    if revision != BATCHES:
        raise _refusal(f"a batch, which {revision} does not have", f"MCP {revision} basic", INVALID_REQUEST)
    try:
        parts = elements(data, protocol="mcp", bytes_max=bytes_max, count_max=JSONRPC_BATCH_MAX)
    except CodecError as error:
        error.reason = INVALID_REQUEST if "elements" in error.what else -32700
        raise
    if not parts:
        raise _refusal("an empty batch", "JSON-RPC 2.0 6", INVALID_REQUEST)
    read: list[Message] = []
    at = 0
    for part in parts:
        at = data.index(part, at)
        try:
            read.append(read_message(part, revision=revision, speaker=speaker, bytes_max=bytes_max))
        except CodecError as error:
            raise error.at(at + error.offset) from error
        at += len(part)
    return tuple(read)


def write_message(message: Message) -> bytes:
    """The bytes of a message: those that it came in."""
    return message.raw


def write_batch(messages: Sequence[Message]) -> bytes:
    """A batch, for 2025-03-26."""
    return b"[" + b",".join([message.raw for message in messages]) + b"]"


def with_meta(data: bytes, changes: Mapping[str, bytes]) -> bytes:
    """A message with members of its `_meta` replaced or added: trace, expiry, losses of this hop. `changes`
    are raw JSON; every other byte stays. Raises CodecError for a message that cannot have a `_meta`: an
    error, or a result that is no object."""
    body = scan(data, protocol="mcp")
    room = "params" if "method" in body else "result"
    if room == "result" and body.kind("result") != "object":
        raise _refusal("an error has no _meta", "MCP basic, _meta", INVALID_REQUEST)
    inner = body.object(room)
    if inner is None:
        return body.splice(room, compose([("_meta", compose(changes.items()))]))
    meta = inner.object("_meta")
    if meta is None:
        return body.splice(room, inner.splice("_meta", compose(changes.items())))
    for name, value in changes.items():
        meta = scan(meta.splice(name, value), protocol="mcp")
    return body.splice(room, inner.splice("_meta", meta.raw))


def _check_revision(revision: str) -> None:
    if revision not in REVISIONS:
        what = f"MCP {revision!r} is none of {', '.join(REVISIONS)}"
        raise _refusal(what, "MCP versioning", UNSUPPORTED_VERSION)


def _checked_call(rpc: Rpc, revision: str, speaker: str) -> Method | None:
    name = rpc.method or ""
    method = find_method(name, revision=revision, speaker=speaker)
    if method is None:
        if rpc.kind == "notification":
            return None  # one that nobody knows is ignored (JSON-RPC 2.0, 4.1)
        what = f"a {speaker} of {revision} has no method {quote(name).decode()}"
        raise _refusal(what, f"MCP {revision} schema", METHOD_NOT_FOUND, rpc.body.offset("method"))
    if method.is_request != (rpc.kind == "request"):
        what = f"{name} is a {'request' if method.is_request else 'notification'}, this is a {rpc.kind}"
        raise _refusal(what, f"MCP {revision} schema, {name}", INVALID_REQUEST, rpc.body.offset("method"))
    params = rpc.body.object("params")
    at = 0 if params is None else rpc.body.offset("params")
    _check_members(params, at, method.params, "params", f"MCP {revision} schema, {name}", INVALID_PARAMS)
    if revision == MODERN and method.is_request:
        _check_modern(params, at)
    return method


def _check_modern(params: JsonObject | None, at: int) -> None:
    clause = "MCP 2026-07-28 basic, Per-request protocol fields"
    _check_members(params, at, {"_meta": "object"}, "params", clause, INVALID_PARAMS)
    meta = params.object("_meta") if params is not None else None
    at = params.offset("_meta") if params is not None else 0
    _check_members(meta, at, MODERN_META, "params._meta", clause, INVALID_PARAMS)


def _checked_answer(rpc: Rpc, revision: str, speaker: str, answers: str | None) -> Method | None:
    asker = "client" if speaker == "server" else "server"
    method = find_method(answers, revision=revision, speaker=asker) if answers is not None else None
    if rpc.kind == "error":
        _check_error(rpc)
        return method
    result = rpc.body.object("result")
    if method is None or result is None:
        return method
    required = method.required_result(revision)
    kind = result.text("resultType") if result.kind("resultType") == "string" else None
    if kind is not None and kind != "complete":
        required = {"resultType": "string", **OTHER_RESULTS.get(kind, {})}
    clause = f"MCP {revision} schema, {method.name}"
    _check_members(result, rpc.body.offset("result"), required, "result", clause, INVALID_REQUEST)
    return method


def _check_error(rpc: Rpc) -> None:
    error = rpc.body.object("error")
    required: Members = {"code": "number", "message": "string"}
    _check_members(error, rpc.body.offset("error"), required, "error", "JSON-RPC 2.0 5.1", INVALID_REQUEST)
    if error is not None and not (error.get("code") or b"").lstrip(b"-").isdigit():
        raise _refusal("error.code is no integer", "JSON-RPC 2.0 5.1", INVALID_REQUEST, error.offset("code"))


def _check_members(
    body: JsonObject | None, at: int, required: Members, where: str, clause: str, reason: int
) -> None:
    """Refuses an object, which begins at `at`, that lacks a member or has one of another type."""
    for name, kind in required.items():
        found = body.kind(name) if body is not None else None
        if found is None or body is None:
            raise _refusal(f"{where}.{name} is missing", clause, reason, at)
        if not _fits(found, kind):
            what = f"{where}.{name} is of type {found}, {_ASKED.get(kind, kind)} is needed"
            raise _refusal(what, clause, reason, body.offset(name))


_ASKED: Final[Mapping[Kind, str]] = {"id": "string or number"}


def _fits(found: str, kind: Kind) -> bool:
    if kind == "any":
        return True
    return found in ("string", "number") if kind == "id" else found == kind


def _refusal(what: str, clause: str, reason: int, offset: int = 0) -> CodecError:
    return CodecError(what, protocol="mcp", offset=offset, clause=clause, reason=reason)
