# What form the data take in a JSON message; see jsondata.pyx.

from fabric_codecs.core.canonical cimport Canonical
from fabric_codecs.core.writer cimport Writer


cdef struct Shape:
    int form  # a DataForm, never UNKNOWN
    bint is_whole  # a message of the protocol's own, as it came
    bint tells_content  # the form does not say the content type
    bint is_guessed  # said to be JSON, and is none
    bint long_numbers  # a number in it may have more digits than a double


cdef int judge(Shape* shape, const Canonical* c, const char* whole, Py_ssize_t whole_size) except -1
cdef bint is_json(const unsigned char* text, Py_ssize_t size) noexcept nogil
cdef int put_data(Writer* w, int form, const Canonical* c, const char* prefix, Py_ssize_t size) except -1
cdef int put_raw(Writer* w, bytes raw) except -1
cdef bint put_typed_id(Writer* w, const Canonical* c) except -1
cdef bint has_typed_id(const Canonical* c) except -1
