"""Frames out of a stream, and requests and responses that break a rule or are cut anywhere."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_codecs.bounds import KAFKA_NAMED_MAX
from fabric_codecs.errors import CodecError
from fabric_codecs.kafka.apis import Api
from fabric_codecs.kafka.frames import decode_header, decode_request, decode_response
from fabric_codecs.kafka.messages import EXCHANGES
from fabric_codecs.kafka.wire import FrameReader
from helpers.kafka_samples import full, request_frame_of, response_frame_of

# The last classic version and the newest of each api.
VERSIONS = [
    (Api(api), version)
    for api, exchange in EXCHANGES.items()
    for version in sorted({min(exchange.last, exchange.flexible_from - 1), exchange.last})
]
IDS = [f"{api.name.lower()}-{version}" for api, version in VERSIONS]


def read_request(frame):
    header, at = decode_header(frame)
    return decode_request(frame, header, at)


# The stream


def taken(reader):
    return list(iter(reader.take, None))


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_frames_come_out_the_same_however_the_stream_is_cut(step):
    frames = [b"", b"a", b"0123456789" * 30, b"\0\0\0\1"]
    stream = b"".join(len(frame).to_bytes(4) + frame for frame in frames)
    reader = FrameReader()
    got = []
    for at in range(0, len(stream), step):
        reader.feed(stream[at : at + step])
        got += taken(reader)
    assert got == frames
    assert reader.held_bytes == 0


@pytest.mark.parametrize("length", [-1, -(2**31), 101, 2**31 - 1])
def test_a_frame_over_the_bound_is_refused_at_its_length(length):
    reader = FrameReader(100)
    reader.feed(length.to_bytes(4, signed=True))
    for _ in range(2):
        with pytest.raises(CodecError, match="allowed are 100") as caught:
            reader.take()
        assert (caught.value.offset, caught.value.reason) == (0, 42)
        assert "Request and Response Structure" in caught.value.clause


@pytest.mark.parametrize("step", [1, 5, 100])
def test_frames_before_a_malformed_one_are_handed_out_first_even_of_the_same_read(step):
    stream = b"\0\0\0\1a\0\0\0\2bc" + b"\xff\xff\xff\xff" + b"\0\0\0\1d"
    reader = FrameReader(100)
    got = []
    for at in range(0, len(stream), step):
        reader.feed(stream[at : at + step])
        with suppress(CodecError):
            while (frame := reader.take()) is not None:
                got.append(frame)
    assert got == [b"a", b"bc"]
    with pytest.raises(CodecError) as caught:
        reader.take()
    assert caught.value.offset == 11


def test_the_bound_may_be_raised_between_two_frames_of_one_read():
    reader = FrameReader(4)
    reader.feed((4).to_bytes(4) + b"abcd" + (10).to_bytes(4) + b"0123456789")
    assert reader.take() == b"abcd"
    with pytest.raises(CodecError):
        reader.take()
    reader.max_bytes = 10
    assert reader.take() == b"0123456789"
    assert reader.take() is None


def test_what_is_held_is_what_was_not_taken():
    reader = FrameReader()
    reader.feed(b"\0\0\0\1a\0\0\0\3b")
    assert reader.held_bytes == 10
    assert reader.take() == b"a"
    assert reader.take() is None
    assert reader.held_bytes == 5
    reader.feed(b"cd")
    assert reader.take() == b"bcd"
    assert reader.held_bytes == 0


# Messages cut short, and with something behind them


@pytest.mark.parametrize(("api", "version"), VERSIONS, ids=IDS)
def test_a_request_cut_anywhere_or_with_a_byte_too_many_is_refused(api, version):
    frame = request_frame_of(api, version)
    assert read_request(frame) == full(EXCHANGES[api].request, version)
    for size in range(len(frame)):
        with pytest.raises(CodecError) as caught:
            read_request(frame[:size])
        assert 0 <= caught.value.offset <= size
        assert caught.value.clause
    with pytest.raises(CodecError, match="after the last field"):
        read_request(frame + b"\0")


@pytest.mark.parametrize(("api", "version"), VERSIONS, ids=IDS)
def test_a_response_cut_anywhere_or_with_a_byte_too_many_is_refused(api, version):
    frame = response_frame_of(api, version)
    assert decode_response(frame, api, version) == (7, full(EXCHANGES[api].response, version))
    for size in range(len(frame)):
        with pytest.raises(CodecError) as caught:
            decode_response(frame[:size], api, version)
        assert 0 <= caught.value.offset <= size
        assert caught.value.clause
    with pytest.raises(CodecError, match="after the last field"):
        decode_response(frame + b"\0", api, version)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(VERSIONS), st.binary(max_size=80))
def test_any_bytes_give_a_message_or_a_codec_error(version, body):
    frame = request_frame_of(*version)[:12] + body
    with suppress(CodecError):
        read_request(frame)
    with suppress(CodecError):
        decode_response(body, *version)


# The malformed table


def metadata(body, version=5):
    return b"\0\3" + version.to_bytes(2) + b"\0\0\0\1\xff\xff" + body


def flexible(body):
    """A Metadata request of version 9, its header without tags."""
    return metadata(b"\0" + body, 9)


VERSIONS_3 = b"\0\x12\0\3\0\0\0\1\xff\xff"  # the header of ApiVersions 3, its tags to follow
TOKEN = b"\0\x24\0\1\0\0\0\1\xff\xff"  # the header of SaslAuthenticate 1

# What is said of it, where, and the clause in "Protocol Primitive Types".
MALFORMED = {
    "empty frame": (b"", "api_key", 0, "INT16"),
    "header cut in a number": (b"\0\3\0\5\0\0", "correlation_id", 4, "INT32"),
    "client id cut short": (b"\0\3\0\5\0\0\0\1\0\5abc", "client_id", 10, "STRING"),
    "client id that is not UTF-8": (b"\0\3\0\5\0\0\0\1\0\1\xff\xff\xff\xff\xff\1", "not UTF-8", 10, "STRING"),
    "client id of minus two": (b"\0\3\0\5\0\0\0\1\xff\xfe", "a length of -2", 8, "STRING"),
    "array of minus two": (metadata(b"\xff\xff\xff\xfe\1"), "topics: -2 elements", 10, "ARRAY"),
    "array of more than there is": (metadata(b"\x7f\xff\xff\xff\1"), "with 1 bytes left", 10, "ARRAY"),
    "array that the version knows no null for": (metadata(b"\xff\xff\xff\xff", 0), "topics: -1", 10, "ARRAY"),
    "string of minus two": (metadata(b"\0\0\0\1\xff\xfe\1"), "name: a length of -2", 14, "STRING"),
    "null string where none may be": (metadata(b"\0\0\0\1\xff\xff\1"), "name: null", 14, "STRING"),
    "string over the frame": (metadata(b"\0\0\0\1\0\x10a\1"), "name: the bytes end", 16, "STRING"),
    "string that is not UTF-8": (metadata(b"\0\0\0\1\0\1\xff\1"), "name: not UTF-8", 16, "STRING"),
    "string with a lone surrogate": (metadata(b"\0\0\0\1\0\3\xed\xa0\x80\1"), "not UTF-8", 16, "STRING"),
    "boolean missing": (metadata(b"\0\0\0\0"), "allow_auto_topic_creation", 14, "BOOLEAN"),
    "auth bytes of minus one": (TOKEN + b"\xff\xff\xff\xff", "auth_bytes: null", 10, "BYTES"),
    "auth bytes of minus two": (TOKEN + b"\xff\xff\xff\xfe", "length of -2", 10, "BYTES"),
    "auth bytes over the frame": (TOKEN + b"\0\0\0\5abcd", "auth_bytes", 14, "BYTES"),
    "null compact string": (VERSIONS_3 + b"\0\0\0\0", "software_name: null", 11, "COMPACT_STRING"),
    "compact string over the frame": (VERSIONS_3 + b"\0\x09a", "software_name", 12, "COMPACT_STRING"),
    "compact array over the frame": (flexible(b"\x7f\0"), "126 elements", 11, "COMPACT_ARRAY"),
    "compact array without end": (flexible(b"\xff\xff"), "the bytes end", 13, "COMPACT_ARRAY"),
    "length longer than it need be": (flexible(b"\x81\0\0\0\0\0"), "longer", 11, "UNSIGNED_VARINT"),
    "length over 32 bits": (flexible(b"\xff\xff\xff\xff\x7f"), "within its width", 11, "UNSIGNED_VARINT"),
    "more tags than bytes": (VERSIONS_3 + b"\x7f", "cut short", 11, "KIP-482, Tagged Fields"),
    "tag over the frame": (VERSIONS_3 + b"\1\0\x09a", "tag 0: 9 bytes with 1", 11, "KIP-482, Tagged Fields"),
    "tags that descend": (VERSIONS_3 + b"\2\5\0\4\0\1\1\0", "tag 4 after", 13, "KIP-482, Tagged Fields"),
    "a tag twice": (VERSIONS_3 + b"\2\5\0\5\0\1\1\0", "tag 5 after tag 5", 13, "KIP-482, Tagged Fields"),
    "tag longer than it need be": (VERSIONS_3 + b"\1\x85\0\0\1\1\0", "longer", 11, "KIP-482, Tagged Fields"),
    "tag over 32 bits": (VERSIONS_3 + b"\1\xff\xff\xff\xff\x1f\0", "width", 11, "KIP-482, Tagged Fields"),
    "tags longer than they need be": (VERSIONS_3 + b"\x80\0\1\1\0", "longer", 10, "KIP-482, Tagged Fields"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_request_is_refused_with_field_place_and_clause(case):
    frame, what, offset, clause = MALFORMED[case]
    with pytest.raises(CodecError, match=what) as caught:
        read_request(frame)
    assert (caught.value.reason, caught.value.protocol) == (42, "kafka")
    assert caught.value.offset == offset
    assert caught.value.clause == (clause if " " in clause else f"Protocol Primitive Types, {clause}")


FETCH_12 = bytes.fromhex("0001 000c 00000007 0002 6d65 00")  # the header of a Fetch request of version 12
NOTHING = bytes.fromhex("ffffffff 00000005 00000001 7fffffff 00 00000000 ffffffff 01 01 01")  # its body

KNOWN_TAGS = {
    "a known tag with bytes behind its field": (
        b"\1\0\3\2cc",
        "cluster_id: 1 bytes behind",
        46,
        "KIP-482, Tagged Fields",
    ),
    "a known tag too small for its field": (b"\1\0\2\3c", "cluster_id: the bytes end", 45, "COMPACT_STRING"),
    "a known tag of no bytes": (b"\1\0\0", "cluster_id: the bytes end", 44, "COMPACT_STRING"),
    "a known tag with broken text": (b"\1\0\2\2\xff", "cluster_id: not UTF-8", 45, "COMPACT_STRING"),
}


@pytest.mark.parametrize("case", KNOWN_TAGS)
def test_a_known_tagged_field_fills_its_tag(case):
    tags, what, offset, clause = KNOWN_TAGS[case]
    assert read_request(FETCH_12 + NOTHING + b"\1\0\2\2c").cluster_id == "c"
    with pytest.raises(CodecError, match=what) as caught:
        read_request(FETCH_12 + NOTHING + tags)
    assert caught.value.offset == offset
    assert caught.value.clause == (clause if " " in clause else f"Protocol Primitive Types, {clause}")


# Too much of it


def test_a_request_that_names_too_much_is_refused():
    def naming(count):
        return metadata(count.to_bytes(4) + b"\0\1t" * count + b"\1")

    assert len(read_request(naming(KAFKA_NAMED_MAX)).topics) == KAFKA_NAMED_MAX
    with pytest.raises(CodecError, match="topics: 1025 elements in one message"):
        read_request(naming(KAFKA_NAMED_MAX + 1))


@pytest.mark.parametrize(
    ("head", "size"),
    [
        ("0003 0005 00000001 ffff", 2),  # Metadata: names
        ("0001 0004 00000001 ffff ffffffff 00000000 00000000 00000000 00", 6),  # Fetch: topics
        ("0001 0004 00000001 ffff ffffffff 00000000 00000000 00000000 00 00000001 0000", 16),  # partitions
        ("0002 0001 00000001 ffff ffffffff 00000001 0000", 12),  # ListOffsets: partitions
        ("0000 0003 00000001 ffff ffff 0001 00000000 00000001 0000", 8),  # Produce: partitions
    ],
)  # fmt: skip
def test_an_array_that_names_too_much_is_refused_before_its_elements_are_read(head, size):
    start = bytes.fromhex(head)
    count = KAFKA_NAMED_MAX + 1
    with pytest.raises(CodecError, match="1025 elements in one message, allowed are 1024") as caught:
        read_request(start + count.to_bytes(4) + bytes(size * count))
    assert caught.value.offset == len(start)


def test_elements_of_one_array_are_counted_in_all_its_places_together():
    def topic(partitions):
        return b"\0\1t" + partitions.to_bytes(4) + bytes(12 * partitions)

    head = bytes.fromhex("0002 0001 00000001 ffff ffffffff 00000002")  # ListOffsets: two topics
    half = KAFKA_NAMED_MAX // 2
    read_request(head + topic(half) * 2)
    with pytest.raises(CodecError, match="partitions: 1025 elements in one message"):
        read_request(head + topic(half) + topic(half + 1))
