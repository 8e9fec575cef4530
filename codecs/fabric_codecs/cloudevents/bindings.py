"""Protocol bindings of CloudEvents 1.0: an event as the headers and the body of a message, and back.

In: an Envelope. Out: a `Message`; and back. Above: whoever carries messages. Below: `structured`. Binary mode
puts attributes into headers, structured mode the whole event into the body:

| binding | attributes                  | media type of the data       | structured mode is told by | batch |
|---------|-----------------------------|------------------------------|----------------------------|-------|
| nats    | `ce-<name>`, percent-coded  | `ce-datacontenttype`         | header `Content-Type`      | -     |
| http    | `ce-<name>`, percent-coded  | `Content-Type`               | `Content-Type`             | yes   |
| kafka   | `ce_<name>`, UTF-8          | header `content-type`        | `content-type`             | -     |
| mqtt    | user property `<name>`      | the Content Type property    | the Content Type property  | -     |

MQTT 3.1.1 has no headers: structured mode alone, and nothing tells it (MQTT binding, 1.3). Headers that are
not the event's are native entries on Kafka and MQTT, in order; on HTTP and NATS they are the carrier's
business (and may be credentials). An envelope's own native entries are Kafka headers, elsewhere one packed
header. A reader that must not believe what a sender says of itself takes the protocol's own `lift` instead.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias
from urllib.parse import unquote_to_bytes

from fabric_codecs.cloudevents.structured import (
    BATCH_TYPE,
    CORE,
    EVENT_TYPE,
    NATIVE,
    event_of,
    pack_native,
    read_batch,
    read_event,
    write_batch,
    write_event,
)
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError

__all__ = ["BINDINGS", "Binding", "Message", "read", "read_many", "write", "write_many"]

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]


class Message(NamedTuple):
    """What a carrier takes. `content_type` is where the binding has it: a header of that name, or MQTT's
    property. A `body` of None is Kafka's null."""

    headers: Headers
    content_type: str | None
    body: bytes | None


class Binding(NamedTuple):
    """How one protocol carries attributes. `names` and `values` are the sections that say how."""

    title: str
    names: str
    values: str
    prefix: str
    is_percent_coded: bool
    content_type: str | None  # the header that holds it; None: a field of the protocol
    has_type_in_attribute: bool  # the media type of the data is an attribute like any other
    native: str | None  # the header that holds native entries; None: each is a header
    keeps_others: bool
    is_http: bool = False  # the one with batches, and without an attribute for the media type


BINDINGS: Final[dict[str, Binding]] = {
    # Binary mode over NATS came after 1.0.2; the text is that of the working draft.
    "nats": Binding(
        "NATS 1.0.3-wip", "3.1.2", "3.1.3.2", "ce-", True, "Content-Type", True, "Fab-Native", False
    ),
    "http": Binding(
        "HTTP 1.0.2", "3.1.3", "3.1.3.2", "ce-", True, "Content-Type", False, "Fab-Native", False, True
    ),
    "kafka": Binding("Kafka 1.0.2", "3.2.3", "3.2.3", "ce_", False, "content-type", False, None, True),
    "mqtt": Binding("MQTT 1.0.2", "3.1.3", "3.1.3.2", "", False, None, False, NATIVE, True),
}
Name: TypeAlias = Literal["nats", "http", "kafka", "mqtt"]

_escaped = re.compile(rb"[^\x21\x23\x24\x26-\x7e]")  # NATS binding 3.1.3.2, HTTP binding 3.1.3.2
_quoted = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL).fullmatch  # RFC 7230 3.2.6
_quoted_pair = re.compile(rb"\\(.)", re.DOTALL)
_attribute_name = re.compile(r"[a-z0-9]{1,20}").fullmatch


def write(envelope: Envelope, binding: Name, *, structured: bool = False) -> Message:
    """The message of one event."""
    how = BINDINGS[binding]
    if structured:
        return _framed(how, EVENT_TYPE, write_event(envelope))
    attributes = envelope.attributes()
    content_type = None if how.has_type_in_attribute else attributes.pop("datacontenttype", None)
    said = {"specversion": "1.0", **attributes}
    headers: list[tuple[str, bytes | None]] = [
        (how.prefix + name, _coded(value) if how.is_percent_coded else value.encode())
        for name, value in said.items()
    ]
    if how.native is None:
        headers += envelope.native
    elif packed := pack_native(envelope):
        headers.append((how.native, packed.encode()))
    if how.content_type is not None and content_type is not None:
        headers.insert(0, (how.content_type, content_type.encode()))
    is_null = binding == "kafka" and not envelope.data  # no data is a null value (Kafka binding, 3.2.2)
    return Message(headers, content_type, None if is_null else envelope.data)


def read(message: Message, binding: Name) -> Envelope:
    """The event in a message, in whichever mode it came. Raises CodecError for a message that is no event."""
    how = BINDINGS[binding]
    stated = _content_type(message, how)
    media_type = (stated or "").partition(";")[0].strip().lower()
    if media_type == EVENT_TYPE:
        return read_event(message.body or b"")
    if media_type.startswith("application/cloudevents"):
        raise _wrong(
            f"{media_type} is not read here: only {EVENT_TYPE}" + (" and batches" if how.is_http else ""),
            f"CloudEvents {how.title}, 1.4",
        )
    attributes, others = _attributes(message.headers, how)
    if not how.has_type_in_attribute and stated is not None:
        attributes["datacontenttype"] = stated
    if attributes.pop("specversion", None) != "1.0":
        raise _wrong("specversion is not 1.0, the only version read here", f"{CORE}, specversion")
    event = event_of(message.body or b"", attributes)
    return event.with_native(others) if others else event


def write_many(events: Iterable[Envelope], binding: Name) -> Message:
    """A batch of events. Raises CodecError where the binding has none."""
    how = BINDINGS[binding]
    if not how.is_http:
        raise _wrong(f"the {binding} binding has no batches", f"CloudEvents {how.title}, 1.3")
    return _framed(how, BATCH_TYPE, write_batch(events))


def read_many(message: Message, binding: Name) -> list[Envelope]:
    """The events of a message: those of a batch, or the one."""
    how = BINDINGS[binding]
    stated = (_content_type(message, how) or "").partition(";")[0].strip().lower()
    if how.is_http and stated == BATCH_TYPE:
        return read_batch(message.body or b"")
    return [read(message, binding)]


def _framed(how: Binding, content_type: str, body: bytes) -> Message:
    headers = [] if how.content_type is None else [(how.content_type, content_type.encode())]
    return Message(headers, content_type, body)


def _content_type(message: Message, how: Binding) -> str | None:
    if how.content_type is None:
        return message.content_type
    found = [value for name, value in message.headers if name.lower() == how.content_type.lower()]
    return _text(found[0], how.content_type, how) if found else None


def _attributes(headers: Headers, how: Binding) -> tuple[dict[str, str], list[tuple[str, bytes | None]]]:
    """The event's attributes, and the headers that are none."""
    attributes: dict[str, str] = {}
    others: list[tuple[str, bytes | None]] = []
    for header, value in headers:
        # HTTP and NATS clients change the case of names; Kafka and MQTT keep it.
        name = (header.lower() if how.is_percent_coded else header).removeprefix(how.prefix)
        is_named = len(name) + len(how.prefix) == len(header) and _attribute_name(name)
        if how.native is not None and header.lower() == how.native.lower():
            attributes[NATIVE] = _text(value, header, how)
        elif not is_named:
            if how.keeps_others and header != how.content_type:
                others.append((header, value))
        elif name in attributes:
            raise _wrong(f"the attribute {name} stands twice", f"CloudEvents {how.title}, {how.names}")
        elif name == "data":
            raise _wrong("data is no attribute", f"{CORE}, Naming Conventions")
        elif name == "datacontenttype" and how.is_http:
            raise _wrong(f"{header} stands where Content-Type has it", f"CloudEvents {how.title}, 3.1.1")
        else:
            attributes[name] = _text(value, header, how, is_coded=how.is_percent_coded)
    return attributes, others


def _coded(value: str) -> bytes:
    return _escaped.sub(lambda found: b"%%%02X" % found[0][0], value.encode())


def _text(value: bytes | None, header: str, how: Binding, *, is_coded: bool = False) -> str:
    clause = f"CloudEvents {how.title}, {how.values}"
    if value is None:
        raise _wrong(f"{header} is null", clause)
    try:
        return (unquote_to_bytes(_unquoted(value)) if is_coded else value).decode()
    except UnicodeDecodeError:
        raise _wrong(f"{header} is not UTF-8", clause) from None


def _unquoted(value: bytes) -> bytes:
    """A header value without the double quotes that older writers put around one with a space."""
    found = _quoted(value)
    return _quoted_pair.sub(rb"\1", found[1]) if found else value


def _wrong(what: str, clause: str) -> CodecError:
    return CodecError(what, protocol="cloudevents", clause=clause)
