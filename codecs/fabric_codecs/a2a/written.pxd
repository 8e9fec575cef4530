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


cdef int put_raw(Lowering* l, bytes raw) except -1
cdef int put_id(Lowering* l, bytes request_id) except -1
cdef int put_either(Lowering* l, str given, const Value* value) except -1
cdef int put_context(Lowering* l, str context_id) except -1
cdef int put_part(Lowering* l, bytes data) except -1
cdef int put_metadata(Lowering* l, tuple lost, dict natives, unsigned long long skip, bytes more) except -1
cdef int put_message(
    Lowering* l, Envelope envelope, tuple lost, dict natives, str context_id, str task_id, bint is_plain, bint sends
) except -1
cdef bytes spliced(Lowering* l, bytes raw, tuple lost)
cdef bytes told_id(Lowering* l, bytes more)
