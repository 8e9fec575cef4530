# What JSON messages say for the fabric, told a Canonical; see jsonlift.pyx.

from fabric_codecs.core.canonical cimport Canonical, Place
from fabric_codecs.core.jsontext cimport Scan
from fabric_codecs.core.jsonvalues cimport Field

cdef int text_of(Canonical* c, const Scan* s, const Field* field, Place* text) except -1
cdef int tell_text(Canonical* c, int which, const Scan* s, const Field* field) except -1
cdef bint tell_rpc_id(Canonical* c, const Scan* s, const Field* id) except -1
cdef int keep_member(Canonical* c, const char* room, Py_ssize_t size, const Scan* s, const Field* field) except -1
cdef bint take_mark(Canonical* c, const Scan* s, const Field* field, str protocol) except -1
cdef int check_natives(const Canonical* c, str protocol) except -1
