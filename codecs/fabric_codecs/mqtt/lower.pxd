from libc.stdint cimport int64_t

from fabric_codecs.envelope cimport Envelope

cdef object lower_publish(
    Envelope envelope, str channel, int version, int qos, int64_t now_us, int packet_id, tuple subscription_ids, bint as_published
)
