"""Requests and answers of A2A's JSON-RPC binding (A2A 1.0.1, section 9): bytes <-> the shapes of `model`.

`core.jsonrpc` has read the frame, and with it checked that all of it is I-JSON; this module reads `params`
and writes `result`. What is wrong with them is a CodecError whose `reason` is the code to answer.
"""

from typing import TypeVar

import msgspec

from fabric_codecs.a2a.faults import Fault
from fabric_codecs.a2a.model import Message, Part, SendMessage, StreamItem, Task, TaskQuery, is_given
from fabric_codecs.bounds import ID_CHARS_MAX
from fabric_codecs.errors import CodecError

__all__ = [
    "CARD_PATH",
    "MEDIA_TYPES",
    "VERSION",
    "read_send",
    "read_task_query",
    "refuse",
    "version_is_served",
    "write_item",
    "write_task",
]

VERSION = "1.0"  # as the A2A-Version header carries it: major and minor only (section 3.6)

CARD_PATH = "/.well-known/agent-card.json"
MEDIA_TYPES = ("application/json", "text/plain")  # what a call takes and gives

S = TypeVar("S", SendMessage, TaskQuery)


def version_is_served(header: str) -> bool:
    """Whether a request's A2A-Version is ours. A patch level does not count; an empty one means 0.3."""
    major, _, rest = header.strip().partition(".")
    return f"{major}.{rest.partition('.')[0]}" == VERSION


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


def read_task_query(params: bytes | None) -> TaskQuery:
    """The parameters of GetTask, CancelTask and SubscribeToTask. Raises CodecError."""
    query = _read(params, TaskQuery)
    if not query.id:
        raise refuse("params.id is empty: it names the task", Fault.INVALID_PARAMS)
    _check_history_length(query.history_length)
    return query


def write_task(task: Task) -> bytes:
    """The `result` of GetTask and CancelTask."""
    return msgspec.json.encode(task)


def write_item(item: StreamItem) -> bytes:
    """The `result` of SendMessage, and of each event of a stream."""
    return msgspec.json.encode(item)


def refuse(what: str, fault: Fault, clause: str = "A2A 1.0.1, 5.4") -> CodecError:
    """The error for a message that cannot be taken, to be raised."""
    return CodecError(what, protocol="a2a", clause=clause, reason=int(fault))


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
