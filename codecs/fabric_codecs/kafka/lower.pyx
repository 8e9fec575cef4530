"""Lower: a stored Envelope -> the record that a Kafka consumer reads.

In: an envelope, its offset and when it was stored. Out: `Translation[Record]`. Above: the edge's deliver. Below: `records`.
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
from libc.string cimport memchr, memcmp

from fabric_codecs.core.base64 cimport put_unbase64
from fabric_codecs.core.block cimport (
    Entries, Entry, Line, Lines, entries_of, lines_of, next_entry, next_line, put_unescaped
)
from fabric_codecs.core.marks cimport (
    ATTRIBUTES_COUNT, DATACONTENTTYPE, EXPIRYTIME, FABLOSS, FABNULL, PARTITIONKEY, attribute_of
)
from fabric_codecs.core.writer cimport Writer, writer_bytes, writer_free, writer_init
from fabric_codecs.envelope cimport Envelope

from fabric_codecs.envelope import ATTRIBUTES
from fabric_codecs.kafka.records import Record
from fabric_codecs.translate.losses import Loss, LossCode, Translation, loss_codes

cdef str NATIVE_KEY = "kafka.key"
cdef str LOSS_HEADER = "ce_fabloss"
cdef object EXPIRY_UNENFORCED = Loss(
    LossCode.EXPIRY_UNENFORCED, "expirytime", "told in ce_expirytime; Kafka keeps records by the topic's age alone"
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


cdef bytes value_of(Line* line):
    cdef Writer w
    if not line.is_attribute or memchr(line.value, 37, line.size) == NULL:
        return PyBytes_FromStringAndSize(<const char*>line.value, line.size)
    writer_init(&w)
    try:
        put_unescaped(&w, line.value, line.size)
        return writer_bytes(&w)
    finally:
        writer_free(&w)


cdef bint is_called(Line* line, const char* name, Py_ssize_t size) noexcept:
    return line.name_size == size and memcmp(line.name, name, size) == 0


cdef str extension(Line* line):
    if is_called(line, b"specversion", 11):
        return "ce_specversion"
    return "ce_" + PyBytes_FromStringAndSize(<const char*>line.name, line.name_size).decode("ascii")


cdef class _Lowering:
    # What the header block gives, collected line by line.
    cdef list headers, native
    cdef bytes key, losses
    cdef bint expires, is_null

    cdef int attribute(self, Line* line) except -1:
        cdef int which = attribute_of(line.name, line.name_size)
        cdef bytes value = value_of(line)
        if which < 0:
            self.headers.append((extension(line), value))
            return 0
        if which == DATACONTENTTYPE:
            self.headers.insert(0, (HEADERS[which], value))
            return 0
        if which == FABLOSS:  # comes last, with those of this step
            self.losses = value
            return 0
        if which == PARTITIONKEY and self.key is None:
            self.key = value
        elif which == EXPIRYTIME:
            self.expires = True
        elif which == FABNULL:
            self.is_null = value == b"value"
        self.headers.append((HEADERS[which], value))
        return 0

    cdef int other(self, Line* line, Envelope envelope) except -1:
        # A carrier's line: its values are not percent-encoded.
        if line.name[0] == c"t" and is_called(line, b"traceparent", 11):
            self.headers.append(("traceparent", value_of(line)))
        elif line.name[0] == c"F" and is_called(line, b"Fab-Native", 10):
            if self.native is None:
                self.native = native_of(line, envelope)
        elif line.name_size > 4 and memcmp(line.name, b"Fab-", 4) == 0:
            name = PyBytes_FromStringAndSize(<const char*>line.name, line.name_size).decode("latin-1").lower()
            self.headers.append((name, value_of(line)))
        return 0


cdef list native_of(Line* line, Envelope envelope):
    cdef Writer w
    cdef Entries entries
    cdef Entry entry
    cdef list found = []
    writer_init(&w)
    try:
        if put_unbase64(&w, line.value, line.size):
            entries_of(&entries, w.data, w.size)
            while next_entry(&entries, &entry):
                name = PyUnicode_DecodeUTF8(<const char*>entry.name, entry.name_size, NULL)
                value = None if entry.value == NULL else PyBytes_FromStringAndSize(<const char*>entry.value, entry.size)
                found.append((name, value))
            if entries.left == 0:
                return found
    except UnicodeDecodeError:
        pass
    finally:
        writer_free(&w)
    return envelope.native  # in another form than ours, or not to be read: this tells which


def lower(Envelope envelope not None, long long offset, long long time_ms):
    cdef bytes block = envelope._block if envelope._attributes is None else envelope.nats_header()
    cdef _Lowering found = _Lowering.__new__(_Lowering)
    cdef tuple losses = ()
    cdef Lines lines
    cdef Line line
    found.headers = []
    lines_of(&lines, <const unsigned char*>PyBytes_AS_STRING(block), PyBytes_GET_SIZE(block))
    while next_line(&lines, &line):
        if line.is_attribute:
            found.attribute(&line)
        elif line.name[0] != c"N":  # the server's own lines (Nats-Sequence ...) are the most
            found.other(&line, envelope)
    if found.native:
        if found.native[0][0] == NATIVE_KEY:  # further back it is a header that somebody called so
            found.key = found.native.pop(0)[1]
        found.headers += found.native
    if found.expires:
        losses = (EXPIRY_UNENFORCED,)
    if losses or found.losses:
        so_far = found.losses.decode("utf-8", "replace") if found.losses else ""
        found.headers.append((LOSS_HEADER, loss_codes(losses, so_far).encode()))
    value = None if found.is_null and not envelope.data else envelope.data
    return Translation(Record(offset, time_ms, found.key, value, found.headers), losses)
