"""Record batches of format v2 (magic 2) where they stand: what a Fetch response carries and a Produce request brings.

In: the bytes of a batch, compressed or not. Out: `Head`, and `Fields` of its records, which are places in these bytes.
Above: `records` makes objects of them, `lift` a canonical message without any. Below: `compression`, `core`. Every read goes
through the bounded reader; a record that does not end where its length says is refused.

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

Source: Apache Kafka, documentation, "Message Format"; DefaultRecordBatch and DefaultRecord. Base offset and leader epoch
stand outside the checksum, so that a broker may set them in a producer's batch.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint64_t

from fabric_codecs.core.canonical cimport Place
from fabric_codecs.core.crc32c cimport crc32c
from fabric_codecs.core.reader cimport (
    Reader, fail, left, read_i8, read_i16, read_i32, read_i64, read_u32, reader_init, take
)
from fabric_codecs.core.utf8 cimport utf8_fault
from fabric_codecs.core.varint cimport read_varint, read_varlong

from fabric_codecs.bounds import KAFKA_INFLATED_BYTES_MAX, KAFKA_RECORDS_MAX
from fabric_codecs.errors import CodecError
from fabric_codecs.kafka.compression import inflate

cdef Py_ssize_t RECORDS_MAX = KAFKA_RECORDS_MAX
cdef Py_ssize_t INFLATED_MAX = KAFKA_INFLATED_BYTES_MAX
cdef str BATCH = "Message Format, Record Batch"  # Apache Kafka's documentation
cdef str RECORD = "Message Format, Record"
cdef str HEADER = "Message Format, Record Header"


cdef object wrong(str what, Py_ssize_t at, int reason, str clause=RECORD):
    return CodecError(what, protocol="kafka", offset=at, clause=clause, reason=reason)


cdef object broken(Reader* r, str what):
    """The reader's own first fault: where it is, and why when it is not that the bytes end."""
    if r.why == NULL:
        return wrong(what, r.fault_at, INVALID_RECORD)
    is_varint = (<bytes>r.why).startswith(b"a varint")
    return wrong(r.why.decode(), r.fault_at, INVALID_RECORD, "Protocol Primitive Types, VARINT" if is_varint else RECORD)


# ---- a batch


cdef int check_frame(Reader* r) except -1:
    """Length, magic and checksum: nothing behind them is believed before they are right. Leaves `r` at the attributes."""
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


cdef int read_head(Reader* r, Head* to) except -1:
    """Leaves `r` at the records, and with the batch's end as its own."""
    cdef Py_ssize_t start = r.at
    check_frame(r)
    to.attributes = read_i16(r)
    to.last_offset_delta = read_i32(r)
    to.base_timestamp_ms = read_i64(r)
    to.max_timestamp_ms = read_i64(r)
    to.producer_id = read_i64(r)
    to.producer_epoch = read_i16(r)
    to.base_sequence = read_i32(r)
    to.count = read_i32(r)
    r.at = start
    to.base_offset = read_i64(r)
    r.at = start + LENGTH_AT + 4
    to.leader_epoch = read_i32(r)
    r.at = start + RECORDS_AT
    if to.base_offset < 0 or to.base_offset > INT64_MAX - max(to.last_offset_delta, 0):
        what = f"offsets from {to.base_offset} to {to.last_offset_delta} more, which no log has"
        raise wrong(what, start, INVALID_RECORD, BATCH)
    if to.count < 0 or to.count > RECORDS_MAX:
        raise wrong(f"{to.count} records in a batch, allowed are {RECORDS_MAX}", start + COUNT_AT, INVALID_RECORD, BATCH)
    return 0


cdef bytes open_records(Reader* r, const Head* head, Py_ssize_t inflated_max):
    """What was compressed in the batch, and `r` on that; None when nothing is compressed."""
    cdef Py_ssize_t start = r.at
    cdef bytes records
    if head.attributes & CODEC_BITS == 0:
        return None
    try:
        records = inflate(
            head.attributes & CODEC_BITS, PyBytes_FromStringAndSize(<const char*>r.base + start, left(r)), inflated_max
        )
    except CodecError as error:
        is_unknown = error.reason == UNSUPPORTED_COMPRESSION_TYPE
        raise wrong(error.what, start - RECORDS_AT + SUMMED_AT if is_unknown else start, error.reason, error.clause) from None
    reader_init(r, <const unsigned char*>PyBytes_AS_STRING(records), 0, PyBytes_GET_SIZE(records))
    return records


cdef object within(object error, Py_ssize_t start):
    what = f"{error.what}, at byte {error.offset} of what was compressed"
    return wrong(what, start, error.reason, error.clause)


cdef int check_end(Reader* r, int32_t count) except -1:
    if r.at != r.end:
        raise wrong(f"{left(r)} bytes after the last of {count} records", r.at, INVALID_RECORD, BATCH)
    return 0


# ---- one of its records


cdef inline void read_name(Reader* r, Place* to) noexcept nogil:
    cdef Py_ssize_t start = r.at
    cdef int32_t size = read_varint(r)
    if size < 0:
        fail(r, start, b"a header without a name")
    to.text = take(r, size)
    to.size = size


cdef inline void read_nullable(Reader* r, Place* to) noexcept nogil:
    cdef Py_ssize_t start = r.at
    cdef int32_t size = read_varint(r)
    to.text = NULL
    to.size = 0
    if size == -1 or r.short_:
        return
    if size < 0:
        fail(r, start, b"a length below that of null")
    to.text = take(r, size)
    to.size = size


cdef int read_headers(Reader* r, Fields* to) except -1:
    cdef Py_ssize_t start = r.at
    cdef int32_t count = read_varint(r), at
    if not 0 <= count <= HEADERS_MAX and not r.short_:
        raise wrong(f"{count} headers in a record, allowed are {HEADERS_MAX}", start, INVALID_RECORD, HEADER)
    to.headers = 0 if r.short_ else count
    for at in range(to.headers):
        read_name(r, &to.header[at].name)
        read_nullable(r, &to.header[at].value)
        if r.short_:
            break
    return 0


cdef int read_fields(Reader* r, const Head* head, Fields* to) except -1:
    """The next record, where it stands. That its names are UTF-8 is for whoever reads them to see."""
    cdef Py_ssize_t start = r.at, batch_end = r.end
    cdef int32_t size = read_varint(r), offset_delta
    cdef int64_t timestamp_delta
    if r.short_:
        raise broken(r, "the records end where another one is announced")
    if size < 0 or size > left(r):
        raise wrong(f"a record of {size} bytes with {left(r)} left", start, INVALID_RECORD)
    r.end = r.at + size
    read_i8(r)
    timestamp_delta = read_varlong(r)
    offset_delta = read_varint(r)
    read_nullable(r, &to.key)
    read_nullable(r, &to.value)
    read_headers(r, to)
    if r.short_:
        raise broken(r, "a record ends inside a field")
    if r.at != r.end:
        raise wrong(f"a record goes on for {left(r)} bytes after its last field", r.at, INVALID_RECORD)
    if offset_delta < 0 or offset_delta > head.last_offset_delta:
        raise wrong(f"offset delta {offset_delta} outside 0 to {head.last_offset_delta}", start, INVALID_RECORD)
    to.offset = head.base_offset + offset_delta
    if head.attributes & LOG_APPEND_TIME:
        to.timestamp_ms = head.max_timestamp_ms
    else:
        to.timestamp_ms = <int64_t>(<uint64_t>head.base_timestamp_ms + <uint64_t>timestamp_delta)
    r.end = batch_end
    return 0


cdef object misnamed(const Place* name, const unsigned char* base):
    return wrong("a header's name is not UTF-8", name.text - base, INVALID_RECORD, HEADER)


# ---- a batch of one


cdef bytes find_record(bytes message, Fields* to):
    """The only record of a batch that is the whole message. It stands in the bytes returned: the message, or what was
    compressed in it."""
    cdef Reader r
    cdef Head head
    cdef Py_ssize_t size = PyBytes_GET_SIZE(message)
    cdef bytes records
    reader_init(&r, <const unsigned char*>PyBytes_AS_STRING(message), 0, size)
    read_head(&r, &head)
    if r.end != size:
        raise CodecError("bytes follow the record batch", protocol="kafka", offset=r.end, clause=BATCH)
    if head.count != 1:
        raise CodecError(f"a batch of {head.count} records: translate one at a time", protocol="kafka", offset=COUNT_AT, clause=BATCH)
    records = open_records(&r, &head, INFLATED_MAX)
    try:
        find_alone(&r, &head, to)
    except CodecError as error:
        raise (error if records is None else within(error, RECORDS_AT)) from None
    return message if records is None else records


cdef int find_alone(Reader* r, const Head* head, Fields* to) except -1:
    cdef int at
    read_fields(r, head, to)
    for at in range(to.headers):
        if utf8_fault(to.header[at].name.text, to.header[at].name.size) >= 0:
            raise misnamed(&to.header[at].name, r.base)
    return check_end(r, 1)
