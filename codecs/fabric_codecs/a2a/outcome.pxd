# What a task's state, an update or an error says of a call; see outcome.pyx.

from fabric_codecs.a2a.message cimport Message
from fabric_codecs.core.jsonvalues cimport Field

cdef enum Event:
    TASK
    STATUS
    ARTIFACT


cdef int take_event(Message* m, const Field* field, Event event) except -1
cdef int take_failure(Message* m) except -1
