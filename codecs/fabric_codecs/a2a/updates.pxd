# Updates of a task written; see updates.pyx.

from fabric_codecs.a2a.written cimport Lowering
from fabric_codecs.core.jsontext cimport Scan
from fabric_codecs.core.jsonvalues cimport Fields
from fabric_codecs.envelope cimport Envelope


cdef struct Body:  # an object that is the data of an envelope
    Scan s
    Fields fields
    Py_ssize_t size


cdef bint read_body(Body* body, Lowering* l, bytes data, list kept) except -1
cdef tuple open_status(Lowering* l, tuple lost, str task_id, str context_id, const char* state)
cdef tuple open_artifact(Lowering* l, tuple lost, str task_id, str context_id)
cdef int put_said(Lowering* l, bytes data) except -1
cdef int put_kind(Lowering* l) except -1
cdef tuple put_status(
    Lowering* l, Envelope envelope, tuple lost, dict natives, list kept, str task_id, str context_id, unsigned long long skip, bint ends
)
cdef tuple put_artifact(
    Lowering* l, Envelope envelope, tuple lost, dict natives, str task_id, str context_id, unsigned long long skip
)
cdef const char* state_of_failure(Body* failure) noexcept nogil
cdef int put_failure_words(Lowering* l, Body* failure) except -1
cdef int put_failure_marks(Lowering* l, Body* failure) except -1
