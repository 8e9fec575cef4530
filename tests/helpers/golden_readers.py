"""How each row of the golden vectors is read: one function a protocol and kind of input.

In: a row, whose `read` names the kind. Out: what the decoder makes of it, or the CodecError it raises. Above:
the tests of malformed rows, of truncation and of the tables' form.
"""

from collections.abc import Callable
from typing import Any, Final

from fabric_codecs import names
from fabric_codecs.a2a.lift import lift as lift_a2a
from fabric_codecs.a2a.messages import read_item
from fabric_codecs.a2a.messages import read_message as read_a2a
from fabric_codecs.a2a.rest import read_error, read_request
from fabric_codecs.a2a.spelling import to_new, to_old
from fabric_codecs.cloudevents.bindings import Message, read
from fabric_codecs.cloudevents.structured import read_batch as read_events
from fabric_codecs.core.sse import EventReader
from fabric_codecs.kafka.frames import decode_header, decode_request, decode_response
from fabric_codecs.kafka.lift import lift as lift_kafka
from fabric_codecs.kafka.records import Record, decode_batch
from fabric_codecs.kafka.wire import FrameReader
from fabric_codecs.mcp.lift import lift as lift_mcp
from fabric_codecs.mcp.messages import read_batch, read_message
from fabric_codecs.mqtt.wire import Decoder
from fabric_codecs.nats.operations import read_headers
from fabric_codecs.nats.stream import Decoder as Operations
from fabric_codecs.nats.wire import Parser
from helpers.golden import VERSIONS
from helpers.json_envelopes import NOW_US

__all__ = ["EDGE", "FILES", "READERS", "binary", "message_of", "raw_of", "record_of"]

Row = dict[str, Any]
EDGE: Final[dict[str, Any]] = {"source": "/x/peer", "fresh_id": "f-1", "now_us": NOW_US}
PLACE: Final[dict[str, Any]] = {
    "topic": "greenhouse.north",
    "partition": 3,
    "offset": 7,
    "source": "/kafka/sensors",
}
FILES: Final = ("a2a", "cloudevents", "kafka", "mcp", "mqtt", "names", "nats", "sse")


def raw_of(row: Row) -> bytes:
    """The bytes of a row: `hex`, or named `parts` of hex, or text under `message`, `text` or `body`."""
    if "hex" in row:
        return bytes.fromhex(row["hex"])
    if "parts" in row:
        return bytes.fromhex("".join(piece for _, piece in row["parts"]))
    text: str = next(row[name] for name in ("message", "text", "body") if row.get(name) is not None)
    return text.encode()


def binary(text: str | None) -> bytes | None:
    """A binary value, or null."""
    return None if text is None else bytes.fromhex(text)


def message_of(row: Row) -> Message:
    """A message of a CloudEvents binding."""
    headers = [(name, None if value is None else value.encode()) for name, value in row["headers"]]
    body = binary(row["body_hex"]) if "body_hex" in row else row.get("body")
    return Message(headers, row.get("content_type"), body.encode() if isinstance(body, str) else body)


def record_of(row: Row) -> Record:
    """A Kafka record."""
    return Record(
        row.get("offset", 7),
        row["timestamp_ms"],
        binary(row["key_hex"]),
        binary(row["value_hex"]),
        [(name, binary(value)) for name, value in row["headers"]],
    )


def _request(row: Row) -> object:
    frame = raw_of(row)
    return decode_request(frame, *decode_header(frame))


def _frame(row: Row) -> object:
    reader = FrameReader(row.get("bytes_max", 1 << 20))
    reader.feed(raw_of(row))
    return reader.take()


def _stream(decoder: Any, row: Row) -> object:
    """What comes out of a stream; its fault is raised by the next call, so there is one more."""
    found = decoder.feed(raw_of(row))
    decoder.feed(b"")
    return found


def _mcp_message(row: Row) -> object:
    said = {"revision": row.get("revision", "2026-07-28"), "speaker": row.get("speaker", "client")}
    return read_message(raw_of(row), **said, answers=row.get("answers"))


READERS: Final[dict[tuple[str, str], Callable[[Row], object]]] = {
    ("mcp", "lift"): lambda row: lift_mcp(raw_of(row), **EDGE),
    ("mcp", "message"): _mcp_message,
    ("mcp", "batch"): lambda row: read_batch(raw_of(row), revision=row["revision"], speaker="client"),
    ("a2a", "lift"): lambda row: lift_a2a(raw_of(row), **EDGE),
    ("a2a", "message"): lambda row: read_a2a(raw_of(row)),
    ("a2a", "item"): lambda row: read_item(raw_of(row)),
    ("a2a", "rest"): lambda row: read_request(
        row["verb"], row["target"], raw_of(row) if "body" in row else b""
    ),
    ("a2a", "error"): lambda row: read_error(raw_of(row)),
    ("a2a", "to_old"): lambda row: to_old(raw_of(row)),
    ("a2a", "to_new"): lambda row: to_new(raw_of(row)),
    ("sse", "stream"): lambda row: EventReader(row.get("bytes_max", 1 << 20)).feed(raw_of(row)),
    ("cloudevents", "message"): lambda row: read(message_of(row), row["binding"]),
    ("cloudevents", "batch"): lambda row: read_events(raw_of(row)),
    ("nats", "operations"): lambda row: _stream(Operations(), row),
    ("nats", "server"): lambda row: _stream(Parser({9: lambda *_: None}, lambda *_: None), row),
    ("nats", "headers"): lambda row: read_headers(raw_of(row)),
    ("names", "level"): lambda row: names.encode_level(row["from"]),
    ("names", "token"): lambda row: names.decode_level(row["from"]),
    ("names", "channel"): lambda row: names.channel_name(row["from"]),
    ("names", "pattern"): lambda row: names.pattern_name(row["from"]),
    ("names", "topic"): lambda row: names.topic_to_channel(row["from"]),
    ("names", "to_topic"): lambda row: names.channel_to_topic(row["from"]),
    ("names", "filter"): lambda row: names.filter_to_pattern(row["from"]),
    ("names", "kafka"): lambda row: names.kafka_topic_to_channel(row["from"]),
    ("names", "to_kafka"): lambda row: names.channel_to_kafka_topic(row["from"]),
    ("mqtt", "packet"): lambda row: _stream(Decoder(VERSIONS[row["version"]]), row),
    ("kafka", "frame"): _frame,
    ("kafka", "request"): _request,
    ("kafka", "response"): lambda row: decode_response(raw_of(row), row["api_key"], row["version"]),
    ("kafka", "batch"): lambda row: decode_batch(raw_of(row)),
    ("kafka", "event"): lambda row: lift_kafka(record_of(row["record"]), **(PLACE | row.get("place", {}))),
}
