"""Record batches v2 written; `fields` shows their form.

In: records, one by one. Out: the bytes of a batch, compressed or not. Above: the edge's deliver. Below: `compression`, `core`.
Each record is sized first, then written in one pass into memory that is known to have room.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport INT32_MAX, int16_t, int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fabric_codecs.core.crc32c cimport crc32c
from fabric_codecs.core.varint cimport poke_varint, varint_size
from fabric_codecs.core.writer cimport (
    Writer, poke_u32, put, put_u16, put_u32, put_u64, put_u8, reserve, writer_bytes, writer_free, writer_init
)
from fabric_codecs.kafka.fields cimport (
    CODEC_BITS, CONTROL, CRC_AT, HEADERS_MAX, INVALID_RECORD, LENGTH_AT, LOG_APPEND_TIME, MAGIC, RECORDS_AT, SUMMED_AT,
    TRANSACTIONAL, wrong,
)
from fabric_codecs.kafka.records cimport Record

from fabric_codecs.bounds import KAFKA_RECORDS_MAX
from fabric_codecs.kafka.compression import Codec, deflate

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef Py_ssize_t RECORDS_MAX = KAFKA_RECORDS_MAX


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
        raise wrong(f"{len(headers)} headers in a record, allowed are {HEADERS_MAX}", 0, INVALID_RECORD, "Message Format, Record Header")
    for header in headers:
        name, value = header
        try:
            PyUnicode_AsUTF8AndSize(name, &size)
        except UnicodeEncodeError:
            raise wrong(f"header name {name!r} holds a lone surrogate, which UTF-8 cannot carry", 0, INVALID_RECORD, "Message Format, Record Header") from None
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
    """Collects records into one batch. `size_bytes` is what `build` would return now, before compression, to stop in time."""

    cdef Writer w
    cdef readonly int64_t base_offset
    cdef readonly int32_t count
    cdef int16_t attributes, producer_epoch
    cdef int32_t leader_epoch, base_sequence, last_delta
    cdef int64_t base_timestamp, max_timestamp, producer_id

    def __cinit__(self):
        writer_init(&self.w)

    def __init__(
        self, int64_t base_offset, *, int codec=0, object append_time_ms=None, bint is_transactional=False,
        bint is_control=False, int32_t leader_epoch=0, int64_t producer_id=-1, int16_t producer_epoch=-1,
        int32_t base_sequence=-1,
    ):
        self.base_offset = base_offset
        self.attributes = (TRANSACTIONAL if is_transactional else 0) | (CONTROL if is_control else 0)
        if codec:
            self.attributes |= Codec(codec)
        self.base_timestamp = self.max_timestamp = -1
        if append_time_ms is not None:
            self.attributes |= LOG_APPEND_TIME
            self.max_timestamp = append_time_ms
        self.leader_epoch = leader_epoch
        self.producer_id = producer_id
        self.producer_epoch = producer_epoch
        self.base_sequence = base_sequence
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
            raise wrong(f"more than {RECORDS_MAX} records in a batch", 0, INVALID_RECORD, "Message Format, Record Batch")
        if self.count == 0:
            max_bytes = INT32_MAX
        cdef int64_t base_timestamp = self.base_timestamp if self.count else record.timestamp_ms
        if not self._write(record, distance(base_timestamp, record.timestamp_ms), delta, max_bytes):
            return False
        self.base_timestamp = base_timestamp
        if not self.attributes & LOG_APPEND_TIME and (self.count == 0 or record.timestamp_ms > self.max_timestamp):
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
            raise wrong("the batch would exceed 2 GiB", 0, INVALID_RECORD, "Message Format, Record Batch")
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
        """The batch's bytes, its records compressed when they are to be. More may be added, and it built again."""
        cdef Writer out
        writer_init(&out)
        try:
            if self.attributes & CODEC_BITS:
                records = PyBytes_FromStringAndSize(<char*>self.w.data + RECORDS_AT, self.w.size - RECORDS_AT)
                records = deflate(Codec(self.attributes & CODEC_BITS), records)
                reserve(&out, RECORDS_AT + PyBytes_GET_SIZE(records))
                out.size = RECORDS_AT
                put(&out, PyBytes_AS_STRING(records), PyBytes_GET_SIZE(records))
                self._head(&out)
                return writer_bytes(&out)
            self._head(&self.w)
            return writer_bytes(&self.w)
        finally:
            writer_free(&out)

    cdef int _head(self, Writer* w) except -1:
        # Into the room before the records, which are there.
        cdef Py_ssize_t size = w.size
        w.size = 0
        put_u64(w, <uint64_t>self.base_offset)
        put_u32(w, <uint32_t>(size - LENGTH_AT - 4))
        put_u32(w, <uint32_t>self.leader_epoch)
        put_u8(w, MAGIC)
        w.size = SUMMED_AT
        put_u16(w, <uint16_t>self.attributes)
        put_u32(w, <uint32_t>(self.last_delta if self.count else 0))
        put_u64(w, <uint64_t>self.base_timestamp)
        put_u64(w, <uint64_t>self.max_timestamp)
        put_u64(w, <uint64_t>self.producer_id)
        put_u16(w, <uint16_t>self.producer_epoch)
        put_u32(w, <uint32_t>self.base_sequence)
        put_u32(w, <uint32_t>self.count)
        w.size = size
        poke_u32(w.data + CRC_AT, crc32c(0, w.data + SUMMED_AT, size - SUMMED_AT))
        return 0
