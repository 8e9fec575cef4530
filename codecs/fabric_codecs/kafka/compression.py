"""The records of a batch, compressed and back, within a bound: what comes in small must not come out huge.

In: the bytes behind a batch's header. Out: bytes. Above: `records`. Below: zlib and cramjam. A decompressor
never gets more room than the bound allows, so a bomb costs what a full batch costs, and then its CodecError.

    1 gzip      RFC 1952, members one after the other
    2 snappy    one raw block (librdkafka, franz-go, kafkajs), or xerial's frame (Java, aiokafka; we too):
                16 bytes of header, then blocks, each with its length (i32) in front
    3 lz4       LZ4 frames; we write independent blocks, without which Kafka refuses a frame (KIP-57)
    4 zstd      RFC 8878; the size of the content may be told or not
"""

import zlib
from collections.abc import Callable, Mapping
from enum import IntEnum
from struct import Struct
from struct import error as StructError
from typing import Final

import cramjam

from fabric_codecs.bounds import KAFKA_INFLATED_BYTES_FREE, KAFKA_INFLATED_BYTES_MAX, KAFKA_INFLATION_MAX
from fabric_codecs.errors import CodecError

__all__ = ["Codec", "deflate", "inflate"]

CORRUPT_MESSAGE: Final = 2  # Kafka's error codes
UNSUPPORTED_COMPRESSION_TYPE: Final = 76

XERIAL: Final = b"\x82SNAPPY\0" + b"\0\0\0\1" * 2  # magic, version, the oldest version that can read it
XERIAL_BLOCK_BYTES: Final = 32 << 10  # before compression, as in Java
XERIAL_LENGTH: Final = Struct(">i")
GZIP_WBITS: Final = 31
ROOM_BYTES: Final = 64 << 10  # a first guess; what does not fit is tried again with four times as much


class Codec(IntEnum):
    """The bits of a batch's attributes that say how its records are compressed."""

    NONE = 0
    GZIP = 1
    SNAPPY = 2
    LZ4 = 3
    ZSTD = 4


class _TooLarge(Exception):
    """More comes out than may."""


def deflate(codec: Codec, data: bytes) -> bytes:
    """The bytes, compressed: the same for the same bytes, with the library's default level."""
    return _DEFLATE[codec](data)


def inflate(codec: int, data: bytes, bytes_max: int = KAFKA_INFLATED_BYTES_MAX) -> bytes:
    """What was compressed. Raises CodecError, with its offset in `data`, for bytes that are not what `codec`
    says, for a codec that there is not, and when more than `bytes_max` would come out, or more than
    KAFKA_INFLATION_MAX times what came in (the first KAFKA_INFLATED_BYTES_FREE bytes apart)."""
    if codec not in _INFLATE:
        raise CodecError(
            f"compressed with codec {codec}, which nobody has given a meaning",
            protocol="kafka",
            clause="Message Format, Record Batch: attributes, bits 0 to 2",
            reason=UNSUPPORTED_COMPRESSION_TYPE,
        )
    name, clause, function = _INFLATE[codec]
    allowed = min(bytes_max, max(KAFKA_INFLATED_BYTES_FREE, len(data) * KAFKA_INFLATION_MAX))
    try:
        return function(data, allowed)
    except _TooLarge:
        what = f"{len(data):,} bytes of {name} inflate to more than the {allowed:,} that are allowed"
    except (zlib.error, StructError, ValueError, cramjam.DecompressionError) as error:
        what = f"the records are not {name}: {error}"
    raise CodecError(what, protocol="kafka", clause=clause, reason=CORRUPT_MESSAGE)


# gzip


def _gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=GZIP_WBITS)
    return packer.compress(data) + packer.flush()


def _gunzip(data: bytes, allowed: int) -> bytes:
    whole, rest = b"", data
    while True:
        unpacker = zlib.decompressobj(wbits=GZIP_WBITS)
        whole += unpacker.decompress(rest, allowed - len(whole) + 1)
        if len(whole) > allowed:
            raise _TooLarge
        if not unpacker.eof:
            raise ValueError("it ends before its checksum")
        rest = unpacker.unused_data
        if not rest:
            return whole


# snappy


def _xerial(data: bytes) -> bytes:
    parts = [XERIAL]
    for start in range(0, len(data), XERIAL_BLOCK_BYTES):
        block = bytes(cramjam.snappy.compress_raw(data[start : start + XERIAL_BLOCK_BYTES]))
        parts += (XERIAL_LENGTH.pack(len(block)), block)
    return b"".join(parts)


def _unsnappy(data: bytes, allowed: int) -> bytes:
    if not data.startswith(XERIAL[:8]):
        return _unsnappy_block(data, allowed)
    parts: list[bytes] = []
    at = len(XERIAL)
    if at > len(data):
        raise ValueError("xerial's header is cut short")
    while at < len(data):
        (size,) = XERIAL_LENGTH.unpack_from(data, at)
        at += XERIAL_LENGTH.size
        if not 0 < size <= len(data) - at:
            raise ValueError(f"a block of {size} bytes with {len(data) - at} left")
        parts.append(_unsnappy_block(data[at : at + size], allowed))
        allowed -= len(parts[-1])
        at += size
    return b"".join(parts)


def _unsnappy_block(block: bytes, allowed: int) -> bytes:
    if cramjam.snappy.decompress_raw_len(block) > allowed:
        raise _TooLarge
    return bytes(cramjam.snappy.decompress_raw(block))


# lz4 and zstd


def _lz4(data: bytes) -> bytes:
    packer = cramjam.lz4.Compressor(content_checksum=False, block_linked=False)
    packer.compress(data)
    return bytes(packer.finish())


def _zstd(data: bytes) -> bytes:
    return bytes(cramjam.zstd.compress(data))


def _within(inflate_into: Callable[[bytes, bytearray], int]) -> Callable[[bytes, int], bytes]:
    """Frames do not reliably tell what they will come to: try with more room until it is too much."""

    def function(data: bytes, allowed: int) -> bytes:
        room = ROOM_BYTES
        while True:
            target = bytearray(min(room, allowed))
            try:
                size = inflate_into(data, target)
            except cramjam.DecompressionError as error:
                if "whole buffer" not in str(error):
                    raise
                if room >= allowed:
                    raise _TooLarge from None
                room *= 4
            else:
                return bytes(memoryview(target)[:size])

    return function


_DEFLATE: Final[Mapping[Codec, Callable[[bytes], bytes]]] = {
    Codec.NONE: bytes,
    Codec.GZIP: _gzip,
    Codec.SNAPPY: _xerial,
    Codec.LZ4: _lz4,
    Codec.ZSTD: _zstd,
}
_INFLATE: Final[Mapping[int, tuple[str, str, Callable[[bytes, int], bytes]]]] = {
    Codec.GZIP: ("gzip", "RFC 1952", _gunzip),
    Codec.SNAPPY: ("snappy", "Snappy format description", _unsnappy),
    Codec.LZ4: ("lz4", "LZ4 frame format", _within(cramjam.lz4.decompress_into)),
    Codec.ZSTD: ("zstd", "RFC 8878", _within(cramjam.zstd.decompress_into)),
}
