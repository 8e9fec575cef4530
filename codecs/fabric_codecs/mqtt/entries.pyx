"""Native entries as MQTT 5 user properties: text under its own name, everything else folded into `fab-native`.

    text                       user property `<name>`: the value
    null                       user property `fab-native`: `-:<name>`
    bytes that are no string   user property `fab-native`: `<base64>:<name>`     HEADER_BINARY
    text called like an        likewise, for many readers take the last of a name: what somebody said of himself
    attribute that is told     must not stand behind what is so
    mqtt.payload_format        the Payload Format Indicator
    mqtt.retain                nothing here: `lower` decides whether the packet is (`is_retained`)

Above: `lower`. The way back is `lift`'s.
"""

from libc.stdint cimport uint64_t
from libc.string cimport memchr, memcmp, memcpy

from fabric_codecs.core.base64 cimport put_base64
from fabric_codecs.core.block cimport is_name
from fabric_codecs.core.canonical cimport Canonical, Native, Place, has
from fabric_codecs.core.marks cimport attribute_of
from fabric_codecs.core.utf8 cimport is_printable_ascii, utf8_fault
from fabric_codecs.core.writer cimport Writer, put, put_u8, put_u16, reserve
from fabric_codecs.mqtt.fields cimport unsayable
from fabric_codecs.mqtt.properties cimport PAYLOAD_FORMAT, USER

from fabric_codecs.losses import Loss, LossCode

cdef enum:
    FIELD_MAX = 0xFFFF  # 1.5.4, 1.5.6

cdef object HEADER_BINARY = Loss(LossCode.HEADER_BINARY, "native", "not text; kept in user property fab-native")


# ---- values ------------------------------------------------------------------------------------------------------


cdef int put_span(Writer* w, const unsigned char* data, Py_ssize_t size, str what) except -1:
    """A string or binary data of known bytes."""
    if size > FIELD_MAX:
        raise unsayable(f"{what} has {size} bytes, allowed are {FIELD_MAX}", "1.5")
    put_u16(w, <unsigned short>size)
    return put(w, data, size)


cdef int put_string(Writer* w, const unsigned char* text, Py_ssize_t size, str what) except -1:
    """A string of well-formed UTF-8."""
    if size and memchr(text, 0, size) != NULL:
        raise unsayable(f"{what} holds U+0000", "1.5.4-2")
    return put_span(w, text, size, what)


cdef int put_user(Writer* w, const char* room, Py_ssize_t room_size, const Place* name, const Place* value) except -1:
    """The user property `<room><name>`, with one look at the room there is. Both are well-formed UTF-8."""
    cdef Py_ssize_t name_size = room_size + name.size
    cdef unsigned char* at
    if value.size and memchr(value.text, 0, value.size) != NULL:
        raise unsayable("a user property's value holds U+0000", "1.5.4-2")
    if name_size > FIELD_MAX or value.size > FIELD_MAX:
        raise unsayable(f"a user property of {name_size} and {value.size} bytes, allowed are {FIELD_MAX} each", "1.5")
    reserve(w, 5 + name_size + value.size)
    at = w.data + w.size
    at[0] = USER
    at[1] = name_size >> 8
    at[2] = name_size & 0xFF
    if room_size:
        memcpy(at + 3, room, room_size)
    memcpy(at + 3 + room_size, name.text, name.size)
    at += 3 + name_size
    at[0] = value.size >> 8
    at[1] = value.size & 0xFF
    memcpy(at + 2, value.text, value.size)
    w.size += 5 + name_size + value.size
    return 0


cdef int put_size(Writer* w, Py_ssize_t start, str what) except -1:
    """The size of what was written behind the two bytes at `start`, into them."""
    cdef Py_ssize_t size = w.size - start - 2
    if size > FIELD_MAX:
        raise unsayable(f"{what} has {size} bytes, allowed are {FIELD_MAX}", "1.5")
    w.data[start] = size >> 8
    w.data[start + 1] = size & 0xFF
    return 0


# ---- native entries ----------------------------------------------------------------------------------------------


cdef inline bint is_entry(const Native* one, const char* name, Py_ssize_t size) noexcept nogil:
    return (
        one.room_size + one.name.size == size and memcmp(one.room, name, one.room_size) == 0
        and memcmp(one.name.text, name + one.room_size, one.name.size) == 0
    )


cdef inline bint is_one(const Native* entry) noexcept nogil:
    return entry.value.text != NULL and entry.value.size == 1 and entry.value.text[0] == c"1"


cdef bint is_retained(const Canonical* c) noexcept nogil:
    """Whether the original was."""
    cdef bint retained = False
    cdef int at
    for at in range(c.natives):
        if is_entry(&c.native[at], b"mqtt.retain", 11):
            retained = is_one(&c.native[at])
    return retained


cdef bint put_natives(Writer* w, uint64_t* seen, const Canonical* c, list losses) except -1:
    """Whether one of them stands there under a name that could be an attribute's."""
    cdef bint alike = False
    cdef int at
    for at in range(c.natives):
        alike = put_native(w, seen, c, &c.native[at], losses) or alike
    return alike


cdef bint put_native(Writer* w, uint64_t* seen, const Canonical* c, const Native* one, list losses) except -1:
    cdef Py_ssize_t name
    if is_entry(one, b"mqtt.payload_format", 19):
        if not seen[0] >> PAYLOAD_FORMAT & 1:
            begin(w, seen, PAYLOAD_FORMAT)
            put_u8(w, 1 if is_one(one) else 0)
        return False
    if is_entry(one, b"mqtt.retain", 11):
        return False
    if one.name.size and memchr(one.name.text, 0, one.name.size) != NULL:
        raise unsayable("a user property's name holds U+0000", "1.5.4-2")
    if not is_text(one):
        put_folded(w, one)
        if HEADER_BINARY not in losses:
            losses.append(HEADER_BINARY)
        return False
    if one.room_size == 0 and is_told(c, one.name.text, one.name.size):
        put_folded(w, one)
        return False
    name = w.size + 3
    put_user(w, one.room, one.room_size, &one.name, &one.value)
    return is_name(w.data + name, one.room_size + one.name.size)


cdef bint is_told(const Canonical* c, const unsigned char* name, Py_ssize_t size) noexcept nogil:
    """Whether the event has an attribute of that name."""
    cdef int at = attribute_of(name, size)
    if at >= 0:
        return has(c, at)
    for at in range(c.others):
        if c.other[at].name.size == size and memcmp(c.other[at].name.text, name, size) == 0:
            return True
    return size == 11 and memcmp(name, b"specversion", 11) == 0


cdef int put_folded(Writer* w, const Native* one) except -1:
    cdef Py_ssize_t start
    put(w, b"\x26\0\x0afab-native", 13)
    start = w.size
    put_u16(w, 0)
    if one.value.text == NULL:
        put_u8(w, c"-")
    else:
        put_base64(w, one.value.text, one.value.size)
    put_u8(w, c":")
    put(w, one.room, one.room_size)
    put(w, one.name.text, one.name.size)
    return put_size(w, start, "a native entry")


cdef bint is_text(const Native* one) noexcept nogil:
    """Whether the value can be an MQTT string."""
    cdef const unsigned char* text = one.value.text
    if text == NULL:
        return False
    if is_printable_ascii(text, one.value.size):
        return True
    return memchr(text, 0, one.value.size) == NULL and utf8_fault(text, one.value.size) < 0
