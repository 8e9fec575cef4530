"""Records, and record batches of format v2 read: what a program works with.

In: the bytes of a batch, compressed or not. Out: `Batch` with its records; the way back is `builder`. Above: edges, `translate`.
Below: `fields`, which shows the form of a batch and reads it.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.ref cimport Py_INCREF
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.stdint cimport int16_t, int32_t, int64_t
from libc.string cimport memcmp

from fabric_codecs.core.canonical cimport Place
from fabric_codecs.core.crc32c cimport crc32c, crc32c_portable
from fabric_codecs.core.reader cimport Reader, reader_init
from fabric_codecs.kafka.fields cimport (
    CODEC_BITS, CONTROL, LOG_APPEND_TIME, RECORDS_AT, TRANSACTIONAL, Fields, Head, Header, check_end, find_record, misnamed,
    open_records, read_fields, read_head, within,
)

from fabric_codecs.bounds import KAFKA_INFLATED_BYTES_MAX
from fabric_codecs.errors import CodecError
from fabric_codecs.kafka.compression import Codec

cdef Py_ssize_t INFLATED_MAX = KAFKA_INFLATED_BYTES_MAX
cdef enum:
    NAME_SLOTS = 256
    NAME_KEPT_BYTES = 40
cdef list NAMES = [""] * NAME_SLOTS


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


def decode_batch(const unsigned char[::1] data not None, Py_ssize_t at=0, Py_ssize_t inflated_max=INFLATED_MAX):
    cdef Reader r
    cdef Head head
    cdef Batch batch = Batch.__new__(Batch)
    cdef bytes records
    if at < 0 or at > data.shape[0]:
        raise ValueError(f"at is {at}, the buffer has {data.shape[0]} bytes")
    reader_init(&r, &data[0] if data.shape[0] else NULL, at, data.shape[0])
    read_head(&r, &head)
    batch.end = r.end
    describe(batch, &head)
    records = open_records(&r, &head, inflated_max)
    try:
        batch.records = read_records(&r, &head)
    except CodecError as error:
        raise (error if records is None else within(error, at + RECORDS_AT)) from None
    return batch


cdef void describe(Batch batch, const Head* head) noexcept:
    batch.base_offset = head.base_offset
    batch.leader_epoch = head.leader_epoch
    batch.attributes = head.attributes
    batch.last_offset_delta = head.last_offset_delta
    batch.max_timestamp_ms = head.max_timestamp_ms
    batch.producer_id = head.producer_id
    batch.producer_epoch = head.producer_epoch
    batch.base_sequence = head.base_sequence


def only_record(bytes message not None):
    cdef Fields fields
    cdef bytes found = find_record(message, &fields)
    return record_of(&fields, <const unsigned char*>PyBytes_AS_STRING(found))


cdef list read_records(Reader* r, const Head* head):
    cdef Fields fields
    cdef int32_t index
    cdef list records = []
    for index in range(head.count):
        read_fields(r, head, &fields)
        records.append(record_of(&fields, r.base))
    check_end(r, head.count)
    return records


cdef inline bytes bytes_at(const Place* place):
    return None if place.text == NULL else PyBytes_FromStringAndSize(<const char*>place.text, place.size)


cdef Record record_of(const Fields* fields, const unsigned char* base):
    cdef Record record = Record.__new__(Record)
    cdef list headers = PyList_New(fields.headers)
    cdef const Header* header = &fields.header[0]
    cdef tuple pair
    cdef int at = 0
    record.offset = fields.offset
    record.timestamp_ms = fields.timestamp_ms
    record.key = bytes_at(&fields.key)
    record.value = bytes_at(&fields.value)
    record.headers = headers
    try:
        for at in range(fields.headers):
            pair = (name_at(header[at].name.text, header[at].name.size), bytes_at(&header[at].value))
            Py_INCREF(pair)  # the list takes a reference, and Cython drops its own
            PyList_SET_ITEM(headers, at, pair)
    except UnicodeDecodeError:
        raise misnamed(&header[at].name, base) from None
    return record


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


def checksum(const unsigned char[::1] data not None, bint portable=False):
    """CRC-32C of the bytes; `portable` takes the way of a machine without the instruction."""
    cdef const unsigned char* p = &data[0] if data.shape[0] else NULL
    return crc32c_portable(0, p, data.shape[0]) if portable else crc32c(0, p, data.shape[0])
