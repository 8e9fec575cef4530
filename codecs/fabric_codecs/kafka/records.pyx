"""Records, and record batches of format v2 (magic 2) read: what a Fetch response carries and a Produce request brings.

In: the bytes of a batch, compressed or not. Out: `Batch` with its records; the way back is `builder`. Above: `lift`, `lower`.
Below: `compression`, `core`. Every read goes through the bounded reader; a record that does not end where its length says
is refused.

    batch, big endian                                 record, v = zigzag varint
       0  base offset           i64                   length                          v
       8  batch length          i32  bytes after it   attributes                      i8, unused
      12  leader epoch          i32                   timestamp - base timestamp      v (64 bits)
      16  magic                 i8   2                offset - base offset            v
      17  CRC-32C               u32  of all after it  key length, key                 v, bytes; -1 = null
      21  attributes            i16                   value length, value             v, bytes; -1 = null
      23  last offset delta     i32                   header count                    v
      27  base timestamp        i64                   per header, in order:
      35  max timestamp         i64                       name length, name           v, UTF-8
      43  producer id           i64                       value length, value         v, bytes; -1 = null
      51  producer epoch        i16
      53  base sequence         i32                   attributes: bits 0-2 codec, 3 timestamp type (log append),
      57  record count          i32                   4 transactional, 5 control, 6 delete horizon
      61  records

Source: Apache Kafka, documentation, "Message Format"; DefaultRecordBatch and DefaultRecord. Base offset and leader epoch stand outside the checksum, so
that a broker may set them in a producer's batch.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.stdint cimport INT64_MAX, int16_t, int32_t, int64_t, uint64_t
from libc.string cimport memcmp

from fabric_codecs.core.crc32c cimport crc32c, crc32c_portable
from fabric_codecs.core.reader cimport (
    Reader, fail, left, read_i8, read_i16, read_i32, read_i64, read_u32, reader_init, take
)
from fabric_codecs.core.varint cimport read_varint, read_varlong

from fabric_codecs.bounds import KAFKA_HEADERS_MAX, KAFKA_INFLATED_BYTES_MAX, KAFKA_RECORDS_MAX
from fabric_codecs.errors import CodecError
from fabric_codecs.kafka.compression import Codec, inflate

cdef Py_ssize_t HEADERS_MAX = KAFKA_HEADERS_MAX
cdef Py_ssize_t RECORDS_MAX = KAFKA_RECORDS_MAX
cdef Py_ssize_t INFLATED_MAX = KAFKA_INFLATED_BYTES_MAX
cdef enum:
    COUNT_AT = 57
    NAME_SLOTS = 256
    NAME_KEPT_BYTES = 40
cdef list NAMES = [""] * NAME_SLOTS
cdef str BATCH = "Message Format, Record Batch"  # Apache Kafka's documentation
cdef str RECORD = "Message Format, Record"
cdef str HEADER = "Message Format, Record Header"


cdef object wrong(str what, Py_ssize_t at, int reason, str clause=RECORD):
    return CodecError(what, protocol="kafka", offset=at, clause=clause, reason=reason)


cdef object broken(Reader* r, str what):
    # The reader's own first fault: where it is, and why when it is not that the bytes end.
    if r.why == NULL:
        return wrong(what, r.fault_at, INVALID_RECORD)
    is_varint = (<bytes>r.why).startswith(b"a varint")
    return wrong(r.why.decode(), r.fault_at, INVALID_RECORD, "Protocol Primitive Types, VARINT" if is_varint else RECORD)


@cython.freelist(64)
cdef class Record:
    """One record. `key`, `value` and a header's value may be None (null); headers keep their order."""

    def __init__(self, int64_t offset, int64_t timestamp_ms, bytes key, bytes value, list headers not None):
        self.offset = offset
        self.timestamp_ms = timestamp_ms
        self.key = key
        self.value = value
        self.headers = headers

    def __eq__(self, other):
        if not isinstance(other, Record):
            return NotImplemented
        return self._fields() == (<Record>other)._fields()

    def __hash__(self):
        return hash((self.offset, self.timestamp_ms, self.key, self.value))

    def __repr__(self):
        return "Record(offset=%r, timestamp_ms=%r, key=%r, value=%r, headers=%r)" % self._fields()

    cdef tuple _fields(self):
        return self.offset, self.timestamp_ms, self.key, self.value, self.headers


@cython.freelist(8)
cdef class Batch:
    """A decoded batch. `end` is the byte after it in the buffer it was read from."""

    cdef readonly int64_t base_offset
    cdef readonly int32_t leader_epoch
    cdef readonly int16_t attributes
    cdef readonly int32_t last_offset_delta
    cdef readonly int64_t max_timestamp_ms
    cdef readonly int64_t producer_id
    cdef readonly int16_t producer_epoch
    cdef readonly int32_t base_sequence
    cdef readonly list records
    cdef readonly Py_ssize_t end

    @property
    def codec(self):
        """How the records were compressed."""
        return Codec(self.attributes & CODEC_BITS)

    @property
    def is_log_append_time(self):
        """Its records have the time at which they were stored, not their producer's."""
        return bool(self.attributes & LOG_APPEND_TIME)

    @property
    def is_transactional(self):
        return bool(self.attributes & TRANSACTIONAL)

    @property
    def is_control(self):
        """Its records are transaction markers, not somebody's data."""
        return bool(self.attributes & CONTROL)


cdef inline bytes read_nullable(Reader* r):
    cdef Py_ssize_t start = r.at
    cdef int32_t size = read_varint(r)
    if size == -1 or r.short_:
        return None
    cdef const unsigned char* p
    if size < 0:
        fail(r, start, b"a length below that of null")
    p = take(r, size)
    return None if p == NULL else PyBytes_FromStringAndSize(<const char*>p, size)


cdef str read_header_name(Reader* r):
    cdef Py_ssize_t start = r.at
    cdef int32_t size = read_varint(r)
    cdef const unsigned char* p
    if size < 0:
        fail(r, start, b"a header without a name")
    p = take(r, size)
    if p == NULL:
        return ""
    try:
        return name_at(p, size)
    except UnicodeDecodeError:
        raise wrong("a header's name is not UTF-8", r.at - size, INVALID_RECORD, HEADER) from None


cdef str name_at(const unsigned char* p, Py_ssize_t size):
    """The text; records repeat their headers' names, so the last one of each slot is kept, with its hash."""
    cdef Py_ssize_t slot, known_size
    cdef const char* known_text
    if not 0 < size <= NAME_KEPT_BYTES:
        return PyUnicode_DecodeUTF8(<const char*>p, size, NULL)
    slot = (p[size - 1] * 31 + p[size >> 1] * 7 + size) % NAME_SLOTS
    known = NAMES[slot]
    known_text = PyUnicode_AsUTF8AndSize(known, &known_size)
    if known_size != size or memcmp(known_text, p, size) != 0:
        known = PyUnicode_DecodeUTF8(<const char*>p, size, NULL)
        NAMES[slot] = known
    return <str>known


cdef list read_headers(Reader* r):
    cdef Py_ssize_t start = r.at
    cdef int32_t count = read_varint(r), index
    cdef list headers = []
    cdef str name
    if not 0 <= count <= HEADERS_MAX and not r.short_:
        raise wrong(f"{count} headers in a record, allowed are {HEADERS_MAX}", start, INVALID_RECORD, HEADER)
    for index in range(count):
        name = read_header_name(r)
        headers.append((name, read_nullable(r)))
        if r.short_:
            break
    return headers


cdef Record read_record(Reader* r, Batch batch, int64_t base_timestamp):
    cdef Py_ssize_t start = r.at, batch_end = r.end
    cdef int32_t size = read_varint(r)
    if r.short_:
        raise broken(r, "the records end where another one is announced")
    if size < 0 or size > left(r):
        raise wrong(f"a record of {size} bytes with {left(r)} left", start, INVALID_RECORD)
    r.end = r.at + size
    cdef Record record = Record.__new__(Record)
    read_i8(r)
    cdef int64_t timestamp_delta = read_varlong(r)
    cdef int32_t offset_delta = read_varint(r)
    record.key = read_nullable(r)
    record.value = read_nullable(r)
    record.headers = read_headers(r)
    if r.short_:
        raise broken(r, "a record ends inside a field")
    if r.at != r.end:
        raise wrong(f"a record goes on for {left(r)} bytes after its last field", r.at, INVALID_RECORD)
    if offset_delta < 0 or offset_delta > batch.last_offset_delta:
        raise wrong(f"offset delta {offset_delta} outside 0 to {batch.last_offset_delta}", start, INVALID_RECORD)
    record.offset = batch.base_offset + offset_delta
    if batch.attributes & LOG_APPEND_TIME:
        record.timestamp_ms = batch.max_timestamp_ms
    else:
        record.timestamp_ms = <int64_t>(<uint64_t>base_timestamp + <uint64_t>timestamp_delta)
    r.end = batch_end
    return record


cdef list read_records(Reader* r, Batch batch, int64_t base_timestamp, int32_t count):
    cdef int32_t index
    cdef list records = [read_record(r, batch, base_timestamp) for index in range(count)]
    if r.at != r.end:
        raise wrong(f"{left(r)} bytes after the last of {count} records", r.at, INVALID_RECORD, BATCH)
    return records


cdef list read_compressed(Reader* r, Batch batch, int64_t base_timestamp, int32_t count, Py_ssize_t inflated_max):
    cdef Py_ssize_t start = r.at
    cdef Reader inner
    cdef bytes records
    try:
        records = inflate(
            batch.attributes & CODEC_BITS, PyBytes_FromStringAndSize(<const char*>r.base + start, left(r)), inflated_max
        )
    except CodecError as error:
        is_unknown = error.reason == UNSUPPORTED_COMPRESSION_TYPE
        raise wrong(error.what, start - RECORDS_AT + SUMMED_AT if is_unknown else start, error.reason, error.clause) from None
    reader_init(&inner, <const unsigned char*>PyBytes_AS_STRING(records), 0, PyBytes_GET_SIZE(records))
    try:
        return read_records(&inner, batch, base_timestamp, count)
    except CodecError as error:
        what = f"{error.what}, at byte {error.offset} of what was compressed"
        raise wrong(what, start, error.reason, error.clause) from None


cdef int check_frame(Reader* r) except -1:
    # Length, magic and checksum: nothing behind them is believed before they are right. Leaves `r` at the attributes.
    cdef Py_ssize_t start = r.at
    cdef int32_t length
    if left(r) < RECORDS_AT:
        raise wrong("the batch is cut short", r.end, CORRUPT_MESSAGE, BATCH)
    r.at += LENGTH_AT
    length = read_i32(r)
    if length < RECORDS_AT - LENGTH_AT - 4 or length > left(r):
        raise wrong(f"batch length {length}, {left(r)} bytes are there", start + LENGTH_AT, CORRUPT_MESSAGE, BATCH)
    r.end = r.at + length
    r.at += 4
    cdef int magic = read_i8(r)
    if magic != MAGIC:
        raise wrong(f"magic {magic}; only record batches v2 are read", r.at - 1, UNSUPPORTED_FOR_MESSAGE_FORMAT, BATCH)
    if read_u32(r) != crc32c(0, r.base + r.at, r.end - r.at):
        raise wrong("the checksum does not fit the bytes", start + CRC_AT, CORRUPT_MESSAGE, BATCH)
    return 0


def decode_batch(const unsigned char[::1] data not None, Py_ssize_t at=0, Py_ssize_t inflated_max=INFLATED_MAX):
    if at < 0 or at > data.shape[0]:
        raise ValueError(f"at is {at}, the buffer has {data.shape[0]} bytes")
    return read_batch(&data[0] if data.shape[0] else NULL, data.shape[0], at, inflated_max)


def only_record(bytes message not None):
    cdef Py_ssize_t size = PyBytes_GET_SIZE(message)
    cdef Batch batch = read_batch(<const unsigned char*>PyBytes_AS_STRING(message), size, 0, INFLATED_MAX)
    if batch.end != size:
        raise CodecError("bytes follow the record batch", protocol="kafka", offset=batch.end)
    if len(batch.records) != 1:
        raise CodecError(f"a batch of {len(batch.records)} records: translate one at a time", protocol="kafka", offset=COUNT_AT)
    return batch.records[0]


cdef Batch read_batch(const unsigned char* data, Py_ssize_t size, Py_ssize_t at, Py_ssize_t inflated_max):
    cdef Reader r
    cdef Batch batch = Batch.__new__(Batch)
    cdef int64_t base_timestamp
    cdef int32_t count
    reader_init(&r, data, at, size)
    check_frame(&r)
    batch.end = r.end
    reader_init(&r, r.base, at, r.end)
    batch.base_offset = read_i64(&r)
    read_i32(&r)
    batch.leader_epoch = read_i32(&r)
    r.at = at + SUMMED_AT
    batch.attributes = read_i16(&r)
    batch.last_offset_delta = read_i32(&r)
    base_timestamp = read_i64(&r)
    batch.max_timestamp_ms = read_i64(&r)
    batch.producer_id = read_i64(&r)
    batch.producer_epoch = read_i16(&r)
    batch.base_sequence = read_i32(&r)
    count = read_i32(&r)
    if batch.base_offset < 0 or batch.base_offset > INT64_MAX - max(batch.last_offset_delta, 0):
        what = f"offsets from {batch.base_offset} to {batch.last_offset_delta} more, which no log has"
        raise wrong(what, at, INVALID_RECORD, BATCH)
    if count < 0 or count > RECORDS_MAX:
        raise wrong(f"{count} records in a batch, allowed are {RECORDS_MAX}", r.at - 4, INVALID_RECORD, BATCH)
    if batch.attributes & CODEC_BITS:
        batch.records = read_compressed(&r, batch, base_timestamp, count, inflated_max)
    else:
        batch.records = read_records(&r, batch, base_timestamp, count)
    return batch


def checksum(const unsigned char[::1] data not None, bint portable=False):
    """CRC-32C of the bytes; `portable` takes the way of a machine without the instruction."""
    cdef const unsigned char* p = &data[0] if data.shape[0] else NULL
    return crc32c_portable(0, p, data.shape[0]) if portable else crc32c(0, p, data.shape[0])
