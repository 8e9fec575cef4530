"""Every valid golden row, cut at every byte: a decoder of whole messages refuses what is left and says where;
a decoder of a stream waits, and gives the message when the rest has come.

MQTT's and NATS's rows are cut in `test_mqtt_wire` and `test_nats_operations`, streams of events in
`test_golden_messages`.
"""

from typing import Any

import pytest

from fabric_codecs.cloudevents.structured import read_event
from fabric_codecs.errors import CodecError
from fabric_codecs.kafka.wire import FrameReader
from helpers.golden import golden
from helpers.golden_readers import READERS, message_of, raw_of

Row = dict[str, Any]
WHOLE: list[tuple[str, str, Row]] = [
    *(("mcp", "message", row) for row in golden("mcp")["messages"]),
    *((name, "lift", row) for name in ("mcp", "a2a") for row in golden(name)["lift"]),
    *((name, "lift", row) for name in ("mcp", "a2a") for row in golden(name)["lower"]),
    *(("a2a", "message", row) for row in golden("a2a")["messages"]),
    *(("a2a", "item", row) for row in golden("a2a")["items"]),
    *(("a2a", "error", row) for row in golden("a2a")["errors"]),
    *(("cloudevents", "batch", row) for row in golden("cloudevents")["batches"]),
    *(("nats", "headers", row) for row in golden("nats")["headers"]),
    *(("kafka", "batch", row) for name in ("batches", "batches_read") for row in golden("kafka")[name]),
    *(
        ("kafka", "request" if row["message"].endswith("Request") else "response", row)
        for row in golden("kafka")["messages"]
    ),
]


def refused(name: str, read: str, row: Row) -> CodecError:
    with pytest.raises(CodecError) as caught:
        READERS[name, read](row)
    return caught.value


def name_of(value: Any) -> str:
    said = (
        value if isinstance(value, str) else value.get("source") or value.get("what") or value.get("clause")
    )
    return str(said or value.get("message") or value.get("text"))[:50]


@pytest.mark.parametrize(("name", "read", "row"), WHOLE, ids=name_of)
def test_a_message_cut_at_any_byte_is_refused_with_the_place_and_the_clause(
    name: str, read: str, row: Row
) -> None:
    raw = raw_of(row)
    kept = {
        key: value for key, value in row.items() if key not in ("message", "text", "body", "parts", "hex")
    }
    if read == "response":
        kept["api_key"], kept["version"] = row["api_key"], row["version"]
    READERS[name, read](kept | {"hex": raw.hex()})
    for cut in range(len(raw)):
        error = refused(name, read, kept | {"hex": raw[:cut].hex()})
        assert 0 <= error.offset <= cut
        assert error.clause


STRUCTURED = [row for row in golden("cloudevents")["messages"] if row["mode"] == "structured"]


@pytest.mark.parametrize("row", STRUCTURED, ids=name_of)
def test_an_event_in_json_cut_at_any_byte_is_refused(row: Row) -> None:
    body = message_of(row).body or b""
    assert read_event(body)
    for cut in range(len(body)):
        with pytest.raises(CodecError) as caught:
            read_event(body[:cut])
        assert 0 <= caught.value.offset <= cut
        assert caught.value.clause


@pytest.mark.parametrize("row", [row for row in golden("a2a")["rest"] if "body" in row], ids=name_of)
def test_a_body_of_an_http_request_cut_at_any_byte_is_refused(row: Row) -> None:
    for cut in range(1, len(row["body"])):  # no body at all is an object without members
        error = refused("a2a", "rest", row | {"body": row["body"][:cut]})
        assert 0 <= error.offset <= cut
        assert error.clause


@pytest.mark.parametrize(
    "row", golden("kafka")["messages"], ids=lambda row: f"{row['message']}-{row['version']}"
)
def test_a_frame_cut_anywhere_waits_for_the_rest(row: Row) -> None:
    frame = raw_of(row)
    stream = len(frame).to_bytes(4) + frame
    for cut in range(len(stream)):
        reader = FrameReader()
        reader.feed(stream[:cut])
        assert reader.take() is None
        reader.feed(stream[cut:])
        assert reader.take() == frame
