"""Record batches, format v2 (magic 2): what a Fetch response carries and a Produce request brings.

In: records, or the bytes of a batch. Out: the bytes, or `Batch` with its records. Uncompressed batches only; a
compressed one is refused by name. Above: `responses` (as opaque bytes), `lower`. Below: `core`.

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

Source: Apache Kafka, DefaultRecordBatch and DefaultRecord. Base offset and leader epoch stand outside the checksum, so
that a broker may set them in a producer's batch.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport INT32_MAX, INT64_MAX, int16_t, int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fabric_codecs.core.crc32c cimport crc32c, crc32c_portable
from fabric_codecs.core.reader cimport (
    Reader, left, read_i8, read_i16, read_i32, read_i64, read_u32, reader_init, take
)
from fabric_codecs.core.varint cimport poke_varint, read_varint, read_varlong, varint_size
from fabric_codecs.core.writer cimport (
    Writer, poke_u32, put_u16, put_u32, put_u64, put_u8, reserve, writer_bytes, writer_free, writer_init
)

from fabric_codecs.bounds import KAFKA_HEADERS_MAX, KAFKA_RECORDS_MAX
from fabric_codecs.errors import CodecError

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef enum:
    LENGTH_AT = 8
    CRC_AT = 17
    SUMMED_AT = 21  # the checksum covers the batch from here on
    RECORDS_AT = 61
    MAGIC = 2
    CODEC_BITS = 0x07
    LOG_APPEND_TIME = 0x08
    TRANSACTIONAL = 0x10
    CONTROL = 0x20
    # Kafka's error codes for what can be wrong with a batch
    CORRUPT_MESSAGE = 2
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43
    UNSUPPORTED_COMPRESSION_TYPE = 76
    INVALID_RECORD = 87

cdef Py_ssize_t HEADERS_MAX = KAFKA_HEADERS_MAX
cdef Py_ssize_t RECORDS_MAX = KAFKA_RECORDS_MAX
cdef tuple CODECS = ("none", "gzip", "snappy", "lz4", "zstd", "codec 5", "codec 6", "codec 7")


cdef object wrong(str what, Py_ssize_t at, int reason):
    return CodecError(what, protocol="kafka", offset=at, clause="record batch v2", reason=reason)


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
    def is_transactional(self):
        return bool(self.attributes & TRANSACTIONAL)

    @property
    def is_control(self):
        """Its records are transaction markers, not somebody's data."""
        return bool(self.attributes & CONTROL)


# Encoding: sizes first, then one pass into memory that is known to have room.


cdef inline Py_ssize_t nullable_size(bytes value):
    if value is None:
        return 1
    return varint_size(PyBytes_GET_SIZE(value)) + PyBytes_GET_SIZE(value)


cdef inline unsigned char* poke_nullable(unsigned char* at, bytes value):
    if value is None:
        return poke_varint(at, -1)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(value)
    at = poke_varint(at, size)
    memcpy(at, PyBytes_AS_STRING(value), size)
    return at + size


cdef Py_ssize_t headers_size(list headers) except -1:
    cdef Py_ssize_t total = varint_size(len(headers)), size
    cdef tuple header
    if len(headers) > HEADERS_MAX:
        raise wrong(f"{len(headers)} headers in a record, allowed are {HEADERS_MAX}", 0, INVALID_RECORD)
    for header in headers:
        name, value = header
        try:
            PyUnicode_AsUTF8AndSize(name, &size)
        except UnicodeEncodeError:
            raise wrong(f"header name {name!r} holds a lone surrogate, which UTF-8 cannot carry", 0, INVALID_RECORD) from None
        total += varint_size(size) + size + nullable_size(value)
    return total


cdef unsigned char* poke_headers(unsigned char* at, list headers) except NULL:
    cdef Py_ssize_t size
    cdef const char* name_utf8
    cdef tuple header
    at = poke_varint(at, len(headers))
    for header in headers:
        name, value = header
        name_utf8 = PyUnicode_AsUTF8AndSize(name, &size)
        at = poke_varint(at, size)
        memcpy(at, name_utf8, size)
        at = poke_nullable(at + size, value)
    return at


cdef inline int64_t distance(int64_t start, int64_t stop) noexcept nogil:
    # Modulo 2**64, as the decoder adds it again: two timestamps may be further apart than an int64 can say.
    return <int64_t>(<uint64_t>stop - <uint64_t>start)


cdef class BatchBuilder:
    """Collects records into one batch. `size_bytes` is what `build` would return now, to stop in time."""

    cdef Writer w
    cdef readonly int64_t base_offset
    cdef readonly int32_t count
    cdef int64_t base_timestamp, max_timestamp
    cdef int32_t last_delta

    def __cinit__(self):
        writer_init(&self.w)

    def __init__(self, int64_t base_offset):
        self.base_offset = base_offset
        self.last_delta = -1
        self.count = 0
        self.w.size = 0
        reserve(&self.w, RECORDS_AT)
        self.w.size = RECORDS_AT

    def __dealloc__(self):
        writer_free(&self.w)

    @property
    def size_bytes(self):
        return self.w.size

    def add(self, Record record not None, Py_ssize_t max_bytes=INT32_MAX):
        """Append a record; offsets must ascend. False, and nothing added, when the batch would exceed `max_bytes` and holds
        a record already: a first one is always taken, or a reader would never get past it. Raises CodecError, and adds
        nothing, when the record cannot stand in this batch."""
        cdef int64_t delta = distance(self.base_offset, record.offset)
        if record.offset < self.base_offset or delta <= self.last_delta or delta > INT32_MAX:
            raise wrong(f"offset {record.offset} does not follow in a batch from {self.base_offset}", 0, INVALID_RECORD)
        if self.count >= RECORDS_MAX:
            raise wrong(f"more than {RECORDS_MAX} records in a batch", 0, INVALID_RECORD)
        if self.count == 0:
            self.base_timestamp = self.max_timestamp = record.timestamp_ms
            max_bytes = INT32_MAX
        if not self._write(record, distance(self.base_timestamp, record.timestamp_ms), delta, max_bytes):
            return False
        if record.timestamp_ms > self.max_timestamp:
            self.max_timestamp = record.timestamp_ms
        self.last_delta = delta
        self.count += 1
        return True

    cdef bint _write(self, Record record, int64_t timestamp_delta, int64_t offset_delta, Py_ssize_t max_bytes) except -1:
        cdef Py_ssize_t size = (
            1 + varint_size(timestamp_delta) + varint_size(offset_delta)
            + nullable_size(record.key) + nullable_size(record.value) + headers_size(record.headers)
        )
        if self.w.size + varint_size(size) + size > max_bytes:
            if max_bytes < INT32_MAX:
                return False
            raise wrong("the batch would exceed 2 GiB", 0, INVALID_RECORD)
        reserve(&self.w, size + 5)
        cdef unsigned char* at = poke_varint(self.w.data + self.w.size, size)
        at[0] = 0
        at = poke_varint(at + 1, timestamp_delta)
        at = poke_varint(at, offset_delta)
        at = poke_nullable(at, record.key)
        at = poke_nullable(at, record.value)
        at = poke_headers(at, record.headers)
        self.w.size = at - self.w.data
        return True

    def build(self):
        """The batch's bytes. The leader epoch is 0: one virtual broker leads everything, for ever."""
        cdef Writer* w = &self.w
        cdef Py_ssize_t size = w.size
        w.size = 0
        put_u64(w, <uint64_t>self.base_offset)
        put_u32(w, <uint32_t>(size - LENGTH_AT - 4))
        put_u32(w, 0)
        put_u8(w, MAGIC)
        w.size = SUMMED_AT
        put_u16(w, 0)
        put_u32(w, <uint32_t>(self.last_delta if self.count else 0))
        put_u64(w, <uint64_t>(self.base_timestamp if self.count else -1))
        put_u64(w, <uint64_t>(self.max_timestamp if self.count else -1))
        put_u64(w, <uint64_t>-1)  # no producer id, epoch or sequence: those number a producer's own batches
        put_u16(w, 0xFFFF)
        put_u32(w, 0xFFFFFFFF)
        put_u32(w, <uint32_t>self.count)
        w.size = size
        poke_u32(w.data + CRC_AT, crc32c(0, w.data + SUMMED_AT, size - SUMMED_AT))
        return writer_bytes(w)


# Decoding: every read goes through the bounded reader; a record that does not end where its length says is refused.


cdef inline bytes read_nullable(Reader* r):
    cdef int32_t size = read_varint(r)
    if size == -1 or r.short_:
        return None
    cdef const unsigned char* p = take(r, size)
    return None if p == NULL else PyBytes_FromStringAndSize(<const char*>p, size)


cdef str read_header_name(Reader* r):
    cdef int32_t size = read_varint(r)
    cdef const unsigned char* p = take(r, size)
    if p == NULL:
        return ""
    try:
        return PyUnicode_DecodeUTF8(<const char*>p, size, NULL)
    except UnicodeDecodeError:
        raise wrong("a header's name is not UTF-8", r.at - size, INVALID_RECORD) from None


cdef list read_headers(Reader* r):
    cdef int32_t count = read_varint(r), index
    cdef list headers = []
    cdef str name
    if count < 0 or count > HEADERS_MAX:
        raise wrong(f"{count} headers in a record, allowed are {HEADERS_MAX}", r.at, INVALID_RECORD)
    for index in range(count):
        name = read_header_name(r)
        headers.append((name, read_nullable(r)))
        if r.short_:
            break
    return headers


cdef Record read_record(Reader* r, Batch batch, int64_t base_timestamp):
    cdef int32_t size = read_varint(r)
    cdef Py_ssize_t start = r.at, batch_end = r.end
    if r.short_ or size < 0 or size > left(r):
        raise wrong("a record is cut short or its length is wrong", start, INVALID_RECORD)
    r.end = r.at + size
    cdef Record record = Record.__new__(Record)
    read_i8(r)
    cdef int64_t timestamp_delta = read_varlong(r)
    cdef int32_t offset_delta = read_varint(r)
    record.key = read_nullable(r)
    record.value = read_nullable(r)
    record.headers = read_headers(r)
    if r.short_ or r.at != r.end:
        raise wrong("a record's fields do not fill its length", r.at, INVALID_RECORD)
    if offset_delta < 0 or offset_delta > batch.last_offset_delta:
        raise wrong(f"offset delta {offset_delta} outside 0 to {batch.last_offset_delta}", start, INVALID_RECORD)
    record.offset = batch.base_offset + offset_delta
    if batch.attributes & LOG_APPEND_TIME:
        record.timestamp_ms = batch.max_timestamp_ms
    else:
        record.timestamp_ms = <int64_t>(<uint64_t>base_timestamp + <uint64_t>timestamp_delta)
    r.end = batch_end
    return record


cdef int check_frame(Reader* r) except -1:
    # Length, magic and checksum: nothing behind them is believed before they are right. Leaves `r` at the attributes.
    cdef Py_ssize_t start = r.at
    cdef int32_t length
    if left(r) < RECORDS_AT:
        raise wrong("the batch is cut short", r.end, CORRUPT_MESSAGE)
    r.at += LENGTH_AT
    length = read_i32(r)
    if length < RECORDS_AT - LENGTH_AT - 4 or length > left(r):
        raise wrong(f"batch length {length}, {left(r)} bytes are there", start + LENGTH_AT, CORRUPT_MESSAGE)
    r.end = r.at + length
    r.at += 4
    cdef int magic = read_i8(r)
    if magic != MAGIC:
        raise wrong(f"magic {magic}; only record batches v2 are read", r.at - 1, UNSUPPORTED_FOR_MESSAGE_FORMAT)
    if read_u32(r) != crc32c(0, r.base + r.at, r.end - r.at):
        raise wrong("the checksum does not fit the bytes", start + CRC_AT, CORRUPT_MESSAGE)
    return 0


def decode_batch(const unsigned char[::1] data not None, Py_ssize_t at=0):
    """The batch that starts at byte `at`. Raises CodecError with Kafka's error code as `reason`."""
    cdef Reader r
    cdef Batch batch = Batch.__new__(Batch)
    cdef int64_t base_timestamp
    cdef int32_t count, index
    if at < 0 or at > data.shape[0]:
        raise ValueError(f"at is {at}, the buffer has {data.shape[0]} bytes")
    reader_init(&r, &data[0] if data.shape[0] else NULL, at, data.shape[0])
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
    if batch.attributes & CODEC_BITS:
        codec = CODECS[batch.attributes & CODEC_BITS]
        raise wrong(f"compressed with {codec}, which is not read", at + SUMMED_AT, UNSUPPORTED_COMPRESSION_TYPE)
    if batch.base_offset < 0 or batch.base_offset > INT64_MAX - max(batch.last_offset_delta, 0):
        what = f"offsets from {batch.base_offset} to {batch.last_offset_delta} more, which no log has"
        raise wrong(what, at, INVALID_RECORD)
    if count < 0 or count > RECORDS_MAX:
        raise wrong(f"{count} records in a batch, allowed are {RECORDS_MAX}", r.at - 4, INVALID_RECORD)
    batch.records = [read_record(&r, batch, base_timestamp) for index in range(count)]
    if r.at != r.end:
        raise wrong(f"{left(&r)} bytes after the last record", r.at, INVALID_RECORD)
    return batch


def checksum(const unsigned char[::1] data not None, bint portable=False):
    """CRC-32C of the bytes; `portable` takes the way of a machine without the instruction."""
    cdef const unsigned char* p = &data[0] if data.shape[0] else NULL
    return crc32c_portable(0, p, data.shape[0]) if portable else crc32c(0, p, data.shape[0])
