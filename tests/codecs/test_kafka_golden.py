"""The vectors of `golden/kafka.json` in both directions: a codec in any language could be held to them."""

from typing import Any

import pytest

from fabric_codecs.kafka.builder import BatchBuilder
from fabric_codecs.kafka.frames import (
    decode_header,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from fabric_codecs.kafka.lift import lift
from fabric_codecs.kafka.lower import lower
from fabric_codecs.kafka.messages import EXCHANGES
from fabric_codecs.kafka.records import Record, checksum, decode_batch
from fabric_codecs.kafka.schema import Struct, fields_of
from helpers.golden import golden
from helpers.golden_readers import binary, raw_of, record_of

VECTORS = golden("kafka")


def rows(*names: str) -> Any:
    found = [row for name in names for row in VECTORS[name]]
    ids = [row.get("what") or f"{row['message']}-{row['version']}" for row in found]
    return pytest.mark.parametrize("row", found, ids=ids)


def struct_of(cls: type[Struct], values: dict[str, Any]) -> Struct:
    fields = {field.name: field for field in fields_of(cls)}
    made: dict[str, Any] = {}
    for name, value in values.items():
        if name.endswith("_hex"):
            name, value = name.removesuffix("_hex"), binary(value)
        inner = fields[name].struct
        if inner is not None and value is not None:
            value = (
                [struct_of(inner, one) for one in value]
                if isinstance(value, list)
                else struct_of(inner, value)
            )
        made[name] = tuple(value) if isinstance(value, list) else value
    return cls(**made)


@rows("messages")
def test_a_message_is_read_and_written_as_the_vector_says(row: dict[str, Any]) -> None:
    frame, version, exchange = raw_of(row), row["version"], EXCHANGES[row["api_key"]]
    correlation_id = row["header"]["correlation_id"]
    if row["message"].endswith("Request"):
        message = struct_of(exchange.request, row["body"])
        header, at = decode_header(frame)
        assert (header.api_key, header.api_version) == (row["api_key"], version)
        assert (header.correlation_id, header.client_id) == (correlation_id, row["header"]["client_id"])
        assert decode_request(frame, header, at) == message
        written = encode_request(correlation_id, version, message, header.client_id)
    else:
        message = struct_of(exchange.response, row["body"])
        assert decode_response(frame, row["api_key"], version) == (correlation_id, message)
        written = encode_response(correlation_id, version, message)
    assert type(message).__name__ == row["message"]
    assert written == len(frame).to_bytes(4) + frame


def records_of(row: dict[str, Any]) -> list[Record]:
    return [record_of(one) for one in row["records"]]


@rows("batches", "batches_read")
def test_a_batch_is_read_as_the_vector_says(row: dict[str, Any]) -> None:
    batch = decode_batch(raw_of(row))
    assert batch.records == records_of(row)
    assert {name: getattr(batch, name) for name in row["batch"]} == row["batch"]


@rows("batches")
def test_a_batch_is_written_as_the_vector_says(row: dict[str, Any]) -> None:
    said = row["batch"]
    builder = BatchBuilder(
        said["base_offset"],
        is_transactional=bool(said["attributes"] & 0x10),
        leader_epoch=said["leader_epoch"],
        producer_id=said["producer_id"],
        producer_epoch=said["producer_epoch"],
        base_sequence=said["base_sequence"],
    )
    for record in records_of(row):
        assert builder.add(record)
    assert builder.build() == raw_of(row)


@rows("events")
def test_a_record_is_the_envelope_that_the_vector_says_and_comes_back(row: dict[str, Any]) -> None:
    record = record_of(row["record"])
    wanted = row["envelope"]
    place = {"topic": "greenhouse.north", "partition": 3, "offset": 7, "source": "/kafka/sensors"}
    envelope = lift(record, **place).message
    assert envelope.data == bytes.fromhex(wanted["data_hex"])
    assert envelope.attributes() == wanted["attributes"]
    assert envelope.native == [(name, binary(value)) for name, value in wanted["native"]]
    back = lower(envelope, 7, record.timestamp_ms).message
    assert (back.key, back.value) == (record.key, record.value)
    assert lift(back, **place, withheld=frozenset()).message == envelope


def test_every_api_that_the_clients_need_has_a_vector_in_both_directions() -> None:
    seen = {row["message"] for row in VECTORS["messages"]}
    assert seen == {part.__name__ for one in EXCHANGES.values() for part in (one.request, one.response)}


@pytest.mark.parametrize("row", VECTORS["primitives"], ids=lambda row: f"{row['type']}-{row['hex']}")
def test_a_primitive_is_the_bytes_that_the_standard_says(row: dict[str, Any]) -> None:
    if row["type"] == "CRC-32C":
        assert checksum(bytes.fromhex(row["data_hex"])).to_bytes(4) == bytes.fromhex(row["hex"])
        return
    times = [0, row["value"]]  # the second record's time is told as the difference to the first one's
    builder = BatchBuilder(0)
    for at, time_ms in enumerate(times):
        assert builder.add(Record(at, time_ms, None, None, []))
    batch = builder.build()
    last = batch[-len(row["hex"]) // 2 - 4 :]  # then offset delta, key, value and the count of headers
    assert last == bytes.fromhex(row["hex"]) + b"\x02\x01\x01\x00"
    assert [record.timestamp_ms for record in decode_batch(batch).records] == times
