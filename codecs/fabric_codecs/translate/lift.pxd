# Lifting, without the way through Python; see lift.pyx.

from fabric_codecs.mqtt.publish cimport Publish

cdef object lifted_of(
    bytes message, str protocol, str origin, long long now_us, str fresh_id, str topic, object partition, bint trusted,
    bint structured,
)
cpdef Publish publish_of(bytes message, int version)
