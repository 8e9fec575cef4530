"""Lower: a stored Envelope -> the record that a Kafka consumer reads.

In: an envelope, its offset and when it was stored. Out: `Translation[Record]`, or the bytes of a batch of that one record.
Above: the edge's deliver, `translate`. Below: `records`, `builder`. What the record says is collected where it stands in the
header block; only then it becomes objects, or bytes.
CloudEvents 1.0, Kafka protocol binding 3.2 (binary mode), and what stands outside of it:

    value            data, as it is; null when it is empty and `fabnull` is "value"
    key              the first native entry when it is called `kafka.key`, else `partitionkey`, else null
    timestamp        when it was stored
    content-type     datacontenttype, as the first header
    ce_<name>        every other attribute, in the order stored; the key's `partitionkey` too (binding, 3.1)
    traceparent      the hop's, from the carrier; the one in `ce_traceparent` is where the chain began
    fab-<name>       the carrier's `Fab-<Name>` lines: what the journal noted about a crossing
    <native name>    the native entries, in order, with duplicates and nulls
    ce_fabloss       losses so far and those of this step
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport INT32_MAX, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy, memmove, memset

from fabric_codecs.core.base64 cimport put_unbase64
from fabric_codecs.core.block cimport (
    Entries, Entry, Line, Lines, entries_of, lines_of, next_entry, next_line, put_unescaped
)
from fabric_codecs.core.marks cimport (
    ATTRIBUTES_COUNT, DATACONTENTTYPE, EXPIRYTIME, FABLOSS, FABNULL, PARTITIONKEY, attribute_of
)
from fabric_codecs.core.crc32c cimport crc32c
from fabric_codecs.core.utf8 cimport utf8_fault
from fabric_codecs.core.varint cimport poke_varint, varint_size
from fabric_codecs.core.writer cimport (
    Writer, poke_u32, put, reserve, writer_bytes, writer_free, writer_init
)
from fabric_codecs.envelope cimport Envelope
from fabric_codecs.kafka.records cimport CRC_AT, LENGTH_AT, RECORDS_AT, SUMMED_AT, Record

from fabric_codecs.bounds import KAFKA_HEADERS_MAX
from fabric_codecs.envelope import ATTRIBUTES
from fabric_codecs.kafka.builder import BatchBuilder
from fabric_codecs.translate.losses import Loss, LossCode, Translation, loss_codes

cdef tuple UNENFORCED = (
    Loss(LossCode.EXPIRY_UNENFORCED, "expirytime", "told in ce_expirytime; Kafka keeps records by the topic's age alone"),
)


cdef list header_names():
    cdef list names = [None] * ATTRIBUTES_COUNT
    cdef bytes attribute
    cdef int which
    for name in ATTRIBUTES:
        attribute = name.encode()
        which = attribute_of(<const unsigned char*>PyBytes_AS_STRING(attribute), PyBytes_GET_SIZE(attribute))
        if which >= 0:
            names[which] = f"ce_{name}"
    names[DATACONTENTTYPE] = "content-type"
    return names

cdef list HEADERS = header_names()  # by attribute


cdef bytes built(Record record):
    batch = BatchBuilder(0)
    batch.add(record)
    return batch.build()


cdef enum:
    BASE_TIMESTAMP_AT = 27
    MAX_TIMESTAMP_AT = 35
    HEADERS_USUAL = 24
cdef Py_ssize_t HEADERS_MAX = KAFKA_HEADERS_MAX
cdef bytes HEAD = built(Record(0, 0, None, None, []))[:RECORDS_AT]  # of any batch of one, but for its length, times and checksum


cdef struct Header:
    int which  # the attribute it is; -1 for none of the fabric's own
    bint is_attribute  # then `ce_` comes before the name
    const unsigned char* name
    Py_ssize_t name_size
    const unsigned char* value  # NULL is null
    Py_ssize_t size


cdef struct Lowered:
    # One record on its way.
    Writer headers  # an array of Header
    Writer natives  # likewise, of the native entries
    Writer packed  # what those point into
    const unsigned char* key  # NULL is null
    Py_ssize_t key_size
    const unsigned char* losses
    Py_ssize_t losses_size
    bint expires, is_null, has_natives


cdef inline Header* headers_in(Writer* w) noexcept nogil:
    return <Header*>w.data


cdef inline Py_ssize_t count_of(const Writer* w) noexcept nogil:
    return w.size // <Py_ssize_t>sizeof(Header)


cdef inline int append(
    Writer* to, int which, bint is_attribute, const unsigned char* name, Py_ssize_t name_size, const unsigned char* value,
    Py_ssize_t size,
) except -1:
    cdef Header header
    header.which = which
    header.is_attribute = is_attribute
    header.name = name
    header.name_size = name_size
    header.value = value
    header.size = size
    return put(to, &header, sizeof(Header))


cdef inline const unsigned char* text_in(bytes value):
    return NULL if value is None else <unsigned char*>PyBytes_AS_STRING(value)


cdef int append_kept(Writer* to, bytes name, bytes value, list kept) except -1:
    kept.append((name, value))
    return append(
        to, -1, False, <const unsigned char*>PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name),
        text_in(value), 0 if value is None else PyBytes_GET_SIZE(value),
    )


cdef int unescape(Line* line, list kept) except -1:
    """The line's value with its escapes undone."""
    cdef Writer w
    cdef bytes undone
    if memchr(line.value, c"%", line.size) == NULL:
        return 0
    writer_init(&w)
    try:
        put_unescaped(&w, line.value, line.size)
        undone = writer_bytes(&w)
    finally:
        writer_free(&w)
    kept.append(undone)
    line.value = <const unsigned char*>PyBytes_AS_STRING(undone)
    line.size = PyBytes_GET_SIZE(undone)
    return 0


cdef bint is_called(Line* line, const char* name, Py_ssize_t size) noexcept:
    return line.name_size == size and memcmp(line.name, name, size) == 0


cdef int take_attribute(Lowered* to, Line* line, list kept) except -1:
    cdef int which = attribute_of(line.name, line.name_size)
    unescape(line, kept)
    if which == FABLOSS:  # comes last, with those of this step
        to.losses = line.value
        to.losses_size = line.size
        return 0
    if which == DATACONTENTTYPE:
        append(&to.headers, which, False, b"content-type", 12, line.value, line.size)
        return last_to_front(&to.headers)
    if which == PARTITIONKEY and to.key == NULL:
        to.key = line.value
        to.key_size = line.size
    elif which == EXPIRYTIME:
        to.expires = True
    elif which == FABNULL:
        to.is_null = line.size == 5 and memcmp(line.value, b"value", 5) == 0
    return append(&to.headers, which, True, line.name, line.name_size, line.value, line.size)


cdef int last_to_front(Writer* headers) except -1:
    cdef Py_ssize_t last = count_of(headers) - 1
    cdef Header header = headers_in(headers)[last]
    memmove(headers_in(headers) + 1, headers_in(headers), last * sizeof(Header))
    headers_in(headers)[0] = header
    return 0


cdef int take_other(Lowered* to, Line* line, Envelope envelope, list kept) except -1:
    """A carrier's line: its values are not percent-encoded."""
    if line.name[0] == c"t" and is_called(line, b"traceparent", 11):
        return append(&to.headers, -1, False, line.name, line.name_size, line.value, line.size)
    if line.name[0] == c"F" and is_called(line, b"Fab-Native", 10):
        if not to.has_natives:
            to.has_natives = True
            take_natives(to, line, envelope, kept)
    elif line.name_size > 4 and memcmp(line.name, b"Fab-", 4) == 0:
        name = PyBytes_FromStringAndSize(<const char*>line.name, line.name_size).decode("latin-1").lower()
        append_kept(&to.headers, name.encode(), PyBytes_FromStringAndSize(<const char*>line.value, line.size), kept)
    return 0


cdef int take_natives(Lowered* to, Line* line, Envelope envelope, list kept) except -1:
    cdef Entries entries
    cdef Entry entry
    cdef bint is_text = True
    if put_unbase64(&to.packed, line.value, line.size):
        entries_of(&entries, to.packed.data, to.packed.size)
        while is_text and next_entry(&entries, &entry):
            is_text = utf8_fault(entry.name, entry.name_size) < 0
            append(&to.natives, -1, False, entry.name, entry.name_size, entry.value, entry.size)
        if is_text and entries.left == 0:
            return 0
    to.natives.size = 0
    for name, value in envelope.native:  # in another form than ours, or not to be read: this tells which
        append_kept(&to.natives, name.encode(), value, kept)
    return 0


cdef int take_end(Lowered* to, tuple losses, list kept) except -1:
    """What comes after the lines: native entries, losses."""
    cdef Header* native = headers_in(&to.natives)
    cdef Py_ssize_t at
    for at in range(count_of(&to.natives)):
        # Further back it is a header that somebody called so.
        if at == 0 and native.name_size == 9 and memcmp(native.name, b"kafka.key", 9) == 0:
            to.key, to.key_size = native.value, native.size
        else:
            put(&to.headers, native + at, sizeof(Header))
    if losses or to.losses_size:
        so_far = (<const char*>to.losses)[:to.losses_size].decode("utf-8", "replace") if to.losses_size else ""
        append_kept(&to.headers, b"ce_fabloss", loss_codes(losses, so_far).encode(), kept)
    return 0


cdef tuple collect(Lowered* to, Envelope envelope, list kept):
    """Everything that the record says, and what it could not keep. `kept` holds what the places point into."""
    cdef bytes block = envelope._block if envelope._attributes is None else envelope.nats_header()
    cdef tuple losses
    cdef Lines lines
    cdef Line line
    kept.append(block)
    reserve(&to.headers, HEADERS_USUAL * sizeof(Header))
    lines_of(&lines, <const unsigned char*>PyBytes_AS_STRING(block), PyBytes_GET_SIZE(block))
    while next_line(&lines, &line):
        if line.is_attribute:
            take_attribute(to, &line, kept)
        elif line.name[0] != c"N":  # the server's own lines (Nats-Sequence ...) are the most
            take_other(to, &line, envelope, kept)
    losses = UNENFORCED if to.expires else ()
    take_end(to, losses, kept)
    to.is_null = to.is_null and PyBytes_GET_SIZE(envelope.data) == 0
    return losses


cdef void lowered_init(Lowered* to) noexcept:
    memset(to, 0, sizeof(Lowered))


cdef void lowered_free(Lowered* to) noexcept:
    writer_free(&to.headers)
    writer_free(&to.natives)
    writer_free(&to.packed)


# ---- as objects --------------------------------------------------------------------------------------------------


cdef inline bytes bytes_at(const unsigned char* text, Py_ssize_t size):
    return None if text == NULL else PyBytes_FromStringAndSize(<const char*>text, size)


cdef str name_of(const Header* header):
    if header.which >= 0:
        return HEADERS[header.which]
    name = PyUnicode_DecodeUTF8(<const char*>header.name, header.name_size, NULL)
    return "ce_" + name if header.is_attribute else name


cdef Record record_in(Lowered* to, Envelope envelope, long long offset, long long time_ms):
    cdef const Header* header = headers_in(&to.headers)
    cdef Py_ssize_t at
    headers = [(name_of(&header[at]), bytes_at(header[at].value, header[at].size)) for at in range(count_of(&to.headers))]
    return Record(offset, time_ms, bytes_at(to.key, to.key_size), None if to.is_null else envelope.data, headers)


def lower(Envelope envelope not None, long long offset, long long time_ms):
    cdef Lowered to
    cdef tuple losses
    cdef list kept = []
    lowered_init(&to)
    try:
        losses = collect(&to, envelope, kept)
        return Translation(record_in(&to, envelope, offset, time_ms), losses)
    finally:
        lowered_free(&to)


# ---- as bytes ----------------------------------------------------------------------------------------------------


cdef inline Py_ssize_t nullable_size(const unsigned char* value, Py_ssize_t size) noexcept nogil:
    return 1 if value == NULL else varint_size(size) + size


cdef inline unsigned char* poke_nullable(unsigned char* at, const unsigned char* value, Py_ssize_t size) noexcept nogil:
    if value == NULL:
        return poke_varint(at, -1)
    at = poke_varint(at, size)
    memcpy(at, value, size)
    return at + size


cdef Py_ssize_t record_size(Lowered* to, const unsigned char* data, Py_ssize_t size) noexcept nogil:
    cdef const Header* header = headers_in(&to.headers)
    cdef Py_ssize_t at, name_size, count = count_of(&to.headers)
    cdef Py_ssize_t total = 3 + nullable_size(to.key, to.key_size) + nullable_size(data, size) + varint_size(count)
    for at in range(count):
        name_size = header[at].name_size + (3 if header[at].is_attribute else 0)
        total += varint_size(name_size) + name_size + nullable_size(header[at].value, header[at].size)
    return total


cdef unsigned char* poke_record(unsigned char* p, Lowered* to, const unsigned char* data, Py_ssize_t size) noexcept nogil:
    cdef const Header* header = headers_in(&to.headers)
    cdef Py_ssize_t at, count = count_of(&to.headers)
    memset(p, 0, 3)  # attributes, and no distance from the batch's own timestamp and offset
    p = poke_nullable(p + 3, to.key, to.key_size)
    p = poke_nullable(p, data, size)
    p = poke_varint(p, count)
    for at in range(count):
        p = poke_varint(p, header[at].name_size + (3 if header[at].is_attribute else 0))
        if header[at].is_attribute:
            memcpy(p, b"ce_", 3)
            p += 3
        memcpy(p, header[at].name, header[at].name_size)
        p = poke_nullable(p + header[at].name_size, header[at].value, header[at].size)
    return p


cdef inline void poke_u64(unsigned char* p, uint64_t value) noexcept nogil:
    poke_u32(p, <uint32_t>(value >> 32))
    poke_u32(p + 4, <uint32_t>value)


cdef bytes batch_in(Lowered* to, Envelope envelope, long long time_ms):
    """What the builder makes of the record, in one pass; it says itself what cannot stand in a batch."""
    cdef Py_ssize_t data_size = PyBytes_GET_SIZE(envelope.data)
    cdef const unsigned char* data = text_in(None if to.is_null else envelope.data)
    cdef Py_ssize_t size = record_size(to, data, data_size), total = RECORDS_AT + varint_size(size) + size
    cdef unsigned char* batch
    if count_of(&to.headers) > HEADERS_MAX or total > INT32_MAX:
        return built(record_in(to, envelope, 0, time_ms))
    whole = PyBytes_FromStringAndSize(NULL, total)
    batch = <unsigned char*>PyBytes_AS_STRING(whole)
    memcpy(batch, PyBytes_AS_STRING(HEAD), RECORDS_AT)
    poke_u32(batch + LENGTH_AT, <uint32_t>(total - LENGTH_AT - 4))
    poke_u64(batch + BASE_TIMESTAMP_AT, <uint64_t>time_ms)
    poke_u64(batch + MAX_TIMESTAMP_AT, <uint64_t>time_ms)
    poke_record(poke_varint(batch + RECORDS_AT, size), to, data, data_size)
    poke_u32(batch + CRC_AT, crc32c(0, batch + SUMMED_AT, total - SUMMED_AT))
    return whole


def lower_batch(Envelope envelope not None, long long time_ms):
    cdef Lowered to
    cdef tuple losses
    cdef list kept = []
    lowered_init(&to)
    try:
        losses = collect(&to, envelope, kept)
        return Translation(batch_in(&to, envelope, time_ms), losses)
    finally:
        lowered_free(&to)
