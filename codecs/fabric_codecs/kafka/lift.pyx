"""Lift: a Kafka record -> the canonical message; the inverse of `lower`.

In: a record, or a batch of one where it stands, and what only the edge knows (where it stands in which topic, whom it came
from). Out: a Canonical, of which the public `lift` makes `Translation[Envelope]`. Below: `fields`, `core.canonical`, `names`.

    data             value; a null one is empty, with fabnull "value"
    <attribute>      the first `ce_<attribute>`, when it is legal text and not withheld
    datacontenttype  the first `content-type`
    partitionkey     `ce_partitionkey`, else the key; a key that differs or is no text: first native entry, `kafka.key`
    traceparent      `ce_traceparent`, else the hop's `traceparent`: then the chain began there; tracestate likewise
    id               `ce_id`, else the edge's fresh one, else topic:partition:offset (`~` and a digest for a long topic)
    subject, time    where unsaid or withheld: the channel that the topic is, the record's timestamp
    native entries   every other header, in order, with duplicates and nulls. A `ce_<attribute>` in whose place the
                     envelope says something else becomes `fab-said-<attribute>`, or somebody would believe it later
"""

from hashlib import sha256

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcmp, memcpy

from fabric_codecs.core.block cimport is_name
from fabric_codecs.core.canonical cimport (
    UNKNOWN, Canonical, Place, close_canonical, has, hold, is_legal, keep, keep_first, open_canonical, scratch, tell, tell_data,
    tell_kind, tell_other, tell_str, tell_time, tell_whole, tell_word,
)
from fabric_codecs.core.enveloped cimport envelope_of
from fabric_codecs.core.marks cimport (
    DATACONTENTTYPE, EXPIRYTIME, FABEPOCH, FABKIND, FABLIVE, FABMETHOD, FABNULL, FABPROTO, FABVER, ID, PARTITIONKEY, SOURCE,
    SUBJECT, TIME, TRACEPARENT, TRACESTATE, TYPE, attribute_of,
)
from fabric_codecs.core.utf8 cimport utf8_fault
from fabric_codecs.core.writer cimport Writer, put_decimal, put_u8, writer_on
from fabric_codecs.kafka.fields cimport HEADERS_MAX, INVALID_RECORD, Fields, Header, find_record
from fabric_codecs.kafka.records cimport Record
from fabric_codecs.losses cimport translation_of

from fabric_codecs.bounds import ID_CHARS_MAX
from fabric_codecs.errors import CodecError
from fabric_codecs.names import kafka_topic_to_channel

WITHHELD = frozenset(("source", "subject", "fabproto", "fabver", "fabmethod", "fablive", "fabepoch"))

cdef enum:
    PLACE_CHARS = 31  # of the largest partition and offset, with their colons
    REMEMBERED_MAX = 1024  # topics come from the wire: remember some, not any number

cdef uint64_t HERE = 1ULL << FABPROTO | 1ULL << FABVER | 1ULL << FABMETHOD  # how it came: all of it theirs, or ours
# In whose place something else is said when the record's own word is not taken.
cdef uint64_t SAID_ANYHOW = HERE | (
    1ULL << ID | 1ULL << SOURCE | 1ULL << TYPE | 1ULL << SUBJECT | 1ULL << TIME | 1ULL << FABKIND
)
cdef uint64_t EDGES_ONLY = mask_of(WITHHELD)
cdef frozenset KINDS = frozenset((
    b"event", b"request", b"response", b"error", b"progress", b"status", b"artifact", b"cancel", b"presence",
))
cdef int64_t TIME_MS_MAX = 253402300800000  # the year 10000
cdef Py_ssize_t ID_CHARS = ID_CHARS_MAX
cdef dict CHANNELS = {}  # of topics


cdef object wrong(str what):
    return CodecError(what, protocol="kafka", clause="CloudEvents Kafka binding", reason=INVALID_RECORD)


cdef uint64_t mask_of(frozenset names) except? 0:
    """A bit for each attribute."""
    cdef uint64_t mask = 0
    cdef Py_ssize_t size
    cdef const unsigned char* text
    cdef int which
    for name in names:
        text = <const unsigned char*>PyUnicode_AsUTF8AndSize(name, &size)
        which = attribute_of(text, size)
        if which < 0:
            raise ValueError(f"{name!r} is no attribute of the fabric")
        mask |= 1ULL << which
    return mask


# ---- headers


cdef struct Said:  # what has been seen beside attributes
    bint specversion, null


cdef inline bint is_called(const Place* name, const char* text, Py_ssize_t size) noexcept nogil:
    return name.size == size and memcmp(name.text, text, size) == 0


cdef inline bint is_value(const Place* value, const char* text, Py_ssize_t size) noexcept nogil:
    return value.text != NULL and is_called(value, text, size)


cdef bint fits(int which, const Place* value):
    if value.text == NULL or not is_legal(-1 if which == TRACEPARENT else which, value.text, value.size):
        return False  # (a chain's beginning is not judged here: whoever goes on with it looks)
    if utf8_fault(value.text, value.size) >= 0:
        return False
    return which != FABKIND or (<const char*>value.text)[:value.size] in KINDS


cdef int keep_header(Canonical* c, const Header* header) except -1:
    return keep(c, b"", 0, header.name.text, header.name.size, header.value.text, header.value.size)


cdef int keep_said(Canonical* c, const Header* header) except -1:
    return keep(c, b"fab-said-", 9, header.name.text + 3, header.name.size - 3, header.value.text, header.value.size)


cdef int take_attribute(Canonical* c, int which, const Header* header, uint64_t withheld) except -1:
    if has(c, which):
        return keep_header(c, header)
    if withheld >> which & 1 or not fits(which, &header.value):
        return keep_said(c, header) if SAID_ANYHOW >> which & 1 else keep_header(c, header)
    tell(c, which, header.value.text, header.value.size)
    return 0


cdef int take_event_header(Canonical* c, const Fields* record, const Header* header, Said* said, uint64_t withheld) except -1:
    """One that is called `ce_<name>`."""
    cdef const unsigned char* name = header.name.text + 3
    cdef Py_ssize_t size = header.name.size - 3
    cdef int which = attribute_of(name, size)
    if which == FABNULL:
        if record.value.text != NULL or said.null or not is_value(&header.value, b"value", 5):
            return keep_said(c, header)
        said.null = True
        return 0
    if which == DATACONTENTTYPE:  # has a header of its own
        return keep_header(c, header)
    if which >= 0:
        return take_attribute(c, which, header, withheld)
    if size == 11 and memcmp(name, b"specversion", 11) == 0:
        if said.specversion or not is_value(&header.value, b"1.0", 3):
            return keep_header(c, header)
        said.specversion = True
        return 0
    if not is_name(name, size) or size == 9 and memcmp(name, b"fabnative", 9) == 0 or not fits(-1, &header.value):
        return keep_header(c, header)
    if tell_other(c, name, size, header.value.text, header.value.size) < 1:
        return keep_header(c, header)
    return 0


cdef bint has_chain(const Fields* record) noexcept nogil:
    cdef int at
    for at in range(record.headers):
        if is_called(&record.header[at].name, b"ce_traceparent", 14):
            return True
    return False


cdef int take_headers(Canonical* c, const Fields* record, uint64_t withheld) except -1:
    cdef Said said
    cdef const Header* header
    cdef int at, which
    said.specversion = said.null = False
    for at in range(record.headers):
        header = &record.header[at]
        if header.name.size >= 3 and memcmp(header.name.text, b"ce_", 3) == 0:
            take_event_header(c, record, header, &said, withheld)
        elif is_called(&header.name, b"content-type", 12):
            take_attribute(c, DATACONTENTTYPE, header, withheld)
        elif is_called(&header.name, b"traceparent", 11) and not has_chain(record):
            take_attribute(c, TRACEPARENT, header, withheld)
        elif is_called(&header.name, b"tracestate", 10) and not has_chain(record):
            take_attribute(c, TRACESTATE, header, withheld)
        else:
            keep_header(c, header)
    return 0


# ---- what no header says


cdef int take_key(Canonical* c, const Place* key) except -1:
    """The key as an attribute, or as the first of the native entries: there, too, if a header has that name and place."""
    cdef bint is_native = c.natives and c.native[0].room_size == 0 and is_called(&c.native[0].name, b"kafka.key", 9)
    cdef const Place* said = &c.known[PARTITIONKEY]
    if has(c, PARTITIONKEY):
        is_native |= key.text == NULL or key.size != said.size or memcmp(key.text, said.text, key.size) != 0
    elif key.size and fits(PARTITIONKEY, key):
        tell(c, PARTITIONKEY, key.text, key.size)
    else:
        is_native |= key.text != NULL
    if is_native:
        keep_first(c, <const unsigned char*><const char*>b"kafka.key", 9, key.text, key.size)
    return 0


cdef bytes channel_of(Canonical* c, str topic):
    """Lives as long as the canonical."""
    found = CHANNELS.get(topic)
    if found is None:
        found = kafka_topic_to_channel(topic).encode()
        if len(CHANNELS) < REMEMBERED_MAX:
            CHANNELS[topic] = found
        else:
            hold(c, found)
    return <bytes>found


cdef int tell_fresh(Canonical* c, str fresh_id) except -1:
    cdef Place id
    try:
        id.text = <const unsigned char*>PyUnicode_AsUTF8AndSize(fresh_id, &id.size)
    except UnicodeEncodeError:
        id.text = NULL
    if not fits(ID, &id):
        raise wrong(f"id {fresh_id!r} is not 1 to {ID_CHARS_MAX} characters of text")
    tell(c, ID, id.text, id.size)
    return 0


cdef int tell_place(Canonical* c, bytes channel, int partition, int64_t offset) except -1:
    cdef unsigned char place_here[PLACE_CHARS]
    cdef unsigned char* to
    cdef Writer place
    cdef bytes name = channel
    if offset < 0 or partition < 0:
        raise wrong("the record has no ce_id, no place in a log, and was given no id")
    writer_on(&place, place_here, PLACE_CHARS)
    put_u8(&place, c":")
    put_decimal(&place, partition)
    put_u8(&place, c":")
    put_decimal(&place, offset)
    if PyBytes_GET_SIZE(name) + place.size > ID_CHARS:
        name = b"~" + sha256(channel).hexdigest()[:32].encode()
    to = scratch(c, PyBytes_GET_SIZE(name) + place.size)
    memcpy(to, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
    memcpy(to + PyBytes_GET_SIZE(name), place.data, place.size)
    tell(c, ID, to, PyBytes_GET_SIZE(name) + place.size)
    return 0


cdef int take_record(
    Canonical* c, const Fields* record, str topic, int partition, str source, str fresh_id, uint64_t withheld
) except -1:
    """All but the data."""
    cdef bytes channel = channel_of(c, topic)
    take_headers(c, record, withheld)
    take_key(c, &record.key)
    tell_str(c, SOURCE, source)
    if not has(c, ID):
        if fresh_id is None:
            tell_place(c, channel, partition, record.offset)
        else:
            tell_fresh(c, fresh_id)
    tell(c, SUBJECT, <const unsigned char*>PyBytes_AS_STRING(channel), PyBytes_GET_SIZE(channel))
    if 0 <= record.timestamp_ms < TIME_MS_MAX:
        tell_time(c, TIME, record.timestamp_ms * 1000)
    if has(c, FABKIND):
        tell_kind(c, <const char*>c.known[FABKIND].text, c.known[FABKIND].size)
    else:
        tell_kind(c, b"event", 5)
    if not c.seen & HERE:
        tell_word(c, FABPROTO, b"kafka", 5)
        tell_word(c, FABVER, b"2", 1)
        tell_word(c, FABMETHOD, b"Produce", 7)
    if record.value.text == NULL:
        tell_word(c, FABNULL, b"value", 5)
    return 0


# ---- from a batch, from a record


cdef int take_batch(
    Canonical* c, bytes message, str topic, int partition, str source, str fresh_id, bint trusted
) except -1:
    """A batch of one record. A `partition` of -1: the record's place in its log is not known. What is told points into
    `message`, `source` and `fresh_id`."""
    cdef Fields record
    cdef bytes found = find_record(message, &record)
    if found is not message:
        hold(c, found)
    if record.value.text != NULL:
        tell_data(c, record.value.text, record.value.size, UNKNOWN)
    return take_record(c, &record, topic, partition, source, fresh_id, 0 if trusted else EDGES_ONLY)


cdef void see(Place* to, bytes value) noexcept:
    to.text = NULL
    to.size = 0
    if value is not None:
        to.text = <const unsigned char*>PyBytes_AS_STRING(value)
        to.size = PyBytes_GET_SIZE(value)


cdef int see_record(Fields* to, Record record) except -1:
    """The places of an object's fields; they live as long as it does."""
    cdef Header* header = to.header
    cdef tuple pair
    if len(record.headers) > HEADERS_MAX:
        raise wrong(f"{len(record.headers)} headers in a record, allowed are {HEADERS_MAX}")
    to.timestamp_ms = record.timestamp_ms
    see(&to.key, record.key)
    see(&to.value, record.value)
    to.headers = 0
    for pair in record.headers:
        name, value = pair
        header = &to.header[to.headers]
        to.headers += 1
        try:
            header.name.text = <const unsigned char*>PyUnicode_AsUTF8AndSize(name, &header.name.size)
        except UnicodeEncodeError:
            raise wrong(f"header name {name!r} holds a lone surrogate, which UTF-8 cannot carry") from None
        see(&header.value, value)
    return 0


def lift(
    Record record not None, *, str topic not None, int partition, object offset, str source not None,
    str fresh_id=None, frozenset withheld not None=WITHHELD,
):
    cdef Canonical c
    cdef Fields fields
    see_record(&fields, record)
    fields.offset = -1 if offset is None else offset
    open_canonical(&c)
    try:
        if record.value is not None:
            tell_whole(&c, record.value)
        take_record(&c, &fields, topic, partition, source, fresh_id, EDGES_ONLY if withheld is WITHHELD else mask_of(withheld))
        return translation_of(envelope_of(&c, "kafka"), ())
    finally:
        close_canonical(&c)
