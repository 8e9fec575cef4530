"""Requests and responses: kio (made from Kafka's schemas) is the other side, in every version."""

from datetime import timedelta

import pytest
from kio.serial import entity_reader
from kio.static.primitive import i8, i16, i32, i32Timedelta, i64

from fabric_codecs.kafka import requests, responses
from fabric_codecs.kafka.apis import SERVED, Api, ErrorCode, is_served
from fabric_codecs.kafka.wire import FieldReader
from helpers.kafka_raw import request_frame, schema

VERSIONS = {api: range(lowest, highest + 1) for api, (lowest, highest) in SERVED.items()}


def fields_of(entity):
    return {name for name, field in entity.__dataclass_fields__.items() if field._field_type.name == "_FIELD"}


def made(entity, **values):
    """An entity of kio with those values that this version has."""
    return entity(**{name: value for name, value in values.items() if name in fields_of(entity)})


def read_request(frame):
    fields = FieldReader(frame)
    return requests.read_body(requests.read_header(fields), fields)


def read_response(api, version, frame):
    """kio's reading of a response frame; the whole frame must be used up."""
    entity = next(
        value
        for name, value in vars(schema(api.name.lower(), version, "response")).items()
        if name.endswith("Response") and name.lower() == api.name.lower().replace("_", "") + "response"
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
    module = schema("api_versions", version)
    body = made(module.ApiVersionsRequest, client_software_name="name", client_software_version="1.2")
    wanted = (
        requests.ApiVersionsRequest("name", "1.2") if version >= 3 else requests.ApiVersionsRequest("", "")
    )
    assert read_request(request_frame(body)) == wanted


@pytest.mark.parametrize("client_id", [None, "", "ünïcode"])
@pytest.mark.parametrize("version", VERSIONS[Api.METADATA])
def test_metadata_request_is_read_with_its_header(version, client_id):
    module = schema("metadata", version)
    topics = tuple(module.MetadataRequestTopic(name=name) for name in ("a.b", "c"))
    body = made(module.MetadataRequest, topics=topics, allow_auto_topic_creation=False)
    fields = FieldReader(request_frame(body, client_id=client_id))
    header = requests.read_header(fields)
    assert header == requests.RequestHeader(Api.METADATA, version, 7, client_id)
    assert requests.read_body(header, fields) == requests.MetadataRequest(("a.b", "c"), version < 4)


@pytest.mark.parametrize("version", VERSIONS[Api.METADATA])
def test_metadata_request_for_all_topics_has_its_own_spelling_in_version_0(version):
    module = schema("metadata", version)
    everything = made(
        module.MetadataRequest, topics=() if version == 0 else None, allow_auto_topic_creation=True
    )
    assert read_request(request_frame(everything)).topics is None
    if version > 0:
        nothing = made(module.MetadataRequest, topics=(), allow_auto_topic_creation=True)
        assert read_request(request_frame(nothing)).topics == ()


@pytest.mark.parametrize("version", VERSIONS[Api.LIST_OFFSETS])
def test_list_offsets_request_is_read(version):
    module = schema("list_offsets", version)
    asked = [(0, -1), (1, -2), (2, 1_700_000_000_000)]
    partitions = tuple(
        module.ListOffsetsPartition(partition_index=i32(partition), timestamp=i64(timestamp))
        for partition, timestamp in asked
    )
    topics = (module.ListOffsetsTopic(name="t", partitions=partitions),)
    body = made(module.ListOffsetsRequest, replica_id=i32(-1), isolation_level=i8(1), topics=topics)
    assert read_request(request_frame(body)) == requests.ListOffsetsRequest(
        tuple(requests.OffsetQuery("t", partition, timestamp) for partition, timestamp in asked),
        isolation_level=1 if version >= 2 else 0,
    )


@pytest.mark.parametrize("version", VERSIONS[Api.FETCH])
def test_fetch_request_is_read(version):
    module = schema("fetch", version)
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
    assert read_request(request_frame(body)) == wanted


@pytest.mark.parametrize("version", VERSIONS[Api.PRODUCE])
def test_produce_request_is_read_for_its_partitions_alone(version):
    module = schema("produce", version)
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
    assert read_request(request_frame(body)) == wanted


@pytest.mark.parametrize("version", [0, 1])
def test_sasl_requests_are_read(version):
    handshake = schema("sasl_handshake", version).SaslHandshakeRequest(mechanism="PLAIN")
    frame = request_frame(handshake)
    assert read_request(frame) == requests.SaslHandshakeRequest("PLAIN")
    module = schema("sasl_authenticate", version)
    frame = request_frame(module.SaslAuthenticateRequest(auth_bytes=b"\0u\0p"))
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
