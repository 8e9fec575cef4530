# What `fields.pyx` lends to who reads and writes packets, and the reason codes for broken bytes (4.13).

from libc.stdint cimport uint16_t

from fabric_codecs.core.reader cimport Reader
from fabric_codecs.core.writer cimport Writer

cdef enum:
    MALFORMED = 0x81
    PROTOCOL = 0x82
    VERSION = 0x84
    TOPIC_INVALID = 0x90
    ALIAS_INVALID = 0x94
    TOO_LARGE = 0x95
    QUOTA = 0x97

cdef enum:
    VARINT_MAX = 268_435_455  # 1.5.5, four bytes of seven bits

cdef struct Span:  # bytes of the packet, checked
    const unsigned char* data
    Py_ssize_t size

cdef object wrong(str what, Py_ssize_t offset, str clause, int reason=*)
cdef int whole(Reader* r, str what) except -1
cdef unsigned char byte(Reader* r, str what) except? 0xFF
cdef uint16_t two(Reader* r, str what) except? 0xFFFF
cdef Py_ssize_t varint(Reader* r, str what) except -1
cdef Py_ssize_t remaining_length(Reader* r) except -2
cdef int binary_span(Reader* r, str what, Span* found) except -1
cdef int text_span(Reader* r, str what, Span* found) except -1
cdef int topic_span(Reader* r, str what, str clause, Span* found) except -1
cdef bytes binary(Reader* r, str what)
cdef str text(Reader* r, str what)
cdef str topic_name(Reader* r, str what, str clause)
cdef int packet_id(Reader* r) except -1
cdef int finished(Reader* r) except -1

cdef object unsayable(str what, str clause)
cdef Py_ssize_t number(object value, Py_ssize_t limit, str what) except -1
cdef int put_varint(Writer* w, Py_ssize_t value) except -1
cdef int put_binary(Writer* w, object value, str what) except -1
cdef int put_text(Writer* w, object value, str what) except -1
cdef int put_topic(Writer* w, object topic, str what) except -1
cdef int put_packet_id(Writer* w, object value) except -1
