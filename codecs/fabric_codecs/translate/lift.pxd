# One message of any protocol, told a Canonical; see lift.pyx.

from fabric_codecs.core.canonical cimport Canonical

cdef tuple take(
    Canonical* c, bytes message, str protocol, str origin, long long now_us, str fresh_id, str topic, object partition,
    bint trusted, bint structured,
)
