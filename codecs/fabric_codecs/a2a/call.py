"""SendMessage -> the call it asks for, as an Envelope of kind `request`.

| Envelope        | from                                                                           |
|-----------------|--------------------------------------------------------------------------------|
| data            | the first part that is a JSON object; else the text parts as `{"text": ...}`   |
| subject         | `agent.tool`: the edge knows the agent, `choose_tool` the tool                 |
| id              | `messageId`                                                                    |
| correlationid   | metadata `io.agentfabric/conversation`, else the context                       |
| causationid     | metadata `io.agentfabric/causationid`                                          |
| fabkey, fabhops, fabchain | metadata `io.agentfabric/idempotency-key`, `.../fabhops`, `.../fabchain` |
| fabcorr         | the JSON-RPC id                                                                |

Metadata of the message comes before metadata of the request. What no tool can be given is a loss, never
silence.
"""

import base64
from collections.abc import Sequence

import msgspec

from fabric_codecs.a2a.faults import Fault
from fabric_codecs.a2a.model import Json, Message, Part, SendMessage, is_given
from fabric_codecs.a2a.numbers import integers_again
from fabric_codecs.a2a.wire import VERSION, refuse
from fabric_codecs.core.jsonscan import check, scan
from fabric_codecs.envelope import Envelope
from fabric_codecs.translate.losses import Loss, LossCode, Translation

__all__ = ["Marks", "choose_tool", "lift_send", "marks_of"]

FREE_FORM_TOOL = "ask"  # the tool that takes what is addressed to an agent and to no tool of it


class Marks(msgspec.Struct, frozen=True):
    """What a sender that knows the fabric says in `metadata`."""

    tool: str | None = msgspec.field(default=None, name="io.agentfabric/tool")
    conversation: str | None = msgspec.field(default=None, name="io.agentfabric/conversation")
    causationid: str | None = msgspec.field(default=None, name="io.agentfabric/causationid")
    key: str | None = msgspec.field(default=None, name="io.agentfabric/idempotency-key")
    hops: str | None = msgspec.field(default=None, name="io.agentfabric/fabhops")
    chain: str | None = msgspec.field(default=None, name="io.agentfabric/fabchain")


def marks_of(send: SendMessage) -> Marks:
    """Our keys in the metadata. Raises CodecError when one of them is no string."""
    inner, outer = _marks(send.message.metadata, "params.message"), _marks(send.metadata, "params")
    said = zip(msgspec.structs.astuple(inner), msgspec.structs.astuple(outer), strict=True)
    return Marks(*(near or far for near, far in said))


def choose_tool(asked: str | None, offered: Sequence[str]) -> str | None:
    """The tool that a message reaches: the one it names, else `ask`, else the agent's only one. None: the
    sender has to choose."""
    if asked is not None:
        return asked if asked in offered else None
    if FREE_FORM_TOOL in offered:
        return FREE_FORM_TOOL
    return offered[0] if len(offered) == 1 else None


def lift_send(
    send: SendMessage,
    *,
    target: str,
    source: str,
    method: str,
    fabcorr: str,
    context_id: str,
    traceparent: str | None = None,
) -> Translation[Envelope]:
    """The call that a message asks for. `target` is `agent.tool`, `method` the JSON-RPC method, `context_id`
    the message's or the one the edge gave it. Raises CodecError for a message without content a tool can be
    given."""
    arguments, used = _arguments(send.message)
    marks = marks_of(send)
    unmapped = [part for part in send.message.parts if not any(part is one for one in used)]
    envelope = Envelope(
        arguments,
        id=send.message.message_id,
        source=source,
        type="io.agentfabric.request",
        subject=target,
        datacontenttype="application/json",
        correlationid=marks.conversation or context_id,
        causationid=marks.causationid,
        fabkey=marks.key,
        fabhops=marks.hops,
        fabchain=marks.chain,
        traceparent=traceparent,
        fabkind="request",
        fabproto="a2a",
        fabver=VERSION,
        fabmethod=method,
        fabcorr=fabcorr,
    )
    return Translation(envelope, tuple(_unmapped(part, send.message) for part in unmapped))


def _marks(metadata: Json, where: str) -> Marks:
    if not is_given(metadata):
        return Marks()
    try:
        return msgspec.json.decode(metadata, type=Marks)
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


def _unmapped(part: Part, message: Message) -> Loss:
    number = next(n for n, one in enumerate(message.parts) if one is part)
    what = part.filename or part.url or part.media_type or ("text" if part.text is not None else "data")
    return Loss(LossCode.PART_UNMAPPED, f"parts[{number}]", f"{what} does not reach the tool")
