# One whole message, for who needs no objects; see wire.pyx.

from fabric_codecs.mqtt.publish cimport Parts, Publish

cdef int read_message(bytes data, int version, Parts* parts) except -1
cpdef Publish only_publish(bytes data, int version)
