# Updates of a task written, but for the end of the StreamResponse that holds them; see updates.pyx.

from fabric_codecs.a2a.written cimport Lowering
from fabric_codecs.core.jsontext cimport Scan
from fabric_codecs.core.jsonvalues cimport Fields


cdef struct Body:  # an object that is the data of an envelope
    Scan s
    Fields fields


cdef bint read_body(Body* body, Lowering* l) except -1
cdef tuple open_status(Lowering* l, tuple lost, const char* state)
cdef tuple open_artifact(Lowering* l, tuple lost)
cdef int put_said(Lowering* l) except -1
cdef int put_kind(Lowering* l) except -1
cdef tuple put_status(Lowering* l, tuple lost, unsigned long long skip, bint ends)
cdef tuple put_artifact(Lowering* l, tuple lost, unsigned long long skip)
cdef const char* state_of_failure(Body* failure) noexcept nogil
cdef int put_failure_words(Lowering* l, Body* failure) except -1
cdef int put_failure_marks(Lowering* l, Body* failure) except -1
