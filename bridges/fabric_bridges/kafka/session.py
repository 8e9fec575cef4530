"""One connection's requests and answers; who it is comes first.

In: whole frames, in order. Out: `Answer`s, or CodecError for a frame that is no request. Unaware of sockets.
Above: `listener`. Below: `deliver`, `catalogue`, the codec's `requests` and `responses`.

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
from fabric_codecs.kafka import requests, responses
from fabric_codecs.kafka.apis import Api, ErrorCode, is_served
from fabric_codecs.kafka.requests import RequestHeader
from fabric_codecs.kafka.wire import FieldReader

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
        fields = FieldReader(frame)
        header = requests.read_header(fields)
        if not is_served(header.api_key, header.api_version):
            return _not_served(header)
        api = Api(header.api_key)
        if api not in ALLOWED[self._state]:
            return Answer(b"", "illegal_state" if self.is_ready else "unauthenticated")
        return await _HANDLERS[api](self, header, requests.read_body(header, fields))

    async def _api_versions(self, header: RequestHeader, _: requests.ApiVersionsRequest) -> Answer:
        return _answer(header, responses.ApiVersionsResponse())

    async def _handshake(self, header: RequestHeader, request: requests.SaslHandshakeRequest) -> Answer:
        if request.mechanism not in MECHANISMS:
            refusal = responses.SaslHandshakeResponse(ErrorCode.UNSUPPORTED_SASL_MECHANISM, MECHANISMS)
            return _answer(header, refusal, ends="unauthenticated")
        self._state = State.INTRODUCED if header.api_version >= 1 else State.RAW_TOKEN
        return _answer(header, responses.SaslHandshakeResponse(ErrorCode.NONE, MECHANISMS))

    async def _authenticate(self, header: RequestHeader, request: requests.SaslAuthenticateRequest) -> Answer:
        if self._knows(request.auth_bytes):
            return _answer(header, responses.SaslAuthenticateResponse(ErrorCode.NONE))
        refusal = responses.SaslAuthenticateResponse(
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

    async def _metadata(self, header: RequestHeader, request: requests.MetadataRequest) -> Answer:
        # A topic that is named is shown at once, allowed to create it or not: the channel is there by being
        # named, the view only shows it. Most clients say "not allowed" for all they read.
        host, port = self._address
        if request.topics is None:
            topics = [
                await self._describe(name, self._catalogue.existing) for name in await self._catalogue.names()
            ]
        else:
            topics = [
                await self._describe(name, self._catalogue.open) for name in dict.fromkeys(request.topics)
            ]
        return _answer(header, responses.MetadataResponse(NODE_ID, host, port, CLUSTER_ID, tuple(topics)))

    async def _describe(
        self, topic: str, find: Callable[[str], Awaitable[Sequence[TopicLog]]]
    ) -> responses.TopicMetadata:
        try:
            return responses.TopicMetadata(topic, len(await find(topic)))
        except LimitExceeded:
            return responses.TopicMetadata(topic, error=ErrorCode.POLICY_VIOLATION)
        except FabricError as error:
            return responses.TopicMetadata(topic, error=words(error).kafka)

    async def _list_offsets(self, header: RequestHeader, request: requests.ListOffsetsRequest) -> Answer:
        answers = [await self._offset(query) for query in request.queries]
        return _answer(header, responses.ListOffsetsResponse(tuple(answers)))

    async def _offset(self, query: requests.OffsetQuery) -> responses.OffsetAnswer:
        try:
            return await self._find_offset(query)
        except FabricError as error:
            return responses.OffsetAnswer(query.topic, query.partition, words(error).kafka)

    async def _find_offset(self, query: requests.OffsetQuery) -> responses.OffsetAnswer:
        topic, partition = query.topic, query.partition
        log = await self._catalogue.log(topic, partition)
        if log is None:
            return responses.OffsetAnswer(topic, partition, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        if query.timestamp_ms < BEGINNING_OF_LOG:
            return responses.OffsetAnswer(topic, partition, ErrorCode.UNSUPPORTED_VERSION)
        if query.timestamp_ms < 0:
            first, end = await log.bounds()
            return responses.OffsetAnswer(
                topic, partition, offset=end if query.timestamp_ms == END_OF_LOG else first
            )
        offset = await log.offset_at(query.timestamp_ms)
        found = await log.read(offset, max_bytes=1, max_records=1) if offset is not None else []
        if not found:  # -1, -1: nothing is that young
            return responses.OffsetAnswer(topic, partition)
        return responses.OffsetAnswer(topic, partition, timestamp_ms=found[0].time_ms, offset=found[0].offset)

    async def _fetch(self, header: RequestHeader, request: requests.FetchRequest) -> Answer:
        return _answer(header, await self._delivery.fetch(request))

    async def _produce(self, header: RequestHeader, request: requests.ProduceRequest) -> Answer:
        if request.acks == 0:
            return Answer(b"", "read_only")  # it waits for no answer: Kafka too says no by closing
        self._house.metrics.refusals.labels("kafka", "read_only").inc()
        partitions = tuple(
            responses.RefusedPartition(topic, partition) for topic, partition in request.partitions
        )
        return _answer(header, responses.ProduceRefusal(partitions, ErrorCode.TOPIC_AUTHORIZATION_FAILED))


def _answer(header: RequestHeader, response: responses.Response, *, ends: str = "") -> Answer:
    return Answer(responses.encode_response(header.correlation_id, header.api_version, response), ends)


def _not_served(header: RequestHeader) -> Answer:
    if header.api_key != Api.API_VERSIONS:
        return Answer(b"", "not_served")
    refusal = responses.ApiVersionsResponse(ErrorCode.UNSUPPORTED_VERSION)
    return Answer(responses.encode_response(header.correlation_id, 0, refusal))


_HANDLERS: Final[Mapping[Api, Callable[[Session, RequestHeader, Any], Awaitable[Answer]]]] = {
    Api.API_VERSIONS: Session._api_versions,
    Api.SASL_HANDSHAKE: Session._handshake,
    Api.SASL_AUTHENTICATE: Session._authenticate,
    Api.METADATA: Session._metadata,
    Api.LIST_OFFSETS: Session._list_offsets,
    Api.FETCH: Session._fetch,
    Api.PRODUCE: Session._produce,
}
