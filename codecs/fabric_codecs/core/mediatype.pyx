"""The media type that data has by its looks, for protocols that do not say one: JSON, plain text, else bytes.

In: bytes. Out: the type. One pass by the JSON scanner, and one more for what is no JSON.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from fabric_codecs.core.jsontext cimport Scan, skip_space
from fabric_codecs.core.jsonvalues cimport skip_value
from fabric_codecs.core.utf8 cimport utf8_fault

from fabric_codecs.bounds import JSON_BYTES_MAX, JSON_DEPTH_MAX

cdef int DEPTH_MAX = JSON_DEPTH_MAX
cdef Py_ssize_t BYTES_MAX = JSON_BYTES_MAX
cdef tuple TYPES = (b"application/json", b"text/plain", b"application/octet-stream")


cdef int looks_like(const unsigned char* data, Py_ssize_t size) noexcept nogil:
    cdef Scan s
    s.base = data
    s.at = 0
    s.end = size
    s.depth_left = DEPTH_MAX
    s.problem = NULL
    s.clause = NULL
    if size <= BYTES_MAX:
        skip_space(&s)
        if skip_value(&s):
            skip_space(&s)
            if s.at == size:
                return JSON
    return TEXT if utf8_fault(data, size) < 0 else BINARY


cdef bytes media_type(int looks):
    return TYPES[looks]


def guess(bytes data not None):
    return media_type(looks_like(<const unsigned char*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))).decode()
