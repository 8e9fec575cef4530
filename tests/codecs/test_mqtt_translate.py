"""MQTT messages and envelopes: what each becomes in the other form, and which losses are told."""

from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.losses import LossCode
from fabric_codecs.mqtt.lift import lift
from fabric_codecs.mqtt.lower import lower, remaining_s
from fabric_codecs.mqtt.packets import Publish
from fabric_codecs.mqtt.properties import NONE, Properties
from fabric_codecs.nats.wire import timestamp

NOW_US = 1_790_000_000_000_000
SECOND = 1_000_000


def lifted(publish: Publish, version: int = 5) -> Envelope:
    return lift(publish, version=version, fresh_id="e-1", source="/mqtt/dev-1", now_us=NOW_US).message


def said(*, user: tuple[tuple[str, str], ...] = (), payload: bytes = b"x", **properties: Any) -> Envelope:
    """The envelope of a version 5 PUBLISH with these properties."""
    return lifted(Publish("a/b", payload, properties=Properties(user=user, **properties)))


def envelope(data: bytes = b"{}", **attributes: str) -> Envelope:
    kind = attributes.get("fabkind", "event")
    base = {"id": "e-1", "source": "/nats/t1", "type": f"io.agentfabric.{kind}", "subject": "a.b"}
    return Envelope(data, **(base | attributes))


def sent(message: Envelope, version: int = 5, qos: int = 1) -> Publish:
    return lower(message, "a.b", version=version, qos=qos, now_us=NOW_US, packet_id=9 if qos else 0).message


def user(message: Publish, name: str) -> list[str]:
    return [value for key, value in message.properties.user if key == name]


def stored(message: Envelope) -> Envelope:
    """The envelope as a member receives it from a log."""
    header = message.nats_header().replace(
        b"NATS/1.0\r\n", b"NATS/1.0\r\nNats-Stream: CH_1\r\nNats-Sequence: 7\r\n"
    )
    return Envelope.from_nats(b"fab.cho.1.t1.a.b", header, message.data)


# ---- lift ----


def test_a_plain_publish_becomes_an_event_of_the_device() -> None:
    assert lifted(Publish("greenhouse/north", b"21.5")).attributes() == {
        "id": "e-1",
        "source": "/mqtt/dev-1",
        "type": "io.agentfabric.event",
        "subject": "greenhouse.north",
        "time": timestamp(NOW_US),
        "fabproto": "mqtt",
        "fabver": "5",
        "fabmethod": "PUBLISH",
        "fabkind": "event",
    }


def test_topic_levels_are_encoded_so_that_no_two_topics_share_a_channel() -> None:
    topics = ["a/b", "a.b", "/a/b", "a//b", "a/b/", "a/*", "a/>", "a/ b", "a/%2E"]
    channels = {lifted(Publish(topic)).subject for topic in topics}
    assert len(channels) == len(topics)


@pytest.mark.parametrize(
    ("payload", "guess"),
    [
        (b'{"a": 1}', "application/json"),
        (b"21.5", "application/json"),
        (b"on", "text/plain"),
        (b"{", "text/plain"),
        (b"\xff\x00", "application/octet-stream"),
        (b"[" * 100_000, "text/plain"),
    ],
)
def test_a_guessed_media_type_is_told(payload: bytes, guess: str) -> None:
    translation = lift(Publish("a", payload), version=4, fresh_id="1", source="/mqtt/d", now_us=NOW_US)
    assert translation.message.get("datacontenttype") == guess
    assert translation.message.get("fabloss") == "CONTENT_TYPE_GUESSED"
    assert translation.message.get("fabver") == "3.1.1"
    assert [loss.code for loss in translation.losses] == [LossCode.CONTENT_TYPE_GUESSED]


@pytest.mark.parametrize("value", ["", "é:name", "?:name", "AAE:name"])
def test_a_native_entry_that_lower_never_writes_stays_a_user_property(value: str) -> None:
    said = Properties(user=(("fab-native", value),))
    assert lifted(Publish("a", properties=said), 5).native == [("fab-native", value.encode())]


def test_a_message_without_an_id_that_wants_a_reply_is_delivered_without_correlation() -> None:
    nameless = Envelope.from_nats(b"s", b"NATS/1.0\r\nce-fabreply: r\r\n\r\n", b"x")
    said = lower(nameless, "a", version=5, qos=0, now_us=NOW_US).message.properties
    assert (said.response_topic, said.correlation_data) == ("r", None)


def test_nothing_is_guessed_of_an_empty_payload_or_in_version_5() -> None:
    assert lifted(Publish("a"), 4).get("datacontenttype") is None
    assert lifted(Publish("a", b"1"), 5).get("datacontenttype") is None


def test_properties_become_attributes() -> None:
    got = said(
        content_type="application/json",
        message_expiry_s=30,
        response_topic="replies/1",
        correlation_data=b"\x00\xff",
    )
    assert got.get("datacontenttype") == "application/json"
    assert got.get("expirytime") == timestamp(NOW_US + 30 * SECOND)
    assert got.get("fabreply") == "replies.1"
    assert got.get("fabcorr") == b64encode(b"\x00\xff").decode()
    assert (got.kind, got.type) == ("request", "io.agentfabric.request")
    assert got.native == []


def test_correlation_data_alone_marks_a_response() -> None:
    assert said(correlation_data=b"7").kind == "response"
    assert said(correlation_data=b"7", user=(("fabkind", "error"),)).kind == "error"


def test_user_properties_named_as_attributes_become_them() -> None:
    got = said(
        user=(
            ("specversion", "1.0"),
            ("id", "reading-7"),
            ("type", "com.example.reading"),
            ("time", "2026-11-21T04:00:00Z"),
            ("correlationid", "talk-1"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("partitionkey", "north"),
            ("fab-loss", "NUM_PRECISION"),
        )
    )
    assert (got.id, got.type, got.time) == ("reading-7", "com.example.reading", "2026-11-21T04:00:00Z")
    assert (got.correlationid, got.get("partitionkey")) == ("talk-1", "north")
    assert got.get("fabloss") == "NUM_PRECISION"
    assert got.native == []


def test_other_user_properties_keep_order_and_duplicates() -> None:
    got = said(user=(("b", "2"), ("a", "1"), ("b", "2"), ("id", "x"), ("id", "y"), ("ü", "")))
    assert got.id == "x"
    assert got.native == [("b", b"2"), ("a", b"1"), ("b", b"2"), ("id", b"y"), ("ü", b"")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("source", "/nats/somebody-else"),
        ("subject", "elsewhere"),
        ("fabproto", "mcp"),
        ("fabcorr", "AAAA"),
        ("fabreply", "x"),
        ("fablive", "p:1"),
        ("fabepoch", "9"),
        ("datacontenttype", "text/plain"),
        ("id", ""),
        ("id", "x" * 65),
        ("type", ""),
        ("time", "yesterday"),
        ("expirytime", "2026-11-21T04:00:00"),
        ("fabkind", "king"),
        ("partitionkey", "a\nb"),
        ("specversion", "0.3"),
    ],
)
def test_what_a_device_may_not_set_stays_a_native_entry(name: str, value: str) -> None:
    got = said(user=((name, value),))
    assert got.native == [(name, value.encode())]
    assert got.source == "/mqtt/dev-1"
    assert got.get(name) != value


def test_a_payload_that_breaks_its_format_indicator_is_refused() -> None:
    assert said(payload_format=1, payload="ü".encode()).native == [("mqtt.payload_format", b"1")]
    with pytest.raises(CodecError) as caught:
        said(payload_format=1, payload=b"\xff")
    assert caught.value.reason == 0x99


@pytest.mark.parametrize("topic", ["/".join("a" * 17), "x" * 257, "ü" * 100])
def test_a_topic_that_no_channel_can_have_is_refused(topic: str) -> None:
    with pytest.raises(CodecError) as caught:
        lifted(Publish(topic))
    assert caught.value.reason == 0x90
    with pytest.raises(CodecError) as caught:
        said(response_topic=topic)
    assert caught.value.reason == 0x90


# ---- lower ----


def test_attributes_become_properties_and_user_properties() -> None:
    message = sent(
        envelope(
            datacontenttype="application/json",
            expirytime=timestamp(NOW_US + 1),
            fabreply="replies.1",
            fabcorr=b64encode(b"\x00\xff").decode(),
            fabkind="request",
            correlationid="talk-1",
            causationid="e-0",
            fablive="p:3",
        )
    )
    assert (message.topic, message.payload, message.qos, message.packet_id) == ("a/b", b"{}", 1, 9)
    properties = message.properties
    assert properties.content_type == "application/json"
    assert properties.message_expiry_s == 1
    assert properties.response_topic == "replies/1"
    assert properties.correlation_data == b"\x00\xff"
    assert properties.user == (
        ("specversion", "1.0"),
        ("id", "e-1"),
        ("type", "io.agentfabric.request"),
        ("source", "/nats/t1"),
        ("fabkind", "request"),
        ("causationid", "e-0"),
        ("correlationid", "talk-1"),
    )


def test_a_request_without_correlation_is_known_by_its_id() -> None:
    assert sent(envelope(fabreply="replies.1")).properties.correlation_data == b"e-1"
    assert sent(envelope()).properties.correlation_data is None


def test_a_subject_that_is_not_the_channel_is_told() -> None:
    assert user(sent(envelope(subject="thermostat.set")), "subject") == ["thermostat.set"]
    assert user(sent(envelope()), "subject") == []


@pytest.mark.parametrize(
    ("left_us", "seconds"),
    [(1, 1), (SECOND, 1), (SECOND + 1, 2), (0, 0), (-1, 0), (-SECOND, -1), (10**18, 0xFFFFFFFF)],
)
def test_what_is_left_of_an_expiry_is_rounded_up(left_us: int, seconds: int) -> None:
    if left_us == 10**18:
        assert remaining_s(envelope(expirytime="9999-12-31T23:59:59Z"), NOW_US) == seconds
    else:
        assert remaining_s(envelope(expirytime=timestamp(NOW_US + left_us)), NOW_US) == seconds


@pytest.mark.parametrize("expiry", [None, "soon", "2026-11-21T04:00:00"])
def test_an_unreadable_expiry_is_no_expiry_and_stays_readable(expiry: str | None) -> None:
    message = envelope() if expiry is None else envelope(expirytime=expiry)
    assert remaining_s(message, NOW_US) is None
    assert sent(message).properties.message_expiry_s is None
    assert user(sent(message), "expirytime") == ([expiry] if expiry else [])


def test_reply_and_correlation_that_mqtt_cannot_say_are_kept_and_told() -> None:
    message = envelope(fabreply="a%2Fb", fabcorr="not base64!")
    translation = lower(message, "a.b", version=5, qos=1, now_us=NOW_US, packet_id=1)
    assert translation.codes == "NO_METADATA"
    assert [loss.field for loss in translation.losses] == ["fabreply", "fabcorr"]
    assert user(translation.message, "fabreply") == ["a%2Fb"]
    assert user(translation.message, "fabcorr") == ["not base64!"]
    assert user(translation.message, "fab-loss") == ["NO_METADATA"]


def test_native_entries_that_are_no_text_are_folded_and_told() -> None:
    entries: list[tuple[str, bytes | None]] = [
        ("key", b"\xff"),
        ("null", None),
        ("nul", b"a\0"),
        ("ok", b"1"),
    ]
    translation = lower(envelope().with_native(entries), "a.b", version=5, qos=1, now_us=NOW_US, packet_id=1)
    assert translation.codes == "HEADER_BINARY"
    back = lifted(translation.message)
    assert [entry for entry in back.native if entry[0] in ("key", "null", "nul", "ok")] == entries
    assert back.get("fabloss") == "HEADER_BINARY"


def test_losses_so_far_travel_with_new_ones() -> None:
    message = stored(envelope(fabloss="CONTENT_TYPE_GUESSED,QOS_DOWNGRADED"))
    assert user(sent(message, qos=0), "fab-loss") == ["CONTENT_TYPE_GUESSED,QOS_DOWNGRADED"]
    assert user(sent(stored(envelope()), qos=0), "fab-loss") == ["QOS_DOWNGRADED"]
    assert user(sent(stored(envelope()), qos=1), "fab-loss") == []


@pytest.mark.parametrize(
    ("version", "qos", "durable", "codes"),
    [
        (5, 0, False, ""),
        (5, 0, True, "QOS_DOWNGRADED"),
        (5, 1, True, ""),
        (4, 0, False, "NO_METADATA"),
        (4, 0, True, "NO_METADATA,QOS_DOWNGRADED"),
        (4, 1, True, "NO_METADATA"),
    ],
)
def test_losses_are_told_where_true(version: int, qos: int, durable: bool, codes: str) -> None:
    message = stored(envelope()) if durable else envelope()
    packet_id = 1 if qos else 0
    got = lower(message, "a.b", version=version, qos=qos, now_us=NOW_US, packet_id=packet_id)
    assert got.codes == codes


def test_version_4_carries_topic_and_payload_alone() -> None:
    message = sent(envelope(fabreply="replies.1", datacontenttype="application/json"), version=4)
    assert message == Publish("a/b", b"{}", 1, packet_id=9, properties=NONE)


def test_a_channel_that_no_topic_can_name_is_refused() -> None:
    with pytest.raises(CodecError):
        lower(envelope(), "a%2Fb", version=5, qos=0, now_us=NOW_US)


# ---- there and back ----

LETTERS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
LEVELS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="+#/"), min_size=1, max_size=8
)
TOPICS = st.lists(LEVELS, min_size=1, max_size=4).map("/".join)
OURS = {
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "fabproto",
    "fabver",
    "fabmethod",
    "fabkind",
    "fab-loss",
    "fab-extensions",
}


@settings(max_examples=150, deadline=None)
@given(
    TOPICS,
    st.text(max_size=40).map(lambda text: text.encode("utf-8", "ignore")),
    st.builds(
        Properties,
        payload_format=st.none() | st.integers(0, 1),
        message_expiry_s=st.none() | st.integers(1, 0xFFFFFFFF // 2),
        content_type=st.none() | st.sampled_from(["application/json", "text/plain; charset=utf-8", ""]),
        response_topic=st.none() | TOPICS,
        correlation_data=st.binary(max_size=40),
        user=st.lists(st.tuples(LETTERS.filter(lambda name: name not in OURS), LETTERS), max_size=5).map(
            tuple
        ),
    ),
)
def test_mqtt_to_mqtt_changes_nothing_but_adds_ours(
    topic: str, payload: bytes, properties: Properties
) -> None:
    message = Publish(topic, payload, 1, packet_id=9, properties=properties)
    arrived = stored(lifted(message))
    channel = arrived.subject
    assert channel is not None
    back = lower(arrived, channel, version=5, qos=1, now_us=NOW_US, packet_id=9).message
    theirs = tuple(pair for pair in back.properties.user if pair[0] not in OURS)
    assert (back.topic, back.payload) == (topic, payload)
    assert sorted(theirs) == sorted(properties.user)
    native = tuple(pair for pair in properties.user if pair[0] not in arrived.attributes())
    assert tuple(pair for pair in theirs if pair[0] not in arrived.attributes()) == native
    for field in ("payload_format", "message_expiry_s", "content_type", "response_topic", "correlation_data"):
        assert getattr(back.properties, field) == getattr(properties, field), field


@settings(max_examples=100, deadline=None)
@given(TOPICS, st.binary(max_size=40))
def test_version_4_to_version_5_keeps_topic_and_payload(topic: str, payload: bytes) -> None:
    arrived = stored(lifted(Publish(topic, payload, 1, packet_id=9), 4))
    channel = arrived.subject
    assert channel is not None
    back = lower(arrived, channel, version=5, qos=1, now_us=NOW_US, packet_id=9).message
    assert (back.topic, back.payload) == (topic, payload)
