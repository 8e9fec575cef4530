from libc.stdint cimport int64_t

from fabric_codecs.core.canonical cimport Canonical
from fabric_codecs.losses cimport Translation

cdef Translation packet_of(Canonical* c, str channel, int version, int64_t now_us)
