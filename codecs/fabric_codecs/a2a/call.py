"""SendMessage -> the call it asks for, as an Envelope of kind `request`. `lift` makes the envelope; here is
what only the call of a tool needs.

| of the call     | from                                                                                     |
|-----------------|------------------------------------------------------------------------------------------|
| data            | the first part that is a JSON object; else the text parts as `{"text": ...}`             |
| subject         | `agent.tool`: the edge knows the agent, `choose_tool` the tool                           |
| correlationid   | metadata `io.agentfabric/conversation`, else the context, else the one the edge gave it  |
| kind            | `request`, whatever a mark says: what comes to an agent's endpoint is a call             |
| all other       | as `lift` has it: marks become attributes, unknown metadata and members native entries   |

Metadata of the message comes before metadata of the request. What no tool can be given is a loss, never
silence.
"""

import base64
from collections.abc import Sequence

import msgspec

from fabric_codecs.a2a.faults import Fault, refuse
from fabric_codecs.a2a.lift import lift
from fabric_codecs.a2a.numbers import integers_again
from fabric_codecs.a2a.params import Json, Message, Part, SendMessage, is_given
from fabric_codecs.core.jsonrpc import Rpc, corr_of_id
from fabric_codecs.core.jsonscan import JsonObject, check, compose, scan
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.losses import Loss, LossCode, Translation

__all__ = ["choose_tool", "lift_call", "tool_named"]

FREE_FORM_TOOL = "ask"  # the tool that takes what is addressed to an agent and to no tool of it


class Naming(msgspec.Struct, frozen=True):
    """What a sender that knows the agent's tools says in `metadata`."""

    tool: str | None = msgspec.field(default=None, name="io.agentfabric/tool")


def tool_named(send: SendMessage) -> str | None:
    """The tool that a message asks for. Raises CodecError when that is no string, or metadata no object."""
    near, far = _named(send.message.metadata, "params.message"), _named(send.metadata, "params")
    return near or far


def choose_tool(asked: str | None, offered: Sequence[str]) -> str | None:
    """The tool that a message reaches: the one it names, else `ask`, else the agent's only one. None: the
    sender has to choose."""
    if asked is not None:
        return asked if asked in offered else None
    if FREE_FORM_TOOL in offered:
        return FREE_FORM_TOOL
    return offered[0] if len(offered) == 1 else None


def lift_call(
    rpc: Rpc,
    send: SendMessage,
    *,
    target: str,
    source: str,
    context_id: str,
    now_us: int,
    traceparent: str | None = None,
) -> Translation[Envelope]:
    """The call that a request asks for; `send` are its params. `target` is `agent.tool`, `context_id` the
    message's or the one the edge gave it. Raises CodecError for a message without content a tool can be
    given, and for what `lift` refuses."""
    arguments, used = _arguments(send.message)
    try:
        lifted = lift(
            _with_one_part(rpc.body, arguments),
            source=source,
            fresh_id=send.message.message_id,
            now_us=now_us,
            target=target,
            traceparent=traceparent,
        )
    except CodecError as error:  # its byte is one of the rewritten request: say where the params begin
        at = rpc.body.offset("params")
        raise CodecError(
            error.what, protocol="a2a", offset=at, clause=error.clause, reason=error.reason
        ) from error
    return Translation(
        _as_call(lifted.message, rpc, context_id), (*lifted.losses, *_lost(send.message, used))
    )


def _with_one_part(body: JsonObject, arguments: bytes) -> bytes:
    """The same request, whose message says one thing: the arguments. Every other byte stays."""
    params = body.object("params")
    assert params is not None, "`read_send` found them"
    message = params.object("message")
    assert message is not None, "`read_send` found it"
    parts = b"[" + compose([("data", arguments)]) + b"]"
    return body.splice("params", params.splice("message", message.splice("parts", parts)))


def _as_call(lifted: Envelope, rpc: Rpc, context_id: str) -> Envelope:
    """With what marks cannot change: that it is a call, its answer's place, and what the arguments are."""
    changes = {"datacontenttype": "application/json"}
    if lifted.kind != "request":  # `lower` made the message of an event; here it is a call
        fabcorr = corr_of_id(rpc.id) if rpc.id is not None else None
        changes |= {"fabkind": "request", "type": "io.agentfabric.request", "fabcorr": fabcorr or ""}
    if lifted.correlationid is None:
        changes["correlationid"] = context_id
    return lifted.replace(None, **changes)


def _named(metadata: Json, where: str) -> str | None:
    if not is_given(metadata):
        return None
    try:
        return msgspec.json.decode(metadata, type=Naming).tool
    except msgspec.DecodeError as error:
        raise refuse(f"{where}.metadata: {error}", Fault.INVALID_PARAMS) from error


def _arguments(message: Message) -> tuple[bytes, list[Part]]:
    """The arguments of the call, and the parts that went into them."""
    for part in message.parts:
        if (found := _object_in(part)) is not None:
            return found, [part]
    texts = [part for part in message.parts if part.text is not None]
    if not texts:
        raise refuse(
            "no part can be given to a tool: send text, or a data part that is a JSON object",
            Fault.CONTENT_TYPE_NOT_SUPPORTED,
        )
    return msgspec.json.encode({"text": "\n".join(part.text or "" for part in texts)}), texts


def _object_in(part: Part) -> bytes | None:
    """The JSON object that a part is, or None. `raw` of type application/json carries one with all its
    digits."""
    if isinstance(part.data, msgspec.Raw):
        data = bytes(part.data)
        return integers_again(data) if data.startswith(b"{") else None
    if part.raw is None or (part.media_type or "").partition(";")[0].strip() != "application/json":
        return None
    try:
        data = base64.b64decode(part.raw, validate=True)
        return scan(data, protocol="a2a").raw if check(data, protocol="a2a") == "object" else None
    except ValueError as error:  # not base64, or (a CodecError) not JSON
        raise refuse(
            f"a raw part of type application/json cannot be read: {error}", Fault.INVALID_PARAMS
        ) from error


def _lost(message: Message, used: Sequence[Part]) -> tuple[Loss, ...]:
    """What of the parts does not reach the tool."""
    losses = []
    for number, part in enumerate(message.parts):
        if not any(part is one for one in used):
            what = part.filename or part.url or part.media_type or ("data" if part.text is None else "text")
            losses.append(_loss(f"parts[{number}]", what))
        elif is_given(part.metadata):
            losses.append(_loss(f"parts[{number}].metadata", "metadata of a part"))
    return tuple(losses)


def _loss(field: str, what: str) -> Loss:
    return Loss(LossCode.PART_UNMAPPED, field, f"{what} does not reach the tool")
