"""CloudEvents against the official SDK with generated events, both directions, its two bindings, both modes.

The SDK parses JSON data, gives every event a time, and its headers are a dictionary: it judges what an event
says, not its bytes.
"""

import json
from datetime import UTC, datetime
from typing import Any

from cloudevents.core.bindings import http, kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_codecs.cloudevents.bindings import Message, read, write
from fabric_codecs.envelope import Envelope

JSON = JSONFormat()
# Strings of CloudEvents: no controls, no surrogates; and none of the noncharacters, which we let pass.
TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cn"]) | st.sampled_from('" %&é€😀\\'),
    min_size=1,
    max_size=12,
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=5,
)
OBJECTS = st.dictionaries(
    TEXT, VALUES, max_size=3
)  # of other JSON the SDK writes what is none (3.1.2 of HTTP)
ATTRIBUTES = st.fixed_dictionaries(
    {"id": TEXT, "source": st.sampled_from(["/a", "urn:x", "https://x/y?z=%20"]), "type": TEXT},
    optional={
        "subject": TEXT,
        "dataschema": st.just("https://x/schema"),
        "time": st.just("2026-11-21T04:00:00.500000Z"),
        "comexample": TEXT,
        "correlationid": TEXT,
    },
)


def sdk_event(attributes: dict[str, str], data: Any, content_type: str) -> CloudEvent:
    said: dict[str, Any] = {"specversion": "1.0", "datacontenttype": content_type, **attributes}
    if "time" in said:
        said["time"] = datetime.fromisoformat(said["time"])
    return CloudEvent(said, data)


def said_by(event: Any, attributes: dict[str, str]) -> dict[str, str]:
    """What the SDK read of the attributes that were sent."""
    found = {name: event.get_attributes()[name] for name in attributes}
    if "time" in found:
        found["time"] = found["time"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return found


def sent_over_http(event: CloudEvent, structured: bool) -> Message:
    sent = (http.to_structured if structured else http.to_binary)(event, JSON)
    return Message([(name, value.encode()) for name, value in sent.headers.items()], None, sent.body)


def sent_over_kafka(event: CloudEvent, structured: bool) -> Message:
    sent = (kafka.to_structured if structured else kafka.to_binary)(event, JSON)
    return Message(list(sent.headers.items()), None, sent.value)


def heard_over_http(message: Message, structured: bool) -> Any:
    headers = {name: (value or b"").decode() for name, value in message.headers}
    heard = http.HTTPMessage(headers, message.body or b"")
    return (http.from_structured if structured else http.from_binary)(heard, JSON)


def heard_over_kafka(message: Message, structured: bool) -> Any:
    headers = {name: value or b"" for name, value in message.headers}
    heard = kafka.KafkaMessage(headers, None, message.body or b"")
    return (kafka.from_structured if structured else kafka.from_binary)(heard, JSON)


def without_time(found: dict[str, str], attributes: dict[str, str]) -> dict[str, str]:
    """The attributes that were sent, the time to the microsecond: the SDK writes as many digits as it has."""
    said = {name: found[name] for name in attributes}
    if "time" in said:
        moment = datetime.fromisoformat(said["time"])
        said["time"] = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return said


@settings(max_examples=80, deadline=None)
@given(
    ATTRIBUTES,
    OBJECTS,
    st.booleans(),
    st.sampled_from(["http", "kafka"]),
)
def test_any_event_of_the_sdk_is_read(attributes: Any, value: Any, structured: bool, binding: Any) -> None:
    event = sdk_event(attributes, value, "application/json")
    sent = (sent_over_http if binding == "http" else sent_over_kafka)(event, structured)
    got = read(sent, binding)
    assert without_time(got.attributes(), attributes) == attributes
    assert got.get("datacontenttype") == "application/json"
    assert json.loads(got.data) == value


@settings(max_examples=80, deadline=None)
@given(ATTRIBUTES, st.binary(min_size=1, max_size=20), st.booleans(), st.sampled_from(["http", "kafka"]))
def test_any_bytes_of_the_sdk_are_read(attributes: Any, data: bytes, structured: bool, binding: Any) -> None:
    event = sdk_event(attributes, data, "image/png")
    sent = (sent_over_http if binding == "http" else sent_over_kafka)(event, structured)
    got = read(sent, binding)
    assert without_time(got.attributes(), attributes) == attributes
    assert got.data == data


@settings(max_examples=80, deadline=None)
@given(ATTRIBUTES, VALUES, st.booleans(), st.sampled_from(["http", "kafka"]))
def test_any_event_of_ours_is_read_by_the_sdk(
    attributes: Any, value: Any, structured: bool, binding: Any
) -> None:
    ours = Envelope(json.dumps(value).encode(), datacontenttype="application/json", **attributes)
    sent = write(ours, binding, structured=structured)
    event = (heard_over_http if binding == "http" else heard_over_kafka)(sent, structured)
    assert said_by(event, attributes) == attributes
    assert event.get_data() == value
