"""Native entries as MQTT 5 user properties: text under its own name, everything else folded into `fab-native`.

    text                       user property `<name>`: the value
    null                       user property `fab-native`: `-:<name>`
    bytes that are no string   user property `fab-native`: `<base64>:<name>`     HEADER_BINARY
    mqtt.payload_format        the Payload Format Indicator
    mqtt.retain                whether the original was retained, for `lower` to decide upon

Above: `lower`. The way back is `lift`'s.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t
from libc.string cimport memchr, memcmp

from fabric_codecs.core.base64 cimport put_base64, put_unbase64
from fabric_codecs.core.block cimport Entries, Entry, entries_of, is_name, next_entry
from fabric_codecs.core.told cimport Told
from fabric_codecs.core.utf8 cimport utf8_fault
from fabric_codecs.core.writer cimport Writer, put, put_u8, put_u16, writer_free, writer_init
from fabric_codecs.envelope cimport Envelope
from fabric_codecs.mqtt.fields cimport unsayable
from fabric_codecs.mqtt.properties cimport PAYLOAD_FORMAT, USER

from fabric_codecs.translate.losses import Loss, LossCode

cdef enum:
    FIELD_MAX = 0xFFFF  # 1.5.4, 1.5.6

cdef object HEADER_BINARY = Loss(LossCode.HEADER_BINARY, "native", "not text; kept in user property fab-native")


cdef int put_span(Writer* w, const unsigned char* data, Py_ssize_t size, str what) except -1:
    """A string or binary data of known bytes."""
    if size > FIELD_MAX:
        raise unsayable(f"{what} has {size} bytes, allowed are {FIELD_MAX}", "1.5")
    put_u16(w, <unsigned short>size)
    return put(w, data, size)


cdef bint put_natives(Writer* w, uint64_t* seen, Envelope envelope, Told* told, list losses, bint* retain) except -1:
    """Whether one of them has a name that could be an attribute's."""
    cdef bint alike = False
    cdef Writer packed
    cdef Entries entries
    cdef Entry entry
    cdef Py_ssize_t start = w.size
    cdef bytes name, value
    if told.native.text == NULL:
        return False
    writer_init(&packed)
    try:
        if put_unbase64(&packed, told.native.text, told.native.size):
            entries_of(&entries, packed.data, packed.size)
            while next_entry(&entries, &entry):
                if utf8_fault(entry.name, entry.name_size) >= 0:
                    break
                alike = put_entry_of(w, seen, &entry, losses, retain) or alike
            if entries.left == 0:
                return alike
    finally:
        writer_free(&packed)
    alike = False
    w.size = start  # not as we write it: the envelope reads it, or says what is wrong
    for text, value in envelope.native:
        name = text.encode()
        entry.name = <const unsigned char*>PyBytes_AS_STRING(name)
        entry.name_size = PyBytes_GET_SIZE(name)
        entry.value = NULL if value is None else <const unsigned char*>PyBytes_AS_STRING(value)
        entry.size = 0 if value is None else PyBytes_GET_SIZE(value)
        alike = put_entry_of(w, seen, &entry, losses, retain) or alike
    return alike


cdef inline bint is_entry(const Entry* entry, const char* name, Py_ssize_t size) noexcept nogil:
    return entry.name_size == size and memcmp(entry.name, name, size) == 0


cdef bint put_entry_of(Writer* w, uint64_t* seen, const Entry* entry, list losses, bint* retain) except -1:
    """Whether it stands there under a name that could be an attribute's."""
    cdef Py_ssize_t start
    cdef bint is_one = entry.value != NULL and entry.size == 1 and entry.value[0] == c"1"
    if is_entry(entry, b"mqtt.payload_format", 19):
        if not seen[0] >> PAYLOAD_FORMAT & 1:
            begin(w, seen, PAYLOAD_FORMAT)
            put_u8(w, 1 if is_one else 0)
        return False
    if is_entry(entry, b"mqtt.retain", 11):
        retain[0] = is_one
        return False
    if entry.name_size and memchr(entry.name, 0, entry.name_size) != NULL:
        raise unsayable("a user property's name holds U+0000", "1.5.4-2")
    put_u8(w, USER)
    if is_text(entry):
        put_span(w, entry.name, entry.name_size, "a user property's name")
        put_span(w, entry.value, entry.size, "a user property's value")
        return is_name(entry.name, entry.name_size)
    put(w, b"\0\x0afab-native", 12)
    start = w.size
    put_u16(w, 0)
    if entry.value == NULL:
        put_u8(w, c"-")
    else:
        put_base64(w, entry.value, entry.size)
    put_u8(w, c":")
    put(w, entry.name, entry.name_size)
    if w.size - start - 2 > FIELD_MAX:
        raise unsayable(f"a native entry of {w.size - start - 2} bytes, allowed are {FIELD_MAX}", "1.5")
    w.data[start] = (w.size - start - 2) >> 8
    w.data[start + 1] = (w.size - start - 2) & 0xFF
    if HEADER_BINARY not in losses:
        losses.append(HEADER_BINARY)
    return False


cdef bint is_text(const Entry* entry) noexcept nogil:
    """Whether the value can be an MQTT string."""
    if entry.value == NULL or (entry.size and memchr(entry.value, 0, entry.size) != NULL):
        return False
    return utf8_fault(entry.value, entry.size) < 0
