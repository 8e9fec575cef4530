# The lift of A2A, for `translate`; see lift.pyx.

from fabric_codecs.core.canonical cimport Canonical

cdef int take_message(Canonical* to, bytes message, str source, str fresh_id, long long now_us, str target) except -1
