"""Lift: a Kafka record -> the canonical Envelope; the inverse of `lower`.

In: the record, and what only the edge knows (where it stands in which topic, whom it came from). Out:
`Translation[Envelope]`, its header block written straight from the record's bytes. Below: `records`, `names`.

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

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t

from fabric_codecs.core.block cimport NATIVE_HEAD, put_end, put_entry, put_head, put_native
from fabric_codecs.core.headers cimport memmem, put_value
from fabric_codecs.core.rfc3339 cimport is_timestamp, put_timestamp
from fabric_codecs.core.utf8 cimport utf8_fault
from fabric_codecs.core.writer cimport Writer, put, put_decimal, put_u8, reserve, writer_bytes, writer_free, writer_init
from fabric_codecs.envelope cimport envelope_of_block
from fabric_codecs.kafka.records cimport Record

from fabric_codecs.bounds import HEADER_BYTES_MAX, ID_CHARS_MAX
from fabric_codecs.envelope import ATTRIBUTES
from fabric_codecs.errors import CodecError
from fabric_codecs.names import kafka_topic_to_channel
from fabric_codecs.translate.losses import Translation

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

WITHHELD = frozenset(("source", "subject", "fabproto", "fabver", "fabmethod", "fablive", "fabepoch"))

cdef enum Role:
    ATTRIBUTE
    HOP  # the attribute, unless ce_traceparent says where the chain began
    SPECVERSION
    NULL_DATA
    UNWANTED  # what an envelope says in its own way

cdef enum Form:  # of an attribute's value, beside being text
    ANY
    FILLED
    ID_FORM
    KIND
    TIMESTAMP

cdef enum:
    INVALID_RECORD = 87

cdef dict FORMS = {"id": ID_FORM, "type": FILLED, "fabkind": KIND, "time": TIMESTAMP, "expirytime": TIMESTAMP}
cdef frozenset KINDS = frozenset((
    b"event", b"request", b"response", b"error", b"progress", b"status", b"artifact", b"cancel", b"presence",
))
cdef int64_t TIME_MS_MAX = 253402300800000  # the year 10000
cdef str NATIVE_KEY = "kafka.key"
cdef str CHAIN = "ce_traceparent"
cdef Py_ssize_t BLOCK_MAX = HEADER_BYTES_MAX
cdef Py_ssize_t ID_MAX = ID_CHARS_MAX
cdef Py_ssize_t REMEMBERED_MAX = 1024  # names come from the wire: remember some, not any number
cdef dict CHANNELS = {}  # of topics


cdef class _Header:
    # What becomes of the headers of one name.
    cdef int role, form
    cdef str attribute, said
    cdef bytes lead  # what the attribute's line begins with
    cdef uint64_t bit

    def __init__(self, str attribute, int role):
        self.attribute = attribute
        self.role = role
        self.form = FORMS.get(attribute, ANY)
        self.said = f"fab-said-{attribute}"
        self.lead = f"ce-{attribute}: ".encode()
        self.bit = BITS.get(attribute, 0)  # 0: an extension, looked for in what was written


cdef dict BITS = {name: <uint64_t>1 << <int>at for at, name in enumerate(sorted(ATTRIBUTES))}
cdef dict HEADERS = {f"ce_{name}": _Header(name, ATTRIBUTE) for name in ATTRIBUTES} | {
    "content-type": _Header("datacontenttype", ATTRIBUTE),
    "traceparent": _Header("traceparent", HOP),
    "tracestate": _Header("tracestate", HOP),
    "ce_specversion": _Header("specversion", SPECVERSION),
    "ce_fabnull": _Header("fabnull", NULL_DATA),
    "ce_fabnative": _Header("fabnative", UNWANTED),
    "ce_datacontenttype": _Header("datacontenttype", UNWANTED),
}
cdef uint64_t ID = BITS["id"], SOURCE = BITS["source"], TYPE = BITS["type"], SUBJECT = BITS["subject"]
cdef uint64_t TIME = BITS["time"], FABKIND = BITS["fabkind"], PARTITION_KEY = BITS["partitionkey"]
cdef uint64_t FABPROTO = BITS["fabproto"], FABVER = BITS["fabver"], FABMETHOD = BITS["fabmethod"]
# In whose place something else is said when the record's own word is not taken.
cdef uint64_t SAID_ANYHOW = ID | SOURCE | TYPE | SUBJECT | TIME | FABKIND | FABPROTO | FABVER | FABMETHOD


cdef object wrong(str what):
    return CodecError(what, protocol="kafka", clause="CloudEvents Kafka binding", reason=INVALID_RECORD)


cdef _Header header_of(str name):
    found = HEADERS.get(name)
    if found is None and name.startswith("ce_"):
        attribute = name[3:]
        is_legal = 0 < len(attribute) <= 20 and attribute.isascii() and attribute.isalnum() and attribute.islower()
        found = _Header(attribute, ATTRIBUTE) if is_legal else None
        if is_legal and len(HEADERS) < REMEMBERED_MAX:
            HEADERS[name] = found
    return <_Header>found


cdef bytes channel_of(str topic):
    found = CHANNELS.get(topic)
    if found is None:
        found = kafka_topic_to_channel(topic).encode()
        if len(CHANNELS) < REMEMBERED_MAX:
            CHANNELS[topic] = found
    return <bytes>found


cdef Py_ssize_t characters(bytes value):
    """How many the text has; -1 when it is not UTF-8, or holds a control character (U+0000 to 1F, U+007F to 9F)."""
    cdef const unsigned char* text = <const unsigned char*>PyBytes_AS_STRING(value)
    cdef Py_ssize_t at, size = PyBytes_GET_SIZE(value), count = 0
    cdef bint any_special = False
    for at in range(size):
        any_special |= text[at] < 0x20 or text[at] > 0x7E
    if not any_special:
        return size
    for at in range(size):
        if text[at] < 0x20 or text[at] == 0x7F or (text[at] == 0xC2 and at + 1 < size and text[at + 1] < 0xA0):
            return -1
        count += (text[at] & 0xC0) != 0x80
    if (count < size or (size and text[size - 1] >= 0x80)) and utf8_fault(text, size) >= 0:
        return -1
    return count


cdef bint fits(int form, bytes value):
    cdef Py_ssize_t count = characters(value) if value is not None else -1
    if count < 0 or form == ANY:
        return count >= 0
    if form == TIMESTAMP:
        return is_timestamp(<const unsigned char*>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
    if form == KIND:
        return value in KINDS
    return count > 0 and (form == FILLED or count <= ID_MAX)


cdef bint has(list headers, str name):
    cdef tuple header
    for header in headers:
        if header[0] == name:
            return True
    return False


@cython.final
@cython.no_gc
@cython.freelist(8)
cdef class _Lifting:
    # One record on its way: the header block without its end, the native entries, the attributes that are there.
    cdef Writer block, native
    cdef int entries
    cdef uint64_t seen
    cdef bint is_specversion_said, is_null_said, is_key_shadowed
    cdef bytes partition_key, kind
    cdef frozenset withheld

    def __cinit__(self):
        writer_init(&self.block)
        reserve(&self.block, 512)
        writer_init(&self.native)

    def __dealloc__(self):
        writer_free(&self.block)
        writer_free(&self.native)

    cdef int say(self, bytes text) except -1:
        return put(&self.block, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))

    cdef int line(self, bytes lead, bytes value) except -1:
        self.say(lead)
        put_value(&self.block, <const unsigned char*>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
        return put_end(&self.block)

    cdef int entry(self, str name, bytes value) except -1:
        cdef Py_ssize_t size
        cdef const unsigned char* utf8
        try:
            utf8 = <const unsigned char*>PyUnicode_AsUTF8AndSize(name, &size)
        except UnicodeEncodeError:
            raise wrong(f"header name {name!r} holds a lone surrogate, which UTF-8 cannot carry") from None
        if value is None:
            put_entry(&self.native, utf8, size, NULL, 0)
        else:
            put_entry(&self.native, utf8, size, <const unsigned char*>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
        if self.entries == 0 and name == NATIVE_KEY:
            self.is_key_shadowed = True
        self.entries += 1
        return 0

    cdef bint is_there(self, _Header header) except -1:
        cdef bytes lead
        if header.bit:
            return self.seen & header.bit != 0
        # Values have no line's end in them, so this is the beginning of a line.
        lead = b"\r\n" + header.lead
        return memmem(self.block.data, self.block.size, PyBytes_AS_STRING(lead), PyBytes_GET_SIZE(lead)) != NULL

    cdef int attribute(self, str name, _Header header, bytes value) except -1:
        if self.is_there(header):
            return self.entry(name, value)
        if header.attribute in self.withheld or not fits(header.form, value):
            return self.entry(header.said if header.bit & SAID_ANYHOW else name, value)
        self.seen |= header.bit
        if header.bit == PARTITION_KEY:
            self.partition_key = value
        elif header.bit == FABKIND:
            self.kind = value
        return self.line(header.lead, value)

    cdef int header(self, Record record, str name, bytes value) except -1:
        cdef _Header header = header_of(name)
        if header is None or header.role == UNWANTED:
            return self.entry(name, value)
        if header.role == ATTRIBUTE:
            return self.attribute(name, header, value)
        if header.role == HOP:
            if has(record.headers, CHAIN):
                return self.entry(name, value)
            return self.attribute(name, header, value)
        if header.role == SPECVERSION:
            if value == b"1.0" and not self.is_specversion_said:
                self.is_specversion_said = True
                return 0
            return self.entry(name, value)
        if record.value is None and value == b"value" and not self.is_null_said:
            self.is_null_said = True
            return 0
        return self.entry(header.said, value)

    cdef int key(self, bytes key) except -1:
        """The key as an attribute, or as the first of the native entries; and these."""
        cdef bint is_native = self.is_key_shadowed
        cdef Writer entries
        if self.partition_key is not None or key is None:
            is_native |= key != self.partition_key
        elif key and characters(key) > 0:
            self.line(b"ce-partitionkey: ", key)
        else:
            is_native = True
        if not is_native:
            return put_native(&self.block, &self.native, self.entries)
        writer_init(&entries)
        try:
            if key is None:
                put_entry(&entries, b"kafka.key", 9, NULL, 0)
            else:
                put_entry(&entries, b"kafka.key", 9, <const unsigned char*>PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
            if self.entries:
                put(&entries, self.native.data + NATIVE_HEAD, self.native.size - NATIVE_HEAD)
            return put_native(&self.block, &entries, self.entries + 1)
        finally:
            writer_free(&entries)


cdef int put_id(_Lifting to, bytes topic, int partition, object offset, str fresh_id) except -1:
    cdef Writer* w = &to.block
    cdef Py_ssize_t start
    if fresh_id is not None:
        given = fresh_id.encode("utf-8", "surrogatepass")
        if not fits(ID_FORM, given):
            raise wrong(f"id {fresh_id!r} is not 1 to {ID_MAX} characters of text")
        return to.line(b"ce-id: ", given)
    if offset is None or offset < 0 or partition < 0:
        raise wrong("the record has no ce_id, no place in a log, and was given no id")
    to.say(b"ce-id: ")
    start = w.size
    to.say(topic)
    put_place(w, partition, offset)
    if w.size - start > ID_MAX:
        w.size = start
        to.say(b"~" + sha256(topic).hexdigest()[:32].encode())
        put_place(w, partition, offset)
    return put_end(w)


cdef int put_place(Writer* w, int partition, int64_t offset) except -1:
    put_u8(w, 58)
    put_decimal(w, partition)
    put_u8(w, 58)
    return put_decimal(w, offset)


cdef int put_what_was_not_said(_Lifting to, Record record, bytes topic, int partition, object offset, str fresh_id) except -1:
    if not to.seen & ID:
        put_id(to, topic, partition, offset, fresh_id)
    if not to.seen & TYPE:
        to.line(b"ce-type: io.agentfabric.", to.kind)
    if not to.seen & SUBJECT:
        to.line(b"ce-subject: ", topic)
    if not to.seen & TIME and 0 <= record.timestamp_ms < TIME_MS_MAX:
        to.say(b"ce-time: ")
        put_timestamp(&to.block, record.timestamp_ms * 1000)
        put_end(&to.block)
    if not to.seen & FABKIND:
        to.say(b"ce-fabkind: event\r\n")
    if not to.seen & (FABPROTO | FABVER | FABMETHOD):
        to.say(b"ce-fabproto: kafka\r\nce-fabver: 2\r\nce-fabmethod: Produce\r\n")
    if record.value is None:
        to.say(b"ce-fabnull: value\r\n")
    return 0


def lift(
    Record record not None, *, str topic not None, int partition, object offset, str source not None,
    str fresh_id=None, frozenset withheld not None=WITHHELD,
):
    return lift_record(record, topic, partition, offset, source, fresh_id, withheld)


cdef object lift_record(
    Record record, str topic, int partition, object offset, str source, str fresh_id, frozenset withheld
):
    """`lift`, for `translate`."""
    cdef _Lifting to = _Lifting.__new__(_Lifting)
    cdef bytes channel = channel_of(topic), block
    cdef tuple header
    to.withheld = withheld
    to.kind = b"event"
    put_head(&to.block)
    for header in record.headers:
        name, value = header
        to.header(record, name, value)
    if not to.seen & SOURCE:
        to.line(b"ce-source: ", source.encode())
    put_what_was_not_said(to, record, channel, partition, offset, fresh_id)
    to.key(record.key)
    put_end(&to.block)
    if to.block.size > BLOCK_MAX:
        raise wrong(f"headers of {to.block.size} bytes, allowed are {BLOCK_MAX}")
    return Translation(envelope_of_block(writer_bytes(&to.block), b"" if record.value is None else record.value))
