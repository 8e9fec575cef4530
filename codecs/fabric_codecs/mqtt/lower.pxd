from libc.stdint cimport int64_t

from fabric_codecs.core.canonical cimport Canonical
from fabric_codecs.envelope cimport Envelope

cdef object packet_of(Canonical* c, str channel, int version, int64_t now_us)
cdef object lower_publish(
    Envelope envelope, str channel, int version, int qos, int64_t now_us, int packet_id, tuple subscription_ids, bint as_published
)
