# What JSON messages say for the fabric, told a Canonical; see jsonlift.pyx.

from fabric_codecs.core.canonical cimport Canonical, Place
from fabric_codecs.core.jsontext cimport Scan
from fabric_codecs.core.jsonvalues cimport Field

cdef bytes raw_of(const Scan* s, const Field* field)
cdef bytes undone(const Scan* s, const Field* field)
cdef bint is_number(const Field* field) noexcept nogil
cdef const char* type_said(const Scan* s, const Field* field) noexcept nogil
cdef void give(Canonical* c, const Scan* s, const Field* field) noexcept
cdef int give_text(Canonical* c, const Scan* s, const Field* field) except -1
cdef bint give_base64(Canonical* c, const Scan* s, const Field* field) except -1
cdef int give_failure(Canonical* c, const Scan* s, bytes code, bytes words, bint retriable, const Field* inside) except -1
cdef int text_of(Canonical* c, const Scan* s, const Field* field, Place* text) except -1
cdef int tell_text(Canonical* c, int which, const Scan* s, const Field* field) except -1
cdef bint tell_rpc_id(Canonical* c, const Scan* s, const Field* id) except -1
cdef int keep_member(Canonical* c, const char* room, Py_ssize_t size, const Scan* s, const Field* field) except -1
cdef bint take_mark(Canonical* c, const Scan* s, const Field* field, str protocol) except -1
cdef int check_natives(const Canonical* c, str protocol) except -1
