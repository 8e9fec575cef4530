"""A2A messages, both directions: bytes -> a checked message, and back without a byte changed.

In: a JSON-RPC message of 1.0 or 0.3, or one item of a stream. Out: `Message`s and `Item`s, which keep the
bytes they came in; a hop changes only members of `metadata` that are its own (`with_metadata`). The HTTP+JSON
binding is `rest`, the stream around items `core.sse`. Above: edges and clients. Below: `operations`.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from fabric_codecs.a2a.faults import Fault
from fabric_codecs.a2a.operations import Operation, find_operation
from fabric_codecs.bounds import JSON_BYTES_MAX
from fabric_codecs.core.jsonrpc import Rpc, read_rpc
from fabric_codecs.core.jsonscan import JsonObject, compose, scan
from fabric_codecs.errors import CodecError

__all__ = ["Item", "Message", "read_item", "read_message", "with_metadata", "write_message"]

ITEMS: Final = ("task", "message", "statusUpdate", "artifactUpdate")
OLD_ITEMS: Final[Mapping[str, str]] = {
    "task": "task",
    "message": "message",
    "status-update": "statusUpdate",
    "artifact-update": "artifactUpdate",
}
# What each item must hold, and where that stands; the same in 0.3.
SECTIONS: Final = {"task": "4.1.1", "message": "4.1.4", "statusUpdate": "4.2.1", "artifactUpdate": "4.2.2"}
NEEDED: Final[Mapping[str, Mapping[str, str]]] = {
    "task": {"id": "string", "status": "object"},
    "message": {"messageId": "string", "role": "string", "parts": "array"},
    "statusUpdate": {"taskId": "string", "status": "object"},
    "artifactUpdate": {"taskId": "string", "artifact": "object"},
}

Version = Literal["1.0", "0.3"]


class Message(NamedTuple):
    """One JSON-RPC message; `operation` is None for an answer. `raw` are the bytes as they came."""

    raw: bytes
    rpc: Rpc
    operation: Operation | None
    version: Version


class Item(NamedTuple):
    """One item of a stream, or what SendMessage answers: `kind` as 1.0 names it, and the raw object."""

    kind: str
    raw: bytes
    version: Version


def read_message(data: bytes, *, bytes_max: int = JSON_BYTES_MAX) -> Message:
    """The message in `data`; the spelling of its method says the version, an answer without a `kind` is of
    1.0. Raises CodecError whose `reason` is the code to answer."""
    rpc = read_rpc(data, bytes_max=bytes_max)
    if rpc.kind == "notification":
        what = "A2A has no notifications: the id is missing"
        raise _refusal(what, Fault.INVALID_REQUEST, "A2A 1.0.1, 9.3", rpc.body.offset("method"))
    if rpc.kind != "request":
        result = rpc.body.object("result") if rpc.body.kind("result") == "object" else None
        old = result is not None and result.kind("kind") == "string"
        return Message(data, rpc, None, "0.3" if old else "1.0")
    operation = find_operation(rpc.method or "")
    if operation is None:
        what = f"A2A has no method {rpc.method!r}"
        raise _refusal(what, Fault.METHOD_NOT_FOUND, "A2A 1.0.1, 5.3", rpc.body.offset("method"))
    _check_params(rpc, operation)
    return Message(data, rpc, operation, "1.0" if rpc.method == operation.name else "0.3")


def read_item(result: bytes) -> Item:
    """The one item that a result, or an event of the HTTP+JSON binding, holds. Raises CodecError for none or
    several, and for one that lacks what it needs."""
    body = scan(result, protocol="a2a")
    kind = body.text("kind") if body.kind("kind") == "string" else None
    if kind is not None:
        if kind not in OLD_ITEMS:
            at = body.offset("kind")
            raise _refusal(f"an item of kind {kind!r}", Fault.INVALID_AGENT_RESPONSE, "A2A 0.3, 7.2", at)
        return _checked(OLD_ITEMS[kind], body, "0.3", 0)
    held = [name for name in ITEMS if name in body]
    if len(held) != 1:
        said = " and ".join(held) if held else "none"
        what = f"an item is one of {', '.join(ITEMS)}; here are {said}"
        at = body.offset(held[1]) if held else 0
        raise _refusal(what, Fault.INVALID_AGENT_RESPONSE, "A2A 1.0.1, 3.2.3", at)
    inner = body.object(held[0]) if body.kind(held[0]) == "object" else None
    if inner is None:
        what = f"{held[0]} is no object"
        raise _refusal(what, Fault.INVALID_AGENT_RESPONSE, "A2A 1.0.1, 3.2.3", body.offset(held[0]))
    return _checked(held[0], inner, "1.0", body.offset(held[0]))


def write_message(message: Message) -> bytes:
    """The bytes of a message: those that it came in."""
    return message.raw


def with_metadata(data: bytes, changes: Mapping[str, bytes]) -> bytes:
    """An object of A2A (a message, a task, an event, params) with members of its `metadata` replaced or
    added; `changes` are raw JSON, every other byte stays."""
    body = scan(data, protocol="a2a")
    metadata = body.object("metadata") if body.kind("metadata") == "object" else None
    if metadata is None:
        return body.splice("metadata", compose(changes.items()))
    for name, value in changes.items():
        metadata = scan(metadata.splice(name, value), protocol="a2a")
    return body.splice("metadata", metadata.raw)


def _check_params(rpc: Rpc, operation: Operation) -> None:
    params = rpc.body.object("params")
    # 0.3 names a task `id` where 1.0 says `taskId`, and a configuration by both.
    required = operation.required if rpc.method == operation.name else _old_required(operation)
    for name, kind in required.items():
        found = params.kind(name) if params is not None else None
        if found != kind:
            what = f"params.{name} is {'missing' if found is None else f'of type {found}, {kind} is needed'}"
            at = 0
            if params is not None:
                at = params.offset(name) if found is not None else rpc.body.offset("params")
            raise _refusal(what, Fault.INVALID_PARAMS, operation.clause, at)


def _old_required(operation: Operation) -> Mapping[str, str]:
    if "PushNotificationConfig" not in operation.name:
        return operation.required
    return {"taskId": "string"} if operation.name.startswith("Create") else {"id": "string"}


def _checked(item: str, body: JsonObject, version: Version, start: int) -> Item:
    """The item that `body` is, which begins at `start`."""
    for name, kind in NEEDED[item].items():
        if body.kind(name) != kind:
            at = body.offset(name) if name in body else start
            clause = f"A2A 1.0.1, {SECTIONS[item]}"
            raise _refusal(f"{item}.{name} is no {kind}", Fault.INVALID_AGENT_RESPONSE, clause, at)
    return Item(item, body.raw, version)


def _refusal(what: str, fault: Fault, clause: str, offset: int = 0) -> CodecError:
    return CodecError(what, protocol="a2a", offset=offset, clause=clause, reason=int(fault))
