"""Kafka requests and frames that break a rule, are cut anywhere, or arrive byte by byte."""

from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kio.static.primitive import i8, i16, i32, i32Timedelta, i64

from fabric_codecs.bounds import KAFKA_NAMED_MAX
from fabric_codecs.errors import CodecError
from fabric_codecs.kafka import requests
from fabric_codecs.kafka.apis import Api
from fabric_codecs.kafka.wire import FieldReader, FieldWriter, FrameReader
from helpers.kafka_raw import request_frame, schema


def read_request(frame):
    fields = FieldReader(frame)
    return requests.read_body(requests.read_header(fields), fields)


def well_formed():
    """One request frame of each api in its newest version."""
    fetch = schema("fetch", 11)
    partition = fetch.FetchPartition(partition=i32(0), fetch_offset=i64(0), partition_max_bytes=i32(9))
    metadata = schema("metadata", 5)
    offsets = schema("list_offsets", 3)
    query = offsets.ListOffsetsPartition(partition_index=i32(0), timestamp=i64(-1))
    handshake = schema("sasl_handshake", 1).SaslHandshakeRequest(mechanism="PLAIN")
    authenticate = schema("sasl_authenticate", 1).SaslAuthenticateRequest(auth_bytes=b"secret")
    versions = schema("api_versions", 3).ApiVersionsRequest(
        client_software_name="n", client_software_version="v"
    )
    produce = schema("produce", 7)
    batch = produce.PartitionProduceData(index=i32(0), records=b"batch")
    bodies = {
        Api.PRODUCE: produce.ProduceRequest(
            transactional_id="t",
            acks=i16(1),
            timeout=i32Timedelta(timedelta(0)),
            topic_data=(produce.TopicProduceData(name="t", partition_data=(batch,)),),
        ),
        Api.FETCH: fetch.FetchRequest(
            max_wait=i32Timedelta(timedelta(0)),
            min_bytes=i32(1),
            topics=(fetch.FetchTopic(topic="t", partitions=(partition,)),),
            forgotten_topics_data=(),
        ),
        Api.METADATA: metadata.MetadataRequest(
            topics=(metadata.MetadataRequestTopic(name="t"),), allow_auto_topic_creation=True
        ),
        Api.LIST_OFFSETS: offsets.ListOffsetsRequest(
            replica_id=i32(-1),
            isolation_level=i8(0),
            topics=(offsets.ListOffsetsTopic(name="t", partitions=(query,)),),
        ),
        Api.SASL_HANDSHAKE: handshake,
        Api.SASL_AUTHENTICATE: authenticate,
        Api.API_VERSIONS: versions,
    }
    return {api: request_frame(body) for api, body in bodies.items()}


WELL_FORMED = well_formed()


@pytest.mark.parametrize("api", Api)
def test_a_request_cut_anywhere_or_with_a_byte_too_many_is_refused(api):
    frame = WELL_FORMED[api]
    read_request(frame)
    for size in range(len(frame)):
        with pytest.raises(CodecError):
            read_request(frame[:size])
    with pytest.raises(CodecError, match="after the last field"):
        read_request(frame + b"\0")


def metadata_frame(body):
    return b"\0\3\0\5\0\0\0\1\xff\xff" + body


MALFORMED = {
    "array of minus two": metadata_frame(b"\xff\xff\xff\xfe\1"),
    "array of more than the frame holds": metadata_frame(b"\x7f\xff\xff\xff\1"),
    "string of minus two": metadata_frame(b"\0\0\0\1\xff\xfe\1"),
    "null string where none may be": metadata_frame(b"\0\0\0\1\xff\xff\1"),
    "string over the frame": metadata_frame(b"\0\0\0\1\0\x10a\1"),
    "string that is not UTF-8": metadata_frame(b"\0\0\0\1\0\1\xff\1"),
    "client id that is not UTF-8": b"\0\3\0\5\0\0\0\1\0\1\xff\xff\xff\xff\xff\1",
    "auth bytes of minus one": b"\0\x24\0\1\0\0\0\1\xff\xff\xff\xff\xff\xff",
    "more tags than bytes": b"\0\x12\0\3\0\0\0\1\xff\xff\x7f",
    "tag over the frame": b"\0\x12\0\3\0\0\0\1\xff\xff\1\0\x09a",
    "varint over 32 bits": b"\0\x12\0\3\0\0\0\1\xff\xff\xff\xff\xff\xff\x7f",
    "null compact string": b"\0\x12\0\3\0\0\0\1\xff\xff\0\0\0\0",
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_request_is_refused(case):
    with pytest.raises(CodecError) as caught:
        read_request(MALFORMED[case])
    assert caught.value.reason == 42


def test_a_request_that_names_too_much_is_refused():
    def naming(count):
        return metadata_frame(count.to_bytes(4) + b"\0\1t" * count + b"\1")

    assert len(read_request(naming(KAFKA_NAMED_MAX)).topics) == KAFKA_NAMED_MAX
    with pytest.raises(CodecError, match="topics or partitions in one request"):
        read_request(naming(KAFKA_NAMED_MAX + 1))


@pytest.mark.parametrize(
    ("head", "size"),
    [
        ("0003 0005 00000001 ffff", 2),  # Metadata: names
        (
            "0001 0004 00000001 ffff ffffffff 00000000 00000000 00000000 00",
            6,
        ),  # Fetch: topics without partitions
        (
            "0001 0004 00000001 ffff ffffffff 00000000 00000000 00000000 00 00000001 0000",
            16,
        ),  # Fetch: partitions
        ("0002 0001 00000001 ffff ffffffff 00000001 0000", 12),  # ListOffsets: partitions
        ("0000 0003 00000001 ffff ffff 0001 00000000 00000001 0000", 8),  # Produce: partitions
    ],
)
def test_an_array_that_names_too_much_is_refused_before_its_elements_are_read(head, size):
    start = bytes.fromhex(head)
    count = KAFKA_NAMED_MAX + 1
    with pytest.raises(CodecError, match="1025 topics or partitions") as caught:
        read_request(start + count.to_bytes(4) + bytes(size * count))
    assert caught.value.offset == len(start) + 4


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(list(Api)), st.binary(max_size=80))
def test_any_bytes_give_a_request_or_a_codec_error(api, body):
    frame = WELL_FORMED[api][:10] + body
    with suppress(CodecError):
        read_request(frame)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_frames_come_out_the_same_however_the_stream_is_cut(step):
    frames = [b"", b"a", b"0123456789" * 30, b"\0\0\0\1"]
    stream = b"".join(len(frame).to_bytes(4) + frame for frame in frames)
    reader = FrameReader()
    got = []
    for at in range(0, len(stream), step):
        got += reader.feed(stream[at : at + step])
    assert got == frames
    assert reader.held_bytes == 0


@pytest.mark.parametrize("length", [-1, -(2**31), 101, 2**31 - 1])
def test_a_frame_over_the_bound_is_refused_at_its_length(length):
    reader = FrameReader(100)
    with pytest.raises(CodecError, match="allowed are 100"):
        reader.feed(length.to_bytes(4, signed=True))


def test_the_bound_may_be_raised_between_frames():
    reader = FrameReader(4)
    assert reader.feed((4).to_bytes(4) + b"abcd") == [b"abcd"]
    reader.max_bytes = 10
    assert reader.feed((10).to_bytes(4) + b"0123456789") == [b"0123456789"]


def test_a_string_that_its_length_cannot_hold_is_refused():
    out = FieldWriter()
    out.string("a" * 32767)
    with pytest.raises(CodecError, match="32767"):
        out.string("a" * 32768)
