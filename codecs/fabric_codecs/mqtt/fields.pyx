"""The fields of MQTT packets (1.5): each function reads one value, as a span of checked bytes or as an object, or writes one.

Below: `core/reader`, which knows where the packet ends, and `core/writer`. Above: `properties`, `publish`, `wire`, `encode`.
Who reads gets a CodecError with the byte, the clause (of MQTT 5) and the reason code to answer; who writes gets one with the
clause, for whatever a reader would refuse.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.stdint cimport uint16_t
from libc.string cimport memchr

from fabric_codecs.core.reader cimport Reader, left, read_u8, read_u16, take
from fabric_codecs.core.utf8 cimport is_printable_ascii, utf8_fault
from fabric_codecs.core.writer cimport Writer, put, put_u8, put_u16

from fabric_codecs.errors import CodecError


cdef object wrong(str what, Py_ssize_t offset, str clause, int reason=MALFORMED):
    return CodecError(what, protocol="mqtt", offset=offset, clause=clause, reason=reason)


cdef int whole(Reader* r, str what) except -1:
    if r.short_:
        raise wrong(f"the packet ends inside {what}", r.end, "2.1.4")
    return 0


cdef unsigned char byte(Reader* r, str what) except? 0xFF:
    cdef unsigned char value = read_u8(r)
    whole(r, what)
    return value


cdef uint16_t two(Reader* r, str what) except? 0xFFFF:
    cdef uint16_t value = read_u16(r)
    whole(r, what)
    return value


cdef Py_ssize_t varint(Reader* r, str what) except -1:
    cdef Py_ssize_t value = 0, start = r.at
    cdef int shift = 0
    cdef unsigned char b
    if start < r.end and r.base[start] < 0x80:  # nearly always
        r.at += 1
        return r.base[start]
    while True:
        b = read_u8(r)
        whole(r, what)
        value |= <Py_ssize_t>(b & 0x7F) << shift
        if not b & 0x80:
            break
        shift += 7
        if shift == 28:
            raise wrong(f"{what} takes more than four bytes", start, "1.5.5")
    if b == 0 and shift:
        raise wrong(f"{what} is not in its shortest form", start, "1.5.5-1")
    return value


cdef Py_ssize_t remaining_length(Reader* r) except -2:
    """What follows the fixed header, whose first byte `r` stands on (2.1.4); -1 when bytes are missing."""
    cdef Py_ssize_t value = 0, start = r.at + 1
    cdef int shift = 0
    r.at = start
    while True:
        if r.at == r.end:
            return -1
        value |= <Py_ssize_t>(r.base[r.at] & 0x7F) << shift
        shift += 7
        r.at += 1
        if not r.base[r.at - 1] & 0x80:
            break
        if shift == 28:
            raise wrong("the Remaining Length takes more than four bytes", start, "1.5.5")
    if shift > 7 and r.base[r.at - 1] == 0:
        raise wrong("the Remaining Length is not in its shortest form", start, "1.5.5-1")
    return value


cdef inline int span(Reader* r, str what, Span* found) except -1:
    found.size = read_u16(r)
    found.data = take(r, found.size)
    return whole(r, what)


cdef int binary_span(Reader* r, str what, Span* found) except -1:
    return span(r, what, found)


cdef int text_span(Reader* r, str what, Span* found) except -1:
    cdef Py_ssize_t start = r.at, fault
    span(r, what, found)
    if is_printable_ascii(found.data, found.size):
        return 0
    if found.size and memchr(found.data, 0, found.size) != NULL:
        raise wrong(f"{what} holds U+0000", start, "1.5.4-2")
    fault = utf8_fault(found.data, found.size)
    if fault >= 0:
        raise wrong(f"{what} is not UTF-8", start + 2 + fault, "1.5.4-1")
    return 0


cdef int topic_span(Reader* r, str what, str clause, Span* found) except -1:
    """A topic to publish to: no wildcards. Empty is for the caller to judge."""
    cdef Py_ssize_t start = r.at
    text_span(r, what, found)
    if found.size and (memchr(found.data, c"+", found.size) != NULL or memchr(found.data, c"#", found.size) != NULL):
        topic = PyUnicode_DecodeUTF8(<const char*>found.data, found.size, NULL)
        raise wrong(f"{what} {topic!r} holds a wildcard", start, clause, TOPIC_INVALID)
    return 0


cdef bytes binary(Reader* r, str what):
    cdef Span found
    binary_span(r, what, &found)
    return PyBytes_FromStringAndSize(<const char*>found.data, found.size)


cdef str text(Reader* r, str what):
    cdef Span found
    text_span(r, what, &found)
    return PyUnicode_DecodeUTF8(<const char*>found.data, found.size, NULL)


cdef str topic_name(Reader* r, str what, str clause):
    cdef Span found
    topic_span(r, what, clause, &found)
    return PyUnicode_DecodeUTF8(<const char*>found.data, found.size, NULL)


cdef int packet_id(Reader* r) except -1:
    cdef uint16_t value = two(r, "the Packet Identifier")
    if value == 0:
        raise wrong("the Packet Identifier is 0", r.at - 2, "2.2.1-3", PROTOCOL)
    return value


cdef int finished(Reader* r) except -1:
    if left(r):
        raise wrong(f"{left(r)} bytes are left over at the end of the packet", r.at, "2.1.4")
    return 0


# ---- writing -----------------------------------------------------------------------------------------------------


cdef object unsayable(str what, str clause):
    return CodecError(what, protocol="mqtt", clause=clause)


cdef Py_ssize_t number(object value, Py_ssize_t limit, str what) except -1:
    if not isinstance(value, int) or not 0 <= value <= limit:
        raise unsayable(f"{what} is {value!r}, not a number from 0 to {limit}", "1.5")
    return value


cdef int put_varint(Writer* w, Py_ssize_t value) except -1:
    """At most VARINT_MAX, which the caller has checked."""
    while value > 0x7F:
        put_u8(w, value & 0x7F | 0x80)
        value >>= 7
    return put_u8(w, <unsigned char>value)


cdef int put_sized(Writer* w, const char* data, Py_ssize_t size, str what) except -1:
    if size > 0xFFFF:
        raise unsayable(f"{what} has {size} bytes, allowed are 65535", "1.5")
    put_u16(w, <unsigned short>size)
    return put(w, data, size)


cdef int put_binary(Writer* w, object value, str what) except -1:
    if type(value) is not bytes:
        raise unsayable(f"{what} is {type(value).__name__}, not bytes", "1.5.6")
    return put_sized(w, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), what)


cdef int put_text(Writer* w, object value, str what) except -1:
    cdef Py_ssize_t size = 0
    cdef const char* data
    if type(value) is not str:
        raise unsayable(f"{what} is {type(value).__name__}, not a string", "1.5.4")
    try:
        data = PyUnicode_AsUTF8AndSize(value, &size)
    except UnicodeEncodeError:
        raise unsayable(f"{what} holds a lone surrogate, which UTF-8 cannot carry", "1.5.4-1") from None
    if size and memchr(data, 0, size) != NULL:
        raise unsayable(f"{what} holds U+0000", "1.5.4-2")
    return put_sized(w, data, size, what)


cdef int put_topic(Writer* w, object topic, str what) except -1:
    """A topic to publish to. Empty is for the caller to judge."""
    cdef Py_ssize_t start = w.size
    put_text(w, topic, what)
    if memchr(w.data + start + 2, c"+", w.size - start - 2) != NULL or memchr(w.data + start + 2, c"#", w.size - start - 2) != NULL:
        raise unsayable(f"{what} {topic!r} holds a wildcard", "3.3.2-2")
    return 0


cdef int put_packet_id(Writer* w, object value) except -1:
    if number(value, 0xFFFF, "the Packet Identifier") == 0:
        raise unsayable("the Packet Identifier is 0", "2.2.1-3")
    return put_u16(w, <unsigned short>value)
