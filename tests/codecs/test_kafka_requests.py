"""Framing, requests, responses: kio (made from Kafka's schemas) is the other side, in every version."""

import io
from contextlib import suppress
from datetime import timedelta
from importlib import import_module

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kio.serial import entity_reader, entity_writer
from kio.static.primitive import i8, i16, i32, i32Timedelta, i64

from fabric_codecs.errors import CodecError
from fabric_codecs.kafka import requests, responses
from fabric_codecs.kafka.apis import SERVED, Api, ErrorCode, is_served
from fabric_codecs.kafka.wire import FieldReader, FieldWriter, FrameReader

FOLDERS = {api: api.name.lower() for api in Api}
VERSIONS = {api: range(lowest, highest + 1) for api, (lowest, highest) in SERVED.items()}


def schema(api, version, part):
    return import_module(f"kio.schema.{FOLDERS[api]}.v{version}.{part}")


def fields_of(entity):
    return {name for name, field in entity.__dataclass_fields__.items() if field._field_type.name == "_FIELD"}


def made(entity, **values):
    """An entity of kio with those values that this version has."""
    return entity(**{name: value for name, value in values.items() if name in fields_of(entity)})


def written(entity):
    buffer = io.BytesIO()
    entity_writer(type(entity))(buffer, entity)
    return buffer.getvalue()


def request_frame(api, version, body, client_id="a client"):
    header_type = type(body).__header_schema__
    header = header_type(
        request_api_key=i16(api),
        request_api_version=i16(version),
        correlation_id=i32(-7),
        client_id=client_id,
    )
    return written(header) + written(body)


def read_request(frame):
    fields = FieldReader(frame)
    return requests.read_body(requests.read_header(fields), fields)


def read_response(api, version, frame):
    """kio's reading of a response frame; the whole frame must be used up."""
    entity = next(
        value
        for name, value in vars(schema(api, version, "response")).items()
        if name.endswith("Response") and name.lower() == FOLDERS[api].replace("_", "") + "response"
    )
    assert int.from_bytes(frame[:4]) == len(frame) - 4
    header, header_size = entity_reader(entity.__header_schema__)(frame, 4)
    answer, size = entity_reader(entity)(frame, 4 + header_size)
    assert 4 + header_size + size == len(frame)
    assert header.correlation_id == 99
    return answer


def encoded(version, response):
    return responses.encode_response(99, version, response)


# Requests, as kio writes them


@pytest.mark.parametrize("version", VERSIONS[Api.API_VERSIONS])
def test_api_versions_request_is_read(version):
    module = schema(Api.API_VERSIONS, version, "request")
    body = made(module.ApiVersionsRequest, client_software_name="name", client_software_version="1.2")
    wanted = (
        requests.ApiVersionsRequest("name", "1.2") if version >= 3 else requests.ApiVersionsRequest("", "")
    )
    assert read_request(request_frame(Api.API_VERSIONS, version, body)) == wanted


@pytest.mark.parametrize("client_id", [None, "", "ünïcode"])
@pytest.mark.parametrize("version", VERSIONS[Api.METADATA])
def test_metadata_request_is_read_with_its_header(version, client_id):
    module = schema(Api.METADATA, version, "request")
    topics = tuple(module.MetadataRequestTopic(name=name) for name in ("a.b", "c"))
    body = made(module.MetadataRequest, topics=topics, allow_auto_topic_creation=False)
    fields = FieldReader(request_frame(Api.METADATA, version, body, client_id))
    header = requests.read_header(fields)
    assert header == requests.RequestHeader(Api.METADATA, version, -7, client_id)
    assert requests.read_body(header, fields) == requests.MetadataRequest(("a.b", "c"), version < 4)


@pytest.mark.parametrize("version", VERSIONS[Api.METADATA])
def test_metadata_request_for_all_topics_has_its_own_spelling_in_version_0(version):
    module = schema(Api.METADATA, version, "request")
    everything = made(
        module.MetadataRequest, topics=() if version == 0 else None, allow_auto_topic_creation=True
    )
    assert read_request(request_frame(Api.METADATA, version, everything)).topics is None
    if version > 0:
        nothing = made(module.MetadataRequest, topics=(), allow_auto_topic_creation=True)
        assert read_request(request_frame(Api.METADATA, version, nothing)).topics == ()


@pytest.mark.parametrize("version", VERSIONS[Api.LIST_OFFSETS])
def test_list_offsets_request_is_read(version):
    module = schema(Api.LIST_OFFSETS, version, "request")
    asked = [(0, -1), (1, -2), (2, 1_700_000_000_000)]
    partitions = tuple(
        module.ListOffsetsPartition(partition_index=i32(partition), timestamp=i64(timestamp))
        for partition, timestamp in asked
    )
    topics = (module.ListOffsetsTopic(name="t", partitions=partitions),)
    body = made(module.ListOffsetsRequest, replica_id=i32(-1), isolation_level=i8(1), topics=topics)
    assert read_request(request_frame(Api.LIST_OFFSETS, version, body)) == requests.ListOffsetsRequest(
        tuple(requests.OffsetQuery("t", partition, timestamp) for partition, timestamp in asked),
        isolation_level=1 if version >= 2 else 0,
    )


@pytest.mark.parametrize("version", VERSIONS[Api.FETCH])
def test_fetch_request_is_read(version):
    module = schema(Api.FETCH, version, "request")
    partitions = tuple(
        made(
            module.FetchPartition,
            partition=i32(at),
            current_leader_epoch=i32(5),
            fetch_offset=i64(1 << 40),
            log_start_offset=i64(-1),
            partition_max_bytes=i32(1000 + at),
        )
        for at in range(2)
    )
    forgotten = ()
    if version >= 7:
        forgotten = (module.ForgottenTopic(topic="gone", partitions=(i32(0), i32(3))),)
    body = made(
        module.FetchRequest,
        replica_id=i32(-1),
        max_wait=i32Timedelta(timedelta(milliseconds=500)),
        min_bytes=i32(1),
        max_bytes=i32(52428800),
        isolation_level=i8(1),
        session_id=i32(8),
        session_epoch=i32(3),
        topics=(module.FetchTopic(topic="t", partitions=partitions),),
        forgotten_topics_data=forgotten,
        rack_id="rack",
    )
    session = {"session_id": 8, "session_epoch": 3} if version >= 7 else {}
    wanted = requests.FetchRequest(
        max_wait_ms=500,
        min_bytes=1,
        max_bytes=52428800,
        partitions=tuple(requests.FetchPartition("t", at, 1 << 40, 1000 + at) for at in range(2)),
        isolation_level=1,
        **session,
    )
    assert read_request(request_frame(Api.FETCH, version, body)) == wanted


@pytest.mark.parametrize("version", VERSIONS[Api.PRODUCE])
def test_produce_request_is_read_for_its_partitions_alone(version):
    module = schema(Api.PRODUCE, version, "request")
    partitions = tuple(
        module.PartitionProduceData(index=i32(at), records=records)
        for at, records in ((0, b"batch"), (3, None))
    )
    body = module.ProduceRequest(
        transactional_id=None,
        acks=i16(-1),
        timeout=i32Timedelta(timedelta(seconds=1)),
        topic_data=(module.TopicProduceData(name="t", partition_data=partitions),),
    )
    wanted = requests.ProduceRequest(-1, (("t", 0), ("t", 3)))
    assert read_request(request_frame(Api.PRODUCE, version, body)) == wanted


@pytest.mark.parametrize("version", [0, 1])
def test_sasl_requests_are_read(version):
    handshake = schema(Api.SASL_HANDSHAKE, version, "request").SaslHandshakeRequest(mechanism="PLAIN")
    frame = request_frame(Api.SASL_HANDSHAKE, version, handshake)
    assert read_request(frame) == requests.SaslHandshakeRequest("PLAIN")
    module = schema(Api.SASL_AUTHENTICATE, version, "request")
    frame = request_frame(
        Api.SASL_AUTHENTICATE, version, module.SaslAuthenticateRequest(auth_bytes=b"\0u\0p")
    )
    assert read_request(frame) == requests.SaslAuthenticateRequest(b"\0u\0p")


# Responses, as kio reads them


@pytest.mark.parametrize("version", VERSIONS[Api.API_VERSIONS])
def test_api_versions_response_lists_what_is_served(version):
    answer = read_response(Api.API_VERSIONS, version, encoded(version, responses.ApiVersionsResponse()))
    assert answer.error_code == 0
    listed = {key.api_key: (key.min_version, key.max_version) for key in answer.api_keys}
    assert listed == {int(api): served for api, served in SERVED.items()}


def test_refused_api_version_is_answered_in_version_0_with_the_list():
    refusal = responses.ApiVersionsResponse(ErrorCode.UNSUPPORTED_VERSION)
    answer = read_response(Api.API_VERSIONS, 0, encoded(0, refusal))
    assert answer.error_code == 35
    assert len(answer.api_keys) == len(SERVED)


@pytest.mark.parametrize("version", VERSIONS[Api.METADATA])
def test_metadata_response_shows_one_broker_that_leads_everything(version):
    topics = (
        responses.TopicMetadata("a", 2),
        responses.TopicMetadata("b", error=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    )
    response = responses.MetadataResponse(1, "127.0.0.1", 9092, "cluster", topics)
    answer = read_response(Api.METADATA, version, encoded(version, response))
    (broker,) = answer.brokers
    assert (broker.node_id, broker.host, broker.port) == (1, "127.0.0.1", 9092)
    assert [(topic.name, topic.error_code) for topic in answer.topics] == [("a", 0), ("b", 3)]
    partitions = [
        (p.error_code, p.partition_index, p.leader_id, p.replica_nodes, p.isr_nodes)
        for p in answer.topics[0].partitions
    ]
    assert partitions == [(0, 0, 1, (1,), (1,)), (0, 1, 1, (1,), (1,))]
    if version >= 2:
        assert answer.cluster_id == "cluster"
    if version >= 5:
        assert answer.topics[0].partitions[0].offline_replicas == ()


@pytest.mark.parametrize("version", VERSIONS[Api.LIST_OFFSETS])
def test_list_offsets_response_groups_by_topic(version):
    answers = (
        responses.OffsetAnswer("a", 0, offset=12),
        responses.OffsetAnswer("a", 1, timestamp_ms=1_700_000_000_000, offset=3),
        responses.OffsetAnswer("b", 0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    )
    answer = read_response(
        Api.LIST_OFFSETS, version, encoded(version, responses.ListOffsetsResponse(answers))
    )
    got = [
        (topic.name, p.partition_index, p.error_code, p.offset)
        for topic in answer.topics
        for p in topic.partitions
    ]
    assert got == [("a", 0, 0, 12), ("a", 1, 0, 3), ("b", 0, 3, -1)]
    assert len(answer.topics) == 2


@pytest.mark.parametrize("version", VERSIONS[Api.FETCH])
def test_fetch_response_carries_the_batch_untouched_and_the_last_stable_offset(version):
    partitions = (
        responses.FetchedPartition("t", 0, high_watermark=9, log_start_offset=2, records=b"batch bytes"),
        responses.FetchedPartition("t", 1, ErrorCode.OFFSET_OUT_OF_RANGE, 4, 0),
    )
    answer = read_response(Api.FETCH, version, encoded(version, responses.FetchResponse(partitions)))
    (topic,) = answer.responses
    first, second = topic.partitions
    assert (first.partition_index, first.error_code, first.records) == (0, 0, b"batch bytes")
    assert (first.high_watermark, first.last_stable_offset) == (9, 9)
    assert first.aborted_transactions is None
    assert (second.partition_index, second.error_code, second.records) == (1, 1, b"")
    if version >= 5:
        assert first.log_start_offset == 2
    if version >= 7:
        assert (answer.error_code, answer.session_id) == (0, 0)


@pytest.mark.parametrize("version", VERSIONS[Api.PRODUCE])
def test_produce_refusal_names_every_partition(version):
    refused = (responses.RefusedPartition("t", 0), responses.RefusedPartition("t", 3))
    refusal = responses.ProduceRefusal(refused, ErrorCode.TOPIC_AUTHORIZATION_FAILED)
    answer = read_response(Api.PRODUCE, version, encoded(version, refusal))
    (topic,) = answer.responses
    got = [(p.index, p.error_code, p.base_offset) for p in topic.partition_responses]
    assert got == [(0, 29, -1), (3, 29, -1)]


@pytest.mark.parametrize("version", [0, 1])
def test_sasl_responses_are_understood(version):
    handshake = responses.SaslHandshakeResponse(ErrorCode.UNSUPPORTED_SASL_MECHANISM, ("PLAIN",))
    answer = read_response(Api.SASL_HANDSHAKE, version, encoded(version, handshake))
    assert (answer.error_code, answer.mechanisms) == (33, ("PLAIN",))
    refused = responses.SaslAuthenticateResponse(ErrorCode.SASL_AUTHENTICATION_FAILED, "wrong token")
    answer = read_response(Api.SASL_AUTHENTICATE, version, encoded(version, refused))
    assert (answer.error_code, answer.error_message, answer.auth_bytes) == (58, "wrong token", b"")


# What is served, and what breaks the rules


@pytest.mark.parametrize(
    ("key", "version", "served"),
    [
        (18, 0, True),
        (18, 3, True),
        (18, 4, False),
        (18, -1, False),
        (1, 3, False),
        (1, 4, True),
        (0, 3, True),
        (0, 8, False),
        (99, 0, False),
    ],
)
def test_is_served_follows_the_table(key, version, served):
    assert is_served(key, version) is served


def well_formed():
    """One request frame of each api in its newest version."""
    fetch = schema(Api.FETCH, 11, "request")
    partition = fetch.FetchPartition(partition=i32(0), fetch_offset=i64(0), partition_max_bytes=i32(9))
    metadata = schema(Api.METADATA, 5, "request")
    offsets = schema(Api.LIST_OFFSETS, 3, "request")
    query = offsets.ListOffsetsPartition(partition_index=i32(0), timestamp=i64(-1))
    handshake = schema(Api.SASL_HANDSHAKE, 1, "request").SaslHandshakeRequest(mechanism="PLAIN")
    authenticate = schema(Api.SASL_AUTHENTICATE, 1, "request").SaslAuthenticateRequest(auth_bytes=b"secret")
    versions = schema(Api.API_VERSIONS, 3, "request").ApiVersionsRequest(
        client_software_name="n", client_software_version="v"
    )
    produce = schema(Api.PRODUCE, 7, "request")
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
    return {api: request_frame(api, SERVED[api][1], body) for api, body in bodies.items()}


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
