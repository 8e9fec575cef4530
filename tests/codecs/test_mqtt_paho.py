"""MQTT packets against paho-mqtt: what it sends we read, what we send it understands."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties
from paho.mqtt.subscribeoptions import SubscribeOptions

from fabric_codecs.mqtt import packets as mqtt
from fabric_codecs.mqtt.encode import encode
from fabric_codecs.mqtt.properties import Properties
from fabric_codecs.mqtt.wire import Decoder


class Wire:
    """The far end of paho's connection."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()

    def take(self) -> bytes:
        """What paho sent."""
        self.far.setblocking(False)
        return self.far.recv(1 << 16)

    def give(self, packet: mqtt.Packet, version: int) -> None:
        self.far.sendall(encode(packet, version))


def flush(client: paho.Client) -> None:
    while client.want_write():
        client.loop_write()


@contextmanager
def connected(version: int, **settings: Any) -> Iterator[tuple[paho.Client, Wire, Decoder]]:
    """A paho client that has sent its CONNECT into a `Wire`, and the decoder that read it."""
    level = paho.MQTTv5 if version == 5 else paho.MQTTv311
    client = paho.Client(CallbackAPIVersion.VERSION2, "dev-1", protocol=level)
    client.username_pw_set("dev-1", "token")
    if will := settings.pop("will", None):
        client.will_set("dead/dev-1", b"gone", 1, True, will if version == 5 else None)
    wire = Wire()
    client._create_socket = lambda: wire.near  # type: ignore[method-assign]
    client.connect("nowhere", keepalive=60, **settings)
    flush(client)
    try:
        yield client, wire, Decoder()
    finally:
        client._sock_close()
        wire.far.close()


def user(properties: PahoProperties) -> PahoProperties:
    properties.UserProperty = [("a", "1"), ("b", "ü"), ("a", "1")]
    return properties


USER = (("a", "1"), ("b", "ü"), ("a", "1"))


@pytest.mark.parametrize("version", [4, 5])
def test_pahos_connect_is_read(version: int) -> None:
    with connected(version) as (_, wire, reader):
        assert reader.feed(wire.take()) == [mqtt.Connect("dev-1", version, True, 60, "dev-1", b"token")]


def test_pahos_connect_with_will_and_properties_is_read() -> None:
    said = user(PahoProperties(PacketTypes.CONNECT))
    said.ReceiveMaximum = 7
    said.SessionExpiryInterval = 60
    last = PahoProperties(PacketTypes.WILLMESSAGE)
    last.WillDelayInterval = 5
    last.ContentType = "text/plain"
    with connected(5, properties=said, will=last) as (_, wire, reader):
        (connect,) = reader.feed(wire.take())
    will = mqtt.Will("dead/dev-1", b"gone", 1, True, Properties(will_delay_s=5, content_type="text/plain"))
    asked = Properties(user=USER, receive_maximum=7, session_expiry_s=60)
    assert connect == mqtt.Connect("dev-1", 5, True, 60, "dev-1", b"token", will, asked)


@pytest.mark.parametrize("version", [4, 5])
def test_pahos_packets_are_read(version: int) -> None:
    with connected(version) as (client, wire, reader):
        assert len(reader.feed(wire.take())) == 1
        wire.give(mqtt.Connack(), version)
        assert client.loop_read() == paho.MQTT_ERR_SUCCESS
        client.subscribe("a/+", 1)
        client.unsubscribe("a/+")
        client.publish("a/b", b"x" * 300, 1)
        client.publish("a/ü", b"", 0, retain=True)
        client._send_pingreq()
        client.disconnect()
        flush(client)
        assert reader.feed(wire.take()) == [
            mqtt.Subscribe(1, (mqtt.Subscription("a/+", 1),)),
            mqtt.Unsubscribe(2, ("a/+",)),
            mqtt.Publish("a/b", b"x" * 300, 1, packet_id=3),
            mqtt.Publish("a/ü", b"", 0, True),
            mqtt.Pingreq(),
            mqtt.Disconnect(),
        ]


def test_pahos_properties_are_read() -> None:
    said = user(PahoProperties(PacketTypes.PUBLISH))
    said.PayloadFormatIndicator = 1
    said.MessageExpiryInterval = 30
    said.ContentType = "application/json"
    said.ResponseTopic = "replies/1"
    said.CorrelationData = b"\x00\xff"
    with connected(5) as (client, wire, reader):
        assert len(reader.feed(wire.take())) == 1
        wire.give(mqtt.Connack(), 5)
        client.loop_read()
        client.publish("a", b"{}", properties=said)
        client.subscribe(
            "b", options=SubscribeOptions(1, noLocal=True, retainAsPublished=True, retainHandling=2)
        )
        flush(client)
        published, subscribed = reader.feed(wire.take())
    assert published == mqtt.Publish(
        "a",
        b"{}",
        properties=Properties(
            payload_format=1,
            message_expiry_s=30,
            content_type="application/json",
            response_topic="replies/1",
            correlation_data=b"\x00\xff",
            user=USER,
        ),
    )
    assert subscribed == mqtt.Subscribe(2, (mqtt.Subscription("b", 1, True, True, 2),))


@pytest.mark.parametrize("version", [4, 5])
def test_paho_understands_our_answers(version: int) -> None:
    heard: list[object] = []
    code = 0x97 if version == 5 else 0
    answers: list[mqtt.Packet] = [
        mqtt.Connack(False, 0, Properties(maximum_qos=1, user=USER) if version == 5 else Properties()),
        mqtt.Suback(1, (1,)),
        mqtt.Unsuback(2, (0x11,) if version == 5 else ()),
        mqtt.Puback(3, code),
        mqtt.Publish("a/b", b"x" * 200, 1, packet_id=9),
    ]
    with connected(version) as (client, wire, _):
        client.on_connect = lambda *said: heard.append(("connect", said[3].value))
        client.on_subscribe = lambda *said: heard.append(("subscribe", [one.value for one in said[3]]))
        client.on_unsubscribe = lambda *said: heard.append(("unsubscribe", [one.value for one in said[3]]))
        client.on_publish = lambda *said: heard.append(("publish", said[2], said[3].value))
        client.on_message = lambda *said: heard.append((said[2].topic, said[2].payload, said[2].qos))
        wire.give(answers[0], version)
        client.loop_read()
        client.subscribe("a/+", 1)
        client.unsubscribe("a/+")
        client.publish("a/b", b"1", 1)
        flush(client)
        for answer in answers[1:]:
            wire.give(answer, version)
            assert client.loop_read() == paho.MQTT_ERR_SUCCESS
        wire.take()
    assert heard == [
        ("connect", 0),
        ("subscribe", [1]),
        ("unsubscribe", [0x11] if version == 5 else []),
        ("publish", 3, code),
        ("a/b", b"x" * 200, 1),
    ]


@pytest.mark.parametrize("version", [4, 5])
def test_exactly_once_runs_to_its_end_in_both_directions(version: int) -> None:
    heard: list[object] = []
    with connected(version) as (client, wire, reader):
        client.on_publish = lambda *said: heard.append(("published", said[2]))
        client.on_message = lambda *said: heard.append((said[2].topic, said[2].qos))
        assert len(reader.feed(wire.take())) == 1
        wire.give(mqtt.Connack(), version)
        client.loop_read()
        client.publish("a", b"1", 2)
        assert reader.feed(wire.take()) == [mqtt.Publish("a", b"1", 2, packet_id=1)]
        wire.give(mqtt.Pubrec(1), version)
        client.loop_read()
        flush(client)
        assert reader.feed(wire.take()) == [mqtt.Pubrel(1)]
        wire.give(mqtt.Pubcomp(1), version)
        client.loop_read()
        wire.give(mqtt.Publish("b", b"2", 2, packet_id=9), version)
        client.loop_read()
        flush(client)
        assert reader.feed(wire.take()) == [mqtt.Pubrec(9)]
        wire.give(mqtt.Pubrel(9), version)
        client.loop_read()
        flush(client)
        assert reader.feed(wire.take()) == [mqtt.Pubcomp(9)]
    assert heard == [("published", 1), ("b", 2)]


def test_paho_understands_our_properties() -> None:
    heard: list[Any] = []
    with connected(5) as (client, wire, _):
        client.on_message = lambda *said: heard.append(said[2].properties)
        client.on_disconnect = lambda *said: heard.append((said[3].value, said[4].ReasonString))
        wire.give(mqtt.Connack(), 5)
        client.loop_read()
        said = Properties(
            payload_format=1,
            message_expiry_s=30,
            content_type="application/json",
            response_topic="replies/1",
            correlation_data=b"\x00\xff",
            subscription_ids=(1, 268_435_455),
            user=USER,
        )
        wire.give(mqtt.Publish("a", b"{}", properties=said), 5)
        client.loop_read()
        wire.give(mqtt.Disconnect(0x8E, Properties(reason_string="taken over")), 5)
        client.loop_read()
    got, ended = heard
    assert got.PayloadFormatIndicator == 1
    assert got.MessageExpiryInterval == 30
    assert got.ContentType == "application/json"
    assert got.ResponseTopic == "replies/1"
    assert got.CorrelationData == b"\x00\xff"
    assert got.SubscriptionIdentifier == [1, 268_435_455]
    assert tuple(got.UserProperty) == USER
    assert ended == (0x8E, "taken over")
