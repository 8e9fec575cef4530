"""Requests: a frame from a client -> a header and one of the dataclasses below.

In: frames from `wire.FrameReader`. Out: values, with the fields of all served versions; what an older version
lacks has Kafka's default. Unaware of sockets and answers. Above: the edge's session. Below: `wire`, `apis`.

    request header    api key i16, api version i16, correlation id i32, client id nullable string [, tags]
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fabric_codecs.bounds import KAFKA_NAMED_MAX
from fabric_codecs.errors import CodecError
from fabric_codecs.kafka.apis import FLEXIBLE_FROM, Api, ErrorCode
from fabric_codecs.kafka.wire import FieldReader

__all__ = [
    "ApiVersionsRequest",
    "FetchPartition",
    "FetchRequest",
    "ListOffsetsRequest",
    "MetadataRequest",
    "OffsetQuery",
    "ProduceRequest",
    "Request",
    "RequestHeader",
    "SaslAuthenticateRequest",
    "SaslHandshakeRequest",
    "read_body",
    "read_header",
]


@dataclass(frozen=True, slots=True)
class RequestHeader:
    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None


@dataclass(frozen=True, slots=True)
class ApiVersionsRequest:
    software_name: str = ""
    software_version: str = ""


@dataclass(frozen=True, slots=True)
class MetadataRequest:
    """`topics` is None when all existing ones are asked for."""

    topics: tuple[str, ...] | None
    allow_creation: bool = True


@dataclass(frozen=True, slots=True)
class OffsetQuery:
    """`timestamp_ms` -1 asks for the end of the log, -2 for its beginning."""

    topic: str
    partition: int
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class ListOffsetsRequest:
    queries: tuple[OffsetQuery, ...]
    isolation_level: int = 0


@dataclass(frozen=True, slots=True)
class FetchPartition:
    topic: str
    partition: int
    offset: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """Answer when `min_bytes` are there or `max_wait_ms` are over, with about `max_bytes` at most."""

    max_wait_ms: int
    min_bytes: int
    max_bytes: int
    partitions: tuple[FetchPartition, ...]
    isolation_level: int = 0
    session_id: int = 0
    session_epoch: int = -1


@dataclass(frozen=True, slots=True)
class ProduceRequest:
    """What it brings is not looked at: `partitions` are (topic, partition), to be refused one by one. With
    `acks` 0 the client waits for no answer."""

    acks: int
    partitions: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class SaslHandshakeRequest:
    mechanism: str


@dataclass(frozen=True, slots=True)
class SaslAuthenticateRequest:
    auth_bytes: bytes


Request = (
    ApiVersionsRequest
    | MetadataRequest
    | ListOffsetsRequest
    | FetchRequest
    | ProduceRequest
    | SaslHandshakeRequest
    | SaslAuthenticateRequest
)


def read_header(fields: FieldReader) -> RequestHeader:
    """The header of a request of any api and version (its client id is a classic string in all of them)."""
    header = RequestHeader(fields.int16(), fields.int16(), fields.int32(), fields.nullable_string())
    flexible_from = FLEXIBLE_FROM.get(header.api_key)
    if flexible_from is not None and header.api_version >= flexible_from:
        fields.tags()
    return header


def read_body(header: RequestHeader, fields: FieldReader) -> Request:
    """The body of a request that `apis.is_served`. Raises CodecError unless it fills the frame exactly."""
    request = _BODIES[Api(header.api_key)](fields, header.api_version)
    fields.end()
    return request


def _each(fields: FieldReader, count: int, named: int = 0) -> range:
    """To read `count` topics or partitions beside the `named` ones: refused before they take any time."""
    if named + count > KAFKA_NAMED_MAX:
        what = f"{named + count} topics or partitions in one request, allowed are {KAFKA_NAMED_MAX}"
        raise CodecError(what, protocol="kafka", offset=fields.at, reason=ErrorCode.INVALID_REQUEST)
    return range(count)


def _api_versions(fields: FieldReader, version: int) -> ApiVersionsRequest:
    if version < 3:
        return ApiVersionsRequest()
    request = ApiVersionsRequest(fields.compact_string(), fields.compact_string())
    fields.tags()
    return request


def _metadata(fields: FieldReader, version: int) -> MetadataRequest:
    count = fields.nullable_array()
    # Version 0 had no null array: there an empty one asks for everything, later for nothing.
    if count is None or (version == 0 and count == 0):
        topics = None
    else:
        topics = tuple(fields.string() for _ in _each(fields, count))
    return MetadataRequest(topics, fields.boolean() if version >= 4 else True)


def _list_offsets(fields: FieldReader, version: int) -> ListOffsetsRequest:
    fields.int32()  # replica id: only brokers have one
    isolation_level = fields.int8() if version >= 2 else 0
    queries: list[OffsetQuery] = []
    for _ in _each(fields, fields.array()):
        topic = fields.string()
        more = _each(fields, fields.array(), len(queries))
        queries += [OffsetQuery(topic, fields.int32(), fields.int64()) for _ in more]
    return ListOffsetsRequest(tuple(queries), isolation_level)


def _fetch(fields: FieldReader, version: int) -> FetchRequest:
    fields.int32()  # replica id
    max_wait_ms, min_bytes, max_bytes = fields.int32(), fields.int32(), fields.int32()
    isolation_level = fields.int8()
    session_id, session_epoch = (fields.int32(), fields.int32()) if version >= 7 else (0, -1)
    partitions: list[FetchPartition] = []
    for _ in _each(fields, fields.array()):
        topic = fields.string()
        more = _each(fields, fields.array(), len(partitions))
        partitions += [_fetch_partition(fields, version, topic) for _ in more]
    if version >= 7:
        _skip_forgotten(fields)
    if version >= 11:
        fields.string()  # rack id
    return FetchRequest(
        max_wait_ms, min_bytes, max_bytes, tuple(partitions), isolation_level, session_id, session_epoch
    )


def _fetch_partition(fields: FieldReader, version: int, topic: str) -> FetchPartition:
    partition = fields.int32()
    if version >= 9:
        fields.int32()  # current leader epoch: there is one leader for ever
    offset = fields.int64()
    if version >= 5:
        fields.int64()  # log start offset: only followers send it
    return FetchPartition(topic, partition, offset, fields.int32())


def _skip_forgotten(fields: FieldReader) -> None:
    # What an incremental fetch session drops; no session is ever granted.
    for _ in _each(fields, fields.array()):
        fields.string()
        for _ in _each(fields, fields.array()):
            fields.int32()


def _produce(fields: FieldReader, version: int) -> ProduceRequest:
    fields.nullable_string()  # transactional id
    acks = fields.int16()
    fields.int32()  # timeout
    partitions: list[tuple[str, int]] = []
    for _ in _each(fields, fields.array()):
        topic = fields.string()
        for _ in _each(fields, fields.array(), len(partitions)):
            partitions.append((topic, fields.int32()))
            fields.nullable_bytes()
    return ProduceRequest(acks, tuple(partitions))


def _sasl_handshake(fields: FieldReader, version: int) -> SaslHandshakeRequest:
    return SaslHandshakeRequest(fields.string())


def _sasl_authenticate(fields: FieldReader, version: int) -> SaslAuthenticateRequest:
    return SaslAuthenticateRequest(fields.bytes_())


_BODIES: Mapping[Api, Callable[[FieldReader, int], Request]] = {
    Api.API_VERSIONS: _api_versions,
    Api.METADATA: _metadata,
    Api.LIST_OFFSETS: _list_offsets,
    Api.FETCH: _fetch,
    Api.PRODUCE: _produce,
    Api.SASL_HANDSHAKE: _sasl_handshake,
    Api.SASL_AUTHENTICATE: _sasl_authenticate,
}
