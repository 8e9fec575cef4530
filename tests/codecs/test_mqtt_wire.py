"""MQTT packets, both versions: what is read, what is refused with which clause, and what is written.

The vectors (`golden/mqtt.json`) are hand-written bytes from the specification; paho-mqtt and mqtt5 are the
independent peers.
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
from fabric_codecs.mqtt.wire import Decoder, decode
from helpers.golden import Good, mqtt_vectors

VALID, MALFORMED = mqtt_vectors()
DEVICE_3 = mqtt.Connect("dev-1", 4, True, 60, "dev-1", b"token")
DEVICE_5 = mqtt.Connect("dev-1", 5, True, 60, None, b"token", None, Properties(receive_maximum=20))


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


@pytest.mark.parametrize(("version", "data", "packet"), VALID, ids=lambda v: str(v)[:40])
def test_a_packet_of_the_specification_is_read_and_written(
    version: int, data: bytes, packet: mqtt.Packet
) -> None:
    (read,) = decoder(version, packet).feed(data)
    assert read == packet
    assert encode(read, version) == data
    assert encode(packet, version) == data
    assert decode(data, decoder(version, packet).version) == packet


@pytest.mark.parametrize(("version", "data", "packet"), VALID, ids=lambda v: str(v)[:40])
def test_a_packet_cut_at_any_byte_waits_for_the_rest(version: int, data: bytes, packet: mqtt.Packet) -> None:
    for cut in range(len(data)):
        reader = decoder(version, packet)
        assert reader.feed(data[:cut]) == []
        assert reader.feed(data[cut:]) == [packet]
        with pytest.raises(CodecError):
            decode(data[:cut], decoder(version, packet).version)


@pytest.mark.parametrize(("version", "data", "clause", "reason"), MALFORMED, ids=lambda v: str(v)[:40])
def test_a_broken_packet_is_refused_with_its_clause(
    version: int, data: bytes, clause: str, reason: int
) -> None:
    error = refused(data, version)
    assert (error.clause, error.reason) == (clause, reason), str(error)
    assert error.protocol == "mqtt"
    assert 0 <= error.offset <= len(data)


@pytest.mark.parametrize(("version", "data", "clause", "reason"), MALFORMED, ids=lambda v: str(v)[:40])
def test_a_broken_packet_byte_by_byte_fails_alike(
    version: int, data: bytes, clause: str, reason: int
) -> None:
    found, error = outcome(data, version, step=1)
    assert found == []
    assert error is not None
    assert (error.what, error.offset) == (refused(data, version).what, refused(data, version).offset)
    assert (error.clause, error.reason) == (clause, reason)


def test_bytes_behind_a_packet_are_refused_where_one_was_promised() -> None:
    with pytest.raises(CodecError) as caught:
        decode(encode(mqtt.Publish("a"), 4) * 2, 4)
    assert caught.value.offset == 5


def test_what_a_peer_left_out_or_wrote_out_stays_so() -> None:
    for spelled in ("40020001", "4003000100", "400400010000"):
        assert encode(decode(bytes.fromhex(spelled), 5), 5).hex() == spelled


def test_properties_keep_their_order_and_are_equal_in_any() -> None:
    data = bytes.fromhex("300b000161070200000001") + bytes.fromhex("0100")
    other = bytes.fromhex("300b00016107010002") + bytes.fromhex("00000001")
    assert encode(decode(data, 5), 5) == data
    assert encode(decode(other, 5), 5) == other
    assert decode(data, 5) == decode(other, 5)


def test_the_malformed_table_is_as_long_as_the_valid_one() -> None:
    assert len(MALFORMED) >= len(VALID)


def test_every_packet_with_a_shortened_body_is_refused_or_still_legal() -> None:
    # The Remaining Length is made to say less: no field may read past it, whatever the packet.
    for version, data, packet in VALID:
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
        assert caught.value.offset == len(good)
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
def test_one_changed_byte_gives_a_packet_or_a_codec_error(case: Good, at: int, value: int) -> None:
    version, whole, packet = case
    data = bytearray(whole)
    data[at % len(data)] = value
    _, error = outcome(bytes(data), decoder(version, packet).version)
    assert error is None or error.offset <= len(data)
