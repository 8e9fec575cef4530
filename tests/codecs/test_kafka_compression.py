"""Compressed record batches: against aiokafka in both directions, as each client writes them, and bombs."""

import gzip
import os
import struct
import zlib

import aiokafka.codec as theirs
import cramjam
import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_codecs.bounds import KAFKA_INFLATED_BYTES_FREE, KAFKA_INFLATED_BYTES_MAX, KAFKA_INFLATION_MAX
from fabric_codecs.errors import CodecError
from fabric_codecs.kafka.builder import BatchBuilder
from fabric_codecs.kafka.compression import XERIAL, XERIAL_BLOCK_BYTES, Codec, deflate, inflate
from fabric_codecs.kafka.records import Record, checksum, decode_batch

COMPRESSING = [Codec.GZIP, Codec.SNAPPY, Codec.LZ4, Codec.ZSTD]
RECORDS = [
    Record(at, 1_700_000_000_000 + at, b"key-%d" % at, b"a value that says itself again " * 9, [("h", None)])
    for at in range(20)
]


def encode(codec, records=RECORDS, **settings):
    batch = BatchBuilder(records[0].offset, codec=codec, **settings)
    for record in records:
        batch.add(record)
    return batch.build()


def with_records(codec, compressed, count=1):
    """A batch that says its records are compressed with `codec`, and holds these bytes."""
    data = bytearray(BatchBuilder(0).build() + compressed)
    struct.pack_into(">i", data, 8, len(data) - 12)
    struct.pack_into(">h", data, 21, codec)
    struct.pack_into(">i", data, 57, count)
    struct.pack_into(">I", data, 17, checksum(bytes(data[21:])))
    return bytes(data)


def streamed_zstd(data):
    packer = cramjam.zstd.Compressor()
    packer.compress(data)
    return bytes(packer.finish())


def lz4_of(**flags):
    def function(data):
        packer = cramjam.lz4.Compressor(**flags)
        packer.compress(data)
        return bytes(packer.finish())

    return function


AS_OTHERS_WRITE = {
    "gzip of Java": (Codec.GZIP, lambda data: gzip.compress(data, mtime=1)),
    "gzip in two members": (Codec.GZIP, lambda data: gzip.compress(data[:10]) + gzip.compress(data[10:])),
    "snappy of Java and aiokafka": (Codec.SNAPPY, theirs.snappy_encode),
    "snappy of librdkafka, franz-go and kafkajs": (
        Codec.SNAPPY,
        lambda d: bytes(cramjam.snappy.compress_raw(d)),
    ),
    "lz4 of Java and librdkafka": (Codec.LZ4, lz4_of(content_checksum=False, block_linked=False)),
    "lz4 of franz-go": (Codec.LZ4, lz4_of(content_checksum=True, block_linked=False)),
    "lz4 of lz4js, with linked blocks": (Codec.LZ4, lz4_of(content_checksum=False, block_linked=True)),
    "zstd with its size": (Codec.ZSTD, theirs.zstd_encode),
    "zstd without its size": (Codec.ZSTD, streamed_zstd),
}


@pytest.mark.parametrize("codec", Codec)
def test_aiokafka_reads_what_we_compress(codec):
    batch = DefaultRecordBatch(bytearray(encode(codec)))
    assert batch.validate_crc()
    assert batch.compression_type == codec
    assert [Record(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in batch] == RECORDS


@pytest.mark.parametrize("codec", Codec)
def test_we_read_what_aiokafka_compresses(codec):
    batch = DefaultRecordBatchBuilder(
        magic=2, compression_type=codec, is_transactional=0, producer_id=-1, producer_epoch=-1,
        base_sequence=-1, batch_size=1 << 20,
    )  # fmt: skip
    for record in RECORDS:
        batch.append(record.offset, record.timestamp_ms, record.key, record.value, record.headers)
    decoded = decode_batch(bytes(batch.build()))
    assert (decoded.codec, decoded.records) == (codec, RECORDS)


@pytest.mark.parametrize("codec", COMPRESSING)
def test_a_compressed_batch_is_the_plain_one_but_smaller(codec):
    plain, packed = encode(Codec.NONE), encode(codec)
    assert len(packed) < len(plain) / 3
    assert inflate(codec, packed[61:]) == plain[61:]
    assert decode_batch(packed).records == decode_batch(plain).records
    assert packed[23:61] == plain[23:61]


@pytest.mark.parametrize("codec", COMPRESSING)
def test_a_builder_goes_on_after_it_has_built(codec):
    batch = BatchBuilder(0, codec=codec)
    batch.add(RECORDS[0])
    first = batch.build()
    assert batch.build() == first
    batch.add(RECORDS[1])
    assert decode_batch(batch.build()).records == RECORDS[:2]
    assert decode_batch(first).records == RECORDS[:1]


@pytest.mark.parametrize("codec", COMPRESSING)
def test_no_records_are_compressed_too(codec):
    assert decode_batch(BatchBuilder(3, codec=codec).build()).records == []


@pytest.mark.parametrize("case", AS_OTHERS_WRITE)
@pytest.mark.parametrize("size", [0, 1, 5_000, XERIAL_BLOCK_BYTES * 3 + 1])
def test_compression_is_read_as_every_client_writes_it(case, size):
    codec, write = AS_OTHERS_WRITE[case]
    data = (os.urandom(50) * (size // 50 + 1))[:size]
    if data or case != "snappy of librdkafka, franz-go and kafkajs":
        assert inflate(codec, write(data)) == data


@pytest.mark.parametrize("codec", Codec)
@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=5000))
def test_any_bytes_come_back_and_the_same_bytes_go_out(codec, data):
    packed = deflate(codec, data)
    assert deflate(codec, data) == packed
    assert codec == Codec.NONE or inflate(codec, packed) == data


def test_what_we_write_is_what_brokers_and_clients_ask_for():
    assert deflate(Codec.SNAPPY, b"x").startswith(XERIAL)
    assert deflate(Codec.LZ4, b"x" * 99)[4] & 0x60 == 0x60  # version 1, independent blocks (KIP-57)
    assert deflate(Codec.GZIP, b"x")[:2] == b"\x1f\x8b"
    assert deflate(Codec.ZSTD, b"x")[:4] == b"\x28\xb5\x2f\xfd"


def test_producer_and_broker_fields_are_written_and_read():
    data = encode(
        Codec.LZ4, is_transactional=True, is_control=True, append_time_ms=77, leader_epoch=4,
        producer_id=1 << 40, producer_epoch=3, base_sequence=12,
    )  # fmt: skip
    batch = decode_batch(data)
    assert batch.is_transactional
    assert batch.is_control
    assert batch.is_log_append_time
    assert (batch.leader_epoch, batch.producer_id, batch.producer_epoch, batch.base_sequence) == (
        4, 1 << 40, 3, 12
    )  # fmt: skip
    assert {record.timestamp_ms for record in batch.records} == {77} == {batch.max_timestamp_ms}
    with pytest.raises(ValueError, match="5"):
        BatchBuilder(0, codec=5)


# Bounds


def xerial_bomb(size):
    block = bytes(cramjam.snappy.compress_raw(bytes(size // 4)))
    return XERIAL + (len(block).to_bytes(4) + block) * 4


BOMBS = {
    "gzip": (Codec.GZIP, lambda size: gzip.compress(bytes(size))),
    "gzip of many members": (Codec.GZIP, lambda size: gzip.compress(bytes(size // 64)) * 64),
    "snappy": (Codec.SNAPPY, lambda size: bytes(cramjam.snappy.compress_raw(bytes(size)))),
    "snappy, xerial": (Codec.SNAPPY, xerial_bomb),
    "snappy that lies": (Codec.SNAPPY, lambda size: b"\xff\xff\xff\xff\x0f\0"),
    "lz4": (Codec.LZ4, lz4_of(block_linked=False)),
    "zstd": (Codec.ZSTD, lambda size: theirs.zstd_encode(bytes(size))),
    "zstd without its size": (Codec.ZSTD, lambda size: streamed_zstd(bytes(size))),
    "zstd of many frames": (Codec.ZSTD, lambda size: theirs.zstd_encode(bytes(size // 64)) * 64),
}
BOMBS["lz4"] = (Codec.LZ4, lambda size: lz4_of(block_linked=False)(bytes(size)))


@pytest.mark.parametrize("case", BOMBS)
def test_a_bomb_is_refused_by_size_and_by_ratio(case):
    codec, bomb = BOMBS[case]
    over_size = bomb(KAFKA_INFLATED_BYTES_MAX + (1 << 20))
    with pytest.raises(CodecError, match="inflate to more than"):
        inflate(codec, over_size)
    with pytest.raises(CodecError, match="inflate to more than") as caught:
        decode_batch(with_records(codec, over_size))
    assert (caught.value.reason, caught.value.offset) == (2, 61)
    if case != "snappy that lies":
        assert inflate(codec, bomb(KAFKA_INFLATED_BYTES_FREE)) == bytes(KAFKA_INFLATED_BYTES_FREE)
        with pytest.raises(CodecError, match="5,000"):
            inflate(codec, bomb(6400), bytes_max=5000)


def test_far_more_than_came_in_is_refused_below_the_limit_of_size():
    size = 8 << 20
    bomb = gzip.compress(bytes(size))
    assert size > len(bomb) * KAFKA_INFLATION_MAX
    with pytest.raises(CodecError, match="inflate to more than"):
        inflate(Codec.GZIP, bomb)
    noise = os.urandom(size // KAFKA_INFLATION_MAX)
    assert len(inflate(Codec.GZIP, gzip.compress(noise + bytes(size)))) > size


def test_a_bound_of_the_caller_holds_for_a_batch():
    data = encode(Codec.ZSTD)
    assert decode_batch(data, 0, 10_000).records == RECORDS
    with pytest.raises(CodecError, match="100 that are allowed"):
        decode_batch(data, 0, 100)


# What is broken


@pytest.mark.parametrize("codec", COMPRESSING)
def test_compressed_records_cut_anywhere_are_refused(codec):
    packed = deflate(codec, b"twelve bytes" * 30)
    block_ends = {16} if codec == Codec.SNAPPY else set()  # xerial without a block: no records
    for size in set(range(len(packed))) - block_ends:
        with pytest.raises(CodecError) as caught:
            decode_batch(with_records(codec, packed[:size]))
        assert (caught.value.reason, caught.value.offset) == (2, 61)
        assert caught.value.clause


GZIPPED = gzip.compress(b"records", mtime=0)
BROKEN = {
    "gzip with a wrong checksum": (1, GZIPPED[:-8] + b"\0\0\0\0" + GZIPPED[-4:], "RFC 1952"),
    "gzip with a wrong length": (1, GZIPPED[:-1] + b"\1", "RFC 1952"),
    "gzip with something behind it": (1, GZIPPED + b"x", "RFC 1952"),
    "zlib called gzip": (1, zlib.compress(b"records"), "RFC 1952"),
    "snappy's block with a length of zero": (2, XERIAL + b"\0\0\0\0", "Snappy"),
    "snappy's block with a negative length": (2, XERIAL + b"\xff\xff\xff\xff", "Snappy"),
    "snappy's block longer than the batch": (2, XERIAL + b"\0\0\0\x09\x01\0x", "Snappy"),
    "snappy's block of other bytes": (2, XERIAL + b"\0\0\0\x03xyz", "Snappy"),
    "xerial's header cut short": (2, XERIAL[:12], "Snappy"),
    "snappy that says less than it is": (2, b"\x01\x08abc", "Snappy"),
    "lz4 with another magic": (3, b"\x02\x21\x4c\x18" + deflate(Codec.LZ4, b"r")[4:], "LZ4"),
    "lz4 with a wrong header checksum": (3, deflate(Codec.LZ4, b"r")[:6] + b"\xee", "LZ4"),
    "lz4 with something behind it": (3, deflate(Codec.LZ4, b"r") + b"x", "LZ4"),
    "zstd with another magic": (4, b"\x29" + deflate(Codec.ZSTD, b"r")[1:], "RFC 8878"),
    "zstd with something behind it": (4, deflate(Codec.ZSTD, b"r") + b"x", "RFC 8878"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_not_what_the_attributes_say_is_refused(case):
    codec, data, clause = BROKEN[case]
    with pytest.raises(CodecError, match="the records are not") as caught:
        decode_batch(with_records(codec, data))
    assert (caught.value.reason, caught.value.offset) == (2, 61)
    assert caught.value.clause.startswith(clause)


@pytest.mark.parametrize("codec", COMPRESSING)
def test_a_fault_inside_compressed_records_tells_its_place_there(codec):
    good = b"\x0c\0\0\0\x01\x01\0"
    packed = deflate(codec, good + b"\x0c\0\0\0\x7e\x01\0")
    assert decode_batch(with_records(codec, deflate(codec, good))).records[0].value is None
    with pytest.raises(CodecError, match="at byte 12 of what was compressed") as caught:
        decode_batch(with_records(codec, packed, count=2))
    assert (caught.value.reason, caught.value.offset) == (87, 61)
    with pytest.raises(CodecError, match="7 bytes after the last"):
        decode_batch(with_records(codec, packed, count=1))
