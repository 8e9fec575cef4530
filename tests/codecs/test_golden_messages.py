"""The valid rows of the golden vectors that no other test reads: MCP, A2A, SSE, names, MQTT's integers."""

import json
from typing import Any

import pytest

from fabric_codecs.a2a.messages import read_item
from fabric_codecs.a2a.messages import read_message as read_a2a
from fabric_codecs.a2a.rest import Call, read_error, read_request, status_of, write_request
from fabric_codecs.a2a.spelling import to_new, to_old
from fabric_codecs.core.sse import Event, EventReader, write_event
from fabric_codecs.mcp.messages import read_message, write_message
from fabric_codecs.mqtt.encode import encode
from fabric_codecs.mqtt.packets import Publish
from fabric_codecs.mqtt.properties import Properties
from fabric_codecs.mqtt.wire import decode
from helpers.golden import golden
from helpers.golden_readers import READERS

MCP, A2A, SSE, NAMES, MQTT = (golden(name) for name in ("mcp", "a2a", "sse", "names", "mqtt"))
Row = dict[str, Any]


@pytest.mark.parametrize("row", MCP["messages"], ids=lambda row: row["source"])
def test_a_message_of_the_mcp_pages_is_taken_and_leaves_byte_for_byte(row: Row) -> None:
    raw = row["message"].encode()
    found = read_message(raw, revision=row["revision"], speaker=row["speaker"], answers=row.get("answers"))
    assert write_message(found) == raw
    method = json.loads(raw).get("method", row.get("answers"))
    assert (found.method.name if found.method else None) == method


@pytest.mark.parametrize("row", A2A["messages"], ids=lambda row: row["source"])
def test_a_message_of_the_a2a_specification_is_taken(row: Row) -> None:
    found = read_a2a(row["message"].encode())
    assert found.version == "1.0"
    assert (found.operation.name if found.operation else None) == json.loads(row["message"]).get("method")


@pytest.mark.parametrize("row", A2A["items"], ids=lambda row: row["source"])
def test_an_item_of_the_a2a_specification_is_of_its_kind(row: Row) -> None:
    item = read_item(row["message"].encode())
    assert (item.kind, json.loads(item.raw)) == (row["kind"], json.loads(row["message"])[row["kind"]])


@pytest.mark.parametrize("row", A2A["rest"], ids=lambda row: f"{row['verb']} {row['target'][:50]}")
def test_an_http_request_of_the_a2a_specification_is_its_operation_in_both_directions(row: Row) -> None:
    call = read_request(row["verb"], row["target"], row.get("body", "").encode())
    assert (call.operation.name, json.loads(call.params)) == (row["operation"], row["params"])
    sent = write_request(Call(call.operation, json.dumps(row["params"]).encode()))
    if "A2A-Version" not in row["target"]:  # which is a header of ours
        assert (sent.verb, sent.target) == (row["verb"], row["target"])
    assert json.loads(sent.body or b"{}") == json.loads(row.get("body") or "{}")


@pytest.mark.parametrize("row", A2A["errors"], ids=lambda row: row["source"])
def test_an_http_error_of_the_a2a_specification_is_its_code(row: Row) -> None:
    assert read_error(row["body"].encode())[:2] == (row["code"], row["says"])
    assert status_of(row["code"])[0] == row["status"]


@pytest.mark.parametrize("row", A2A["spellings"], ids=lambda row: row["what"])
def test_a_message_has_both_spellings(row: Row) -> None:
    assert json.loads(to_old(row["new"].encode())) == json.loads(row["old"])
    assert json.loads(to_new(row["old"].encode())) == json.loads(row["new"])


@pytest.mark.parametrize("row", SSE["streams"], ids=lambda row: row["source"])
def test_a_stream_is_its_events_however_it_is_cut(row: Row) -> None:
    raw, events = row["text"].encode(), [_event(one) for one in row["events"]]
    for step in (len(raw), 1, 3):
        reader = EventReader()
        found = [one for at in range(0, len(raw), step) for one in reader.feed(raw[at : at + step])]
        assert found == events
    written = b"".join(
        write_event(one.data, event="" if one.event == "message" else one.event) for one in events
    )
    assert [one.data for one in EventReader().feed(written)] == [one.data for one in events]


def _event(said: Row) -> Event:
    return Event(
        said["data"].encode(), said.get("event", "message"), said.get("id", ""), said.get("retry_ms")
    )


@pytest.mark.parametrize("row", NAMES["names"], ids=lambda row: f"{row['read']} {row['from']}")
def test_a_name_is_the_other_one(row: Row) -> None:
    assert READERS["names", row["read"]](row) == row["to"]


@pytest.mark.parametrize("row", MQTT["integers"], ids=lambda row: row["hex"])
def test_a_variable_byte_integer_is_the_bytes_of_the_table(row: Row) -> None:
    value, raw = row["value"], bytes.fromhex(row["hex"])
    if value == 0:  # no property may be 0: the Remaining Length of PINGREQ
        assert decode(b"\xc0" + raw, 5) == decode(bytes.fromhex("c000"), 5)
        return
    packet = Publish("a", properties=Properties(subscription_ids=(value,)))
    assert encode(packet, 5).endswith(b"\x0b" + raw)
    assert decode(encode(packet, 5), 5) == packet
