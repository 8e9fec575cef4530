from libc.stdint cimport int64_t

from fabric_codecs.mqtt.publish cimport Publish

cdef object lift_publish(Publish publish, int version, str fresh_id, str source, int64_t now_us, bint trusted)
