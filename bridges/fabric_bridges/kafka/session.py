"""One connection's requests and answers; who it is comes first.

In: whole frames, in order. Out: `Answer`s, or CodecError for a frame that is no request. Unaware of sockets.
Above: `listener`. Below: `deliver`, `catalogue`, the codec's `frames` and `messages`.

    state        may ask                                      goes to
    STRANGER     ApiVersions, SaslHandshake                   INTRODUCED (version 1), RAW_TOKEN (version 0)
    INTRODUCED   ApiVersions, SaslAuthenticate                READY, or closed after error 58
    RAW_TOKEN    (the frame is the token, without a header)   READY, or closed
    READY        ApiVersions, Metadata, ListOffsets, Fetch; Produce is refused

A request out of its state, or one that is not served, closes the connection, as Kafka does. ApiVersions alone
is answered in versions to come: error 35 in the form of version 0, with the list (KIP-511).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from fabric.edge import House
from fabric.errors import FabricError, LimitExceeded, Unauthenticated
from fabric.ports import TopicLog
from fabric_bridges.kafka.catalogue import Catalogue
from fabric_bridges.kafka.deliver import Delivery
from fabric_bridges.refusal import words
from fabric_codecs.kafka.apis import SERVED, Api, ErrorCode, is_served
from fabric_codecs.kafka.frames import RequestHeader, decode_header, decode_request, encode_response
from fabric_codecs.kafka.messages import connection, data
from fabric_codecs.kafka.schema import Struct

__all__ = ["Answer", "Session"]

NODE_ID = 1  # the one virtual broker
CLUSTER_ID = "agent-message-fabric"
MECHANISMS = ("PLAIN",)
END_OF_LOG, BEGINNING_OF_LOG = -1, -2  # timestamps of ListOffsets that are none


class State(Enum):
    STRANGER = auto()
    INTRODUCED = auto()
    RAW_TOKEN = auto()
    READY = auto()


ALLOWED: Final[Mapping[State, frozenset[Api]]] = {
    State.STRANGER: frozenset({Api.API_VERSIONS, Api.SASL_HANDSHAKE}),
    State.INTRODUCED: frozenset({Api.API_VERSIONS, Api.SASL_AUTHENTICATE}),
    State.READY: frozenset({Api.API_VERSIONS, Api.METADATA, Api.LIST_OFFSETS, Api.FETCH, Api.PRODUCE}),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """Bytes for the peer, maybe none. `ends`: why to close after them, as a metric's label has it."""

    frame: bytes
    ends: str = ""


class Session:
    """`address` is what Metadata tells the client to connect to."""

    def __init__(
        self, house: House, catalogue: Catalogue, delivery: Delivery, address: tuple[str, int]
    ) -> None:
        self._house = house
        self._catalogue = catalogue
        self._delivery = delivery
        self._address = address
        self._state = State.STRANGER

    @property
    def is_ready(self) -> bool:
        """Whether the peer has shown a token."""
        return self._state is State.READY

    async def respond(self, frame: bytes) -> Answer:
        """The answer to one frame. Raises CodecError when the frame cannot be read."""
        if self._state is State.RAW_TOKEN:
            return Answer(b"\0\0\0\0") if self._knows(frame) else Answer(b"", "unauthenticated")
        header, at = decode_header(frame)
        if not is_served(header.api_key, header.api_version):
            return _not_served(header)
        api = Api(header.api_key)
        if api not in ALLOWED[self._state]:
            return Answer(b"", "illegal_state" if self.is_ready else "unauthenticated")
        return await _HANDLERS[api](self, header, decode_request(frame, header, at))

    async def _api_versions(self, header: RequestHeader, _: connection.ApiVersionsRequest) -> Answer:
        return _answer(header, _served())

    async def _handshake(self, header: RequestHeader, request: connection.SaslHandshakeRequest) -> Answer:
        if request.mechanism not in MECHANISMS:
            refusal = connection.SaslHandshakeResponse(
                error_code=ErrorCode.UNSUPPORTED_SASL_MECHANISM, mechanisms=MECHANISMS
            )
            return _answer(header, refusal, ends="unauthenticated")
        self._state = State.INTRODUCED if header.api_version >= 1 else State.RAW_TOKEN
        welcome = connection.SaslHandshakeResponse(error_code=ErrorCode.NONE, mechanisms=MECHANISMS)
        return _answer(header, welcome)

    async def _authenticate(
        self, header: RequestHeader, request: connection.SaslAuthenticateRequest
    ) -> Answer:
        if self._knows(request.auth_bytes):
            return _answer(header, _authenticated(ErrorCode.NONE))
        refusal = _authenticated(
            ErrorCode.SASL_AUTHENTICATION_FAILED, "the password must be the token of this edge"
        )
        return _answer(header, refusal, ends="unauthenticated")

    def _knows(self, plain: bytes) -> bool:
        # RFC 4616: authorization identity NUL user NUL password. The token alone says who it is.
        parts = plain.split(b"\0")
        if len(parts) != 3:
            return False
        try:
            self._house.authenticator.authenticate("kafka", parts[2].decode())
        except (Unauthenticated, UnicodeDecodeError):
            return False
        self._state = State.READY
        return True

    async def _metadata(self, header: RequestHeader, request: connection.MetadataRequest) -> Answer:
        # A topic that is named is shown at once, allowed to create it or not: the channel is there by being
        # named, the view only shows it. Most clients say "not allowed" for all they read.
        asked = request.topics
        if asked is None or (header.api_version == 0 and not asked):  # version 0 had no null array
            topics = [
                await self._describe(name, self._catalogue.existing) for name in await self._catalogue.names()
            ]
        else:
            named = dict.fromkeys(topic.name or "" for topic in asked)
            topics = [await self._describe(name, self._catalogue.open) for name in named]
        host, port = self._address
        answer = connection.MetadataResponse(
            brokers=(connection.MetadataResponseBroker(node_id=NODE_ID, host=host, port=port),),
            cluster_id=CLUSTER_ID,
            controller_id=NODE_ID,
            topics=tuple(topics),
        )
        return _answer(header, answer)

    async def _describe(
        self, topic: str, find: Callable[[str], Awaitable[Sequence[TopicLog]]]
    ) -> connection.MetadataResponseTopic:
        try:
            return _topic(topic, ErrorCode.NONE, len(await find(topic)))
        except LimitExceeded:
            return _topic(topic, ErrorCode.POLICY_VIOLATION)
        except FabricError as error:
            return _topic(topic, words(error).kafka)

    async def _list_offsets(self, header: RequestHeader, request: data.ListOffsetsRequest) -> Answer:
        topics = [
            data.ListOffsetsTopicResponse(
                name=topic.name,
                partitions=tuple([await self._offset(topic.name, query) for query in topic.partitions]),
            )
            for topic in request.topics
        ]
        return _answer(header, data.ListOffsetsResponse(topics=tuple(topics)))

    async def _offset(
        self, topic: str, query: data.ListOffsetsPartition
    ) -> data.ListOffsetsPartitionResponse:
        try:
            error, time_ms, offset = await self._find_offset(topic, query.partition_index, query.timestamp)
        except FabricError as refused:
            error, time_ms, offset = words(refused).kafka, -1, -1
        return data.ListOffsetsPartitionResponse(
            partition_index=query.partition_index, error_code=error, timestamp=time_ms, offset=offset
        )

    async def _find_offset(self, topic: str, partition: int, timestamp_ms: int) -> tuple[int, int, int]:
        """Error code, timestamp, offset."""
        log = await self._catalogue.log(topic, partition)
        if log is None:
            return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1, -1
        if timestamp_ms < BEGINNING_OF_LOG:
            return ErrorCode.UNSUPPORTED_VERSION, -1, -1
        if timestamp_ms < 0:
            first, end = await log.bounds()
            return ErrorCode.NONE, -1, end if timestamp_ms == END_OF_LOG else first
        offset = await log.offset_at(timestamp_ms)
        found = await log.read(offset, max_bytes=1, max_records=1) if offset is not None else []
        if not found:  # -1, -1: nothing is that young
            return ErrorCode.NONE, -1, -1
        return ErrorCode.NONE, found[0].time_ms, found[0].offset

    async def _fetch(self, header: RequestHeader, request: data.FetchRequest) -> Answer:
        return _answer(header, await self._delivery.fetch(request))

    async def _produce(self, header: RequestHeader, request: data.ProduceRequest) -> Answer:
        if request.acks == 0:
            return Answer(b"", "read_only")  # it waits for no answer: Kafka too says no by closing
        self._house.metrics.refusals.labels("kafka", "read_only").inc()
        topics = tuple(
            data.TopicProduceResponse(
                name=topic.name,
                partition_responses=tuple(_refused(one.index) for one in topic.partition_data),
            )
            for topic in request.topic_data
        )
        return _answer(header, data.ProduceResponse(responses=topics))


def _served(error: int = ErrorCode.NONE) -> connection.ApiVersionsResponse:
    keys = tuple(
        connection.ApiVersion(api_key=api, min_version=first, max_version=last)
        for api, (first, last) in SERVED.items()
    )
    return connection.ApiVersionsResponse(error_code=error, api_keys=keys)


def _authenticated(error: int, message: str | None = None) -> connection.SaslAuthenticateResponse:
    return connection.SaslAuthenticateResponse(error_code=error, error_message=message, auth_bytes=b"")


def _topic(name: str, error: int, partitions: int = 0) -> connection.MetadataResponseTopic:
    # One broker leads every partition and is its only replica.
    led = tuple(
        connection.MetadataResponsePartition(
            error_code=ErrorCode.NONE,
            partition_index=at,
            leader_id=NODE_ID,
            replica_nodes=(NODE_ID,),
            isr_nodes=(NODE_ID,),
        )
        for at in range(partitions)
    )
    return connection.MetadataResponseTopic(error_code=error, name=name, partitions=led)


def _refused(partition: int) -> data.PartitionProduceResponse:
    return data.PartitionProduceResponse(
        index=partition, error_code=ErrorCode.TOPIC_AUTHORIZATION_FAILED, base_offset=-1
    )


def _answer(header: RequestHeader, response: Struct, *, ends: str = "") -> Answer:
    return Answer(encode_response(header.correlation_id, header.api_version, response), ends)


def _not_served(header: RequestHeader) -> Answer:
    if header.api_key != Api.API_VERSIONS:
        return Answer(b"", "not_served")
    refusal = _served(ErrorCode.UNSUPPORTED_VERSION)
    return Answer(encode_response(header.correlation_id, 0, refusal))


_HANDLERS: Final[Mapping[Api, Callable[[Session, RequestHeader, Any], Awaitable[Answer]]]] = {
    Api.API_VERSIONS: Session._api_versions,
    Api.SASL_HANDSHAKE: Session._handshake,
    Api.SASL_AUTHENTICATE: Session._authenticate,
    Api.METADATA: Session._metadata,
    Api.LIST_OFFSETS: Session._list_offsets,
    Api.FETCH: Session._fetch,
    Api.PRODUCE: Session._produce,
}
