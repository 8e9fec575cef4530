"""One MQTT connection's state machine, in memory: packets and outcomes in, actions out."""

from collections.abc import Sequence
from typing import Any

import pytest

from fabric.errors import FabricError, LimitExceeded, PermissionDenied, Refused, Unauthenticated
from fabric_bridges.mqtt.config import MqttEdgeSettings
from fabric_bridges.mqtt.session import (
    Action,
    Admit,
    Close,
    Offer,
    Send,
    Session,
    State,
    Subscribed,
    Unsubscribed,
)
from fabric_codecs.errors import CodecError
from fabric_codecs.mqtt import packets as mqtt
from fabric_codecs.mqtt.properties import Properties

SETTINGS = MqttEdgeSettings(receive_maximum=4, send_window_max=8, subscriptions_max=3, keep_alive_max_s=100)
ONE = mqtt.Publish("a", b"1", 1, packet_id=1)


def open_session(version: int, **connect: Any) -> Session:
    session = Session(SETTINGS)
    hello = mqtt.Connect("dev", version, **connect)
    assert session.receive(hello) == (Admit(hello),)
    session.admitted(hello, "dev")
    return session


def said(actions: Sequence[Action]) -> list[mqtt.Packet]:
    return [action.packet for action in actions if isinstance(action, Send)]


def closes(actions: Sequence[Action]) -> bool:
    return bool(actions) and isinstance(actions[-1], Close)


def codes_of(actions: Sequence[Action]) -> list[int]:
    return [
        packet.code
        for packet in said(actions)
        if isinstance(packet, mqtt.Connack | mqtt.Puback | mqtt.Disconnect)
    ]


# ---- connecting ----


def test_a_connack_of_version_5_says_what_is_absent() -> None:
    session = Session(SETTINGS)
    hello = mqtt.Connect("", 5, keep_alive_s=30)
    session.receive(hello)
    (connack,) = said(session.admitted(hello, "auto-1"))
    assert connack == mqtt.Connack(
        False,
        0,
        Properties(
            session_expiry_s=0,
            receive_maximum=4,
            maximum_qos=1,
            retain_available=0,
            shared_subscription_available=0,
            maximum_packet_bytes=SETTINGS.packet_bytes_max,
            assigned_client_id="auto-1",
        ),
    )
    assert session.silence_s == 45.0


@pytest.mark.parametrize(
    ("version", "asked", "silence_s", "told"),
    [
        (5, 100, 150.0, None),
        (5, 101, 150.0, 100),
        (5, 0, 150.0, 100),
        (4, 0, 0.0, None),
        (4, 1000, 1500.0, None),
    ],
)
def test_keep_alive_is_one_and_a_half_times(
    version: int, asked: int, silence_s: float, told: int | None
) -> None:
    session = Session(SETTINGS)
    hello = mqtt.Connect("dev", version, keep_alive_s=asked)
    session.receive(hello)
    (connack,) = said(session.admitted(hello, "dev"))
    assert session.silence_s == silence_s
    assert isinstance(connack, mqtt.Connack)
    assert connack.properties.server_keep_alive_s == told


@pytest.mark.parametrize(
    ("connect", "code"),
    [
        (mqtt.Connect("d", 5, will=mqtt.Will("a")), 0x83),
        (mqtt.Connect("d", 5, will=mqtt.Will("a", retain=True)), 0x9A),
        (mqtt.Connect("d", 4, will=mqtt.Will("a")), 5),
        (mqtt.Connect("d", 4, clean=False), 5),
        (mqtt.Connect("d", 5, properties=Properties(authentication_method="SCRAM")), 0x8C),
    ],
)
def test_what_is_not_offered_is_refused_at_the_door(connect: mqtt.Connect, code: int) -> None:
    session = Session(SETTINGS)
    actions = session.receive(connect)
    assert codes_of(actions) == [code]
    assert closes(actions)
    assert session.state is State.ENDED


def test_a_session_that_shall_outlive_its_connection_is_granted_no_time_in_version_5() -> None:
    session = Session(SETTINGS)
    hello = mqtt.Connect("dev", 5, clean=False, properties=Properties(session_expiry_s=600))
    session.receive(hello)
    (connack,) = said(session.admitted(hello, "dev"))
    assert isinstance(connack, mqtt.Connack)
    assert (connack.session_present, connack.properties.session_expiry_s) == (False, 0)


@pytest.mark.parametrize(
    ("error", "code_5", "code_3"),
    [
        (Unauthenticated("x"), 0x86, 4),
        (PermissionDenied("x"), 0x87, 5),
        (Refused("closing"), 0x88, 3),
        (LimitExceeded("x", allowed=1, actual=2), 0x97, 3),
    ],
)
def test_a_refused_client_hears_why(error: FabricError, code_5: int, code_3: int) -> None:
    for version, code in ((5, code_5), (4, code_3)):
        session = Session(SETTINGS)
        session.receive(mqtt.Connect("dev", version))
        actions = session.refused(error)
        assert codes_of(actions) == [code]
        assert closes(actions)


@pytest.mark.parametrize(
    ("version", "reason", "expected"),
    [(5, 0x84, [0x84]), (4, 0x84, [1]), (0, 0x84, []), (5, 0x81, [0x81]), (4, 0x81, []), (0, 0x82, [])],
)
def test_a_broken_connect_is_answered_in_the_form_it_understands(
    version: int, reason: int, expected: list[int]
) -> None:
    actions = Session(SETTINGS).broken(CodecError("x", protocol="mqtt", reason=reason), version)
    assert codes_of(actions) == expected
    assert closes(actions)


@pytest.mark.parametrize(
    "packet",
    [mqtt.Connect("dev"), mqtt.Connack(), mqtt.Suback(1, (0,)), mqtt.Unsuback(1), mqtt.Pingresp()],
    ids=lambda p: type(p).__name__,
)
def test_a_packet_out_of_place_is_a_protocol_error(packet: mqtt.Packet) -> None:
    actions = open_session(5).receive(packet)
    assert codes_of(actions) == [0x82]
    assert closes(actions)
    assert said(open_session(4).receive(packet)) == []


def test_nothing_follows_the_end() -> None:
    session = open_session(5)
    session.end(0x8E, "taken over")
    assert session.end(0x8B, "again") == ()
    assert session.settled(ONE, None) == ()


# ---- messages of the device ----


@pytest.mark.parametrize(
    ("publish", "code"),
    [
        (mqtt.Publish("a", qos=2, packet_id=1), 0x9B),
        (mqtt.Publish("a", retain=True), 0x9A),
        (mqtt.Publish("", properties=Properties(topic_alias=1)), 0x94),
        (mqtt.Publish("a", properties=Properties(topic_alias=1)), 0x94),
        (mqtt.Publish("a", properties=Properties(subscription_ids=(1,))), 0x82),
    ],
)
def test_a_publish_that_is_not_offered_ends_the_connection_with_its_reason(
    publish: mqtt.Publish, code: int
) -> None:
    actions = open_session(5).receive(publish)
    assert codes_of(actions) == [code]
    assert closes(actions)


@pytest.mark.parametrize("publish", [mqtt.Publish("a", qos=2, packet_id=1), mqtt.Publish("a", retain=True)])
def test_version_4_has_no_word_for_it_and_is_closed(publish: mqtt.Publish) -> None:
    actions = open_session(4).receive(publish)
    assert said(actions) == []
    assert closes(actions)


def test_a_puback_waits_for_the_fabric() -> None:
    session = open_session(5)
    assert session.receive(ONE) == (Offer(ONE),)
    assert not session.is_settled
    assert said(session.settled(ONE, None)) == [mqtt.Puback(1)]
    assert session.is_settled


def test_pubacks_go_out_in_the_order_of_the_messages() -> None:
    session = open_session(5)
    messages = [mqtt.Publish("a", qos=1, packet_id=number) for number in (7, 3, 9)]
    for message in messages:
        session.receive(message)
    assert said(session.settled(messages[2], None)) == []
    assert said(session.settled(messages[1], None)) == []
    assert said(session.settled(messages[0], None)) == [mqtt.Puback(7), mqtt.Puback(3), mqtt.Puback(9)]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused("full"), 0x97),
        (Refused("timeout", unknown=True), 0x83),
        (Refused("denied"), 0x87),
        (Refused("closing"), 0x83),
        (LimitExceeded("payload", allowed=1, actual=2), 0x97),
        (CodecError("x", protocol="mqtt", reason=0x99), 0x99),
        (CodecError("x", protocol="names"), 0x90),
    ],
)
def test_a_refused_message_is_answered_with_its_reason(error: Any, code: int) -> None:
    session = open_session(5)
    session.receive(ONE)
    (puback,) = said(session.settled(ONE, error))
    assert isinstance(puback, mqtt.Puback)
    assert (puback.packet_id, puback.code) == (1, code)
    assert puback.properties.reason_string == str(error)
    old = open_session(4)
    old.receive(ONE)
    actions = old.settled(ONE, error)
    assert said(actions) == []
    assert closes(actions)


def test_reason_strings_are_left_out_for_a_client_that_wants_none() -> None:
    session = open_session(5, properties=Properties(request_problem_information=0))
    session.receive(ONE)
    assert said(session.settled(ONE, Refused("full"))) == [mqtt.Puback(1, 0x97)]


def test_a_refused_qos_0_message_has_no_answer_but_a_broken_one_has() -> None:
    session = open_session(5)
    assert session.settled(mqtt.Publish("a"), Refused("full")) == ()
    assert codes_of(session.settled(mqtt.Publish("a"), CodecError("x", protocol="mqtt", reason=0x90))) == [
        0x90
    ]


def test_more_messages_than_the_receive_maximum_end_the_connection() -> None:
    session = open_session(5)
    for number in range(1, 5):
        assert session.receive(mqtt.Publish("a", qos=1, packet_id=number))
    assert session.is_full
    assert codes_of(session.receive(mqtt.Publish("a", qos=1, packet_id=5))) == [0x93]


def test_a_packet_identifier_in_use_is_an_error_but_3_1_1_may_repeat_itself() -> None:
    again = mqtt.Publish("a", b"1", 1, dup=True, packet_id=1)
    session = open_session(4)
    session.receive(ONE)
    assert session.receive(again) == ()
    assert said(session.settled(ONE, None)) == [mqtt.Puback(1)]
    assert session.receive(again) == (Offer(again),), "after the answer it is a new message"
    fresh = open_session(5)
    fresh.receive(ONE)
    assert codes_of(fresh.receive(again)) == [0x82]


# ---- messages to the device ----


def test_packet_identifiers_are_free_ones_and_wrap() -> None:
    session = open_session(5)
    session._next_id = 65_533
    taken = [session.next_packet_id(f"e-{number}") for number in range(4)]
    assert taken == [65_534, 65_535, 1, 2]
    session._next_id = 65_535
    assert session.next_packet_id("e-5") == 3
    session.receive(mqtt.Puback(1))
    assert sorted(session.unacknowledged) == [2, 3, 65_534, 65_535]
    assert session.receive(mqtt.Puback(999)) == ()


@pytest.mark.parametrize(("granted", "window"), [(None, 8), (3, 3), (100, 8)])
def test_the_send_window_is_the_smaller_of_both(granted: int | None, window: int) -> None:
    assert open_session(5, properties=Properties(receive_maximum=granted)).send_window == window


# ---- subscriptions ----


def subscribe(session: Session, *filters: str | mqtt.Subscription, failing: str = "") -> list[int] | None:
    """The SUBACK's codes, or None when the connection ends."""
    wanted = tuple(
        one if isinstance(one, mqtt.Subscription) else mqtt.Subscription(one, 1) for one in filters
    )
    packet = mqtt.Subscribe(9, wanted)
    (action,) = session.receive(packet)[:1]
    if not isinstance(action, Subscribed):
        return None
    failures: dict[str, FabricError] = {failing: PermissionDenied("x")} if failing else {}
    (suback,) = said(session.joined(packet, failures))
    assert isinstance(suback, mqtt.Suback)
    return list(suback.codes)


@pytest.mark.parametrize(
    ("topic_filter", "code"),
    [
        ("a/b", 1),
        ("#", 1),
        ("+/a/#", 1),
        ("/", 1),
        ("$SYS/#", 1),
        ("", 0x8F),
        ("a/#/b", 0x8F),
        ("a#", 0x8F),
        ("a+/b", 0x8F),
        ("/".join("a" * 17), 0x8F),
        ("$share/g/a", 0x9E),
        ("$share/g/", 0x8F),
        ("$share//a", 0x8F),
        ("$share/+/a", 0x8F),
        ("$share/g", 0x8F),
    ],
)
def test_each_filter_has_its_answer(topic_filter: str, code: int) -> None:
    assert subscribe(open_session(5), topic_filter) == [code]
    assert subscribe(open_session(4), topic_filter) == [code if code < 0x80 else 0x80]


def test_qos_2_is_granted_as_qos_1_and_answers_keep_their_order() -> None:
    session = open_session(5)
    assert subscribe(session, mqtt.Subscription("a", 2), "a#", mqtt.Subscription("b", 0)) == [1, 0x8F, 0]


def test_a_channel_that_cannot_be_joined_is_refused_alone() -> None:
    session = open_session(5)
    assert subscribe(session, "a", "b", failing="b") == [1, 0x87]
    assert set(session.subscriptions) == {"a"}
    assert subscribe(open_session(4), "a", "b", failing="b") == [1, 0x80]


def test_subscriptions_are_bounded_but_may_be_renewed() -> None:
    session = open_session(5)
    assert subscribe(session, "a", "b", "c", "d") == [1, 1, 1, 0x97]
    assert subscribe(session, "c") == [1]


def test_no_local_on_a_shared_subscription_is_a_protocol_error() -> None:
    session = open_session(5)
    actions = session.receive(mqtt.Subscribe(1, (mqtt.Subscription("$share/g/a", no_local=True),)))
    assert codes_of(actions) == [0x82]


def test_unsubscribe_says_what_there_was() -> None:
    session = open_session(5)
    subscribe(session, "a", "b")
    actions = session.receive(mqtt.Unsubscribe(4, ("a", "x")))
    assert actions == (Unsubscribed(("a",)), Send(mqtt.Unsuback(4, (0, 0x11))))
    old = open_session(4)
    assert said(old.receive(mqtt.Unsubscribe(4, ("x",)))) == [mqtt.Unsuback(4)]


# ---- the rest ----


def test_a_ping_is_answered_and_a_disconnect_closes() -> None:
    session = open_session(5)
    assert said(session.receive(mqtt.Pingreq())) == [mqtt.Pingresp()]
    assert session.receive(mqtt.Disconnect()) == (Close(""),)
    assert session.state is State.ENDED


def test_a_session_expiry_at_the_end_is_a_protocol_error() -> None:
    assert codes_of(open_session(5).receive(mqtt.Disconnect(0, Properties(session_expiry_s=1)))) == [0x82]


def test_a_disconnect_reason_that_mqtt_does_not_know_becomes_one_that_it_does() -> None:
    assert codes_of(open_session(5).end(0x99, "x")) == [0x99]
    assert codes_of(open_session(5).end(0x88, "x")) == [0x83]
