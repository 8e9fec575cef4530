"""Requests and responses as frames, for a server and for a client.

In: whole frames from `wire`, or messages. Out: messages, or frames with their length in front. Above: the
edge's session. Below: `messages` (what there is), `plan` (how it is read and written).

    request header    api key i16, api version i16, correlation id i32, client id nullable string [, tags]
    response header   correlation id i32 [, tags]

The tags belong to the flexible versions; the response to ApiVersions never has them, for clients that know
nothing of the server yet. The client id is a classic string in all versions.
"""

from dataclasses import replace
from typing import Final

from fabric_codecs.bounds import KAFKA_ELEMENTS_MAX, KAFKA_NAMED_MAX
from fabric_codecs.errors import CodecError
from fabric_codecs.kafka.apis import Api, ErrorCode
from fabric_codecs.kafka.messages import EXCHANGES, Exchange
from fabric_codecs.kafka.plan import plan_of, read, write_frame
from fabric_codecs.kafka.schema import Struct, i16, i32

__all__ = [
    "RequestHeader",
    "decode_header",
    "decode_request",
    "decode_response",
    "encode_request",
    "encode_response",
]


class RequestHeader(Struct):
    """What every request begins with, of any api and version."""

    api_key: i16
    api_version: i16
    correlation_id: i32
    client_id: str | None


class _ResponseHeader(Struct):
    correlation_id: i32


class _Tags(Struct):
    pass


_REQUEST_HEADER: Final = plan_of(RequestHeader, 0, False)
_RESPONSE_HEADER: Final = plan_of(_ResponseHeader, 0, False)
_TAGS: Final = plan_of(_Tags, 0, True)
_NO_TAGS: Final = b"\0"
_APIS: Final = {
    part: api for api, exchange in EXCHANGES.items() for part in (exchange.request, exchange.response)
}


def decode_header(frame: bytes) -> tuple[RequestHeader, int]:
    """The header of a request, known or not, and the byte at which its body starts."""
    header, at = read(_REQUEST_HEADER, frame, 0, 0)
    exchange = EXCHANGES.get(header.api_key)
    if exchange is not None and header.api_version >= exchange.flexible_from:
        tags, at = read(_TAGS, frame, at, 0)
        if tags.unknown_tags:
            header = replace(header, unknown_tags=tags.unknown_tags)
    return header, at


def decode_request(
    frame: bytes, header: RequestHeader, at: int, elements_max: int = KAFKA_NAMED_MAX
) -> Struct:
    """The body behind a header: the request's class in `messages`. No array may have more than `elements_max`
    elements, in all its places together. Raises CodecError unless the body fills the frame exactly."""
    exchange = _exchange(header.api_key, header.api_version)
    return _decode(exchange.request, exchange, header.api_version, frame, at, elements_max)


def encode_request(correlation_id: int, version: int, request: Struct, client_id: str | None = None) -> bytes:
    """The whole frame. Raises CodecError for a value that the version cannot say."""
    api = _APIS[type(request)]
    exchange = _exchange(api, version)
    header = RequestHeader(
        api_key=api, api_version=version, correlation_id=correlation_id, client_id=client_id
    )
    head = write_frame(_REQUEST_HEADER, header, b"")[4:]
    is_flexible = version >= exchange.flexible_from
    return write_frame(
        plan_of(type(request), version, is_flexible), request, head + _NO_TAGS if is_flexible else head
    )


def decode_response(
    frame: bytes, api: int, version: int, elements_max: int = KAFKA_ELEMENTS_MAX
) -> tuple[int, Struct]:
    """The correlation id and the response, of a frame that answers that api in that version."""
    exchange = _exchange(api, version)
    header, at = read(_RESPONSE_HEADER, frame, 0, 0)
    if _has_tags(api, version, exchange):
        _, at = read(_TAGS, frame, at, 0)
    return header.correlation_id, _decode(exchange.response, exchange, version, frame, at, elements_max)


def encode_response(correlation_id: int, version: int, response: Struct) -> bytes:
    """The whole frame. For ApiVersions with error 35 pass version 0: every client reads that one. Raises
    CodecError for a value that the version cannot say."""
    api = _APIS[type(response)]
    exchange = _exchange(api, version)
    head = correlation_id.to_bytes(4, signed=True)
    if _has_tags(api, version, exchange):
        head += _NO_TAGS
    return write_frame(plan_of(type(response), version, version >= exchange.flexible_from), response, head)


def _exchange(api: int, version: int) -> Exchange:
    exchange = EXCHANGES.get(api)
    if exchange is None or not exchange.first <= version <= exchange.last:
        what = f"api {api} version {version}, which this codec does not know"
        raise CodecError(what, protocol="kafka", clause="API keys", reason=ErrorCode.UNSUPPORTED_VERSION)
    return exchange


def _has_tags(api: int, version: int, exchange: Exchange) -> bool:
    return version >= exchange.flexible_from and api != Api.API_VERSIONS


def _decode(
    cls: type[Struct], exchange: Exchange, version: int, frame: bytes, at: int, elements_max: int
) -> Struct:
    message, end = read(plan_of(cls, version, version >= exchange.flexible_from), frame, at, elements_max)
    if end < len(frame):
        raise CodecError(
            f"{len(frame) - end} bytes after the last field",
            protocol="kafka",
            offset=end,
            clause=f"schema of {cls.__name__}",
            reason=ErrorCode.INVALID_REQUEST,
        )
    return message
