"""MQTT packets against paho-mqtt with generated messages, both directions: what it sends we read, what we
send it hears; and the properties of every packet, which paho packs and unpacks by themselves.
"""

import socket
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties

from fabric_codecs.mqtt import packets as mqtt
from fabric_codecs.mqtt.encode import encode
from fabric_codecs.mqtt.properties import Properties
from fabric_codecs.mqtt.wire import Decoder, decode

# Controls may be refused (1.5.4, "SHOULD NOT"): paho does so with some.
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=12)
TOPICS = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cn"], exclude_characters="+#"), min_size=1, max_size=12
)
USERS = st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple)
U16 = st.integers(1, 0xFFFF)
U32 = st.integers(1, 0xFFFFFFFF)
FLAG = st.integers(0, 1)
RAW = st.binary(max_size=12)

# By our name: paho's, and values.
FIELDS: dict[str, tuple[str, st.SearchStrategy[Any]]] = {
    "payload_format": ("PayloadFormatIndicator", FLAG),
    "message_expiry_s": ("MessageExpiryInterval", U32),
    "content_type": ("ContentType", TEXT),
    "response_topic": ("ResponseTopic", TOPICS),
    "correlation_data": ("CorrelationData", RAW),
    "session_expiry_s": ("SessionExpiryInterval", U32),
    "assigned_client_id": ("AssignedClientIdentifier", TEXT),
    "server_keep_alive_s": ("ServerKeepAlive", U16),
    "authentication_method": ("AuthenticationMethod", TEXT),
    "authentication_data": ("AuthenticationData", RAW),
    "request_problem_information": ("RequestProblemInformation", FLAG),
    "request_response_information": ("RequestResponseInformation", FLAG),
    "response_information": ("ResponseInformation", TEXT),
    "server_reference": ("ServerReference", TEXT),
    "reason_string": ("ReasonString", TEXT),
    "receive_maximum": ("ReceiveMaximum", U16),
    "topic_alias_maximum": ("TopicAliasMaximum", U16),
    "topic_alias": ("TopicAlias", U16),
    "maximum_qos": ("MaximumQoS", FLAG),
    "retain_available": ("RetainAvailable", FLAG),
    "maximum_packet_bytes": ("MaximumPacketSize", st.integers(1, 268_435_455)),
    "wildcard_subscription_available": ("WildcardSubscriptionAvailable", FLAG),
    "subscription_ids_available": ("SubscriptionIdentifierAvailable", FLAG),
    "shared_subscription_available": ("SharedSubscriptionAvailable", FLAG),
    "user": ("UserProperty", USERS.filter(bool)),
}
PUBLISH = (
    "payload_format", "message_expiry_s", "content_type", "response_topic", "correlation_data", "topic_alias"
)  # fmt: skip
ACK = ("reason_string",)
DISCONNECT = ("session_expiry_s", "reason_string", "server_reference")
AUTH = ("authentication_method", "authentication_data", "reason_string")
CONNACK = (
    "session_expiry_s", "receive_maximum", "maximum_qos", "retain_available", "maximum_packet_bytes",
    "assigned_client_id", "topic_alias_maximum", "reason_string", "wildcard_subscription_available",
    "subscription_ids_available", "shared_subscription_available", "server_keep_alive_s",
    "response_information", "server_reference", "authentication_method",
)  # fmt: skip
CONNECT = (
    "session_expiry_s", "receive_maximum", "maximum_packet_bytes", "topic_alias_maximum",
    "request_response_information", "request_problem_information", "authentication_method",
)  # fmt: skip


def _connect(said: Properties) -> mqtt.Packet:
    return mqtt.Connect("c", 5, keep_alive_s=60, properties=said)


def _subscribe(said: Properties) -> mqtt.Packet:
    return mqtt.Subscribe(7, (mqtt.Subscription("a", 1),), said)


# What stands before and after the properties, and the packet.
Carrier = tuple[int, tuple[str, ...], str, str, Any]
CARRIERS: dict[str, Carrier] = {
    "PUBLISH": (0x30, PUBLISH, "000161", "", lambda said: mqtt.Publish("a", properties=said)),
    "CONNECT": (0x10, CONNECT, "00044d5154540502003c", "000163", _connect),
    "CONNACK": (0x20, CONNACK, "0000", "", lambda said: mqtt.Connack(properties=said)),
    "PUBACK": (0x40, ACK, "000780", "", lambda said: mqtt.Puback(7, 0x80, said)),
    "PUBREC": (0x50, ACK, "000780", "", lambda said: mqtt.Pubrec(7, 0x80, said)),
    "PUBREL": (0x62, ACK, "000792", "", lambda said: mqtt.Pubrel(7, 0x92, said)),
    "PUBCOMP": (0x70, ACK, "000792", "", lambda said: mqtt.Pubcomp(7, 0x92, said)),
    "SUBACK": (0x90, ACK, "0007", "00", lambda said: mqtt.Suback(7, (0,), said)),
    "UNSUBACK": (0xB0, ACK, "0007", "00", lambda said: mqtt.Unsuback(7, (0,), said)),
    "SUBSCRIBE": (0x82, (), "0007", "00016101", _subscribe),
    "UNSUBSCRIBE": (0xA2, (), "0007", "000161", lambda said: mqtt.Unsubscribe(7, ("a",), said)),
    "DISCONNECT": (0xE0, DISCONNECT, "80", "", lambda said: mqtt.Disconnect(0x80, said)),
    "AUTH": (0xF0, AUTH, "18", "", lambda said: mqtt.Auth(0x18, said)),
}  # fmt: skip


@pytest.mark.parametrize("name", CARRIERS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_paho_packs_and_unpacks_the_same_properties(name: str, data: st.DataObject) -> None:
    first, names, before, after, packet = CARRIERS[name]
    needed = {"authentication_method": TEXT} if name == "AUTH" else {}
    free = {one: FIELDS[one][1] for one in (*names, "user") if one not in needed}
    said = data.draw(st.fixed_dictionaries(needed, optional=free))
    theirs = PahoProperties(getattr(PacketTypes, name))
    for one, value in said.items():
        setattr(theirs, FIELDS[one][0], list(value) if one == "user" else value)
    ours = packet(Properties(**said))
    version = 0 if name == "CONNECT" else 5
    spelled = framed(first, bytes.fromhex(before) + theirs.pack() + bytes.fromhex(after))
    assert decode(spelled, version).properties == ours.properties  # type: ignore[union-attr]

    body = encode(packet(Properties(**said)), 5)[1:]
    body = body[next(at for at, byte in enumerate(body) if not byte & 0x80) + 1 :]
    block = body[len(before) // 2 : len(body) - len(after) // 2]
    heard = PahoProperties(getattr(PacketTypes, name))
    if block:  # an acknowledgement without properties has no section
        assert heard.unpack(block)[1] == len(block)
    for one, value in said.items():
        found = getattr(heard, FIELDS[one][0])
        assert (tuple(found) if one == "user" else found) == value


def framed(first: int, body: bytes) -> bytes:
    """A packet: its first byte, the length of its body, its body."""
    length, rest = bytearray(), len(body)
    while rest > 0x7F:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([first, *length, rest]) + body


class Wire:
    """A paho client with the far end of its connection."""

    def __init__(self, version: int) -> None:
        near, self.far = socket.socketpair()
        self.far.setblocking(False)
        level = paho.MQTTv5 if version == 5 else paho.MQTTv311
        self.client = paho.Client(CallbackAPIVersion.VERSION2, "dev-1", protocol=level)
        self.client._create_socket = lambda: near  # type: ignore[method-assign]
        self.client.connect("nowhere")
        self.reader = Decoder()
        assert len(self.reader.feed(self.taken())) == 1
        self.give(mqtt.Connack(), version)

    def taken(self) -> bytes:
        """What paho sent."""
        while self.client.want_write():
            self.client.loop_write()
        return self.far.recv(1 << 16)

    def give(self, packet: mqtt.Packet, version: int) -> None:
        self.far.sendall(encode(packet, version))
        assert self.client.loop_read() == paho.MQTT_ERR_SUCCESS

    def close(self) -> None:
        self.client._sock_close()
        self.far.close()


@pytest.fixture(scope="module", params=[4, 5])
def wire(request: pytest.FixtureRequest) -> Iterator[tuple[int, Wire]]:
    one = Wire(request.param)
    yield request.param, one
    one.close()


PUBLISHES = st.tuples(TOPICS, st.binary(max_size=300), st.booleans(), USERS)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=PUBLISHES, qos=st.integers(0, 1))
def test_what_paho_publishes_is_read(wire: tuple[int, Wire], said: Any, qos: int) -> None:
    version, one = wire
    topic, payload, retain, users = said
    properties = PahoProperties(PacketTypes.PUBLISH) if version == 5 else None
    if properties is not None and users:
        properties.UserProperty = list(users)
    sent = one.client.publish(topic, payload, qos, retain, properties)
    (packet,) = one.reader.feed(one.taken())
    user = Properties(user=users if version == 5 else ())
    number = sent.mid if qos else 0
    assert packet == mqtt.Publish(topic, payload, qos, retain, packet_id=number, properties=user)
    if qos:
        one.give(mqtt.Puback(number), version)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=PUBLISHES)
def test_what_we_publish_is_heard_by_paho(wire: tuple[int, Wire], said: Any) -> None:
    version, one = wire
    topic, payload, retain, users = said
    heard: list[Any] = []
    one.client.on_message = lambda client, data, message: heard.append(message)
    user = Properties(user=users if version == 5 else ())
    one.give(mqtt.Publish(topic, payload, 0, retain, properties=user), version)
    (message,) = heard
    assert (message.topic, message.payload, message.retain) == (topic, payload, retain)
    if version == 5 and users:
        assert tuple(message.properties.UserProperty) == users
