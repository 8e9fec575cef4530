"""Targets of Kafka: frames, messages, record batches, and records to envelopes and back. See `targets`."""

import struct
from collections.abc import Iterable
from itertools import pairwise

from fabric_codecs.errors import CodecError
from fabric_codecs.kafka.apis import Api
from fabric_codecs.kafka.builder import BatchBuilder
from fabric_codecs.kafka.compression import Codec, deflate, inflate
from fabric_codecs.kafka.frames import (
    decode_header,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
)
from fabric_codecs.kafka.lift import WITHHELD, lift
from fabric_codecs.kafka.lower import lower, lower_batch
from fabric_codecs.kafka.messages import EXCHANGES
from fabric_codecs.kafka.records import Record, checksum, decode_batch
from fabric_codecs.kafka.wire import FrameReader
from fuzz.promise import MayRefuse, bytewise, inside, must, received_of, survives_nats

INFLATED_MAX = 256 << 10  # a bound of its own, or bombs would take all the time there is
HEAD_BYTES = 61  # of a batch, before its records


def kafka_frames(data: bytes) -> None:
    """Frames out of a byte stream."""
    assert _frames([data]) == _frames(bytewise(data))


def _frames(pieces: Iterable[bytes]) -> tuple[list[bytes], int | None]:
    reader = FrameReader(max_bytes=1000)
    frames: list[bytes] = []
    fed = 0
    for piece in pieces:
        fed += len(piece)
        reader.feed(piece)
        try:
            while (frame := reader.take()) is not None:
                frames.append(frame)
        except CodecError as error:
            inside(error, fed)
            return frames, error.offset
        assert reader.held_bytes < 1004
    return frames, None


def kafka_requests(data: bytes) -> None:
    """A request frame, written again."""
    with MayRefuse(len(data)):
        header, at = decode_header(data)
        request = decode_request(data, header, at)
        version = header.api_version
        again = must(encode_request, header.correlation_id, version, request, header.client_id)[4:]
        header_again, at = must(decode_header, again)
        assert header_again.correlation_id == header.correlation_id
        assert must(decode_request, again, header_again, at) == request


def kafka_responses(data: bytes) -> None:
    """A response frame, written again. Its first two bytes are the api and the version that it answers."""
    if len(data) < 2 or data[0] not in EXCHANGES:
        return
    api, version, frame = Api(data[0]), data[1], data[2:]
    with MayRefuse(len(frame)):
        correlation_id, response = decode_response(frame, api, version)
        again = must(encode_response, correlation_id, version, response)[4:]
        assert must(decode_response, again, api, version) == (correlation_id, response)


def kafka_records(data: bytes) -> None:
    """A record batch as it is, and with length and checksum made right, or nothing gets behind them."""
    for form in (data, _sealed(data)):
        with MayRefuse(len(form)):
            batch = decode_batch(form, 0, INFLATED_MAX)
            assert batch.end <= len(form)
            offsets = [record.offset for record in batch.records]
            if all(one < other for one, other in pairwise(offsets)):
                built = _batch(batch.base_offset, batch.records, batch.codec)
                assert must(decode_batch, built).records == batch.records


def _sealed(data: bytes) -> bytes:
    form = bytearray(data.ljust(HEAD_BYTES, b"\0"))
    struct.pack_into(">iib", form, 8, len(form) - 12, 0, 2)
    struct.pack_into(">I", form, 17, checksum(bytes(form[21:])))
    return bytes(form)


def _batch(base_offset: int, records: Iterable[Record], codec: int = 0) -> bytes:
    builder = BatchBuilder(base_offset, codec=codec)
    for record in records:
        assert must(builder.add, record)
    return builder.build()


def kafka_compression(data: bytes) -> None:
    """Compressed bytes; the first one says of which codec they are."""
    codec = Codec(1 + data[0] % 4) if data else Codec.GZIP
    with MayRefuse(len(data)):
        plain = inflate(codec, data[1:], INFLATED_MAX)
        assert len(plain) <= INFLATED_MAX
        assert must(inflate, codec, deflate(codec, plain)) == plain


def kafka_lift(data: bytes) -> None:
    """The records of a batch to envelopes, and those back to records."""
    with MayRefuse(len(data) + HEAD_BYTES):
        for record in decode_batch(_sealed(data), 0, INFLATED_MAX).records:
            for withheld in (WITHHELD, frozenset[str]()):
                with MayRefuse(0):  # over 64 KiB
                    _there_and_back(record, withheld)


def _there_and_back(record: Record, withheld: frozenset[str]) -> None:
    lifted = lift(
        record, topic="a.b", partition=0, offset=record.offset, source="/kafka/k", withheld=withheld
    ).message
    survives_nats(lifted)
    assert lifted.data == (record.value or b"")
    back = must(lower, lifted, record.offset, record.timestamp_ms).message
    assert (back.key, back.value) == (record.key, record.value)
    names = {name for name, _ in back.headers}
    for name, _ in record.headers:
        bare = name.removeprefix("ce_")
        assert {name, "ce_" + name, "fab-said-" + bare} & names or bare in ("fabnull", "fabloss")


def kafka_lower(data: bytes) -> None:
    """Any header block to a record, which a batch takes unless it has too many headers."""
    with MayRefuse(0):
        received = received_of(data)
        record = lower(received, 0, 1000).message
        batch = _batch(0, [record])
        assert must(decode_batch, batch).records == [record]
        assert must(lower_batch, received, 1000).message == batch
