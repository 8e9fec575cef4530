"""The params of the operations that are served (A2A 1.0.1, 3.1): bytes -> shapes, checked.

In: the raw `params` of a request that `core.jsonrpc` has read, and with it checked that all of it is I-JSON.
Out: what an edge has to know before it makes a call; the call itself is made of the bytes, by `call`. Above:
the edge. What is wrong is a CodecError whose `reason` is the code to answer.

Only members that somebody looks at; others are let be. `data` and `metadata` stay the raw bytes they came in,
so a number keeps its digits: the official SDK's protobuf values turn each into a double.
"""

from typing import TypeGuard, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from fabric_codecs.a2a.card import MEDIA_TYPES
from fabric_codecs.a2a.faults import Fault, refuse
from fabric_codecs.bounds import ID_CHARS_MAX

__all__ = [
    "Json",
    "Message",
    "Part",
    "SendConfiguration",
    "SendMessage",
    "TaskQuery",
    "is_given",
    "read_parts",
    "read_send",
    "read_task_query",
]

Json = Raw | UnsetType  # any JSON in its own bytes, or UNSET where the member is not there


def is_given(member: Json) -> TypeGuard[Raw]:
    """Whether a member stands in the message with a value; ProtoJSON's null is none, except in `data`."""
    return isinstance(member, Raw) and bytes(member) != b"null"


class Part(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True):
    """A piece of content: exactly one of `text`, `raw` (base64), `url` and `data` (any JSON)."""

    text: str | None = None
    raw: str | None = None
    url: str | None = None
    data: Json = UNSET
    media_type: str | None = None
    filename: str | None = None
    metadata: Json = UNSET


class Message(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True):
    """One turn of a conversation."""

    message_id: str = ""
    role: str = ""
    parts: tuple[Part, ...] = ()
    context_id: str | None = None
    task_id: str | None = None
    metadata: Json = UNSET
    extensions: tuple[str, ...] | None = None


class SendConfiguration(msgspec.Struct, rename="camel", frozen=True):
    """What the sender wants of the answer."""

    accepted_output_modes: tuple[str, ...] | None = None
    history_length: int | None = None
    return_immediately: bool | None = None
    task_push_notification_config: Json = UNSET


class SendMessage(msgspec.Struct, rename="camel", frozen=True):
    """The parameters of SendMessage and SendStreamingMessage."""

    message: Message
    configuration: SendConfiguration | None = None
    metadata: Json = UNSET


class TaskQuery(msgspec.Struct, rename="camel", frozen=True):
    """The parameters of GetTask, CancelTask and SubscribeToTask."""

    id: str
    history_length: int | None = None


S = TypeVar("S", SendMessage, TaskQuery, tuple[Part, ...])


def read_send(params: bytes | None) -> SendMessage:
    """The parameters of SendMessage and SendStreamingMessage, checked. Raises CodecError."""
    send = _read(params, SendMessage)
    _check_message(send.message)
    configuration = send.configuration
    if configuration is None:
        return send
    if is_given(configuration.task_push_notification_config):
        raise refuse("push notifications are not served", Fault.PUSH_NOTIFICATION_NOT_SUPPORTED)
    _check_history_length(configuration.history_length)
    modes = configuration.accepted_output_modes
    if modes and not any(_takes_ours(mode) for mode in modes):
        raise refuse(
            f"none of {', '.join(modes)} is produced here: accept {' or '.join(MEDIA_TYPES)}",
            Fault.CONTENT_TYPE_NOT_SUPPORTED,
        )
    return send


def read_parts(raw: bytes | None) -> tuple[Part, ...]:
    """The parts of a message, to be compared with those of another. Raises CodecError."""
    return _read(raw, tuple[Part, ...])


def read_task_query(params: bytes | None) -> TaskQuery:
    """The parameters of GetTask, CancelTask and SubscribeToTask. Raises CodecError."""
    query = _read(params, TaskQuery)
    if not query.id:
        raise refuse("params.id is empty: it names the task", Fault.INVALID_PARAMS)
    _check_history_length(query.history_length)
    return query


def _read(params: bytes | None, kind: type[S]) -> S:
    try:
        return msgspec.json.decode(params or b"{}", type=kind)
    except msgspec.ValidationError as error:
        # "Expected `str`, got `int` - at `$.message.parts[0].text`"
        sentence, _, place = str(error).partition(" - at ")
        where = place.strip("`").replace("$", "params", 1) or "params"
        raise refuse(f"{where}: {sentence[:1].lower()}{sentence[1:]}", Fault.INVALID_PARAMS) from error
    except msgspec.DecodeError as error:
        raise refuse(f"params: {error}", Fault.INVALID_PARAMS) from error


def _check_message(message: Message) -> None:
    if not message.message_id:
        raise refuse("params.message.messageId is missing or empty", Fault.INVALID_PARAMS, "A2A 1.0.1, 4.1.4")
    if len(message.message_id) > ID_CHARS_MAX:
        raise refuse(
            f"params.message.messageId has {len(message.message_id)} characters, allowed are {ID_CHARS_MAX}",
            Fault.INVALID_PARAMS,
        )
    if message.role != "ROLE_USER":
        raise refuse(f"params.message.role is {message.role!r}: a sender is ROLE_USER", Fault.INVALID_PARAMS)
    if not message.parts:
        raise refuse("params.message.parts is missing or empty", Fault.INVALID_PARAMS, "A2A 1.0.1, 4.1.4")
    for number, part in enumerate(message.parts):
        if (found := _contents(part)) != 1:
            raise refuse(
                f"params.message.parts[{number}] has {found} of text, raw, url, data: exactly one is needed",
                Fault.INVALID_PARAMS,
                "A2A 1.0.1, 4.1.6",
            )


def _contents(part: Part) -> int:
    return sum(
        (part.text is not None, part.raw is not None, part.url is not None, part.data is not msgspec.UNSET)
    )


def _check_history_length(length: int | None) -> None:
    if length is not None and length < 0:
        raise refuse(f"historyLength is {length}: it cannot be negative", Fault.INVALID_PARAMS)


def _takes_ours(mode: str) -> bool:
    kind = mode.partition(";")[0].strip().lower()
    return kind in (*MEDIA_TYPES, "*/*", "application/*", "text/*", "text", "")
