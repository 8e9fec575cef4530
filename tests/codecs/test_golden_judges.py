"""The golden vectors against other people's implementations: what a row says is what they read too.

mqtt5, kio and aiokafka, mcp-types, a2a-sdk, the cloudevents SDK, nats-py. A row that one of them reads
otherwise says so itself (`judge`), with the clause that decides.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import mqtt5
import nats.protocol.parser
import pytest
from a2a.compat.v0_3 import types as old_types
from a2a.types import a2a_pb2
from aiokafka.record.default_records import DefaultRecordBatch
from cloudevents.core.bindings import http, kafka
from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.formats.json import JSONFormat
from google.protobuf import json_format
from kio.serial import entity_reader
from mcp_types import methods as judge
from pydantic import TypeAdapter

from fabric_codecs.kafka.apis import Api
from fabric_codecs.kafka.records import Record
from fabric_codecs.mqtt.encode import encode
from fabric_codecs.mqtt.wire import decode
from helpers.golden import golden
from helpers.golden_readers import message_of, raw_of, record_of
from helpers.kio_messages import kio_bytes, theirs

Row = dict[str, Any]
JSON = JSONFormat()


@contextmanager
def judged(row: Row) -> Iterator[None]:
    """What runs inside holds, but for a row with a `judge`, which says who reads it otherwise: that one must
    still do so."""
    if "judge" not in row:
        yield
        return
    with pytest.raises((ValueError, CloudEventValidationError, AssertionError)):
        yield


# ---- MQTT


@pytest.mark.parametrize(
    "row", [row for row in golden("mqtt")["valid"] if row["version"] == "5"], ids=lambda row: row["hex"][:40]
)
def test_mqtt5_reads_the_packet_and_we_what_it_writes(row: Row) -> None:
    raw, version = raw_of(row), 0 if row["packet"]["type"] == "CONNECT" else 5
    with judged(row):
        packet, size = mqtt5.read(raw)
        assert size == len(raw)
        again, _ = mqtt5.read(encode(decode(packet.write(), version), 5))
        assert again == packet


# ---- Kafka


@pytest.mark.parametrize(
    "row", golden("kafka")["messages"], ids=lambda row: f"{row['message']}-{row['version']}"
)
def test_kio_reads_the_frame_and_writes_the_same_bytes(row: Row) -> None:
    frame = raw_of(row)
    part = "request" if row["message"].endswith("Request") else "response"
    entity = theirs(Api(row["api_key"]), row["version"], part)
    header, size = entity_reader(entity.__header_schema__)(frame, 0)
    body, rest = entity_reader(entity)(frame, size)
    assert size + rest == len(frame)
    assert header.correlation_id == row["header"]["correlation_id"]
    assert kio_bytes(header, body) == frame


BATCHES = [*golden("kafka")["batches"], *golden("kafka")["batches_read"]]


@pytest.mark.parametrize("row", BATCHES, ids=lambda row: row["what"])
def test_aiokafka_reads_the_records(row: Row) -> None:
    batch = DefaultRecordBatch(bytearray(raw_of(row)))
    assert batch.validate_crc()
    found = [Record(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in batch]
    assert found == [record_of(one) for one in row["records"]]


# ---- MCP


def mcp_model(row: Row) -> Any:
    message = json.loads(row["message"])
    if "method" in message:
        kind = "REQUESTS" if "id" in message else "NOTIFICATIONS"
        return getattr(judge, f"{row['speaker'].upper()}_{kind}")[message["method"], row["revision"]], message
    tables = {"server": judge.SERVER_RESULTS, "client": judge.CLIENT_RESULTS}
    return tables[row["speaker"]][row["answers"], row["revision"]], message["result"]


MCP_ROWS = [
    row for row in golden("mcp")["messages"] if '"error":{' not in row["message"].partition('"method"')[0]
]


@pytest.mark.parametrize(
    "row",
    [row for row in MCP_ROWS if "result" in row["message"] or "method" in row["message"]],
    ids=lambda row: row["source"],
)
def test_the_official_types_of_mcp_take_the_message(row: Row) -> None:
    model, value = mcp_model(row)
    TypeAdapter(model).validate_python(value)


# ---- A2A


def parsed(value: object, kind: Any) -> Any:
    return json_format.ParseDict(value, kind())


@pytest.mark.parametrize("row", golden("a2a")["messages"], ids=lambda row: row["source"])
def test_the_sdk_of_a2a_takes_the_message(row: Row) -> None:
    message = json.loads(row["message"])
    if "method" in message:
        service = a2a_pb2.DESCRIPTOR.services_by_name["A2AService"]
        request = service.methods_by_name[message["method"]].input_type.name
        assert parsed(message.get("params", {}), getattr(a2a_pb2, request)) is not None
    elif "result" in message:
        assert parsed(message["result"], a2a_pb2.SendMessageResponse).WhichOneof("payload") == "task"


@pytest.mark.parametrize("row", golden("a2a")["items"], ids=lambda row: row["source"])
def test_the_sdk_of_a2a_takes_the_item(row: Row) -> None:
    item = parsed(json.loads(row["message"]), a2a_pb2.StreamResponse)
    assert json_format.MessageToDict(item).keys() == {row["kind"]}


@pytest.mark.parametrize("row", golden("a2a")["rest"], ids=lambda row: f"{row['verb']} {row['target'][:50]}")
def test_the_sdk_of_a2a_takes_the_params_of_the_http_request(row: Row) -> None:
    service = a2a_pb2.DESCRIPTOR.services_by_name["A2AService"]
    request = getattr(a2a_pb2, service.methods_by_name[row["operation"]].input_type.name)
    assert json_format.MessageToDict(parsed(row["params"], request)) == row["params"]


@pytest.mark.parametrize("row", golden("a2a")["spellings"], ids=lambda row: row["what"])
def test_the_types_of_0_3_take_the_old_spelling(row: Row) -> None:
    message = json.loads(row["old"])
    if "params" in message:
        assert old_types.MessageSendParams.model_validate(message["params"])
        return
    kinds = {"message": old_types.Message, "status-update": old_types.TaskStatusUpdateEvent}
    assert kinds[message["result"]["kind"]].model_validate(message["result"])


# ---- CloudEvents


SDK_ROWS = [row for row in golden("cloudevents")["messages"] if row["binding"] in ("http", "kafka")]


@pytest.mark.parametrize("row", SDK_ROWS, ids=lambda row: row["what"])
def test_the_sdk_of_cloudevents_reads_the_attributes(row: Row) -> None:
    message = message_of(row)
    with judged(row):
        said = {
            name: str(value) for name, value in sdk_event(row["binding"], message).get_attributes().items()
        }
        wanted = row["event"]["attributes"].items()
        left_out = ("time", "datacontenttype")  # a datetime, and one that the SDK does not make explicit
        assert {name: value for name, value in wanted if name not in left_out}.items() <= said.items()


def sdk_event(binding: str, message: Any) -> Any:
    headers = {name: value or b"" for name, value in message.headers}
    if binding == "kafka":
        return kafka.from_kafka(kafka.KafkaMessage(headers, None, message.body or b""), JSON)
    text = {name: value.decode() for name, value in headers.items()}
    return http.from_http(http.HTTPMessage(text, message.body or b""), JSON)


# ---- NATS


SERVER_ROWS = [row for row in golden("nats")["operations"] if row["operation"]["type"] == "Message"]


@pytest.mark.parametrize("row", SERVER_ROWS, ids=lambda row: row["text"][:30])
def test_nats_py_reads_the_message(row: Row) -> None:
    got: list[tuple[Any, ...]] = []

    async def keep(sid: int, subject: bytes, reply: bytes, data: bytes, header: bytes | None) -> None:
        got.append((sid, bytes(subject), bytes(reply or b""), bytes(data), bytes(header or b"")))

    client: Any = SimpleNamespace(_process_msg=keep)
    asyncio.run(nats.protocol.parser.Parser(client).parse(row["text"].encode()))
    said = row["operation"]
    text = {name: said.get(name, "").encode() for name in ("subject", "reply", "payload", "header")}
    assert got == [(said["sid"], text["subject"], text["reply"], text["payload"], text["header"])]
