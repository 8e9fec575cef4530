# The lift of MCP, for `translate`; see lift.pyx.

from fabric_codecs.core.canonical cimport Canonical

cdef int take_message(
    Canonical* to, bytes message, str source, str fresh_id, long long now_us, str target, str revision, str method
) except -1
