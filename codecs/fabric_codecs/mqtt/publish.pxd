from libc.stdint cimport uint64_t

from fabric_codecs.core.reader cimport Reader
from fabric_codecs.mqtt.fields cimport Span
from fabric_codecs.mqtt.properties cimport Properties


cdef struct Parts:  # of one PUBLISH, where they stand; who reads them keeps the bytes
    int flags  # of the fixed header: DUP << 3 | QoS << 1 | RETAIN
    int packet_id
    Span topic
    Span section  # the properties without their length; empty in 3.1.1
    uint64_t seen  # a bit for each property that the section has, when bytes were read or are to be written
    Span payload


cdef class Publish:
    cdef readonly str topic
    cdef readonly bytes payload
    cdef readonly int qos
    cdef readonly bint retain
    cdef readonly bint dup
    cdef readonly int packet_id
    cdef readonly Properties properties

    cdef tuple _fields(self)


cdef inline void no_section(Parts* parts) noexcept nogil:
    parts.section.data = <const unsigned char*><const char*>b""
    parts.section.size = 0
    parts.seen = 0


cdef Publish publish_of(const Parts* parts, bytes payload)
cdef int read_parts(Reader* r, Py_ssize_t start, int version, Parts* parts) except -1
cdef bytes parts_of(Publish packet, int version, Parts* parts)
cdef bytes write_parts(const Parts* parts, int version)
cdef bytes encode_publish(Publish packet, int version)
