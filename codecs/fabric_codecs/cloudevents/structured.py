"""The JSON event format (CloudEvents JSON 1.0.2): an event as one JSON object, a batch as an array of them.

In: an Envelope. Out: bytes; and back. Above: `bindings`, `translate`. Below: `core.jsonscan`. JSON data is
spliced in and out as the bytes it is; white space around it, which a reader would lose, makes it
`data_base64`.

    {"specversion":"1.0", "<attribute>":"<value>", ..., "data": <JSON or text> | "data_base64": "<bytes>"}

Attributes are strings here; a reader also takes numbers and booleans, in their canonical spelling. A `data`
member without a content type is JSON, and is said to be (3.1.2). Native headers that no attribute can carry
ride in the attribute `fabnative`.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from fabric_codecs.core.jsonscan import JsonObject, check, compose, elements, quote, scan
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.translate.media import is_json, media_type_of

__all__ = [
    "BATCH_TYPE",
    "CORE",
    "EVENT_TYPE",
    "NATIVE",
    "event_of",
    "pack_native",
    "read_batch",
    "read_event",
    "write_batch",
    "write_event",
]

EVENT_TYPE: Final = "application/cloudevents+json"
BATCH_TYPE: Final = "application/cloudevents-batch+json"
CORE: Final = "CloudEvents 1.0.2"
CLAUSE: Final = "CloudEvents JSON 1.0.2"
NATIVE: Final = "fabnative"
INT32: Final = range(-(1 << 31), 1 << 31)


def pack_native(envelope: Envelope) -> str:
    """The native entries as one attribute's text: base64 of MessagePack; empty when there are none."""
    entries = envelope.native
    return b64encode(msgspec.msgpack.encode(entries)).decode() if entries else ""


def event_of(data: bytes, attributes: Mapping[str, str]) -> Envelope:
    """The event of these attributes. Raises CodecError for those that CloudEvents does not allow, and for
    empty ones that must not be."""
    for name in ("source", "type", "subject"):
        if attributes.get(name) == "":
            raise CodecError(f"{name} is empty", protocol="cloudevents", clause=f"{CORE}, {name}")
    return Envelope(data, **attributes)


def write_event(envelope: Envelope) -> bytes:
    """The event as one JSON object. Raises CodecError for an attribute called `data`, which no event has."""
    if envelope.get("data") is not None:
        raise CodecError("data is no attribute", protocol="cloudevents", clause=f"{CORE}, Naming Conventions")
    members = [("specversion", b'"1.0"')]
    members += [(name, quote(value)) for name, value in envelope.attributes().items()]
    if packed := pack_native(envelope):
        members.append((NATIVE, quote(packed)))
    return compose([*members, *_data_member(envelope)])


def read_event(data: bytes) -> Envelope:
    """The event in a JSON object. Raises CodecError, also for attributes that CloudEvents does not allow."""
    return _event(scan(data, protocol="cloudevents"))


def write_batch(events: Iterable[Envelope]) -> bytes:
    """Events as a batch; none is a batch too."""
    return b"[" + b",".join(write_event(event) for event in events) + b"]"


def read_batch(data: bytes) -> list[Envelope]:
    """The events of a batch, in order. Raises CodecError for the whole when one of them is none."""
    if check(data, protocol="cloudevents") != "array":
        raise CodecError("a batch is an array of events", protocol="cloudevents", clause=f"{CLAUSE}, 4.1")
    events: list[Envelope] = []
    at = 0
    for raw in elements(data, protocol="cloudevents"):
        at = data.index(raw, at)
        try:
            events.append(read_event(raw))
        except CodecError as error:
            raise error.at(at + error.offset) from error
        at += len(raw)
    return events


def _data_member(envelope: Envelope) -> list[tuple[str, bytes]]:
    data = envelope.data
    if not data:
        return []
    if is_json(media_type_of(envelope)):
        if not data[:1].isspace() and not data[-1:].isspace() and _is_json(data):
            return [("data", data)]
    elif media_type_of(envelope).startswith("text/"):
        try:
            return [("data", quote(data.decode()))]
        except UnicodeDecodeError:
            pass
    return [("data_base64", b'"' + b64encode(data) + b'"')]


def _is_json(data: bytes) -> bool:
    try:
        check(data)
    except CodecError:
        return False
    return True


def _event(body: JsonObject) -> Envelope:
    if body.kind("specversion") != "string" or body.text("specversion") != "1.0":
        raise _wrong(body, "specversion", "is not 1.0, the only version read here", f"{CORE}, specversion")
    attributes = {
        name: _attribute(body, name)
        for name in body.names()
        if name not in ("specversion", "data", "data_base64") and body.kind(name) != "null"
    }
    stated = attributes.get("datacontenttype")
    if stated is None and "data" in body:
        attributes["datacontenttype"] = stated = "application/json"
    data = _data(body, is_text=stated is not None and not is_json(_media_type(stated)))
    try:
        return event_of(data, attributes)
    except CodecError as error:
        raise error.at(_place_of_fault(body, attributes)) from error


def _place_of_fault(body: JsonObject, attributes: Mapping[str, str]) -> int:
    """Where the first attribute stands that no event can have; 0 when one is missing."""
    for name, value in attributes.items():
        try:
            event_of(b"", {"id": "1", "source": "/", "type": "t", name: value})
        except CodecError:
            return body.offset(name)
    return 0


def _attribute(body: JsonObject, name: str) -> str:
    kind = body.kind(name)
    if kind == "string":
        return body.text(name) or ""
    raw = (body.get(name) or b"").decode()
    if kind == "boolean":
        return raw
    if kind == "number" and raw.removeprefix("-").isdigit() and len(raw) <= 11 and int(raw) in INT32:
        return raw
    raise _wrong(body, name, "is neither a string, nor a 32-bit integer, nor a boolean", f"{CLAUSE}, 2.2")


def _data(body: JsonObject, is_text: bool) -> bytes:
    if "data_base64" in body:
        if "data" in body:
            raise _wrong(body, "data_base64", "stands beside data", f"{CLAUSE}, 3.1.1")
        try:
            return b64decode(body.text("data_base64") or "", validate=True)
        except ValueError:  # also a CodecError: no string
            raise _wrong(body, "data_base64", "is no base64", f"{CLAUSE}, 3.1.2") from None
    if is_text and body.kind("data") == "string":
        return (body.text("data") or "").encode()
    return body.get("data") or b""


def _media_type(stated: str) -> str:
    return stated.partition(";")[0].strip().lower()


def _wrong(body: JsonObject, name: str, what: str, clause: str) -> CodecError:
    offset = body.offset(name) if name in body else 0
    return CodecError(f"{name} {what}", protocol="cloudevents", offset=offset, clause=clause)
