"""Every request and response in every version: kio, made from Kafka's own schemas, is the other side."""

import dataclasses
import uuid
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kio.schema.errors import ErrorCode as KioErrorCode
from kio.serial import entity_reader
from kio.static.primitive import i32Timedelta, i64Timedelta

from fabric_codecs.errors import CodecError
from fabric_codecs.kafka.apis import SERVED, Api, ErrorCode, is_served
from fabric_codecs.kafka.frames import (
    RequestHeader,
    decode_header,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from fabric_codecs.kafka.messages import EXCHANGES
from fabric_codecs.kafka.messages.connection import (
    ApiVersion,
    ApiVersionsRequest,
    ApiVersionsResponse,
    MetadataRequest,
    MetadataRequestTopic,
    SupportedFeatureKey,
)
from fabric_codecs.kafka.messages.data import (
    FetchPartition,
    FetchRequest,
    FetchTopic,
    ForgottenTopic,
    LeaderIdAndEpoch,
    PartitionProduceResponse,
    ProduceResponse,
    TopicProduceResponse,
)
from fabric_codecs.kafka.messages.groups import HeartbeatRequest, HeartbeatResponse
from fabric_codecs.kafka.schema import Kind, fields_of
from helpers.kio_messages import kio_bytes, ours, theirs

CASES = [
    (Api(api), version, part)
    for api, exchange in EXCHANGES.items()
    for version in range(exchange.first, exchange.last + 1)
    for part in ("request", "response")
]
IDS = [f"{api.name.lower()}-{version}-{part}" for api, version, part in CASES]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)
INTEGERS = {Kind.INT8: 8, Kind.INT16: 16, Kind.INT32: 32, Kind.INT64: 64}
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)


@cache
def in_version(cls, version):
    return [field for field in fields_of(cls) if field.versions.first <= version <= field.versions.last]


@cache
def counterpart(theirs, name):
    """The name and the type of a field of ours in an entity of kio."""
    hints = get_type_hints(theirs)
    (spelling,) = {name, name.removesuffix("_ms"), name.replace("_2pc", "2_pc")} & hints.keys()
    hint, inner = hints[spelling], None
    while inner is not hint:
        inner, hint = hint, next((part for part in get_args(hint) if part not in (type(None), ...)), hint)
    return spelling, hint


def values(field, theirs, version):
    """Values of a field that both sides can hold: kio has no place for every number."""
    _, hint = counterpart(theirs, field.name)
    if field.kind is Kind.STRUCT:
        one = structs(field.struct, hint, version)
    elif hint is KioErrorCode:
        one = st.sampled_from([int(code) for code in KioErrorCode])
    elif hint in (i32Timedelta, i64Timedelta):
        one = st.integers(-(2**31), 2**31 - 1)
    elif hint.__name__ == "TZAware" or hint is datetime:
        one = st.integers(-1, 2**41)
    elif field.kind in INTEGERS:
        half = 1 << INTEGERS[field.kind] - 1
        one = st.integers(-half, half - 1)
    else:
        one = {
            Kind.BOOLEAN: st.booleans(),
            Kind.UUID: st.binary(min_size=16, max_size=16),
            Kind.STRING: TEXT,
            Kind.BYTES: st.binary(max_size=20),
        }[field.kind]
    if field.is_array:
        one = st.lists(one, max_size=3).map(tuple)
    return st.none() | one if field.is_nullable and version >= field.versions.null_since else one


@cache
def structs(cls, theirs, version):
    return st.builds(
        cls, **{field.name: values(field, theirs, version) for field in in_version(cls, version)}
    )


def same(ours, theirs, version):
    """Whether both hold the same, field by field."""
    if isinstance(ours, tuple):
        return len(ours) == len(theirs) and all(map(same, ours, theirs, [version] * len(ours)))
    if dataclasses.is_dataclass(ours):
        fields = in_version(type(ours), version)
        assert len(fields) == sum(f.name[0] != "_" for f in dataclasses.fields(theirs))
        return all(
            same(getattr(ours, f.name), getattr(theirs, counterpart(type(theirs), f.name)[0]), version)
            for f in fields
        )
    if isinstance(theirs, timedelta):
        return ours == theirs // MS
    if isinstance(theirs, datetime):
        return ours == (theirs - EPOCH) // MS
    if isinstance(theirs, uuid.UUID):
        return ours == theirs.bytes
    return ours == theirs or (theirs is None and ours in (-1, bytes(16)))


@pytest.mark.parametrize(("api", "version", "part"), CASES, ids=IDS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_kio_and_we_read_what_the_other_wrote(api, version, part, data):
    entity = theirs(api, version, part)
    message = data.draw(structs(ours(api, part), entity, version))
    if part == "request":
        client_id = data.draw(st.none() | TEXT)
        frame = encode_request(-5, version, message, client_id)
    else:
        frame = encode_response(-5, version, message)
    assert int.from_bytes(frame[:4]) == len(frame) - 4

    header, size = entity_reader(entity.__header_schema__)(frame, 4)
    body, rest = entity_reader(entity)(frame, 4 + size)
    assert 4 + size + rest == len(frame)
    assert header.correlation_id == -5
    assert same(message, body, version)

    written = kio_bytes(header, body)
    if part == "request":
        ours_header, at = decode_header(written)
        assert ours_header == RequestHeader(
            api_key=api, api_version=version, correlation_id=-5, client_id=client_id
        )
        assert decode_request(written, ours_header, at) == message
        assert decode_request(frame[4:], ours_header, at) == message
    else:
        assert decode_response(written, api, version) == (-5, message)
        assert decode_response(frame[4:], api, version) == (-5, message)


@pytest.mark.parametrize(("api", "version", "part"), CASES, ids=IDS)
def test_our_schema_has_the_fields_of_kafkas(api, version, part):
    def check(cls, theirs):
        names = {counterpart(theirs, field.name)[0] for field in in_version(cls, version)}
        assert names == {field.name for field in dataclasses.fields(theirs) if field.name[0] != "_"}
        for field in in_version(cls, version):
            if field.struct is not None:
                check(field.struct, counterpart(theirs, field.name)[1])

    check(ours(api, part), theirs(api, version, part))


def test_every_request_that_is_served_is_known_in_all_its_versions():
    for api, (first, last) in SERVED.items():
        assert EXCHANGES[api].first <= first <= last <= EXCHANGES[api].last


# Versions


FETCH = FetchRequest(
    max_wait_ms=500,
    min_bytes=1,
    topics=(
        FetchTopic(
            topic="t", partitions=(FetchPartition(partition=0, fetch_offset=7, partition_max_bytes=9),)
        ),
    ),
)


def read_back(frame):
    header, at = decode_header(frame[4:])
    return decode_request(frame[4:], header, at)


def test_what_an_older_version_can_do_without_is_left_out():
    sent = dataclasses.replace(FETCH, rack_id="r", session_epoch=3)
    assert read_back(encode_request(1, 11, sent)) == sent
    assert read_back(encode_request(1, 10, sent)) == dataclasses.replace(sent, rack_id="")
    assert read_back(encode_request(1, 4, sent)) == FETCH


@pytest.mark.parametrize(
    ("version", "field", "value"),
    [
        (6, "forgotten_topics_data", (ForgottenTopic(topic="t", partitions=(1,)),)),
        (15, "replica_id", 4),
        (4, "max_bytes", None),
        (4, "max_bytes", 2**31),
        (4, "isolation_level", 128),
        (4, "min_bytes", "1"),
        (11, "rack_id", None),
        (11, "rack_id", "x" * 32768),
        (11, "rack_id", "\ud800"),
        (11, "rack_id", b"x"),
        (4, "topics", None),
    ],
)
def test_what_a_version_cannot_say_is_refused(version, field, value):
    with pytest.raises(CodecError, match=field) as caught:
        encode_request(1, version, dataclasses.replace(FETCH, **{field: value}))
    assert caught.value.reason == 42
    assert caught.value.clause


def test_null_is_refused_before_the_version_that_has_it():
    everything = MetadataRequest(topics=None)
    assert read_back(encode_request(1, 1, everything)) == everything
    with pytest.raises(CodecError, match="topics"):
        encode_request(1, 0, everything)
    nameless = MetadataRequest(topics=(MetadataRequestTopic(name=None, topic_id=bytes(15) + b"\1"),))
    assert read_back(encode_request(1, 12, nameless)) == nameless
    with pytest.raises(CodecError, match="name"):
        encode_request(1, 9, nameless)


@pytest.mark.parametrize(("api", "version"), [(1, 3), (1, 19), (99, 0), (-1, 0), (18, -1)])
def test_apis_and_versions_that_are_not_known_are_refused(api, version):
    header = RequestHeader(api_key=api, api_version=version, correlation_id=1, client_id=None)
    for decode in (lambda: decode_request(b"", header, 0), lambda: decode_response(b"", api, version)):
        with pytest.raises(CodecError, match="does not know") as caught:
            decode()
        assert caught.value.reason == 35
    with pytest.raises(CodecError, match="does not know"):
        encode_request(1, 99, FETCH)
    with pytest.raises(CodecError, match="does not know"):
        encode_response(1, 99, HeartbeatResponse(error_code=0))


def test_a_message_or_part_of_another_class_is_a_mistake_of_the_caller():
    with pytest.raises(TypeError, match="FetchTopic"):
        encode_request(1, 4, dataclasses.replace(FETCH, topics=("t",)))
    with pytest.raises(KeyError):
        encode_response(1, 4, FetchPartition(partition=0, fetch_offset=7, partition_max_bytes=9))


# Tagged fields


def test_tagged_fields_that_nobody_knows_are_kept_in_the_message_its_parts_and_its_header():
    topic = dataclasses.replace(FETCH.topics[0], unknown_tags=((3, b""), (300, b"\xff" * 200)))
    sent = dataclasses.replace(FETCH, topics=(topic,), unknown_tags=((9, b"nine"),), cluster_id="c")
    frame = encode_request(1, 12, sent)
    assert read_back(frame) == sent
    head = encode_request(1, 12, FETCH)[4:14]
    tagged = head + b"\1\5\2hi" + encode_request(1, 12, FETCH)[15:]
    header, at = decode_header(tagged)
    assert header.unknown_tags == ((5, b"hi"),)
    assert decode_request(tagged, header, at) == FETCH
    assert encode_request(1, 11, sent) == encode_request(1, 11, FETCH)  # no version before 12 has any


def test_a_tagged_default_that_was_spelled_out_is_spelled_out_again():
    plain = HeartbeatRequest(group_id="g", generation_id=1, member_id="m")
    assert read_back(encode_request(1, 4, plain)) == plain
    partition = PartitionProduceResponse(index=0, error_code=0, base_offset=5)
    tag = b"\1\0\x09" + b"\xff" * 8 + b"\0"  # tag 0: leader -1 of epoch -1, which is the default
    frame = encode_response(
        1, 10, ProduceResponse(responses=(TopicProduceResponse(name="t", partition_responses=(partition,)),))
    )
    spelled = frame[4:-7] + tag + frame[-6:]  # in place of the partition's empty tags
    _, answer = decode_response(spelled, Api.PRODUCE, 10)
    (topic,) = answer.responses
    assert topic.partition_responses[0].current_leader == LeaderIdAndEpoch()
    assert encode_response(1, 10, answer)[4:] == spelled
    changed = dataclasses.replace(topic.partition_responses[0], current_leader=LeaderIdAndEpoch(leader_id=2))
    answer = ProduceResponse(responses=(dataclasses.replace(topic, partition_responses=(changed,)),))
    assert decode_response(encode_response(1, 10, answer)[4:], Api.PRODUCE, 10)[1].responses[
        0
    ].partition_responses[0].current_leader == LeaderIdAndEpoch(leader_id=2)


def test_api_versions_is_answered_without_tags_in_the_header_in_all_versions():
    answer = ApiVersionsResponse(
        error_code=ErrorCode.UNSUPPORTED_VERSION,
        api_keys=(ApiVersion(api_key=18, min_version=0, max_version=3),),
        supported_features=(SupportedFeatureKey(name="f", min_version=0, max_version=1),),
    )
    assert encode_response(7, 0, answer).hex(" ") == (
        "00 00 00 10 00 00 00 07 00 23 00 00 00 01 00 12 00 00 00 03"
    )
    assert encode_response(7, 3, answer)[4:11] == b"\0\0\0\7\0\x23\2"
    asked = ApiVersionsRequest(client_software_name="n", client_software_version="1.2")
    assert encode_request(7, 3, asked, "me")[4:].hex(" ") == (
        "00 12 00 03 00 00 00 07 00 02 6d 65 00 02 6e 04 31 2e 32 00"
    )


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
        (10, 1, False),
        (99, 0, False),
    ],
)
def test_is_served_follows_the_table(key, version, served):
    assert is_served(key, version) is served
