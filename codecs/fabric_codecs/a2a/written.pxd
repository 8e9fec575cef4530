# Messages of A2A written; see written.pyx.

from fabric_codecs.core.forms cimport Form
from fabric_codecs.core.marks cimport Value
from fabric_codecs.core.told cimport Told
from fabric_codecs.core.writer cimport Writer
from fabric_codecs.envelope cimport Envelope


cdef struct Lowering:
    Told told
    Writer out
    Form form
    bint is_old  # something whole in the spelling of 0.3
    bint is_raw  # JSON that goes as bytes


cdef tuple open_lowering(Lowering* l, Envelope envelope, tuple losses, list kept)
cdef dict natives_of(Lowering* l, Envelope envelope)
cdef bint is_old_kind(object body)
cdef int put_str(Writer* w, str text) except -1
cdef int put_raw(Lowering* l, bytes raw) except -1
cdef int put_id(Lowering* l, bytes request_id) except -1
cdef int put_either(Lowering* l, str given, const Value* value) except -1
cdef int put_context(Lowering* l, str context_id) except -1
cdef int put_part(Lowering* l, bytes data) except -1
cdef Py_ssize_t open_metadata(Lowering* l) except -1
cdef int close_metadata(Lowering* l, Py_ssize_t start, tuple lost, dict natives, unsigned long long skip) except -1
cdef int put_told_id(Lowering* l) except -1
cdef int put_message(
    Lowering* l, Envelope envelope, tuple lost, dict natives, str context_id, str task_id, bint is_plain, bint sends
) except -1
cdef bytes spliced(Lowering* l, bytes raw, tuple lost)
