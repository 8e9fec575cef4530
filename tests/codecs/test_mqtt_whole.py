"""Whole PUBLISH packets: read in place, passed to the other version, translated as objects would be."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.losses import LossCode
from fabric_codecs.mqtt import lift as mqtt_lift
from fabric_codecs.mqtt import lower as mqtt_lower
from fabric_codecs.mqtt.encode import encode
from fabric_codecs.mqtt.packets import Pingreq, Puback, Publish, Subscribe, Subscription
from fabric_codecs.mqtt.properties import Properties
from fabric_codecs.mqtt.republish import republish
from fabric_codecs.mqtt.wire import decode, only_publish
from fabric_codecs.translate.lift import Protocol, lift
from fabric_codecs.translate.lower import lower

NOW_US = 1_790_000_000_000_000
NAMES: dict[int, Protocol] = {4: "mqtt311", 5: "mqtt5"}

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
TOPICS = TEXTS.filter(lambda text: bool(text) and not set(text) & set("+#"))
OURS = ("specversion", "id", "type", "time", "fabkind", "fab-native", "fab-loss", "fab-extensions", "zone")
VALUES = st.sampled_from(["1.0", "event", "-:null", "AAE=:bytes", "2026-11-21T04:00:00Z", "zone", ""]) | TEXTS
USER = st.lists(st.tuples(st.sampled_from(OURS) | TEXTS, VALUES), max_size=24).map(tuple)
PROPERTIES = st.builds(
    Properties,
    payload_format=st.none() | st.integers(0, 1),
    message_expiry_s=st.none() | st.integers(0, 0xFFFFFFFF),
    content_type=st.none() | TEXTS,
    response_topic=st.none() | TOPICS,
    correlation_data=st.none() | st.binary(max_size=600),
    topic_alias=st.none() | st.integers(1, 9),
    user=USER,
)
DELIVERIES = st.sampled_from([(0, False, 0), (1, False, 7), (1, True, 7), (2, True, 65535)])


@st.composite
def packets(draw: st.DrawFn) -> tuple[bytes, int]:
    """A PUBLISH and its version."""
    version = draw(st.sampled_from([4, 5]))
    qos, dup, packet_id = draw(DELIVERIES)
    properties = draw(PROPERTIES) if version == 5 else Properties()
    payload = draw(st.binary(max_size=40) | st.just(b'{"celsius": 21.5}'))
    packet = Publish(draw(TOPICS), payload, qos, draw(st.booleans()), dup, packet_id, properties)
    return encode(packet, version), version


@st.composite
def broken(draw: st.DrawFn) -> tuple[bytes, int]:
    """What may have been one: a byte changed, cut short, or with something behind it."""
    packet, version = draw(packets())
    at = draw(st.integers(0, len(packet) - 1))
    other = draw(st.integers(0, 255))
    changed = packet[:at] + bytes([other]) + packet[at + 1 :]
    return draw(st.sampled_from([changed, packet[:at], packet + b"x"])), version


def outcome(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What it gives, or all that its refusal says."""
    try:
        return function(*arguments, **named)
    except CodecError as error:
        return error.what, error.offset, error.clause, error.reason


def as_object(packet: bytes, version: int) -> Any:
    """The envelope by way of a Publish."""
    known: dict[str, Any] = {"fresh_id": "e-1", "source": "/mqtt/d", "now_us": NOW_US}
    return mqtt_lift.lift(only_publish(packet, version), version=version, **known)


def in_place(packet: bytes, version: int) -> Any:
    return lift(packet, NAMES[version], origin="/mqtt/d", now_us=NOW_US, fresh_id="e-1")


# ---- one message ----


@settings(max_examples=150, deadline=None)
@given(packets() | broken())
def test_a_message_is_what_decode_makes_of_the_packet(case: tuple[bytes, int]) -> None:
    packet, version = case
    decoded = outcome(decode, packet, version)
    if isinstance(decoded, tuple) or (isinstance(decoded, Publish) and decoded.topic):
        assert outcome(only_publish, packet, version) == decoded
    else:
        assert outcome(only_publish, packet, version)[2] in ("3.3", "3.3.2.3.4")


@pytest.mark.parametrize(
    ("packet", "what", "clause"),
    [
        (encode(Pingreq(), 5), "PINGREQ carries no message: PUBLISH does", "3.3"),
        (encode(Puback(7), 5), "PUBACK carries no message: PUBLISH does", "3.3"),
        (
            encode(Subscribe(7, (Subscription("a"),)), 5),
            "SUBSCRIBE carries no message: PUBLISH does",
            "3.3",
        ),
        (
            encode(Publish("", b"x", properties=Properties(topic_alias=3)), 5),
            "the Topic Alias means something on its connection only",
            "3.3.2.3.4",
        ),
        (b"", "the packet is cut short", "2.1.4"),
        (encode(Publish("a", b"x"), 5) + b"!", "1 bytes follow the packet", "2.1.4"),
    ],
)
def test_what_is_no_message_of_its_own_is_refused(packet: bytes, what: str, clause: str) -> None:
    for read in (only_publish, republish, in_place):
        assert outcome(read, packet, 5)[::2] == (what, clause)


# ---- from version to version ----


@settings(max_examples=100, deadline=None)
@given(packets())
def test_only_properties_are_lost_between_the_versions(case: tuple[bytes, int]) -> None:
    packet, version = case
    read = only_publish(packet, version)
    bare = Publish(read.topic, read.payload, read.qos, read.retain, read.dup, read.packet_id)
    translated = republish(packet, version)
    assert translated.message == encode(bare, 9 - version)
    assert translated.codes == ("NO_METADATA" if read.properties.asdict() else "")


def test_a_packet_of_version_4_comes_back_the_same() -> None:
    packet = encode(Publish("a/ü", b"21.5", 2, True, True, 9), 4)
    there = republish(packet, 4)
    assert there.losses == ()
    assert republish(there.message, 5).message == packet


# ---- to and from the canonical message ----


@settings(max_examples=200, deadline=None)
@given(packets() | broken())
def test_a_packet_lifts_as_its_object_does(case: tuple[bytes, int]) -> None:
    assert outcome(in_place, *case) == outcome(as_object, *case)


@settings(max_examples=150, deadline=None)
@given(packets(), st.sampled_from([4, 5]))
def test_a_packet_is_written_as_its_object_is(case: tuple[bytes, int], version: int) -> None:
    lifted = outcome(in_place, *case)
    if isinstance(lifted, tuple):
        return  # a topic that no channel can have
    envelope = lifted.message
    known: dict[str, Any] = {"version": version, "qos": 0, "now_us": NOW_US, "as_published": True}
    sent = mqtt_lower.lower(envelope, envelope.subject, **known)
    written = lower(envelope, NAMES[version], now_us=NOW_US)
    assert (written.message, written.losses) == (encode(sent.message, version), sent.losses)


def test_more_than_a_few_user_properties_keep_order_and_duplicates() -> None:
    user = tuple((f"Header {number % 30}", str(number)) for number in range(50))
    envelope = in_place(encode(Publish("a", b"x", properties=Properties(user=user)), 5), 5).message
    assert envelope.native == [(name, value.encode()) for name, value in user]
    assert only_publish(lower(envelope, "mqtt5", now_us=NOW_US).message, 5).properties.user[-50:] == user


def test_extensions_beyond_what_an_envelope_holds_stay_native_entries() -> None:
    user = (("specversion", "1.0"), *((f"ext{number}", str(number)) for number in range(70)))
    built = Publish("a", b"x", properties=Properties(user=user))  # no decoder takes as many
    envelope = mqtt_lift.lift(built, version=5, fresh_id="e-1", source="/mqtt/d", now_us=NOW_US).message
    assert envelope.get("ext63") == "63"
    assert envelope.native == [(f"ext{number}", str(number).encode()) for number in range(64, 70)]


EVENT = ("specversion", "1.0")


@pytest.mark.parametrize(
    ("user", "native"),
    [
        ((("fab-loss", "A"), ("fab-loss", "B")), ("fab-loss", b"B")),
        ((("fab-loss", "a\nb"),), ("fab-loss", b"a\nb")),
        ((EVENT, ("zone", "a\nb")), ("zone", b"a\nb")),
        ((EVENT, ("zone", "1"), ("zone", "2")), ("zone", b"2")),
        ((EVENT, ("fabnative", "x")), ("fabnative", b"x")),
        ((("zone", "1"), ("specversion", "0.3")), ("specversion", b"0.3")),
    ],
)
def test_what_no_attribute_takes_stays_a_native_entry(
    user: tuple[tuple[str, str], ...], native: tuple[str, bytes]
) -> None:
    got = in_place(encode(Publish("a", properties=Properties(user=user)), 5), 5).message
    assert got.native[-1] == native
    assert got.get(native[0]) != native[1].decode()


def test_a_content_type_with_a_control_character_stays_a_native_entry() -> None:
    got = in_place(encode(Publish("a", properties=Properties(content_type="a\nb")), 5), 5).message
    assert got.get("datacontenttype") is None
    assert got.native == [("datacontenttype", b"a\nb")]


def test_a_trusted_sender_says_what_a_device_may_not() -> None:
    user = (("source", "/nats/t1"), ("subject", "a.b"), ("fablive", "p:1"))
    packet = encode(Publish("x" * 300, properties=Properties(user=user)), 5)  # a topic that no channel has
    got = lift(packet, "mqtt5", origin="/mqtt/d", now_us=NOW_US, fresh_id="e-1", trusted=True).message
    assert (got.source, got.subject) == ("/nats/t1", "a.b")
    assert got.native == [("fablive", b"p:1")]  # one hop's own, whoever says it
    assert outcome(in_place, packet, 5)[2:] == ("4.7.3", 0x90)


@pytest.mark.parametrize("size", [0, 1, 300, 600, 40_000])
def test_correlation_data_of_any_size_comes_back(size: int) -> None:
    data = bytes(number & 0xFF for number in range(size))
    packet = encode(Publish("a", properties=Properties(correlation_data=data)), 5)
    back = lower(in_place(packet, 5).message, "mqtt5", now_us=NOW_US)
    assert only_publish(back.message, 5).properties.correlation_data == data


def test_more_than_an_envelope_holds_beside_the_data_is_refused() -> None:
    packet = encode(Publish("a", properties=Properties(correlation_data=b"x" * 60_000)), 5)
    for read in (in_place, as_object):
        what = outcome(read, packet, 5)[0]
        assert what.endswith("bytes beside the data as an envelope, allowed are 65,536")
    assert outcome(as_object, packet, 5)[2:] == ("3.3.2.3", 0x97)


@pytest.mark.parametrize("topic", ["/".join(["x" * 255] * 4), "/", "//", "ü/%", "$SYS/up"])
def test_topics_come_back(topic: str) -> None:
    envelope = in_place(encode(Publish(topic), 4), 4).message
    assert only_publish(lower(envelope, "mqtt311", now_us=NOW_US).message, 4).topic == topic


def test_a_channel_in_its_own_spelling_is_found() -> None:
    envelope = Envelope(b"x", id="1", source="/s", type="t", subject="a b.c")
    sent = only_publish(lower(envelope, "mqtt5", now_us=NOW_US).message, 5)
    assert sent.topic == "a b/c"
    assert ("subject", "a b.c") in sent.properties.user  # not how the channel is spelled


def test_what_was_retained_is_again() -> None:
    for version in (4, 5):
        packet = encode(Publish("a", b"x", retain=True), version)
        envelope = in_place(packet, version).message
        for target in (4, 5):
            assert only_publish(lower(envelope, NAMES[target], now_us=NOW_US).message, target).retain
    event = lower(
        in_place(encode(Publish("a", b"x", retain=True), 5), 5).message,
        "mqtt311",
        now_us=NOW_US,
        structured=True,
    )
    assert only_publish(event.message, 4).retain
    assert not mqtt_lower.lower(envelope, "a", version=5, qos=0, now_us=NOW_US).message.retain
    plain = in_place(encode(Publish("a", b"x"), 5), 5).message
    assert not only_publish(lower(plain, "mqtt5", now_us=NOW_US).message, 5).retain


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        (("a\0b", b"1"), "a user property's name holds U+0000"),
        (("x" * 40_000, b"x" * 40_000), None),
        (("x", b"y" * 70_000), "a user property of 1 and 70000 bytes, allowed are 65535 each"),
        (("x" * 70_000, b"y"), "a user property of 70000 and 1 bytes, allowed are 65535 each"),
        (("x" * 65_534, None), "a native entry has 65536 bytes, allowed are 65535"),
        (("x", b"\xff" * 60_000), "a native entry has 80002 bytes, allowed are 65535"),
    ],
)
def test_a_native_entry_that_no_property_holds_is_refused(
    entry: tuple[str, bytes | None], what: str | None
) -> None:
    envelope = Envelope(b"", id="1", source="/s", type="t", subject="a").with_native([entry])
    lowered = outcome(lower, envelope, "mqtt5", now_us=NOW_US)
    if what is None:
        properties = only_publish(lowered.message, 5).properties
        assert properties.user[-1] == (entry[0], (entry[1] or b"").decode())
    else:
        assert lowered[0] == what


@pytest.mark.parametrize(
    ("name", "what"),
    [("id", "a user property's value"), ("datacontenttype", "content_type"), ("fabloss", "fab-loss")],
)
def test_an_attribute_with_a_zero_byte_is_refused(name: str, what: str) -> None:
    header = f"NATS/1.0\r\nce-{name}: a%00b\r\nce-subject: a\r\n\r\n".encode()
    envelope = Envelope.from_nats(b"s", header, b"")
    assert outcome(lower, envelope, "mqtt5", now_us=NOW_US)[0] == f"{what} holds U+0000"


def test_native_flags_are_said_once_and_not_as_user_properties() -> None:
    flags = [("mqtt.payload_format", b"1"), ("mqtt.payload_format", b"0"), ("mqtt.retain", b"1")]
    folded = [("a", b"\xff"), ("b", b"\xff")]
    envelope = Envelope(b"", id="1", source="/s", type="t", subject="a").with_native([*flags, *folded])
    sent = lower(envelope, "mqtt5", now_us=NOW_US)
    assert [loss.code for loss in sent.losses] == [LossCode.HEADER_BINARY]
    read = only_publish(sent.message, 5)
    assert (read.retain, read.properties.payload_format) == (True, 1)
    assert not [name for name, _ in read.properties.user if name.startswith("mqtt.")]


def test_more_correlation_than_mqtt_carries_is_refused() -> None:
    envelope = Envelope(b"", id="1", source="/s", type="t", subject="a", fabcorr="AAAA" * 21_846)
    refused = outcome(lower, envelope, "mqtt5", now_us=NOW_US)
    assert refused[0] == "correlation_data has 65538 bytes, allowed are 65535"


def test_a_message_that_has_expired_has_a_second_left() -> None:
    envelope = Envelope(b"", id="1", source="/s", type="t", subject="a", expirytime="2001-01-01T00:00:00Z")
    sent = only_publish(lower(envelope, "mqtt5", now_us=NOW_US).message, 5)
    assert sent.properties.message_expiry_s == 1


@pytest.mark.parametrize("topic", ["", None])
def test_without_another_channel_a_message_goes_to_its_subject(topic: str | None) -> None:
    envelope = Envelope(b"", id="1", source="/s", type="t", subject="a.b")
    assert only_publish(lower(envelope, "mqtt5", now_us=NOW_US, topic=topic).message, 5).topic == "a/b"


def test_earlier_losses_are_told_as_they_read() -> None:
    header = b"NATS/1.0\r\nce-subject: a\r\nce-fabloss: A%2FB\r\nce-fabreply: x%2Fy\r\n\r\n"
    sent = lower(Envelope.from_nats(b"s", header, b""), "mqtt5", now_us=NOW_US)
    assert [loss.code for loss in sent.losses] == [LossCode.NO_METADATA]
    user = only_publish(sent.message, 5).properties.user
    assert [pair for pair in user if "loss" in pair[0]] == [("fab-loss", "A/B,NO_METADATA")]


def test_earlier_losses_are_told_when_nothing_more_is_lost() -> None:
    envelope = Envelope(b"", id="1", source="/s", type="t", subject="a", fabloss="NUM_PRECISION")
    sent = lower(envelope, "mqtt5", now_us=NOW_US)
    assert sent.losses == ()
    assert ("fab-loss", "NUM_PRECISION") in only_publish(sent.message, 5).properties.user


@pytest.mark.parametrize("number", [0, 0x1000_0000])
def test_a_subscription_identifier_that_does_not_exist_is_refused(number: int) -> None:
    envelope = Envelope(b"", id="1", source="/s", type="t", subject="a")
    known: dict[str, Any] = {"version": 5, "qos": 0, "now_us": NOW_US, "subscription_ids": (number,)}
    assert outcome(mqtt_lower.lower, envelope, "a", **known)[0].startswith("subscription_ids is ")


def test_a_channel_or_topic_with_a_lone_surrogate_is_refused() -> None:
    envelope = Envelope(b"x", id="1", source="/s", type="t", subject="a")
    refused = outcome(mqtt_lower.lower, envelope, "a\ud800", version=5, qos=0, now_us=NOW_US)
    assert refused == ("the channel holds a lone surrogate, which UTF-8 cannot carry", 0, "1.5.4-1", None)
    known: dict[str, Any] = {"version": 5, "fresh_id": "e-1", "source": "/mqtt/d", "now_us": NOW_US}
    assert outcome(mqtt_lift.lift, Publish("a\ud800"), **known)[2] == "1.5.4-1"
