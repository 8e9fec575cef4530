# Records, as objects; see records.pyx.

from libc.stdint cimport int64_t


cdef class Record:
    cdef readonly int64_t offset
    cdef readonly int64_t timestamp_ms
    cdef readonly bytes key
    cdef readonly bytes value
    cdef readonly list headers

    cdef tuple _fields(self)


cdef str name_at(const unsigned char* p, Py_ssize_t size)
