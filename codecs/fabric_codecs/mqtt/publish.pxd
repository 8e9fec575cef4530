from libc.stdint cimport uint16_t

from fabric_codecs.core.reader cimport Reader
from fabric_codecs.core.writer cimport Writer
from fabric_codecs.mqtt.properties cimport Properties


cdef class Publish:
    cdef readonly str topic
    cdef readonly bytes payload
    cdef readonly int qos
    cdef readonly bint retain
    cdef readonly bint dup
    cdef readonly int packet_id
    cdef readonly Properties properties

    cdef tuple _fields(self)


cdef Publish publish_of(str topic, bytes payload, int flags, int packet_id, Properties properties)
cdef Publish read_publish(Reader* r, int flags, int version)
cdef bytes encode_publish(Publish packet, int version)
