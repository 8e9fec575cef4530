"""MQTT packets, both versions: what is read, what is refused with which clause, and what is written.

`VALID` and `MALFORMED` are hand-written bytes from the specification; paho-mqtt is the independent peer.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_codecs.bounds import (
    MQTT_CONNECT_BYTES_MAX,
    MQTT_FILTERS_MAX,
    MQTT_PACKET_BYTES_MAX,
    MQTT_USER_PROPERTIES_MAX,
)
from fabric_codecs.errors import CodecError
from fabric_codecs.mqtt import packets as mqtt
from fabric_codecs.mqtt.encode import encode
from fabric_codecs.mqtt.properties import Properties
from fabric_codecs.mqtt.wire import Decoder

DEVICE_3 = mqtt.Connect("dev-1", 4, True, 60, "dev-1", b"token")
DEVICE_5 = mqtt.Connect("dev-1", 5, True, 60, None, b"token", None, Properties(receive_maximum=20))
LAST_WORD = mqtt.Will("dead/dev-1", b"gone", 1, True, Properties(will_delay_s=5, content_type="text/plain"))
EVERYTHING = Properties(
    payload_format=1,
    message_expiry_s=30,
    content_type="application/json",
    response_topic="replies/1",
    correlation_data=b"\x00\xff",
    user=(("a", "1"), ("b", ""), ("a", "1")),
)

# What each version has to say, as the specification lays it out.
VALID: list[tuple[int, str, mqtt.Packet]] = [
    (4, "10 ?? 0004 4d515454 04 c2 003c 0005 6465762d31 0005 6465762d31 0005 746f6b656e", DEVICE_3),
    (5, "10 ?? 0004 4d515454 05 42 003c 03 21 0014 0005 6465762d31 0005 746f6b656e", DEVICE_5),
    (4, "20 02 00 00", mqtt.Connack()),
    (4, "20 02 00 05", mqtt.Connack(False, 5)),
    (4, "20 02 01 00", mqtt.Connack(True, 0)),
    (5, "20 03 00 00 00", mqtt.Connack()),
    (5, "20 07 00 86 04 1f 0001 78", mqtt.Connack(False, 0x86, Properties(reason_string="x"))),
    (5, "20 05 00 00 02 24 01", mqtt.Connack(False, 0, Properties(maximum_qos=1))),
    (4, "30 05 0003 612f62", mqtt.Publish("a/b")),
    (4, "31 06 0003 612f62 21", mqtt.Publish("a/b", b"!", retain=True)),
    (4, "3a 07 0003 612f62 0007", mqtt.Publish("a/b", b"", 1, False, True, 7)),
    (4, "34 07 0003 612f62 ffff", mqtt.Publish("a/b", b"", 2, False, False, 65535)),
    (5, "30 06 0003 612f62 00", mqtt.Publish("a/b")),
    (5, "30 06 0000 03 23 0001", mqtt.Publish("", properties=Properties(topic_alias=1))),
    (5, "30 08 0001 61 04 0b 01 0b 7f", mqtt.Publish("a", properties=Properties(subscription_ids=(1, 127)))),
    (4, "40 02 0001", mqtt.Puback(1)),
    (5, "40 02 0001", mqtt.Puback(1)),
    (5, "40 03 0001 97", mqtt.Puback(1, 0x97)),
    (4, "82 06 0001 0001 23 01", mqtt.Subscribe(1, (mqtt.Subscription("#", 1),))),
    (5, "82 07 0001 00 0001 2b 2d", mqtt.Subscribe(1, (mqtt.Subscription("+", 1, True, True, 2),))),
    (
        5,
        "82 0d 0002 02 0b 05 0001 61 00 0001 62 02",
        mqtt.Subscribe(
            2, (mqtt.Subscription("a"), mqtt.Subscription("b", 2)), Properties(subscription_ids=(5,))
        ),
    ),
    (4, "90 04 0001 01 80", mqtt.Suback(1, (1, 0x80))),
    (5, "90 04 0001 00 8f", mqtt.Suback(1, (0x8F,))),
    (4, "a2 05 0001 0001 61", mqtt.Unsubscribe(1, ("a",))),
    (5, "a2 06 0001 00 0001 61", mqtt.Unsubscribe(1, ("a",))),
    (4, "b0 02 0001", mqtt.Unsuback(1)),
    (5, "b0 05 0001 00 00 11", mqtt.Unsuback(1, (0, 0x11))),
    (4, "c0 00", mqtt.Pingreq()),
    (5, "d0 00", mqtt.Pingresp()),
    (4, "e0 00", mqtt.Disconnect()),
    (5, "e0 00", mqtt.Disconnect()),
    (5, "e0 01 8e", mqtt.Disconnect(0x8E)),
    (5, "e0 07 00 05 11 00000000", mqtt.Disconnect(0, Properties(session_expiry_s=0))),
]

CONNECT_5 = "10 ?? 0004 4d515454 05"
PUBLISH_5 = "30 ?? 0001 61"

# (version, bytes, clause, reason code). `??` is the right Remaining Length; version 0 expects a CONNECT.
MALFORMED: list[tuple[int, str, str, int]] = [
    (0, "c0 00", "3.1.0-1", 0x82),
    (0, "30 ?? 0001 61", "3.1.0-1", 0x82),
    (5, CONNECT_5 + "02 0000 00 0000", "3.1.0-2", 0x82),
    (0, "10 ?? 0004 4d515458 05 02 0000 00 0000", "3.1.2-1", 0x84),
    (0, "10 ?? 0004 4d515454 06 02 0000 00 0000", "3.1.2-2", 0x84),
    (0, "10 ?? 0006 4d5149736470 03 02 0000 0001 61", "3.1.2-2", 0x84),
    (0, CONNECT_5 + "03 0000 00 0000", "3.1.2-3", 0x81),
    (0, CONNECT_5 + "1e 0000 00 0000 00 0001 61 0000", "3.1.2-12", 0x81),
    (0, CONNECT_5 + "0a 0000 00 0000", "3.1.2-11", 0x81),
    (0, CONNECT_5 + "22 0000 00 0000", "3.1.2-11", 0x81),
    (0, "10 ?? 0004 4d515454 04 42 0000 0000 0001 61", "3.1.1: 3.1.2-22", 0x81),
    (0, CONNECT_5 + "02 0000 00 0000 00", "2.1.4", 0x81),
    (0, CONNECT_5 + "02 0000 00 0002 61", "2.1.4", 0x81),
    (0, CONNECT_5 + "06 0000 00 0000 00 0003 612f23 0000", "3.1.3.3", 0x90),
    (0, CONNECT_5 + "06 0000 00 0000 00 0000 0000", "4.7.3-1", 0x82),
    (0, CONNECT_5 + "02 0000 03 21 0000 0000", "3.1.2.11.3", 0x82),
    (0, CONNECT_5 + "02 0000 05 27 00000000 0000", "3.1.2.11.4", 0x82),
    (0, CONNECT_5 + "02 0000 06 21 0001 21 0001 0000", "3.1.2.11.3", 0x82),
    (0, CONNECT_5 + "02 0000 02 17 02 0000", "3.1.2.11.7", 0x82),
    (0, CONNECT_5 + "02 0000 04 16 0001 61 0000", "3.1.2.11.10", 0x82),
    (0, CONNECT_5 + "02 0000 03 23 0001 0000", "2.2.2.2", 0x81),
    (0, "10 ff ff ff 7f", "3.1.2-24", 0x95),
    (5, "30 ff ff ff ff 01", "1.5.5", 0x81),
    (5, "30 80 00", "1.5.5-1", 0x81),
    (5, "30 ff ff ff 7f", "3.1.2-24", 0x95),
    (5, "00 00", "2.1.2", 0x81),
    (5, "36 ?? 0001 61 0001 00", "3.3.1-4", 0x81),
    (5, "38 ?? 0001 61 00", "3.3.1-2", 0x81),
    (5, "32 ?? 0001 61 0000 00", "2.2.1-3", 0x82),
    (4, "30 ?? 0000", "4.7.3-1", 0x82),
    (5, "30 ?? 0000 00", "4.7.3-1", 0x82),
    (4, "30 ?? 0003 612f23", "3.3.2-2", 0x90),
    (4, "30 ?? 0001 2b", "3.3.2-2", 0x90),
    (4, "30 ?? 0001 00", "1.5.4-2", 0x81),
    (4, "30 ?? 0003 eda080", "1.5.4-1", 0x81),
    (4, "30 ?? 0002 c080", "1.5.4-1", 0x81),
    (4, "30 ?? 0001 ff", "1.5.4-1", 0x81),
    (4, "30 ?? 0005 61", "2.1.4", 0x81),
    (5, PUBLISH_5 + "8000", "1.5.5-1", 0x81),
    (5, PUBLISH_5 + "05 01 00", "2.2.2.1", 0x81),
    (5, PUBLISH_5 + "02 00 00", "2.2.2.2", 0x81),
    (5, PUBLISH_5 + "02 2b 00", "2.2.2.2", 0x81),
    (5, PUBLISH_5 + "03 ff7f 00", "2.2.2.2", 0x81),
    (5, PUBLISH_5 + "05 11 00000000", "2.2.2.2", 0x81),
    (5, PUBLISH_5 + "02 01 02", "3.3.2.3.2", 0x82),
    (5, PUBLISH_5 + "04 01 00 01 00", "3.3.2.3.2", 0x82),
    (5, PUBLISH_5 + "0a 02 00000001 02 00000001", "3.3.2.3.3", 0x82),
    (5, PUBLISH_5 + "08 08 0001 61 08 0001 61", "3.3.2.3.5", 0x82),
    (5, PUBLISH_5 + "04 08 0001 23", "3.3.2-14", 0x90),
    (5, PUBLISH_5 + "03 08 0000", "4.7.3-1", 0x82),
    (5, PUBLISH_5 + "03 23 0000", "3.3.2.3.4", 0x94),
    (5, PUBLISH_5 + "02 0b 00", "3.8.2.1.2", 0x82),
    (5, PUBLISH_5 + "03 09 0005", "2.1.4", 0x81),
    (5, PUBLISH_5 + "05 26 0001 61 00", "2.1.4", 0x81),
    (5, PUBLISH_5 + "07 26 0001 00 0001 61", "1.5.4-2", 0x81),
    (5, "41 02 0001", "2.1.3-1", 0x81),
    (5, "40 02 0000", "2.2.1-3", 0x82),
    (5, "40 03 0001 01", "2.4", 0x82),
    (4, "40 03 0001 00", "2.1.4", 0x81),
    (5, "40 04 0001 00 01", "2.2.2.1", 0x81),
    (5, "50 02 0001", "4.3.3", 0x82),
    (5, "62 02 0001", "4.3.3", 0x82),
    (5, "60 02 0001", "2.1.3-1", 0x81),
    (5, "70 02 0001", "4.3.3", 0x82),
    (4, "80 06 0001 0001 23 01", "2.1.3-1", 0x81),
    (4, "82 02 0001", "3.8.3-2", 0x82),
    (5, "82 ?? 0001 00", "3.8.3-2", 0x82),
    (4, "82 ?? 0001 0001 61 03", "3.8.3.1", 0x82),
    (4, "82 ?? 0001 0001 61 04", "3.8.3-5", 0x81),
    (5, "82 ?? 0001 00 0001 61 40", "3.8.3-5", 0x81),
    (5, "82 ?? 0001 00 0001 61 30", "3.8.3-4", 0x82),
    (5, "82 ?? 0001 00 0001 61", "2.1.4", 0x81),
    (5, "82 ?? 0001 04 0b 01 0b 02 0001 61 00", "3.8.2.1.2", 0x82),
    (5, "a2 ?? 0001 00", "3.10.3-2", 0x82),
    (4, "a0 05 0001 0001 61", "2.1.3-1", 0x81),
    (4, "90 03 0001 03", "3.1.1: 3.9.3-2", 0x81),
    (5, "90 03 0001 00", "3.9.3", 0x82),
    (5, "b0 04 0001 00 01", "2.4", 0x82),
    (4, "20 02 02 00", "3.2.2-1", 0x81),
    (4, "20 02 00 06", "3.1.1: 3.2.2.3", 0x81),
    (5, "20 03 00 8d 00", "2.4", 0x82),
    (5, "c0 01 00", "2.1.4", 0x81),
    (5, "c1 00", "2.1.3-1", 0x81),
    (5, "e2 00", "2.1.3-1", 0x81),
    (4, "e0 01 00", "2.1.4", 0x81),
    (5, "e0 01 01", "2.4", 0x82),
    (5, "f0 00", "4.12.0-6", 0x82),
]


def raw(text: str) -> bytes:
    """Bytes from hex, where `??` stands for the Remaining Length of what follows it (below 128)."""
    if "??" not in text:
        return bytes.fromhex(text)
    head, _, tail = text.partition("??")
    body = bytes.fromhex(tail)
    assert len(body) < 128
    return bytes.fromhex(head) + bytes([len(body)]) + body


def decoder(version: int, packet: mqtt.Packet) -> Decoder:
    """A server's reader for a CONNECT, else a reader in the middle of a connection."""
    return Decoder(0 if isinstance(packet, mqtt.Connect) else version)


def outcome(data: bytes, version: int, step: int = 1 << 20) -> tuple[list[mqtt.Packet], CodecError | None]:
    """What comes out of `data` fed in pieces of `step` bytes: packets, then perhaps an error. Anything else
    escapes."""
    reader = Decoder(version)
    found: list[mqtt.Packet] = []
    try:
        for at in range(0, len(data), step):
            found += reader.feed(data[at : at + step])
        reader.feed(b"")
    except CodecError as error:
        return found, error
    return found, None


def refused(data: bytes, version: int) -> CodecError:
    with pytest.raises(CodecError) as caught:
        Decoder(version).feed(data)
    return caught.value


@pytest.mark.parametrize(("version", "text", "packet"), VALID, ids=lambda v: str(v)[:40])
def test_a_packet_of_the_specification_is_read_and_written(
    version: int, text: str, packet: mqtt.Packet
) -> None:
    data = raw(text)
    assert decoder(version, packet).feed(data) == [packet]
    assert encode(packet, version) == data


@pytest.mark.parametrize(("version", "text", "packet"), VALID, ids=lambda v: str(v)[:40])
def test_a_packet_cut_at_any_byte_waits_for_the_rest(version: int, text: str, packet: mqtt.Packet) -> None:
    data = raw(text)
    for cut in range(len(data)):
        reader = decoder(version, packet)
        assert reader.feed(data[:cut]) == []
        assert reader.feed(data[cut:]) == [packet]


@pytest.mark.parametrize(("version", "text", "clause", "reason"), MALFORMED)
def test_a_broken_packet_is_refused_with_its_clause(
    version: int, text: str, clause: str, reason: int
) -> None:
    data = raw(text)
    error = refused(data, version)
    assert (error.clause, error.reason) == (clause, reason), str(error)
    assert error.protocol == "mqtt"
    assert 0 <= error.offset <= len(data)


@pytest.mark.parametrize(("version", "text", "clause", "reason"), MALFORMED)
def test_a_broken_packet_byte_by_byte_fails_alike(version: int, text: str, clause: str, reason: int) -> None:
    data = raw(text)
    found, error = outcome(data, version, step=1)
    assert found == []
    assert error is not None
    assert (error.what, error.offset) == (refused(data, version).what, refused(data, version).offset)
    assert (error.clause, error.reason) == (clause, reason)


def test_the_malformed_table_is_as_long_as_the_valid_one() -> None:
    assert len(MALFORMED) >= len(VALID)


def test_every_packet_with_a_shortened_body_is_refused_or_still_legal() -> None:
    # The Remaining Length is made to say less: no field may read past it, whatever the packet.
    for version, text, packet in VALID:
        data = raw(text)
        for keep in range(len(data) - 2):
            start = decoder(version, packet).version
            found, error = outcome(data[:1] + bytes([keep]) + data[2 : 2 + keep], start)
            assert (len(found) == 1) if error is None else (error.offset <= 2 + keep)


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 10_000])
def test_all_at_once_equals_any_pieces(version: int, step: int) -> None:
    # Sizes at the boundaries of the Remaining Length: 127, 128, 16,383, 16,384 bytes.
    sizes = [0, 1, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 16_378, 16_379, 16_380, 16_381]
    packets = [mqtt.Publish("a/b", b"x" * size) for size in sizes]
    stream = b"".join(encode(packet, version) for packet in packets)
    reader = Decoder(version)
    found: list[mqtt.Packet] = []
    for at in range(0, len(stream), step):
        found += reader.feed(stream[at : at + step])
    assert found == packets == Decoder(version).feed(stream)


def test_packets_before_a_fault_are_delivered_and_the_fault_stays() -> None:
    reader = Decoder(5)
    good = encode(mqtt.Publish("a", b"1"), 5)
    assert reader.feed(good + b"\x00\x00" + good) == [mqtt.Publish("a", b"1")]
    for _ in range(2):
        with pytest.raises(CodecError) as caught:
            reader.feed(b"")
        assert caught.value.offset == len(good) + 2
        assert caught.value is reader.fault


def test_the_offset_of_a_fault_counts_from_the_start_of_the_stream() -> None:
    reader = Decoder(4)
    for _ in range(3):
        assert len(reader.feed(encode(mqtt.Publish("a", b"1"), 4))) == 1
    with pytest.raises(CodecError) as caught:
        reader.feed(bytes.fromhex("30 03 0001 00"))
    assert caught.value.offset == 3 * 6 + 2


def test_the_version_is_learned_from_connect() -> None:
    for version, connect in ((4, DEVICE_3), (5, DEVICE_5)):
        reader = Decoder()
        assert reader.version == 0
        assert reader.feed(encode(connect, version) + encode(mqtt.Publish("a"), version)) == [
            connect,
            mqtt.Publish("a"),
        ]
        assert reader.version == version


@pytest.mark.parametrize(
    ("name", "level", "form"), [("MQIsdp", 3, 4), ("MQTT", 3, 4), ("MQTT", 6, 5), ("HTTP", 5, 0)]
)
def test_an_unknown_version_leaves_the_form_to_answer_in(name: str, level: int, form: int) -> None:
    body = len(name).to_bytes(2, "big") + name.encode() + bytes([level, 2, 0, 0, 0, 0])
    reader = Decoder()
    with pytest.raises(CodecError) as caught:
        reader.feed(b"\x10" + bytes([len(body)]) + body)
    assert caught.value.reason == 0x84
    assert reader.version == form


def test_a_packet_over_the_limit_is_refused_from_its_header_alone() -> None:
    packet = encode(mqtt.Publish("a", b"x" * 200), 5)
    assert Decoder(5, len(packet)).feed(packet)
    with pytest.raises(CodecError) as caught:
        Decoder(5, len(packet) - 1).feed(packet[:3])
    assert caught.value.reason == 0x95
    assert Decoder(5).max_packet_bytes == MQTT_PACKET_BYTES_MAX


def test_a_connect_over_its_own_limit_is_refused() -> None:
    connect = mqtt.Connect("c", 5, password=b"x" * MQTT_CONNECT_BYTES_MAX)
    assert refused(encode(connect, 5), 0).reason == 0x95


def test_user_properties_are_bounded() -> None:
    most = (("a", "b"),) * MQTT_USER_PROPERTIES_MAX
    data = encode(mqtt.Publish("a", properties=Properties(user=most)), 5)
    assert Decoder(5).feed(data) == [mqtt.Publish("a", properties=Properties(user=most))]
    too_many = encode(mqtt.Publish("a", properties=Properties(user=(*most, ("a", "b")))), 5)
    assert refused(too_many, 5).reason == 0x97


def test_filters_are_bounded() -> None:
    most = (mqtt.Subscription("a"),) * MQTT_FILTERS_MAX
    assert Decoder(4).feed(encode(mqtt.Subscribe(1, most), 4)) == [mqtt.Subscribe(1, most)]
    assert refused(encode(mqtt.Subscribe(1, (*most, mqtt.Subscription("a"))), 4), 4).reason == 0x97
    names = ("a",) * (MQTT_FILTERS_MAX + 1)
    assert refused(encode(mqtt.Unsubscribe(1, names), 4), 4).reason == 0x97


def test_a_password_never_shows() -> None:
    assert "token" not in repr(DEVICE_3)
    assert "dev-1" in repr(DEVICE_3)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([0, 4, 5]), st.binary(max_size=80))
def test_nothing_but_a_codec_error_escapes(version: int, noise: bytes) -> None:
    _, error = outcome(noise, version)
    assert error is None or (error.clause and error.reason is not None)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(VALID), st.integers(0, 200), st.integers(0, 255))
def test_one_changed_byte_gives_a_packet_or_a_codec_error(
    case: tuple[int, str, mqtt.Packet], at: int, value: int
) -> None:
    version, text, packet = case
    data = bytearray(raw(text))
    data[at % len(data)] = value
    _, error = outcome(bytes(data), decoder(version, packet).version)
    assert error is None or error.offset <= len(data)
