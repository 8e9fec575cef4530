"""MQTT packets: what is refused before it is written, and that what is written reads the same."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_codecs.errors import CodecError
from fabric_codecs.mqtt import packets as mqtt
from fabric_codecs.mqtt.encode import encode
from fabric_codecs.mqtt.properties import Properties
from fabric_codecs.mqtt.wire import Decoder

# What `encode` refuses: (packet, version, clause).
UNSAYABLE: list[tuple[mqtt.Packet, int, str]] = [
    (mqtt.Publish(""), 5, "4.7.3-1"),
    (mqtt.Publish("a/+"), 4, "3.3.2-2"),
    (mqtt.Publish("a\0"), 4, "1.5.4-2"),
    (mqtt.Publish("\ud800"), 4, "1.5.4-1"),
    (mqtt.Publish("a" * 65_536), 4, "1.5"),
    (mqtt.Publish("a", qos=3), 4, "1.5"),
    (mqtt.Publish("a", qos=1), 4, "2.2.1-3"),
    (mqtt.Publish("a", qos=1, packet_id=65_536), 4, "1.5"),
    (mqtt.Publish("a", dup=True), 4, "3.3.1-2"),
    (mqtt.Publish("a", packet_id=1), 4, "3.3.1-2"),
    (mqtt.Publish("a", properties=Properties(content_type="x")), 4, "3.1.1: 3"),
    (mqtt.Publish("a", properties=Properties(response_topic="#")), 5, "3.3.2-2"),
    (mqtt.Publish("a", properties=Properties(response_topic="")), 5, "4.7.3-1"),
    (mqtt.Publish("a", properties=Properties(message_expiry_s=1 << 32)), 5, "1.5"),
    (mqtt.Publish("a", properties=Properties(correlation_data=b"x" * 65_536)), 5, "1.5"),
    (mqtt.Publish("a", properties=Properties(topic_alias=0)), 5, "3.3.2.3.4"),
    (mqtt.Publish("a", properties=Properties(session_expiry_s=1)), 5, "2.2.2.2"),
    (mqtt.Publish("a", properties=Properties(user=(("a", "\0"),))), 5, "1.5.4-2"),
    (mqtt.Subscribe(1, ()), 4, "3.8.3-2"),
    (mqtt.Subscribe(1, (mqtt.Subscription("a", no_local=True),)), 4, "3.1.1: 3.8.3-4"),
    (mqtt.Subscribe(1, (mqtt.Subscription("a"),), Properties(subscription_ids=(1, 2))), 5, "3.8.2.1.2"),
    (mqtt.Unsubscribe(1, ()), 5, "3.10.3-2"),
    (mqtt.Suback(1, ()), 5, "3.9.3"),
    (mqtt.Suback(1, (3,)), 5, "2.4"),
    (mqtt.Suback(1, (0x8F,)), 4, "3.1.1: 3.9.3-2"),
    (mqtt.Unsuback(1, (0,)), 4, "3.9.3"),
    (mqtt.Puback(0), 5, "2.2.1-3"),
    (mqtt.Puback(1, 0x97), 4, "3.1.1: 3.4"),
    (mqtt.Puback(1, 1), 5, "2.4"),
    (mqtt.Connack(False, 0x86), 4, "3.1.1: 3.2.2.3"),
    (mqtt.Connack(False, 1), 5, "2.4"),
    (mqtt.Connect("a", 4), 5, "3.1.2.2"),
    (mqtt.Connect("a", 4, password=b"x"), 4, "3.1.1: 3.1.2-22"),
    (mqtt.Connect("a", 5, keep_alive_s=65_536), 5, "1.5"),
    (mqtt.Connect("a", 5, will=mqtt.Will("")), 5, "4.7.3-1"),
    (mqtt.Disconnect(0x8E), 4, "3.1.1: 3.14"),
]


@pytest.mark.parametrize(("packet", "version", "clause"), UNSAYABLE, ids=lambda v: str(v)[:40])
def test_what_cannot_be_said_is_not_written(packet: mqtt.Packet, version: int, clause: str) -> None:
    with pytest.raises(CodecError) as caught:
        encode(packet, version)
    assert caught.value.clause == clause, str(caught.value)


# ---- round trips ----

LETTERS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
TOPICS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), min_size=1, max_size=30)
PACKET_IDS = st.integers(1, 65_535)
U32 = st.integers(0, 0xFFFFFFFF)
MESSAGE_PROPERTIES = st.builds(
    Properties,
    payload_format=st.none() | st.integers(0, 1),
    message_expiry_s=st.none() | U32,
    content_type=st.none() | LETTERS,
    response_topic=st.none() | TOPICS,
    correlation_data=st.none() | st.binary(max_size=40),
    user=st.lists(st.tuples(LETTERS, LETTERS), max_size=5).map(tuple),
)


@st.composite
def publishes(draw: st.DrawFn) -> mqtt.Publish:
    qos = draw(st.integers(0, 2))
    return mqtt.Publish(
        draw(TOPICS),
        draw(st.binary(max_size=300)),
        qos,
        draw(st.booleans()),
        draw(st.booleans()) if qos else False,
        draw(PACKET_IDS) if qos else 0,
        draw(MESSAGE_PROPERTIES),
    )


CONNECTS = st.builds(
    mqtt.Connect,
    LETTERS,
    st.just(5),
    st.booleans(),
    st.integers(0, 65_535),
    st.none() | LETTERS,
    st.none() | st.binary(max_size=50),
    st.none()
    | st.builds(
        mqtt.Will, TOPICS, st.binary(max_size=50), st.integers(0, 2), st.booleans(), MESSAGE_PROPERTIES
    ),
    st.builds(
        Properties,
        session_expiry_s=st.none() | U32,
        receive_maximum=st.none() | st.integers(1, 65_535),
        maximum_packet_bytes=st.none() | st.integers(1, 0xFFFFFFFF),
        topic_alias_maximum=st.none() | st.integers(0, 65_535),
        authentication_method=st.none() | LETTERS,
    ),
)
SUBSCRIBES = st.builds(
    mqtt.Subscribe,
    PACKET_IDS,
    st.lists(
        st.builds(
            mqtt.Subscription, LETTERS, st.integers(0, 2), st.booleans(), st.booleans(), st.integers(0, 2)
        ),
        min_size=1,
        max_size=5,
    ).map(tuple),
    st.builds(Properties, subscription_ids=st.lists(st.integers(1, 268_435_455), max_size=1).map(tuple)),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(publishes() | SUBSCRIBES | st.builds(mqtt.Puback, PACKET_IDS), max_size=6), st.integers(1, 50)
)
def test_what_is_written_reads_the_same(packets: list[mqtt.Packet], step: int) -> None:
    stream = b"".join(encode(packet, 5) for packet in packets)
    reader = Decoder(5)
    found: list[mqtt.Packet] = []
    for at in range(0, len(stream), step):
        found += reader.feed(stream[at : at + step])
    assert found == packets


@settings(max_examples=100, deadline=None)
@given(CONNECTS)
def test_a_connect_reads_the_same(packet: mqtt.Connect) -> None:
    assert Decoder().feed(encode(packet, 5)) == [packet]
