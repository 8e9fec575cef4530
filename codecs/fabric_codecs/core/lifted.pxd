# Lifting into a header block; see lifted.pyx.

from fabric_codecs.core.jsontext cimport Scan
from fabric_codecs.core.jsonvalues cimport Field
from fabric_codecs.core.marks cimport Value
from fabric_codecs.core.writer cimport Writer
from fabric_codecs.envelope cimport Envelope


cdef struct Lifted:
    Writer block
    Writer entries
    int entry_count
    unsigned long long seen  # one bit for each attribute that the block has


cdef int lifted_init(Lifted* to) except -1
cdef void lifted_free(Lifted* to) noexcept
cdef int tell(Lifted* to, int which, const unsigned char* text, Py_ssize_t size) except -1
cdef int tell_str(Lifted* to, int which, str text) except -1
cdef int tell_time(Lifted* to, long long now_us) except -1
cdef int tell_rpc_id(Lifted* to, Scan* s, const Field* id) except -1
cdef int keep(Lifted* to, const char* room, Py_ssize_t size, Scan* s, const Field* field) except -1
cdef int take_mark(Lifted* to, Scan* s, const Field* field, str protocol, list kept) except -2
cdef Envelope lifted_envelope(Lifted* to, bytes data, str protocol)
cdef bint is_attribute(const unsigned char* text, Py_ssize_t size) noexcept nogil
cdef bint is_legal(int which, const unsigned char* text, Py_ssize_t size)
cdef bint is_trace(const unsigned char* text, Py_ssize_t size)
cdef int text_of(Scan* s, const Field* field, Value* text, list kept) except -1
