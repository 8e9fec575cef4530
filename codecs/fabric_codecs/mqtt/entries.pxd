# Native entries on their way to MQTT, and how a property is begun; see entries.pyx.

from libc.stdint cimport uint64_t

from fabric_codecs.core.canonical cimport Canonical, Place
from fabric_codecs.core.writer cimport Writer, put_u8


cdef inline int begin(Writer* w, uint64_t* seen, int code) except -1:
    """A property's identifier; its value follows."""
    seen[0] |= <uint64_t>1 << code
    return put_u8(w, code)


cdef int put_span(Writer* w, const unsigned char* data, Py_ssize_t size, str what) except -1
cdef int put_string(Writer* w, const unsigned char* text, Py_ssize_t size, str what) except -1
cdef int put_user(Writer* w, const char* room, Py_ssize_t room_size, const Place* name, const Place* value) except -1
cdef int put_size(Writer* w, Py_ssize_t start, str what) except -1
cdef bint put_natives(Writer* w, uint64_t* seen, const Canonical* c, list losses) except -1
cdef bint is_retained(const Canonical* c) noexcept nogil
