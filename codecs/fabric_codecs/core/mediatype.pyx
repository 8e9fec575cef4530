"""What data are by their looks, for protocols that do not say it, or say it wrongly: JSON, plain text, else bytes.

In: bytes. Out: the form, the media type. One pass by the JSON scanner, and one more for what is no JSON.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from fabric_codecs.core.canonical cimport BINARY, JSON, OBJECT, TEXT, UNKNOWN, DataForm
from fabric_codecs.core.jsontext cimport Scan, peek, skip_space
from fabric_codecs.core.jsonvalues cimport open_scan, skip_value
from fabric_codecs.core.utf8 cimport utf8_fault

from fabric_codecs.bounds import JSON_BYTES_MAX, JSON_DEPTH_MAX

cdef int DEPTH_MAX = JSON_DEPTH_MAX
cdef Py_ssize_t BYTES_MAX = JSON_BYTES_MAX


cdef DataForm json_form(const unsigned char* data, Py_ssize_t size, bint* long_numbers) noexcept nogil:
    """OBJECT or JSON, and whether a number in it may have more digits than a double; UNKNOWN for what is neither."""
    cdef Scan s
    cdef unsigned char first
    open_scan(&s, data, size, DEPTH_MAX)
    skip_space(&s)
    first = peek(&s)
    if size > BYTES_MAX or not skip_value(&s):
        return UNKNOWN
    skip_space(&s)
    long_numbers[0] = s.long_numbers
    return UNKNOWN if s.at < s.end else OBJECT if first == c"{" else JSON


cdef DataForm text_form(const unsigned char* data, Py_ssize_t size) noexcept nogil:
    return TEXT if utf8_fault(data, size) < 0 else BINARY


cdef DataForm looks_like(const unsigned char* data, Py_ssize_t size, bint* long_numbers) noexcept nogil:
    cdef DataForm form = json_form(data, size, long_numbers)
    return text_form(data, size) if form == UNKNOWN else form


cdef bytes media_type(DataForm looks):
    return b"text/plain" if looks == TEXT else b"application/octet-stream" if looks == BINARY else b"application/json"


def guess(bytes data not None):
    cdef bint long_numbers
    return media_type(looks_like(<const unsigned char*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), &long_numbers)).decode()
