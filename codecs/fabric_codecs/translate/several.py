"""A file of messages -> the messages: lines of JSON, packets behind each other, records in batches.

In: bytes, and the protocol they are of. Out: messages as `lift` takes them, one by one. Above: `fabric
translate`.
"""

from fabric_codecs.core.jsonscan import check
from fabric_codecs.errors import CodecError
from fabric_codecs.kafka.builder import BatchBuilder
from fabric_codecs.kafka.records import decode_batch
from fabric_codecs.mqtt.encode import encode
from fabric_codecs.mqtt.packets import Publish
from fabric_codecs.mqtt.wire import Decoder
from fabric_codecs.translate.lift import Protocol

__all__ = ["split"]


def split(data: bytes, protocol: Protocol) -> list[bytes]:
    """The messages in `data`, in order; of MQTT packets those that are none (a PUBACK) are left out. Raises
    CodecError for what is broken or cut short."""
    if protocol == "kafka":
        return _records(data)
    if protocol in ("mqtt5", "mqtt311"):
        return _packets(data, 5 if protocol == "mqtt5" else 4)
    return _documents(data, protocol)


def _documents(data: bytes, protocol: Protocol) -> list[bytes]:
    """One document over any number of lines, or one a line."""
    try:
        check(data, protocol=protocol)
    except CodecError:
        lines = [line for line in data.splitlines() if line.strip()]
        if len(lines) < 2:
            raise
        return lines
    return [data]


def _packets(data: bytes, version: int) -> list[bytes]:
    decoder = Decoder(version)
    packets = decoder.feed(data)
    decoder.feed(b"")  # raises what broke off after the last whole one
    read = sum(len(encode(packet, version)) for packet in packets)
    if read < len(data):
        raise CodecError("the last packet is cut short", protocol="mqtt", offset=len(data), clause="2.1.4")
    return [encode(packet, version) for packet in packets if isinstance(packet, Publish)]


def _records(data: bytes) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at < len(data):
        batch = decode_batch(data, at)
        at = batch.end
        for record in batch.records:
            builder = BatchBuilder(record.offset)
            builder.add(record)
            found.append(builder.build())
    return found
