"""The way a user writes it today: official SDKs, with a CloudEvent in the middle.

In: bytes of one protocol. Out: a CloudEvent; and from it the bytes of another. mcp's types, a2a-sdk's
protobuf JSON, paho's properties, aiokafka's record batches, the CloudEvents SDK. Above:
`scenarios.translate`.
"""

import json
import struct
from collections.abc import Callable
from typing import Any

import mqtt5
from a2a.types import Message, Part, Role, SendMessageRequest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from google.protobuf import json_format
from mcp.types import CallToolRequest, CallToolRequestParams
from mcp.types.jsonrpc import JSONRPCRequest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

__all__ = ["DECODE", "ENCODE", "READ", "WRITE"]

JSON = JSONFormat()
TOPIC = "greenhouse/heat"


def _event(data: Any, id: str, **attributes: str) -> CloudEvent:
    said = {"id": id, "source": "/sdk/bench", "type": "com.example.call", "specversion": "1.0"}
    return CloudEvent({**said, "subject": "greenhouse.heat", **attributes}, data)


def _read_mcp(message: bytes) -> CloudEvent:
    request = JSONRPCRequest.model_validate_json(message)
    call = CallToolRequest.model_validate({"method": request.method, "params": request.params})
    return _event(json.dumps(call.params.arguments).encode(), str(request.id))


def _write_mcp(event: CloudEvent) -> bytes:
    call = CallToolRequest(
        method="tools/call",
        params=CallToolRequestParams(name="greenhouse.heat", arguments=json.loads(_data(event))),
    )
    params = call.model_dump(by_alias=True, exclude_none=True)["params"]
    request = JSONRPCRequest(jsonrpc="2.0", id=event.get_id(), method="tools/call", params=params)
    return request.model_dump_json(by_alias=True, exclude_none=True).encode()


def _read_a2a(message: bytes) -> CloudEvent:
    request = JSONRPCRequest.model_validate_json(message)
    sent = json_format.ParseDict(request.params, SendMessageRequest(), ignore_unknown_fields=True)
    data = json_format.MessageToDict(sent.message.parts[0].data)
    return _event(json.dumps(data).encode(), sent.message.message_id)


def _write_a2a(event: CloudEvent) -> bytes:
    part = Part()
    json_format.ParseDict(json.loads(_data(event)), part.data)
    message = Message(message_id=event.get_id(), role=Role.ROLE_USER, parts=[part])
    params = json_format.MessageToDict(SendMessageRequest(message=message))
    request = JSONRPCRequest(jsonrpc="2.0", id=event.get_id(), method="SendMessage", params=params)
    return request.model_dump_json(by_alias=True, exclude_none=True).encode()


def _variable(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _read_mqtt5(packet: bytes) -> CloudEvent:
    _, at = _variable(packet, 1)
    (size,) = struct.unpack_from("!H", packet, at)
    at += 2 + size
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    _, read = properties.unpack(packet[at:])  # type: ignore[no-untyped-call]
    attributes = dict(getattr(properties, "UserProperty", ()))
    known = {name: attributes[name] for name in ("correlationid", "traceparent") if name in attributes}
    return _event(packet[at + read :], attributes.get("id", "e-1"), **known)


def _write_mqtt5(event: CloudEvent) -> bytes:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = "application/json"
    properties.UserProperty = [(name, str(value)) for name, value in event.get_attributes().items()]
    return _publish(properties.pack() + _data(event))  # type: ignore[no-untyped-call]


def _read_mqtt311(packet: bytes) -> CloudEvent:
    _, at = _variable(packet, 1)
    (size,) = struct.unpack_from("!H", packet, at)
    return _event(packet[at + 2 + size :], "e-1")


def _write_mqtt311(event: CloudEvent) -> bytes:
    return _publish(_data(event))


def _publish(rest: bytes) -> bytes:
    topic = TOPIC.encode()
    remaining = 2 + len(topic) + len(rest)
    header = bytearray(b"\x30")
    while True:
        remaining, low = divmod(remaining, 128)
        header.append(low | (0x80 if remaining else 0))
        if not remaining:
            return bytes(header) + struct.pack("!H", len(topic)) + topic + rest


def _read_kafka(batch: bytes) -> CloudEvent:
    (record,) = _decode_kafka(batch)
    headers = {name: value for name, value in record.headers if value is not None}
    event: CloudEvent = from_binary(KafkaMessage(headers, record.key, record.value), JSON)  # type: ignore[assignment]
    return event


def _write_kafka(event: CloudEvent) -> bytes:
    message = to_binary(event, JSON)
    return _batch(message.value, list(message.headers.items()))


def _batch(value: bytes | None, headers: list[tuple[str, bytes]]) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 20,
    )
    builder.append(0, timestamp=1_790_000_000_000, key=b"north", value=value, headers=headers)
    return bytes(builder.build())


def _data(event: CloudEvent) -> bytes:
    data = event.get_data()
    return data if isinstance(data, bytes) else json.dumps(data).encode()


READ: dict[str, Callable[[bytes], CloudEvent]] = {
    "mcp": _read_mcp,
    "a2a": _read_a2a,
    "mqtt5": _read_mqtt5,
    "mqtt311": _read_mqtt311,
    "kafka": _read_kafka,
}
WRITE: dict[str, Callable[[CloudEvent], bytes]] = {
    "mcp": _write_mcp,
    "a2a": _write_a2a,
    "mqtt5": _write_mqtt5,
    "mqtt311": _write_mqtt311,
    "kafka": _write_kafka,
}


def _decode_kafka(message: bytes) -> list[Any]:
    batch = DefaultRecordBatch(message)
    if not batch.validate_crc():  # as its consumer does by default, and ours always
        raise ValueError("the checksum is wrong")
    return list(batch)


# Codecs alone, without a CloudEvent: what each protocol's fastest library does with the same bytes.
DECODE: dict[str, Callable[[bytes], Any]] = {
    "mcp": _read_mcp,
    "a2a": _read_a2a,
    "mqtt5": lambda packet: mqtt5.read(memoryview(packet)),
    "kafka": _decode_kafka,
}


def _encoder_mqtt5(message: bytes) -> Callable[[], Any]:
    packet, _ = mqtt5.read(memoryview(message))
    return packet.write


def _encoder_kafka(message: bytes) -> Callable[[], Any]:
    record = next(iter(DefaultRecordBatch(message)))
    headers = list(record.headers)
    return lambda: _batch(record.value, headers)


def _encoder_json(protocol: str) -> Callable[[bytes], Callable[[], Any]]:
    def encoder(message: bytes) -> Callable[[], Any]:
        event, write = READ[protocol](message), WRITE[protocol]
        return lambda: write(event)

    return encoder


ENCODE: dict[str, Callable[[bytes], Callable[[], Any]]] = {
    "mcp": _encoder_json("mcp"),
    "a2a": _encoder_json("a2a"),
    "mqtt5": _encoder_mqtt5,
    "kafka": _encoder_kafka,
}
