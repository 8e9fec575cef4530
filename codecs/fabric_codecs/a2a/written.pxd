# Messages of A2A written; see written.pyx.

from fabric_codecs.core.canonical cimport Canonical, Place
from fabric_codecs.core.jsondata cimport Shape
from fabric_codecs.core.writer cimport Writer

cdef enum:
    FRAME_BYTES = 1024  # what stands around the data has 300 to 900 bytes: grown at once

cdef enum:  # where native entries go back to
    RPC
    METADATA  # of the message, or of the update
    MESSAGE
    PARAMS
    REQUEST  # metadata of the params
    RESULT
    ROOMS


cdef struct Lowering:
    Canonical* c
    Writer out
    Shape shape
    bint is_old  # something whole in the spelling of 0.3
    bint is_raw  # JSON that goes as bytes
    Place task  # as the caller calls it; a text of NULL: it does not say
    Place context


cdef tuple open_lowering(Lowering* l, Canonical* c, str task_id, str context_id, tuple losses)
cdef int sort_rooms(Lowering* l, int there) except -1
cdef bint is_old_kind(object body)
cdef int put_str(Writer* w, str text) except -1
cdef bint knows(const Lowering* l, const Place* given, int which) noexcept nogil
cdef int put_known(Lowering* l, const Place* given, int which) except -1
cdef int put_context(Lowering* l) except -1
cdef int put_part(Lowering* l) except -1
cdef Py_ssize_t open_metadata(Lowering* l) except -1
cdef int close_metadata(Lowering* l, Py_ssize_t start, tuple lost, unsigned long long skip) except -1
cdef int end_metadata(Lowering* l, Py_ssize_t start) except -1
cdef int put_told_id(Lowering* l) except -1
cdef int put_message(Lowering* l, tuple lost, bint is_plain, bint sends) except -1
cdef tuple put_whole(Lowering* l, tuple lost)
cdef tuple put_item(Lowering* l, tuple lost)
