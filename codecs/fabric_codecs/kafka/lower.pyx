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

from urllib.parse import unquote_to_bytes

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr

from fabric_codecs.envelope cimport Envelope
from fabric_codecs.kafka.records import Record
from fabric_codecs.translate.losses import Loss, LossCode, Translation, loss_codes

cdef enum Role:
    SKIPPED
    COPIED
    ATTRIBUTE  # copied, with its percent-encoding undone
    CONTENT_TYPE
    PARTITION_KEY
    EXPIRY
    LOSSES
    NULL_DATA

cdef str NATIVE_KEY = "kafka.key"
cdef str LOSS_HEADER = "ce_fabloss"
cdef object EXPIRY_UNENFORCED = Loss(
    LossCode.EXPIRY_UNENFORCED, "expirytime", "told in ce_expirytime; Kafka keeps records by the topic's age alone"
)

# What becomes of a line of the header block: (role, name of the Kafka header). Lines not listed are looked at once.
cdef dict LINES = {
    b"ce-datacontenttype": (CONTENT_TYPE, "content-type"),
    b"ce-partitionkey": (PARTITION_KEY, "ce_partitionkey"),
    b"ce-expirytime": (EXPIRY, "ce_expirytime"),
    b"ce-fabloss": (LOSSES, LOSS_HEADER),
    b"ce-fabnull": (NULL_DATA, "ce_fabnull"),
    b"Fab-Native": (SKIPPED, ""),
    b"traceparent": (COPIED, "traceparent"),
}
cdef Py_ssize_t LINES_MAX = 256  # names come from the wire: do not remember any number of them


cdef tuple look_up(bytes name):
    found = LINES.get(name)
    if found is not None:
        return <tuple>found
    if name.startswith(b"ce-"):
        found = (ATTRIBUTE, "ce_" + name[3:].decode("latin-1"))
    elif name.startswith(b"Fab-"):
        found = (COPIED, name.decode("latin-1").lower())
    else:
        found = (SKIPPED, "")
    if len(LINES) < LINES_MAX:
        LINES[name] = found
    return <tuple>found


cdef bytes unescaped(const char* start, Py_ssize_t size):
    cdef bytes value = PyBytes_FromStringAndSize(start, size)
    return value if memchr(start, c"%", size) == NULL else unquote_to_bytes(value)


cdef class _Lowered:
    # What the header block gives, collected line by line.
    cdef list headers
    cdef bytes key
    cdef bytes losses
    cdef bint expires, is_null

    cdef int line(self, bytes name, const char* start, Py_ssize_t size) except -1:
        cdef tuple found = look_up(name)
        cdef int role = found[0]
        cdef bytes value
        if role == SKIPPED:
            return 0
        value = unescaped(start, size) if role != COPIED else PyBytes_FromStringAndSize(start, size)
        if role == CONTENT_TYPE:
            self.headers.insert(0, (found[1], value))
            return 0
        if role == LOSSES:  # comes last, with those of this step
            self.losses = value
            return 0
        if role == PARTITION_KEY:
            self.key = value
        elif role == EXPIRY:
            self.expires = True
        elif role == NULL_DATA:
            self.is_null = value == b"value"
        self.headers.append((found[1], value))
        return 0


cdef _Lowered lowered(bytes block):
    # NATS/1.0 CRLF, name ": " value CRLF, ..., CRLF. The block has been through a NATS parser; a line without a colon is skipped.
    cdef _Lowered out = _Lowered.__new__(_Lowered)
    cdef const char* at = PyBytes_AS_STRING(block)
    cdef const char* end = at + PyBytes_GET_SIZE(block)
    cdef const char* stop
    cdef const char* colon
    out.headers = []
    while at < end:
        stop = <const char*>memchr(at, c"\r", end - at)
        if stop == NULL:
            break
        # The server's own lines (Nats-Sequence ...) are the most; they and the first line all begin with N.
        if at[0] != c"N":
            colon = <const char*>memchr(at, c":", stop - at)
            if colon != NULL and stop - colon >= 2:
                out.line(PyBytes_FromStringAndSize(at, colon - at), colon + 2, stop - colon - 2)
        at = stop + 2
    return out


def lower(Envelope envelope not None, long long offset, long long time_ms):
    """The record at `offset`, and what it could not keep. Raises CodecError when the native entries cannot be read."""
    cdef _Lowered found = lowered(envelope._block if envelope._attributes is None else envelope.nats_header())
    cdef list native
    cdef tuple losses = (EXPIRY_UNENFORCED,) if found.expires else ()
    cdef bytes key = found.key
    native = envelope.native
    if native and native[0][0] == NATIVE_KEY:  # further back it is a header that somebody called so
        key = native.pop(0)[1]
    found.headers += native
    if losses or found.losses:
        so_far = found.losses.decode("utf-8", "replace") if found.losses else ""
        found.headers.append((LOSS_HEADER, loss_codes(losses, so_far).encode()))
    value = None if found.is_null and not envelope.data else envelope.data
    return Translation(Record(offset, time_ms, key, value, found.headers), losses)
