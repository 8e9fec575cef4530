"""Lower: a canonical message -> the record that a Kafka consumer reads.

In: a Canonical, or the Envelope that says the same; the record's offset, and when it was stored. Out: `Translation[Record]`,
or the bytes of a batch of that one record. Above: the edge's deliver, `translate`. Below: `fields`, `builder`, `core`.
CloudEvents 1.0, Kafka protocol binding 3.2 (binary mode), and what stands outside of it:

    value            data, as it is; null when it is empty and `fabnull` is "value"
    key              the first native entry when it is called `kafka.key`, else `partitionkey`, else null
    timestamp        when it was stored
    content-type     datacontenttype, as the first header
    ce_specversion   1.0, unless there is no attribute at all
    ce_<name>        every other attribute, in the order of `core.marks`, those of other vocabularies behind them; the key's
                     `partitionkey` too (binding, 3.1); in `ce_fabloss` losses so far and those of this step
    <native name>    the native entries, in order, with duplicates and nulls; what another protocol calls `ce_<name>` is
                     `fab-said-<name>`: a reader would take it for an attribute, and many believe the last
    fab-<name>       the carrier's `Fab-<Name>` lines: what the journal noted about a crossing
    traceparent      the hop's, from the carrier, behind any older one, for clients take the last of a name; the one in
                     `ce_traceparent` is where the chain began
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.ref cimport Py_INCREF
from libc.stdint cimport INT32_MAX, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from fabric_codecs.core.block cimport Line
from fabric_codecs.core.canonical cimport (
    OTHERS_MAX, Canonical, Native, Place, close_canonical, data_of, has, hold, keep, open_canonical, says,
)
from fabric_codecs.core.crc32c cimport crc32c
from fabric_codecs.core.enveloped cimport read_envelope
from fabric_codecs.core.marks cimport (
    ATTRIBUTES_COUNT, DATACONTENTTYPE, EXPIRYTIME, FABLOSS, FABNULL, FABPROTO, PARTITIONKEY, Lead, leads,
)
from fabric_codecs.core.varint cimport poke_varint, varint_size
from fabric_codecs.core.writer cimport Writer, poke_u32, writer_free, writer_init
from fabric_codecs.envelope cimport Envelope
from fabric_codecs.kafka.fields cimport (
    BASE_TIMESTAMP_AT, CRC_AT, HEADERS_MAX, LENGTH_AT, MAX_TIMESTAMP_AT, RECORDS_AT, SUMMED_AT,
)
from fabric_codecs.kafka.records cimport Record, name_at
from fabric_codecs.losses cimport translation_of

from fabric_codecs.kafka.builder import BatchBuilder
from fabric_codecs.losses import Loss, LossCode, loss_codes

cdef tuple UNENFORCED = (
    Loss(LossCode.EXPIRY_UNENFORCED, "expirytime", "told in ce_expirytime; Kafka keeps records by the topic's age alone"),
)
cdef Place header_name[ATTRIBUTES_COUNT + 1]  # by attribute
cdef enum:
    SPECVERSION = ATTRIBUTES_COUNT


cdef list header_names():
    cdef const Lead* lead = leads()
    cdef bytes name
    cdef int which
    cdef list names = [b"ce_" + lead[which].name[:lead[which].name_size] for which in range(ATTRIBUTES_COUNT)]
    names.append(b"ce_specversion")
    names[DATACONTENTTYPE] = b"content-type"
    for which, name in enumerate(names):
        header_name[which].text = <const unsigned char*>PyBytes_AS_STRING(name)
        header_name[which].size = PyBytes_GET_SIZE(name)
    return names


cdef list HEADER_NAMES = header_names()  # keeps what `header_name` points to


cdef bytes built(Record record):
    batch = BatchBuilder(0)
    batch.add(record)
    return batch.build()


cdef bytes HEAD = built(Record(0, 0, None, None, []))[:RECORDS_AT]  # of any batch of one, but for its length, times and checksum


cdef struct Lowered:  # a record, as places; its headers are those two arrays, one behind the other
    Place key  # a text of NULL is null
    Place value
    int count
    Native header[ATTRIBUTES_COUNT + 1 + OTHERS_MAX]
    int natives
    const Native* native


# ---- what the record says


cdef inline void add(Lowered* to, const char* room, Py_ssize_t room_size, const Place* name, const Place* value) noexcept nogil:
    cdef Native* header = &to.header[to.count]
    to.count += 1
    header.room = room
    header.room_size = room_size
    header.name = name[0]
    header.value = value[0]


cdef void add_attributes(Canonical* c, Lowered* to) noexcept nogil:
    cdef Place version
    cdef int which
    if has(c, DATACONTENTTYPE):
        add(to, b"", 0, &header_name[DATACONTENTTYPE], &c.known[DATACONTENTTYPE])
    if c.seen or c.others:
        version.text = <const unsigned char*><const char*>b"1.0"
        version.size = 3
        add(to, b"", 0, &header_name[SPECVERSION], &version)
    for which in range(ATTRIBUTES_COUNT):
        if has(c, which) and which != DATACONTENTTYPE:
            add(to, b"", 0, &header_name[which], &c.known[which])
    for which in range(c.others):
        add(to, b"ce_", 3, &c.other[which].name, &c.other[which].value)


cdef inline bint is_key(const Native* first) noexcept nogil:
    return first.room_size == 0 and first.name.size == 9 and memcmp(first.name.text, b"kafka.key", 9) == 0


cdef void set_apart(Canonical* c) noexcept nogil:
    """Native entries of another protocol that would be attributes in a record; those of Kafka came as headers."""
    cdef Native* one
    cdef int at
    if not (says(c, FABPROTO, b"mqtt", 4) or says(c, FABPROTO, b"a2a", 3) or says(c, FABPROTO, b"mcp", 3)):
        return
    for at in range(c.natives):
        one = &c.native[at]
        if one.room_size == 0 and one.name.size > 3 and memcmp(one.name.text, b"ce_", 3) == 0:
            one.room = b"fab-said-"
            one.room_size = 9
            one.name.text += 3
            one.name.size -= 3


cdef void add_natives(Canonical* c, Lowered* to) noexcept nogil:
    """They, and the key, which may be the first of them; further back it is a header that somebody called so."""
    set_apart(c)
    to.natives = c.natives
    to.native = c.native
    to.key.text = NULL
    to.key.size = 0
    if c.natives and is_key(c.native):
        to.key = c.native.value
        to.natives -= 1
        to.native += 1
    elif has(c, PARTITIONKEY):
        to.key = c.known[PARTITIONKEY]


cdef int tell_losses(Canonical* c, tuple losses) except -1:
    """Those so far, and those of this step."""
    cdef Place* told = &c.known[FABLOSS]
    so_far = (<const char*>told.text)[:told.size].decode() if has(c, FABLOSS) else ""
    codes = loss_codes(losses, so_far).encode()
    told.text = hold(c, codes)
    told.size = PyBytes_GET_SIZE(codes)
    c.seen |= 1ULL << FABLOSS
    return 0


cdef tuple collect(Canonical* c, Lowered* to):
    """Everything, and what the record cannot keep."""
    cdef tuple losses = UNENFORCED if has(c, EXPIRYTIME) else ()
    if losses:
        tell_losses(c, losses)
    to.count = 0
    add_attributes(c, to)
    add_natives(c, to)
    to.value = c.data
    if c.data.size == 0 and says(c, FABNULL, b"value", 5):
        to.value.text = NULL
    return losses


# ---- as an object


cdef inline bytes bytes_at(const Place* place):
    return None if place.text == NULL else PyBytes_FromStringAndSize(<const char*>place.text, place.size)


cdef str name_of(const Native* header):
    name = name_at(header.name.text, header.name.size)
    return name if header.room_size == 0 else header.room[:header.room_size].decode() + name


cdef int set_headers(list headers, Py_ssize_t at, const Native* header, int count) except -1:
    cdef tuple pair
    cdef int which
    for which in range(count):
        pair = (name_of(&header[which]), bytes_at(&header[which].value))
        Py_INCREF(pair)  # the list takes a reference, and Cython drops its own
        PyList_SET_ITEM(headers, at + which, pair)
    return 0


cdef Record record_of(Canonical* c, const Lowered* lowered, long long offset, long long time_ms):
    cdef list headers = PyList_New(lowered.count + lowered.natives)
    set_headers(headers, 0, lowered.header, lowered.count)
    set_headers(headers, lowered.count, lowered.native, lowered.natives)
    return Record(offset, time_ms, bytes_at(&lowered.key), None if lowered.value.text == NULL else data_of(c), headers)


# ---- as bytes


cdef inline Py_ssize_t nullable_size(const Place* place) noexcept nogil:
    return 1 if place.text == NULL else varint_size(place.size) + place.size


cdef inline unsigned char* poke_nullable(unsigned char* at, const Place* place) noexcept nogil:
    if place.text == NULL:
        return poke_varint(at, -1)
    at = poke_varint(at, place.size)
    memcpy(at, place.text, place.size)
    return at + place.size


cdef Py_ssize_t headers_size(const Native* header, int count) noexcept nogil:
    cdef Py_ssize_t name_size, total = 0
    cdef int at
    for at in range(count):
        name_size = header[at].room_size + header[at].name.size
        total += varint_size(name_size) + name_size + nullable_size(&header[at].value)
    return total


cdef unsigned char* poke_headers(unsigned char* p, const Native* header, int count) noexcept nogil:
    cdef int at
    for at in range(count):
        p = poke_varint(p, header[at].room_size + header[at].name.size)
        if header[at].room_size:  # most have none
            memcpy(p, header[at].room, header[at].room_size)
            p += header[at].room_size
        memcpy(p, header[at].name.text, header[at].name.size)
        p = poke_nullable(p + header[at].name.size, &header[at].value)
    return p


cdef Py_ssize_t record_size(const Lowered* record) noexcept nogil:
    return (
        3 + nullable_size(&record.key) + nullable_size(&record.value) + varint_size(record.count + record.natives)
        + headers_size(record.header, record.count) + headers_size(record.native, record.natives)
    )


cdef unsigned char* poke_record(unsigned char* p, const Lowered* record) noexcept nogil:
    memset(p, 0, 3)  # attributes, and no distance from the batch's own timestamp and offset
    p = poke_nullable(p + 3, &record.key)
    p = poke_nullable(p, &record.value)
    p = poke_varint(p, record.count + record.natives)
    return poke_headers(poke_headers(p, record.header, record.count), record.native, record.natives)


cdef inline void poke_u64(unsigned char* p, uint64_t value) noexcept nogil:
    poke_u32(p, <uint32_t>(value >> 32))
    poke_u32(p + 4, <uint32_t>value)


cdef object batch_of(Canonical* c, long long time_ms):
    """What the builder makes of the record, in one pass; it says itself what cannot stand in a batch."""
    cdef Lowered record
    cdef tuple losses = collect(c, &record)
    cdef Py_ssize_t size = record_size(&record), total = RECORDS_AT + varint_size(size) + size
    cdef unsigned char* batch
    if record.count + record.natives > HEADERS_MAX or total > INT32_MAX:
        return translation_of(built(record_of(c, &record, 0, time_ms)), losses)
    whole = PyBytes_FromStringAndSize(NULL, total)
    batch = <unsigned char*>PyBytes_AS_STRING(whole)
    memcpy(batch, PyBytes_AS_STRING(HEAD), RECORDS_AT)
    poke_u32(batch + LENGTH_AT, <uint32_t>(total - LENGTH_AT - 4))
    poke_u64(batch + BASE_TIMESTAMP_AT, <uint64_t>time_ms)
    poke_u64(batch + MAX_TIMESTAMP_AT, <uint64_t>time_ms)
    poke_record(poke_varint(batch + RECORDS_AT, size), &record)
    poke_u32(batch + CRC_AT, crc32c(0, batch + SUMMED_AT, total - SUMMED_AT))
    return translation_of(whole, losses)


# ---- from an envelope


cdef int read_stored(Canonical* c, Envelope envelope) except -1:
    """What the envelope says, and what its carrier does, as native entries behind its own."""
    cdef Writer carried
    cdef const Line* line
    cdef Py_ssize_t at
    writer_init(&carried)
    try:
        read_envelope(c, envelope, &carried)
        line = <const Line*>carried.data
        for at in range(carried.size // <Py_ssize_t>sizeof(Line)):
            keep_carried(c, &line[at])
    finally:
        writer_free(&carried)
    return 0


cdef int keep_carried(Canonical* c, const Line* line) except -1:
    """`traceparent` and `Fab-<Name>`; values of a carrier's lines are not percent-encoded."""
    cdef bytes name
    if line.name_size == 11 and memcmp(line.name, b"traceparent", 11) == 0:
        return keep(c, b"", 0, line.name, line.name_size, line.value, line.size)
    if line.name_size <= 4 or memcmp(line.name, b"Fab-", 4) != 0:
        return 0
    name = (<const char*>line.name)[:line.name_size].decode("latin-1").lower().encode()
    return keep(c, b"", 0, hold(c, name), PyBytes_GET_SIZE(name), line.value, line.size)


def lower(Envelope envelope not None, long long offset, long long time_ms):
    cdef Canonical c
    cdef Lowered lowered
    cdef tuple losses
    open_canonical(&c)
    try:
        read_stored(&c, envelope)
        losses = collect(&c, &lowered)
        return translation_of(record_of(&c, &lowered, offset, time_ms), losses)
    finally:
        close_canonical(&c)


def lower_batch(Envelope envelope not None, long long time_ms):
    cdef Canonical c
    open_canonical(&c)
    try:
        read_stored(&c, envelope)
        return batch_of(&c, time_ms)
    finally:
        close_canonical(&c)
