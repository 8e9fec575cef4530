"""MQTT 5 packets against the `mqtt5` codec (Rust, another author): generated ones, in both directions.

Where the two differ, the specification decides: `DISAGREEMENTS` says how.
"""

from typing import Any

import mqtt5
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_codecs.errors import CodecError
from fabric_codecs.mqtt import packets as mqtt
from fabric_codecs.mqtt.encode import encode
from fabric_codecs.mqtt.properties import Properties
from fabric_codecs.mqtt.wire import decode

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
TOPICS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), min_size=1, max_size=20)
FILTERS = st.sampled_from(["a", "a/+", "#", "a/#", "+/b", "/", "ü/+"])
IDS = st.integers(1, 65_535)
U32 = st.integers(0, 0xFFFFFFFF)
USERS = st.lists(st.tuples(TEXT, TEXT), max_size=4)
maybe = st.none().__or__

# (packet, what they make of it, the clause that decides)
DISAGREEMENTS = [
    ("300800016104260001", "cut short: both refuse", "2.1.4"),
    ("3006000161020102", "a Payload Format Indicator of 2 is a Protocol Error", "3.3.2.3.2"),
    ("38050001610031", "DUP on QoS 0", "3.3.1-2"),
    ("300400012b00", "a wildcard in a Topic Name", "3.3.2-2"),
]


def theirs(data: bytes) -> Any:
    packet, size = mqtt5.read(data)
    assert size == len(data)
    return packet


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    qos = draw(st.integers(0, 2))
    return {
        "topic": draw(TOPICS),
        "payload": draw(st.binary(max_size=200)),
        "qos": qos,
        "retain": draw(st.booleans()),
        "dup": draw(st.booleans()) if qos else False,
        "packet_id": draw(IDS) if qos else 0,
        "payload_format": draw(st.integers(0, 1)),
        "message_expiry_s": draw(maybe(U32)),
        "content_type": draw(maybe(TEXT)),
        "response_topic": draw(maybe(TOPICS)),
        "correlation_data": draw(maybe(st.binary(max_size=20))),
        "subscription_ids": tuple(draw(st.lists(st.integers(1, 268_435_455), max_size=2))),
        "user": tuple(draw(USERS)),
    }


FIXED = ("topic", "payload", "qos", "retain", "dup", "packet_id")


def ours_of(said: dict[str, Any]) -> mqtt.Publish:
    fields = {name: said[name] for name in FIXED}
    return mqtt.Publish(
        **fields, properties=Properties(**{name: said[name] for name in said if name not in FIXED})
    )


def theirs_of(said: dict[str, Any]) -> mqtt5.PublishPacket:
    return mqtt5.PublishPacket(
        said["topic"],
        payload=said["payload"],
        qos=mqtt5.QoS(said["qos"]),
        retain=said["retain"],
        packet_id=said["packet_id"] or None,
        duplicate=said["dup"],
        payload_format_indicator=said["payload_format"],
        message_expiry_interval=said["message_expiry_s"],
        content_type=said["content_type"],
        response_topic=said["response_topic"],
        correlation_data=said["correlation_data"],
        subscription_ids=list(said["subscription_ids"]),
        user_properties=list(said["user"]),
    )


def meaning(packet: mqtt.Publish) -> dict[str, Any]:
    """The packet without the difference between a Payload Format Indicator of 0 and none (3.3.2.3.2)."""
    properties = packet.properties.asdict()
    properties.setdefault("payload_format", 0)
    return {name: getattr(packet, name) for name in FIXED} | properties


@settings(max_examples=200, deadline=None)
@given(messages())
def test_a_publish_is_the_same_message_to_both(said: dict[str, Any]) -> None:
    assert theirs(encode(ours_of(said), 5)) == theirs_of(said)
    assert meaning(decode(theirs_of(said).write(), 5)) == meaning(ours_of(said))


@settings(max_examples=100, deadline=None)
@given(TEXT, st.booleans(), st.integers(0, 65_535), maybe(TEXT), maybe(st.binary(max_size=20)), USERS)
def test_a_connect_is_the_same_to_both(
    client: str,
    clean: bool,
    keep_alive: int,
    user: str | None,
    password: bytes | None,
    users: list[tuple[str, str]],
) -> None:
    ours = mqtt.Connect(
        client,
        5,
        clean,
        keep_alive,
        user,
        password,
        mqtt.Will("w", b"gone", 1, True, Properties(will_delay_s=5)),
        Properties(session_expiry_s=7, user=tuple(users)),
    )
    other = mqtt5.ConnectPacket(
        client,
        username=user,
        password=password,
        clean_start=clean,
        will=mqtt5.Will("w", payload=b"gone", qos=mqtt5.QoS(1), retain=True, will_delay_interval=5),
        keep_alive=keep_alive,
        session_expiry_interval=7,
        user_properties=users,
    )
    assert theirs(encode(ours, 5)) == other
    assert encode(decode(other.write(), 0), 5) == other.write()
    assert decode(other.write(), 0).client_id == client  # type: ignore[union-attr]


@settings(max_examples=100, deadline=None)
@given(IDS, st.lists(FILTERS, min_size=1, max_size=4), st.integers(0, 2), st.booleans(), USERS)
def test_subscribing_is_the_same_to_both(
    number: int, filters: list[str], qos: int, flag: bool, users: list[tuple[str, str]]
) -> None:
    user = Properties(user=tuple(users)) if users else Properties()
    ours = mqtt.Subscribe(
        number, tuple(mqtt.Subscription(one, qos, flag, not flag, 1) for one in filters), user
    )
    assert decode(theirs(encode(ours, 5)).write(), 5) == ours
    leaving = mqtt.Unsubscribe(number, tuple(filters), user)
    assert decode(theirs(encode(leaving, 5)).write(), 5) == leaving
    for packet in (mqtt.Suback(number, (qos, 0x97), user), mqtt.Unsuback(number, (0, 0x11), user)):
        assert decode(theirs(encode(packet, 5)).write(), 5) == packet


ANSWERS: list[mqtt.Packet] = [
    *(
        packet(7, code, Properties(reason_string="why", user=(("a", "b"),)))
        for packet in (mqtt.Puback, mqtt.Pubrec, mqtt.Pubrel, mqtt.Pubcomp)
        for code in mqtt.REASONS[packet]
    ),
    *(mqtt.Connack(False, code, Properties(reason_string="why")) for code in mqtt.REASONS[mqtt.Connack]),
    *(
        mqtt.Disconnect(code, Properties(server_reference="x"))
        for code in mqtt.REASONS[mqtt.Disconnect]
        if code != 0x8C  # which 2.4 gives to DISCONNECT and 3.14.2.1 does not list: we take it, they do not
    ),
    *(mqtt.Auth(code, Properties(authentication_method="m")) for code in mqtt.REASONS[mqtt.Auth]),
    *(mqtt.Puback(1), mqtt.Pubrec(1), mqtt.Pubrel(1), mqtt.Pubcomp(1)),
    *(mqtt.Pingreq(), mqtt.Pingresp(), mqtt.Disconnect()),
    mqtt.Connack(True, 0, Properties(assigned_client_id="c", server_keep_alive_s=5, maximum_qos=1)),
    mqtt.Auth(0x18, Properties(authentication_method="m", authentication_data=b"\0\1")),
]


@pytest.mark.parametrize("packet", ANSWERS, ids=lambda packet: str(packet)[:40])
def test_every_reason_code_is_the_same_to_both(packet: mqtt.Packet) -> None:
    again = decode(theirs(encode(packet, 5)).write(), 5)
    assert again == packet


@pytest.mark.parametrize(("text", "why", "clause"), DISAGREEMENTS)
def test_what_we_refuse_whatever_they_say(text: str, why: str, clause: str) -> None:
    with pytest.raises(CodecError) as caught:
        decode(bytes.fromhex(text), 5)
    assert caught.value.clause == clause, why
