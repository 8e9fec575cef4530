"""Passing on: a message to a peer of its own protocol, the same but for what belongs to the hop.

In: the message's bytes, the hop's trace, the time it waited. Out: the bytes; only the named fields are
spliced, in place where they stand, and without a hop nothing is touched. Above: `message`.

| protocol | trace of the hop                          | expiry                                       |
|----------|-------------------------------------------|----------------------------------------------|
| mcp      | `_meta.traceparent` of params or result   | -                                            |
| a2a      | an HTTP header, which the edge writes     | -                                            |
| mqtt5    | user property `traceparent`               | Message Expiry Interval, less what it waited |
| mqtt311  | -                                         | -                                            |
| kafka    | header `traceparent`                      | -                                            |
"""

from fabric_codecs.core.jsonscan import JsonObject, quote, scan
from fabric_codecs.kafka.builder import BatchBuilder
from fabric_codecs.kafka.records import Record, decode_batch, only_record
from fabric_codecs.mqtt.encode import encode
from fabric_codecs.mqtt.packets import Publish
from fabric_codecs.mqtt.wire import only_publish
from fabric_codecs.translate.lift import Protocol

__all__ = ["pass_on"]

TRACE = "traceparent"


def pass_on(
    message: bytes, protocol: Protocol, *, traceparent: str | None = None, waited_s: int = 0
) -> bytes:
    """The message for the next hop. Raises CodecError for bytes that are none."""
    if protocol == "mcp" and traceparent is not None:
        return _mcp(message, traceparent)
    if protocol == "mqtt5" and (traceparent is not None or waited_s > 0):
        return _mqtt(only_publish(message, 5), traceparent, waited_s)
    if protocol == "kafka" and traceparent is not None:
        return _kafka(message, traceparent)
    return message


def _mcp(message: bytes, traceparent: str) -> bytes:
    body = scan(message, protocol="mcp")
    for name in ("params", "result"):
        if body.kind(name) == "object" and (inner := body.object(name)) is not None:
            return _within(message, body, name, inner.splice("_meta", _meta(inner, traceparent)))
    return message if "error" in body else _within(message, body, "params", _params(traceparent))


def _within(message: bytes, body: JsonObject, name: str, value: bytes) -> bytes:
    """The document with one member of its object replaced; white space around the object stays."""
    before, _, after = message.partition(body.raw)
    return before + body.splice(name, value) + after


def _meta(inner: JsonObject, traceparent: str) -> bytes:
    meta = inner.object("_meta") if inner.kind("_meta") == "object" else None
    return _trace(traceparent) if meta is None else meta.splice(TRACE, quote(traceparent))


def _trace(traceparent: str) -> bytes:
    return b'{"traceparent":' + quote(traceparent) + b"}"


def _params(traceparent: str) -> bytes:
    return b'{"_meta":' + _trace(traceparent) + b"}"


def _mqtt(packet: Publish, traceparent: str | None, waited_s: int) -> bytes:
    return encode(
        Publish(
            packet.topic,
            packet.payload,
            packet.qos,
            packet.retain,
            packet.dup,
            packet.packet_id,
            packet.properties.passed_on(traceparent, waited_s),
        ),
        5,
    )


def _kafka(message: bytes, traceparent: str) -> bytes:
    batch, record = decode_batch(message), only_record(message)
    names = [name for name, _ in record.headers]
    headers = list(record.headers)
    at = names.index(TRACE) if TRACE in names else len(headers)
    headers[at : at + 1] = [(TRACE, traceparent.encode())]
    builder = BatchBuilder(
        batch.base_offset,
        codec=int(batch.codec),
        append_time_ms=batch.max_timestamp_ms if batch.is_log_append_time else None,
        is_transactional=batch.is_transactional,
        is_control=batch.is_control,
        leader_epoch=batch.leader_epoch,
        producer_id=batch.producer_id,
        producer_epoch=batch.producer_epoch,
        base_sequence=batch.base_sequence,
    )
    builder.add(Record(record.offset, record.timestamp_ms, record.key, record.value, headers))
    return builder.build()
