"""Responses: an answer's values -> one frame, in the version that was asked.

In: a dataclass below, the correlation id, the version. Out: bytes for the socket. Above: the edge's session.
Below: `wire`. The response header is always version 0, the correlation id alone: ApiVersions 3 is the only
flexible version served, and its answer keeps that header, for clients that know nothing of the server yet.
`error` is one of `apis.ErrorCode`, or what the edge's table of refusals says.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol, TypeVar

from fabric_codecs.kafka.apis import SERVED, ErrorCode
from fabric_codecs.kafka.wire import FieldWriter

__all__ = [
    "ApiVersionsResponse",
    "FetchResponse",
    "FetchedPartition",
    "ListOffsetsResponse",
    "MetadataResponse",
    "OffsetAnswer",
    "ProduceRefusal",
    "Response",
    "SaslAuthenticateResponse",
    "SaslHandshakeResponse",
    "TopicMetadata",
    "encode_response",
]

THROTTLE_MS = 0  # the fabric refuses with a reason and a time; it does not slow readers down


@dataclass(frozen=True, slots=True)
class ApiVersionsResponse:
    error: int = ErrorCode.NONE


@dataclass(frozen=True, slots=True)
class TopicMetadata:
    name: str
    partitions: int = 0
    error: int = ErrorCode.NONE


@dataclass(frozen=True, slots=True)
class MetadataResponse:
    """One broker, which leads every partition and is its only replica."""

    node_id: int
    host: str
    port: int
    cluster_id: str
    topics: tuple[TopicMetadata, ...]


@dataclass(frozen=True, slots=True)
class OffsetAnswer:
    topic: str
    partition: int
    error: int = ErrorCode.NONE
    timestamp_ms: int = -1
    offset: int = -1


@dataclass(frozen=True, slots=True)
class ListOffsetsResponse:
    answers: tuple[OffsetAnswer, ...]


@dataclass(frozen=True, slots=True)
class FetchedPartition:
    """`high_watermark` is the offset that the next record will get; it is the last stable offset too, as
    nothing is transactional."""

    topic: str
    partition: int
    error: int = ErrorCode.NONE
    high_watermark: int = -1
    log_start_offset: int = -1
    records: bytes = b""


@dataclass(frozen=True, slots=True)
class FetchResponse:
    """Session id 0 says: no fetch session, send every partition every time."""

    partitions: tuple[FetchedPartition, ...]
    error: int = ErrorCode.NONE


@dataclass(frozen=True, slots=True)
class RefusedPartition:
    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class ProduceRefusal:
    """Nothing was stored, in none of the partitions."""

    partitions: tuple[RefusedPartition, ...]
    error: int


@dataclass(frozen=True, slots=True)
class SaslHandshakeResponse:
    error: int
    mechanisms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SaslAuthenticateResponse:
    error: int
    message: str | None = None


Response = (
    ApiVersionsResponse
    | MetadataResponse
    | ListOffsetsResponse
    | FetchResponse
    | ProduceRefusal
    | SaslHandshakeResponse
    | SaslAuthenticateResponse
)


def encode_response(correlation_id: int, api_version: int, response: Response) -> bytes:
    """The whole frame. For ApiVersions with error 35 pass version 0: every client reads that one."""
    out = FieldWriter()
    out.int32(correlation_id)
    _BODIES[type(response)](out, api_version, response)
    return out.frame()


def _api_versions(out: FieldWriter, version: int, response: ApiVersionsResponse) -> None:
    flexible = version >= 3
    out.int16(response.error)
    (out.compact_array if flexible else out.array)(len(SERVED))
    for api, (lowest, highest) in SERVED.items():
        out.int16(api)
        out.int16(lowest)
        out.int16(highest)
        if flexible:
            out.no_tags()
    if version >= 1:
        out.int32(THROTTLE_MS)
    if flexible:
        out.no_tags()


def _metadata(out: FieldWriter, version: int, response: MetadataResponse) -> None:
    if version >= 3:
        out.int32(THROTTLE_MS)
    out.array(1)
    out.int32(response.node_id)
    out.string(response.host)
    out.int32(response.port)
    if version >= 1:
        out.nullable_string(None)  # rack
    if version >= 2:
        out.nullable_string(response.cluster_id)
    if version >= 1:
        out.int32(response.node_id)  # controller
    out.array(len(response.topics))
    for topic in response.topics:
        _metadata_topic(out, version, topic, response.node_id)


def _metadata_topic(out: FieldWriter, version: int, topic: TopicMetadata, node_id: int) -> None:
    out.int16(topic.error)
    out.string(topic.name)
    if version >= 1:
        out.boolean(False)  # internal
    out.array(topic.partitions)
    for partition in range(topic.partitions):
        out.int16(ErrorCode.NONE)
        out.int32(partition)
        out.int32(node_id)
        for nodes in ((node_id,), (node_id,), ())[: 3 if version >= 5 else 2]:  # replicas, in sync, offline
            out.array(len(nodes))
            for node in nodes:
                out.int32(node)


def _list_offsets(out: FieldWriter, version: int, response: ListOffsetsResponse) -> None:
    if version >= 2:
        out.int32(THROTTLE_MS)
    for answer in _by_topic(out, response.answers):
        out.int32(answer.partition)
        out.int16(answer.error)
        out.int64(answer.timestamp_ms)
        out.int64(answer.offset)


def _fetch(out: FieldWriter, version: int, response: FetchResponse) -> None:
    out.int32(THROTTLE_MS)
    if version >= 7:
        out.int16(response.error)
        out.int32(0)  # session id
    for fetched in _by_topic(out, response.partitions):
        out.int32(fetched.partition)
        out.int16(fetched.error)
        out.int64(fetched.high_watermark)
        out.int64(fetched.high_watermark)  # last stable offset: read_committed clients read up to here
        if version >= 5:
            out.int64(fetched.log_start_offset)
        out.array(-1)  # aborted transactions: null
        if version >= 11:
            out.int32(-1)  # preferred read replica: this one
        out.bytes_(fetched.records)


def _produce_refusal(out: FieldWriter, version: int, response: ProduceRefusal) -> None:
    for refused in _by_topic(out, response.partitions):
        out.int32(refused.partition)
        out.int16(response.error)
        out.int64(-1)  # base offset
        out.int64(-1)  # log append time
        if version >= 5:
            out.int64(-1)  # log start offset
    out.int32(THROTTLE_MS)


def _sasl_handshake(out: FieldWriter, version: int, response: SaslHandshakeResponse) -> None:
    out.int16(response.error)
    out.array(len(response.mechanisms))
    for mechanism in response.mechanisms:
        out.string(mechanism)


def _sasl_authenticate(out: FieldWriter, version: int, response: SaslAuthenticateResponse) -> None:
    out.int16(response.error)
    out.nullable_string(response.message)
    out.bytes_(b"")
    if version >= 1:
        out.int64(0)  # session lifetime: the token is not asked for again


class _OfTopic(Protocol):
    @property
    def topic(self) -> str: ...


T = TypeVar("T", bound=_OfTopic)


def _by_topic(out: FieldWriter, items: Iterable[T]) -> Iterable[T]:
    # Writes the array of topics around the items; neighbours of one topic stand together, in their order.
    topics = [(topic, list(group)) for topic, group in groupby(items, key=lambda item: item.topic)]
    out.array(len(topics))
    for topic, group in topics:
        out.string(topic)
        out.array(len(group))
        yield from group


_BODIES: Mapping[type[Any], Callable[[FieldWriter, int, Any], None]] = {
    ApiVersionsResponse: _api_versions,
    MetadataResponse: _metadata,
    ListOffsetsResponse: _list_offsets,
    FetchResponse: _fetch,
    ProduceRefusal: _produce_refusal,
    SaslHandshakeResponse: _sasl_handshake,
    SaslAuthenticateResponse: _sasl_authenticate,
}
