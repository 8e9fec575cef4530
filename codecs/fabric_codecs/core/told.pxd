# Lowering from an envelope; see told.pyx.

from fabric_codecs.core.marks cimport ATTRIBUTES_COUNT, Value
from fabric_codecs.core.writer cimport Writer
from fabric_codecs.envelope cimport Envelope

cdef enum:
    OTHERS_MAX = 64  # attributes that are not the fabric's own; CloudEvents registers two dozen extensions


cdef struct Told:
    Value known[ATTRIBUTES_COUNT]
    Value native
    int others
    Value other_name[OTHERS_MAX]
    Value other[OTHERS_MAX]


cdef int read_told(Envelope envelope, Told* told, list kept) except -1
cdef bint is_text(const Value* value, const char* text, Py_ssize_t size) noexcept nogil
cdef int put_value_string(Writer* w, const Value* value) except -1
cdef int put_value_inner(Writer* w, const Value* value) except -1
cdef int put_marks(Writer* w, Told* told, unsigned long long skip) except -1
cdef int put_losses(Writer* w, Told* told, tuple losses, bint in_words) except -1
cdef bytes with_losses(bytes raw, str room, Told* told, tuple losses, bint in_words)
cdef dict native_rooms(Envelope envelope, Told* told, frozenset rooms)
cdef int put_members(Writer* w, list members) except -1
cdef int put_rest(Writer* w, list entries) except -1
