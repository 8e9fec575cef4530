from libc.stdint cimport int64_t

from fabric_codecs.core.canonical cimport Canonical

cdef tuple take_packet(Canonical* c, bytes packet, int version, str fresh_id, str source, int64_t now_us, bint trusted)
