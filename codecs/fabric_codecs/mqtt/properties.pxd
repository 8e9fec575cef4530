# Properties seen from Cython: the class, reading and writing a section, and walking a checked one without objects.

from libc.stdint cimport uint32_t, uint64_t

from fabric_codecs.core.reader cimport Reader
from fabric_codecs.core.writer cimport Writer
from fabric_codecs.mqtt.fields cimport Span

cdef enum:  # data types of property values, `table.Kind`
    FLAG = 1, U16 = 2, U32 = 3, VARINT = 4, TEXT = 5, BINARY = 6, PAIR = 7

cdef enum:  # property identifiers that the fabric looks at itself (2.2.2.2)
    PAYLOAD_FORMAT = 0x01, MESSAGE_EXPIRY = 0x02, CONTENT_TYPE = 0x03, RESPONSE_TOPIC = 0x08, CORRELATION_DATA = 0x09
    SUBSCRIPTION_ID = 0x0B, TOPIC_ALIAS = 0x23, USER = 0x26

cdef enum:
    PUBLISH_PLACE = 1 << 3  # where the properties of a PUBLISH stand; as everywhere, the bit of the packet's type


cdef class Properties:
    cdef bytes section  # as it stands on the wire, without its length; None when built from fields
    cdef dict fields  # None when read
    cdef uint64_t seen  # a bit per identifier that a section has
    cdef uint32_t place  # where it was read or written for

    cdef object value_of(self, int code)
    cdef dict given(self)


cdef struct Property:
    int code
    const unsigned char* name  # of a user property
    Py_ssize_t name_size
    const unsigned char* value  # of a text, binary or user property
    Py_ssize_t size
    uint32_t number  # of the others


cdef Properties NOTHING  # shared by every packet that has no properties
cdef bint next_property(Reader* r, Property* found) noexcept nogil
cdef Properties properties_of(bytes section, uint64_t seen, uint32_t place)
cdef uint64_t read_section(Reader* r, uint32_t place, Span* section) except? 0
cdef Properties read_properties(Reader* r, uint32_t place)
cdef int put_properties(Writer* w, Properties properties, uint32_t place, int version) except -1
cdef bytes section_of(Properties properties, uint32_t place)
