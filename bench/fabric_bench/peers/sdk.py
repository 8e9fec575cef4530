"""The way a user writes it today: official SDKs, with a CloudEvent in the middle.

In: bytes of one protocol. Out: a CloudEvent; and from it the bytes of another. mcp's types, a2a-sdk's
protobuf JSON, paho's properties, aiokafka's record batches, the CloudEvents SDK, each called as its own
server or client calls it. Above: `scenarios.translate`.

What a message says in all of them arrives: its data, id, type, source, time, subject, trace and talk. Ours
also carries the method and version it came with, the kind and number of a request (which its answer needs)
and whatever else stood in it; this does not. paho reads and writes packets only inside its client; the few
bytes around its properties are done here, the shortest way.
"""

import json
import struct
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import mqtt5
from a2a.types import Message, Part, Role, SendMessageRequest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from google.protobuf import json_format
from jsonrpc.jsonrpc2 import JSONRPC20Request  # type: ignore[import-untyped]
from mcp.types import CallToolRequest, CallToolRequestParams, JSONRPCRequest, jsonrpc_message_adapter
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from fabric_bench.messages import FRESH_ID, NOW_US, ORIGIN, TOPIC
from fabric_codecs.translate.lift import Protocol

__all__ = ["DECODE", "ENCODE", "READ", "WRITE", "to_encode"]

JSON = JSONFormat()
MEDIA = "application/json"
# Where our messages have what neither MCP nor A2A has a place for; anybody's own names would do.
TALK, SUBJECT, TRACE = "io.agentfabric/conversation", "io.agentfabric/subject", "io.agentfabric/traceparent"
MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


def _event(data: Any, said: Mapping[str, Any]) -> CloudEvent:
    """`said` without what is missing; the SDK adds the time."""
    known = {name: value for name, value in said.items() if value}
    return CloudEvent({"source": ORIGIN, "type": "com.example.call", "datacontenttype": MEDIA, **known}, data)


def _kept(event: CloudEvent, **names: str) -> dict[str, str]:
    """The extensions that the event has, under other names."""
    attributes = event.get_attributes()
    return {told: attributes[name] for name, told in names.items() if name in attributes}


def _read_mcp(message: bytes) -> CloudEvent:
    request = jsonrpc_message_adapter.validate_json(message, by_name=False)
    assert isinstance(request, JSONRPCRequest)
    call = CallToolRequest.model_validate({"method": request.method, "params": request.params}, by_name=False)
    meta = call.params.meta or {}
    said = {"id": str(request.id), "subject": call.params.name, "traceparent": meta.get("traceparent")}
    return _event(call.params.arguments, said | {"correlationid": meta.get(TALK)})


def _write_mcp(event: CloudEvent) -> bytes:
    meta: Any = {**MODERN, **_kept(event, traceparent="traceparent", correlationid=TALK)}
    params = CallToolRequestParams(name=event.get_subject() or TOPIC, arguments=_parsed(event), _meta=meta)
    call = CallToolRequest(method="tools/call", params=params)
    fields = call.model_dump(by_alias=True, mode="json", exclude_none=True)
    request = JSONRPCRequest(jsonrpc="2.0", id=event.get_id(), **fields)
    return request.model_dump_json(by_alias=True, exclude_unset=True).encode()


def _read_a2a(message: bytes) -> CloudEvent:
    request = JSONRPC20Request.from_data(json.loads(message))
    sent = json_format.ParseDict(request.params, SendMessageRequest(), ignore_unknown_fields=True).message
    about = json_format.MessageToDict(sent.metadata)
    said = {
        "id": sent.message_id,
        "subject": about.get(SUBJECT),
        "correlationid": sent.context_id,
    }
    data = json_format.MessageToDict(sent.parts[0].data)
    return _event(data, said | {"traceparent": about.get(TRACE)})


def _write_a2a(event: CloudEvent) -> bytes:
    part = Part(media_type=MEDIA)
    json_format.ParseDict(_parsed(event), part.data)
    message = Message(
        message_id=event.get_id(),
        role=Role.ROLE_USER,
        parts=[part],
        context_id=event.get_extension("correlationid"),
    )
    message.metadata.update({SUBJECT: event.get_subject(), **_kept(event, traceparent=TRACE)})
    params = json_format.MessageToDict(SendMessageRequest(message=message))
    request = JSONRPC20Request(method="SendMessage", params=params, _id=event.get_id())
    return json.dumps(request.data, ensure_ascii=False, separators=(",", ":")).encode()


def _variable(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _opened(packet: bytes) -> tuple[str, int]:
    """The topic of a PUBLISH, and where what follows it begins."""
    _, at = _variable(packet, 1)
    (size,) = struct.unpack_from("!H", packet, at)
    at += 2 + size
    return packet[at - size : at].decode().replace("/", "."), at


def _read_mqtt5(packet: bytes) -> CloudEvent:
    subject, at = _opened(packet)
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    _, read = properties.unpack(packet[at:])  # type: ignore[no-untyped-call]
    said = {"id": FRESH_ID, "subject": subject, **dict(getattr(properties, "UserProperty", ()))}
    if "time" in said:
        said["time"] = datetime.fromisoformat(said["time"])
    return _event(packet[at + read :], said | {"datacontenttype": getattr(properties, "ContentType", None)})


def _write_mqtt5(event: CloudEvent) -> bytes:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = event.get_datacontenttype()
    properties.UserProperty = [
        (name, value.isoformat() if isinstance(value, datetime) else str(value))
        for name, value in event.get_attributes().items()
        if name not in ("datacontenttype", "subject")
    ]
    return _publish(event, properties.pack())  # type: ignore[no-untyped-call]


def _read_mqtt311(packet: bytes) -> CloudEvent:
    subject, at = _opened(packet)
    return _event(packet[at:], {"id": FRESH_ID, "subject": subject})


def _write_mqtt311(event: CloudEvent) -> bytes:
    return _publish(event, b"")


def _publish(event: CloudEvent, properties: bytes) -> bytes:
    topic = (event.get_subject() or TOPIC).replace(".", "/").encode()
    data = JSON.write_data(event.get_data(), event.get_datacontenttype())
    remaining = 2 + len(topic) + len(properties) + len(data)
    header = bytearray(b"\x30")
    while True:
        remaining, low = divmod(remaining, 128)
        header.append(low | (0x80 if remaining else 0))
        if not remaining:
            return bytes(header) + struct.pack("!H", len(topic)) + topic + properties + data


def _read_kafka(batch: bytes) -> CloudEvent:
    (record,) = _decode_kafka(batch)
    headers = {name: value for name, value in record.headers if value is not None}
    headers["ce_subject"] = TOPIC.encode()  # which a consumer is told beside the record
    event: CloudEvent = from_binary(KafkaMessage(headers, record.key, record.value), JSON, CloudEvent)  # type: ignore[assignment]
    return event


def _write_kafka(event: CloudEvent) -> bytes:
    message = to_binary(event, JSON)
    key = message.key.encode() if isinstance(message.key, str) else message.key
    return _batch(key, message.value, list(message.headers.items()))


def _batch(key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 20,
    )
    builder.append(0, timestamp=NOW_US // 1000, key=key, value=value, headers=headers)
    return bytes(builder.build())


def _parsed(event: CloudEvent) -> Any:
    data = event.get_data()
    return json.loads(data) if isinstance(data, bytes) else data


READ: dict[Protocol, Callable[[bytes], CloudEvent]] = {
    "mcp": _read_mcp,
    "a2a": _read_a2a,
    "mqtt5": _read_mqtt5,
    "mqtt311": _read_mqtt311,
    "kafka": _read_kafka,
}
WRITE: dict[Protocol, Callable[[CloudEvent], bytes]] = {
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


# Codecs alone. Ours reads MCP and A2A to an envelope, so here it is a CloudEvent; else what each protocol's
# fastest library makes of the same bytes: mqtt5 is written in Rust, aiokafka's records in Cython.
DECODE: dict[Protocol, Callable[[bytes], Any]] = {
    "mcp": _read_mcp,
    "a2a": _read_a2a,
    "mqtt5": lambda packet: mqtt5.read(memoryview(packet))[0],
    "kafka": _decode_kafka,
}
ENCODE: dict[Protocol, Callable[[Any], bytes]] = {
    "mcp": _write_mcp,
    "a2a": _write_a2a,
    "mqtt5": lambda packet: packet.write(),
    "kafka": lambda record: _batch(record.key, record.value, record.headers),
}


def to_encode(protocol: Protocol, message: bytes) -> Any:
    """What a program has in its hands before it encodes: a CloudEvent, a packet, a record."""
    found = DECODE[protocol](message)
    return found[0] if protocol == "kafka" else found
