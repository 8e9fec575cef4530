# What bytes look like; see mediatype.pyx.

cdef enum:
    JSON = 0
    TEXT
    BINARY

cdef int looks_like(const unsigned char* data, Py_ssize_t size) noexcept nogil
cdef bytes media_type(int looks)
