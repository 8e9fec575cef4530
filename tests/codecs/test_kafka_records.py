"""Record batches: against aiokafka's own implementation in both directions, round trips, malformed tables."""

import random
import struct
from contextlib import suppress

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_codecs.bounds import KAFKA_HEADERS_MAX
from fabric_codecs.errors import CodecError
from fabric_codecs.kafka.builder import BatchBuilder
from fabric_codecs.kafka.compression import Codec, deflate
from fabric_codecs.kafka.records import Record, checksum, decode_batch, only_record

NULLABLE = st.none() | st.binary(max_size=200)
HEADERS = st.lists(
    st.tuples(st.text(st.characters(exclude_categories=("Cs",)), max_size=20), NULLABLE), max_size=5
)
FIELDS = st.tuples(st.integers(0, 2**40), NULLABLE, NULLABLE, HEADERS)
BATCHES = st.tuples(st.integers(0, 2**60), st.lists(FIELDS, min_size=1, max_size=8))

TRICKY = [
    Record(7, 1_700_000_000_000, None, None, []),
    Record(8, 1_700_000_000_001, b"", b"", [("", b""), ("", None)]),
    Record(9, 1_699_999_999_999, b"k" * 63, b"v" * 64, [("a", b"1"), ("b", None), ("a", b"2"), ("a", b"1")]),
    Record(10, 1_700_000_000_000, b"k" * 8191, b"v" * 8192, [("ünïcode", bytes(range(256)))]),
    Record(2**31 + 6, 1_800_000_000_000, b"\0", b"\xff", []),
]


def encode(records, base_offset=None):
    batch = BatchBuilder(records[0].offset if base_offset is None else base_offset)
    for record in records:
        batch.add(record)
    assert batch.size_bytes == len(batch.build())
    return batch.build()


def records_of(base_offset, fields):
    return [Record(base_offset + at, *values) for at, values in enumerate(fields)]


def aiokafka_reads(data):
    batch = DefaultRecordBatch(bytearray(data))
    assert batch.validate_crc()
    return [Record(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in batch]


def aiokafka_writes(records):
    batch = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 24,
    )
    for at, record in enumerate(records):
        batch.append(at, record.timestamp_ms, record.key, record.value, record.headers)
    return bytes(batch.build())


def resealed(data):
    """The batch with its length and checksum made right again, so that what lies behind them is looked at."""
    data = bytearray(data)
    struct.pack_into(">i", data, 8, len(data) - 12)
    struct.pack_into(">I", data, 17, checksum(bytes(data[21:])))
    return bytes(data)


def patched(data, at, form, *values):
    data = bytearray(data)
    struct.pack_into(form, data, at, *values)
    return bytes(data)


def with_body(body, count=1):
    """A batch whose records are these bytes."""
    empty = BatchBuilder(0).build()
    return resealed(patched(empty, 57, ">i", count) + body)


def test_aiokafka_reads_what_we_write():
    assert aiokafka_reads(encode(TRICKY)) == TRICKY


def test_we_read_what_aiokafka_writes():
    records = [Record(at, r.timestamp_ms, r.key, r.value, r.headers) for at, r in enumerate(TRICKY)]
    assert decode_batch(aiokafka_writes(records)).records == records


@settings(max_examples=150, deadline=None)
@given(BATCHES)
def test_any_batch_comes_back_and_equals_aiokafkas_bytes(batch):
    base_offset, fields = batch
    records = records_of(base_offset, fields)
    data = encode(records)
    decoded = decode_batch(data)
    assert decoded.records == records
    assert decoded.end == len(data)
    assert aiokafka_reads(data) == records
    # Base offset and leader epoch (0 here, -1 there) stand outside the checksum; the rest is equal.
    assert aiokafka_writes(records)[16:] == data[16:]


def test_batches_that_follow_each_other_are_read_one_after_the_other():
    first, second = encode([Record(0, 1, b"a", b"b", [])]), encode([Record(1, 2, None, b"c", [])])
    stream = first + second
    batch = decode_batch(stream)
    assert batch.end == len(first)
    assert decode_batch(stream, batch.end).records == [Record(1, 2, None, b"c", [])]


def test_offsets_may_leave_holes_and_the_base_may_lie_before_the_first():
    records = [Record(10, 1, None, b"", []), Record(15, 1, None, b"", [])]
    batch = decode_batch(encode(records, base_offset=4))
    assert batch.records == records
    assert (batch.base_offset, batch.last_offset_delta) == (4, 11)


def test_a_batch_without_records_is_legal():
    batch = decode_batch(BatchBuilder(5).build())
    assert (batch.base_offset, batch.records) == (5, [])


def test_log_append_time_overrides_the_records_own():
    data = resealed(patched(encode(TRICKY[:2]), 21, ">h", 0x08))
    batch = decode_batch(data)
    assert {record.timestamp_ms for record in batch.records} == {batch.max_timestamp_ms}


def test_attributes_tell_transactional_and_control_batches():
    plain = decode_batch(encode(TRICKY[:1]))
    assert not plain.is_transactional
    assert not plain.is_control
    marked = decode_batch(resealed(patched(encode(TRICKY[:1]), 21, ">h", 0x30)))
    assert marked.is_transactional
    assert marked.is_control


def test_producer_fields_are_read():
    data = resealed(patched(encode(TRICKY[:1]), 43, ">qhi", 77, 3, 12))
    batch = decode_batch(data)
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (77, 3, 12)


@pytest.mark.parametrize("portable", [False, True])
def test_checksum_fits_the_published_vectors_at_every_length(portable):
    # RFC 3720, B.4, and sums that both ways must share: at every alignment of the eight-byte step, and with
    # three stretches of 128 or 4096 bytes side by side.
    assert checksum(b"\0" * 32, portable) == 0x8A9136AA
    assert checksum(b"\xff" * 32, portable) == 0x62A8AB43
    assert checksum(bytes(range(32)), portable) == 0x46DD794E
    assert checksum(b"123456789", portable) == 0xE3069283
    data = random.Random(7).randbytes(2 * 12288 + 400)
    for size in (*range(70), *range(380, 390), *range(760, 780), *range(12280, 12290), len(data)):
        assert checksum(data[:size], portable) == checksum(data[:size])


@pytest.mark.parametrize("size", range(len(encode(TRICKY[:3]))))
def test_a_batch_cut_anywhere_is_refused(size):
    with pytest.raises(CodecError) as caught:
        decode_batch(encode(TRICKY[:3])[:size])
    assert caught.value.reason == 2


@pytest.mark.parametrize("at", range(17, len(encode(TRICKY[:3])), 7))
def test_a_changed_bit_behind_the_checksum_is_noticed(at):
    data = bytearray(encode(TRICKY[:3]))
    data[at] ^= 0x10
    with pytest.raises(CodecError, match="checksum") as caught:
        decode_batch(bytes(data))
    assert caught.value.reason == 2


@pytest.mark.parametrize("bits", [5, 6, 7])
def test_a_codec_that_nobody_knows_is_refused_at_the_bits_that_say_it(bits):
    with pytest.raises(CodecError, match=f"compressed with codec {bits}") as caught:
        decode_batch(resealed(patched(encode(TRICKY[:1]), 21, ">h", bits)))
    assert caught.value.reason == 76
    assert caught.value.offset == 21


WELL = (
    b"\x0e\0\0\0\x01\x01\0"  # length 7, null key, null value, no headers: without its length 0x0e = zigzag(7)
)
GOOD = b"\x0c\0\0\0\x01\x01\0"  # the same with its true length, 6
GOOD_BATCH = with_body(GOOD)

BATCH, RECORD, HEADER = (f"Message Format, Record{part}" for part in (" Batch", "", " Header"))
VARINT = "Protocol Primitive Types, VARINT"

# The bytes; what is said of them, at which byte, by which clause, with which of Kafka's error codes.
MALFORMED = {
    "nothing": (b"", "cut short", 0, BATCH, 2),
    "negative batch length": (patched(GOOD_BATCH, 8, ">i", -1), "batch length -1", 8, BATCH, 2),
    "batch length inside the header": (patched(GOOD_BATCH, 8, ">i", 48), "batch length 48", 8, BATCH, 2),
    "batch length over the bytes": (patched(GOOD_BATCH, 8, ">i", 57), "57, 56 bytes are there", 8, BATCH, 2),
    "batch length under the bytes": (patched(GOOD_BATCH, 8, ">i", 55), "checksum", 17, BATCH, 2),
    "wrong checksum": (patched(GOOD_BATCH, 17, ">I", 1), "checksum", 17, BATCH, 2),
    "magic 0": (patched(GOOD_BATCH, 16, ">b", 0), "magic 0", 16, BATCH, 43),
    "magic 1": (patched(GOOD_BATCH, 16, ">b", 1), "magic 1", 16, BATCH, 43),
    "magic 3": (patched(GOOD_BATCH, 16, ">b", 3), "magic 3", 16, BATCH, 43),
    "unknown compression": (resealed(patched(GOOD_BATCH, 21, ">h", 5)), "codec 5", 21, f"{BATCH}: attr", 76),
    "negative base offset": (patched(GOOD_BATCH, 0, ">q", -1), "which no log has", 0, BATCH, 87),
    "offsets over 64 bits": (patched(encode(TRICKY[:3], 0), 0, ">q", 2**63 - 2), "no log has", 0, BATCH, 87),
    "negative record count": (with_body(b"", -1), "-1 records in a batch", 57, BATCH, 87),
    "more records than any batch has": (with_body(b"", 2**31 - 1), "2147483647 records", 57, BATCH, 87),
    "more records than bytes": (with_body(GOOD, 2), "where another one is announced", 68, RECORD, 87),
    "fewer records than bytes": (with_body(GOOD * 2, 1), "7 bytes after the last", 68, BATCH, 87),
    "record length too long": (with_body(WELL), "a record of 7 bytes with 6 left", 61, RECORD, 87),
    "negative record length": (with_body(b"\x01" + GOOD[1:]), "a record of -1 bytes", 61, RECORD, 87),
    "record length without end": (with_body(b"\xff" * 12), "within its width", 61, VARINT, 87),
    "record length over 32 bits": (with_body(b"\xff\xff\xff\xff\x7f"), "within its width", 61, VARINT, 87),
    "record length longer than need be": (with_body(b"\x8c\0" + GOOD[1:]), "longer than", 61, VARINT, 87),
    "record shorter than its fields": (with_body(b"\x0a" + GOOD[1:]), "ends inside a field", 67, RECORD, 87),
    "record longer than its fields": (with_body(b"\x0e" + GOOD[1:] + b"\0"), "for 1 bytes", 68, RECORD, 87),
    "timestamp longer than need be": (with_body(b"\x0e\0\x80\0\0\x01\x01\0"), "longer", 63, VARINT, 87),
    "time over 64 bits": (with_body(b"\x20\0" + b"\xff" * 10 + b"\1\0\1\1\0"), "width", 63, VARINT, 87),
    "key length under null": (with_body(b"\x0c\0\0\0\x03\x01\0"), "below that of null", 65, RECORD, 87),
    "key over the record": (with_body(b"\x0c\0\0\0\x7e\x01\0"), "ends inside a field", 66, RECORD, 87),
    "null key in two bytes": (with_body(b"\x0e\0\0\0\x81\0\x01\0"), "longer than", 65, VARINT, 87),
    "value length under null": (with_body(b"\x0c\0\0\0\x01\x05\0"), "below that of null", 66, RECORD, 87),
    "value over the record": (with_body(b"\x0c\0\0\0\x01\x7e\0"), "ends inside a field", 67, RECORD, 87),
    "negative header count": (with_body(b"\x0c\0\0\0\x01\x01\x01"), "-1 headers", 67, HEADER, 87),
    "too many headers": (with_body(b"\x0e\0\0\0\x01\x01\xfe\x7f"), "8191 headers", 67, HEADER, 87),
    "one header too many": (with_body(b"\x0e\0\0\0\x01\x01\x82\x04"), "257 headers", 67, HEADER, 87),
    "header cut short": (with_body(b"\x0e\0\0\0\x01\x01\x02\x02"), "ends inside a field", 69, RECORD, 87),
    "null header name": (with_body(b"\x10\0\0\0\x01\x01\x02\x01\x01"), "without a name", 68, RECORD, 87),
    "header name that is not UTF-8": (
        with_body(b"\x12\0\0\0\x01\x01\x02\x02\xff\x01"), "not UTF-8", 69, HEADER, 87,
    ),
    "header value over the record": (
        with_body(b"\x12\0\0\0\x01\x01\x02\x02a\x7e"), "ends inside a field", 71, RECORD, 87,
    ),
    "offset delta over the last": (with_body(b"\x0c\0\0\x02\x01\x01\0"), "offset delta 1", 61, RECORD, 87),
    "negative offset delta": (with_body(b"\x0c\0\0\x01\x01\x01\0"), "offset delta -1", 61, RECORD, 87),
}  # fmt: skip


def test_the_malformed_table_differs_from_a_good_batch_only_where_it_says():
    assert decode_batch(with_body(GOOD)).records == [Record(0, -1, None, None, [])]


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_batch_is_refused_with_place_clause_and_kafkas_error_code(case):
    data, what, offset, clause, reason = MALFORMED[case]
    with pytest.raises(CodecError, match=what) as caught:
        decode_batch(data)
    assert caught.value.protocol == "kafka"
    assert (caught.value.offset, caught.value.reason) == (offset, reason)
    assert caught.value.clause.startswith(clause)


def outcome(read, data):
    try:
        return read(data)
    except CodecError as error:
        return error.what, error.offset, error.clause, error.reason


@pytest.mark.parametrize("codec", [Codec.NONE, Codec.GZIP])
@pytest.mark.parametrize("case", [*MALFORMED, None])
def test_a_batch_of_one_is_read_or_refused_as_any_batch_is(case, codec):
    data = MALFORMED[case][0] if case else GOOD_BATCH
    if codec and len(data) >= 61:
        data = resealed(patched(data[:61] + deflate(codec, data[61:]), 21, ">h", codec))
    alone = outcome(only_record, data)
    if "translate one at a time" in str(alone):
        assert data[57:61] != b"\0\0\0\1"
    else:
        assert alone == outcome(lambda data: decode_batch(data).records[0], data)


@pytest.mark.parametrize(
    ("data", "what", "offset"),
    [
        (GOOD_BATCH * 2, "bytes follow", len(GOOD_BATCH)),
        (encode(TRICKY[:2]), "a batch of 2 records", 57),
        (with_body(b"", 0), "a batch of 0 records", 57),
    ],
)
def test_what_is_no_batch_of_one_is_refused(data, what, offset):
    with pytest.raises(CodecError, match=what) as caught:
        only_record(data)
    assert caught.value.offset == offset


def test_a_record_may_have_as_many_headers_as_the_bound_says_and_no_more():
    header = b"\x02a\x01"  # its name, null
    for count in (KAFKA_HEADERS_MAX, KAFKA_HEADERS_MAX + 1):
        head = b"\0\0\0\x01\x01" + varint(count)
        body = varint(len(head) + len(header) * count) + head + header * count
        if count > KAFKA_HEADERS_MAX:
            with pytest.raises(CodecError, match=f"{count} headers"):
                decode_batch(with_body(body))
        else:
            assert decode_batch(with_body(body)).records[0].headers == [("a", None)] * count


def varint(number):
    """Of 64 to 8191, zigzag-coded."""
    return bytes([0x80 | number * 2 & 0x7F, number * 2 >> 7])


def test_a_fault_is_told_at_its_place_in_the_whole_buffer():
    data, what, offset, _, _ = MALFORMED["key over the record"]
    with pytest.raises(CodecError, match=what) as caught:
        decode_batch(GOOD_BATCH + data, len(GOOD_BATCH))
    assert caught.value.offset == len(GOOD_BATCH) + offset


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_anywhere_never_escapes_as_anything_but_a_codec_error(data):
    damaged = bytearray(encode(TRICKY[:3]))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(21, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with suppress(CodecError):
        decode_batch(resealed(bytes(damaged)))


def test_the_builder_stops_at_its_size_and_takes_a_first_record_of_any():
    record = Record(0, 1, None, b"v" * 100, [])
    whole = BatchBuilder(0)
    assert whole.add(record)
    exact, tight = BatchBuilder(0), BatchBuilder(0)
    assert exact.add(record, whole.size_bytes)
    assert tight.add(record, 1)
    following = Record(1, 1, None, b"w", [])
    assert whole.add(following)
    assert not exact.add(following, whole.size_bytes - 1)
    assert exact.count == 1
    assert exact.add(following, whole.size_bytes)
    assert exact.build() == whole.build()


def test_the_builder_refuses_what_cannot_stand_in_a_batch_and_keeps_what_it_had():
    batch = BatchBuilder(5)
    batch.add(Record(5, 1, None, b"kept", []))
    kept = batch.build()
    too_many = [("h", b"")] * (KAFKA_HEADERS_MAX + 1)
    for refused in (
        Record(5, 1, None, b"", []),
        Record(4, 1, None, b"", []),
        Record(5 + 2**31, 1, None, b"", []),
    ):
        with pytest.raises(CodecError, match="does not follow"):
            batch.add(refused)
    with pytest.raises(CodecError, match="headers"):
        batch.add(Record(6, 1, None, b"", too_many))
    with pytest.raises(CodecError, match="surrogate"):
        batch.add(Record(6, 1, None, b"", [("\ud800", b"")]))
    assert batch.build() == kept
    assert batch.count == 1


def test_timestamps_further_apart_than_64_bits_say_come_back():
    records = [
        Record(0, 5, None, None, []),
        Record(1, 2**63 - 1, None, None, []),
        Record(2, -(2**63), None, None, []),
    ]
    assert decode_batch(encode(records)).records == records
