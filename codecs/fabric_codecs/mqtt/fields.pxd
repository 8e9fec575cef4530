# What `fields.pyx` lends to `wire.pyx`, and the reason codes for broken bytes (4.13).

from libc.stdint cimport uint16_t, uint32_t

from fabric_codecs.core.reader cimport Reader

cdef enum:
    MALFORMED = 0x81
    PROTOCOL = 0x82
    VERSION = 0x84
    TOPIC_INVALID = 0x90
    ALIAS_INVALID = 0x94
    TOO_LARGE = 0x95
    QUOTA = 0x97

cdef object wrong(str what, Py_ssize_t offset, str clause, int reason=*)
cdef unsigned char byte(Reader* r, str what) except? 0xFF
cdef uint16_t two(Reader* r, str what) except? 0xFFFF
cdef bytes binary(Reader* r, str what)
cdef str text(Reader* r, str what)
cdef str topic_name(Reader* r, str what, str clause)
cdef int packet_id(Reader* r) except -1
cdef int finished(Reader* r) except -1
cdef object properties(Reader* r, uint32_t place)
