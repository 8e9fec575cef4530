"""PUBLISH (3.3), the packet that a connection is made for: a class of its own, read and written without detours.

    byte 1    3 << 4 | DUP << 3 | QoS << 1 | RETAIN
    then      Remaining Length, Topic Name, [Packet Identifier when QoS > 0], [properties in MQTT 5], payload

Between bytes, a Publish object and the canonical message stand `Parts`, places in whatever says them. Below: `fields`,
`properties`. Above: `wire`, `encode`, `lift`, `lower`, `republish`.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.string cimport memchr, memcpy

from fabric_codecs.core.reader cimport Reader, left, take
from fabric_codecs.mqtt.fields cimport PROTOCOL, VARINT_MAX, number, packet_id, topic_span, unsayable, wrong
from fabric_codecs.mqtt.properties cimport (
    NOTHING, PUBLISH_PLACE, TOPIC_ALIAS, Properties, properties_of, read_section, section_of,
)

cdef enum:
    PUBLISH = 3
    TEXT_MAX = 0xFFFF


@cython.freelist(64)
cdef class Publish:
    """One message on its way between a client and a server; see publish.pyi."""

    def __init__(
        self, str topic not None, bytes payload not None=b"", int qos=0, bint retain=False, bint dup=False, int packet_id=0,
        Properties properties not None=NOTHING
    ):
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.dup = dup
        self.packet_id = packet_id
        self.properties = properties

    cdef tuple _fields(self):
        return self.topic, self.payload, self.qos, self.retain, self.dup, self.packet_id, self.properties

    def __eq__(self, other):
        if not isinstance(other, Publish):
            return NotImplemented
        return self._fields() == (<Publish>other)._fields()

    def __hash__(self):
        return hash(self._fields())

    def __repr__(self):
        return "Publish(%r, %r, qos=%r, retain=%r, dup=%r, packet_id=%r, properties=%r)" % self._fields()

    def __reduce__(self):
        return Publish, self._fields()


# ---- reading -----------------------------------------------------------------------------------------------------


cdef int read_parts(Reader* r, Py_ssize_t start, int version, Parts* parts) except -1:
    """The packet at `start` whose fixed header was read; `r` ends where it ends."""
    cdef int flags = r.base[start] & 15
    cdef Py_ssize_t topic_at = r.at
    parts.flags = flags
    parts.packet_id = 0
    if flags & 6 == 6:
        raise wrong("QoS 3 does not exist", start, "3.3.1-4")
    if flags & 8 and not flags & 6:
        raise wrong("DUP is set on QoS 0", start, "3.3.1-2")
    topic_span(r, "the Topic Name", "3.3.2-2", &parts.topic)
    if flags & 6:
        parts.packet_id = packet_id(r)
    if version == 5:
        parts.seen = read_section(r, PUBLISH_PLACE, &parts.section)
    else:
        no_section(parts)
    if parts.topic.size == 0 and not parts.seen >> TOPIC_ALIAS & 1:
        raise wrong("the Topic Name is empty" + (" without a Topic Alias" if version == 5 else ""), topic_at, "4.7.3-1", PROTOCOL)
    parts.payload.size = left(r)
    parts.payload.data = take(r, parts.payload.size)
    return 0


cdef Publish publish_of(const Parts* parts, bytes payload):
    """`payload` is the one of `parts` as an object; None when there is none yet."""
    cdef Publish packet = Publish.__new__(Publish)
    packet.topic = PyUnicode_DecodeUTF8(<const char*>parts.topic.data, parts.topic.size, NULL)
    packet.payload = payload
    if payload is None:
        packet.payload = PyBytes_FromStringAndSize(<const char*>parts.payload.data, parts.payload.size)
    packet.qos = parts.flags >> 1 & 3
    packet.retain = parts.flags & 1
    packet.dup = parts.flags >> 3 & 1
    packet.packet_id = parts.packet_id
    packet.properties = NOTHING if parts.section.size == 0 else properties_of(
        PyBytes_FromStringAndSize(<const char*>parts.section.data, parts.section.size), parts.seen, PUBLISH_PLACE
    )
    return packet


# ---- writing -----------------------------------------------------------------------------------------------------


cdef bytes section_in(Publish packet, int version):
    if version == 5:
        return b"" if packet.properties is NOTHING else section_of(packet.properties, PUBLISH_PLACE)
    if packet.properties is not NOTHING and packet.properties != NOTHING:
        raise unsayable("MQTT 3.1.1 has no properties", "3.1.1: 3")
    return b""


cdef const char* topic_text(Publish packet, Py_ssize_t* size) except NULL:
    cdef const char* text
    try:
        text = PyUnicode_AsUTF8AndSize(packet.topic, size)
    except UnicodeEncodeError:
        raise unsayable("the Topic Name holds a lone surrogate, which UTF-8 cannot carry", "1.5.4-1") from None
    if size[0] == 0:
        if packet.properties.topic_alias is None:
            raise unsayable("the Topic Name is empty", "4.7.3-1")
        return text
    if memchr(text, 0, size[0]) != NULL:
        raise unsayable("the Topic Name holds U+0000", "1.5.4-2")
    if memchr(text, c"+", size[0]) != NULL or memchr(text, c"#", size[0]) != NULL:
        raise unsayable(f"the Topic Name {packet.topic!r} holds a wildcard", "3.3.2-2")
    if size[0] > TEXT_MAX:
        raise unsayable(f"the Topic Name has {size[0]} bytes, allowed are {TEXT_MAX}", "1.5")
    return text


cdef inline unsigned char* poke_varint(unsigned char* at, Py_ssize_t value) noexcept nogil:
    while value > 0x7F:
        at[0] = value & 0x7F | 0x80
        at += 1
        value >>= 7
    at[0] = <unsigned char>value
    return at + 1


cdef inline int varint_bytes(Py_ssize_t value) noexcept nogil:
    return 1 if value < 1 << 7 else 2 if value < 1 << 14 else 3 if value < 1 << 21 else 4


cdef bytes parts_of(Publish packet, int version, Parts* parts):
    """The parts of an object; the section that is returned has to live as long. Raises CodecError for a topic or properties
    that no packet of that version has."""
    cdef bytes section = section_in(packet, version)
    parts.flags = (8 if packet.dup else 0) | packet.qos << 1 | (1 if packet.retain else 0)
    parts.packet_id = packet.packet_id
    parts.topic.data = <const unsigned char*>topic_text(packet, &parts.topic.size)
    parts.section.data = <const unsigned char*>PyBytes_AS_STRING(section)
    parts.section.size = PyBytes_GET_SIZE(section)
    parts.payload.data = <const unsigned char*>PyBytes_AS_STRING(packet.payload)
    parts.payload.size = PyBytes_GET_SIZE(packet.payload)
    return section


cdef bytes encode_publish(Publish packet, int version):
    """The whole packet."""
    cdef Parts parts
    cdef bytes section
    if not 0 <= packet.qos <= 2:
        number(packet.qos, 2, "the QoS")  # which says what is wrong with it
    section = parts_of(packet, version, &parts)
    if not packet.qos and (packet.dup or packet.packet_id):
        raise unsayable("QoS 0 with DUP or a Packet Identifier", "3.3.1-2")
    if packet.qos and number(packet.packet_id, 0xFFFF, "the Packet Identifier") == 0:
        raise unsayable("the Packet Identifier is 0", "2.2.1-3")
    return write_parts(&parts, version)


cdef bytes write_parts(const Parts* parts, int version):
    """The whole packet of parts that are right. Sizes first, then one pass into the memory of the result."""
    cdef Py_ssize_t remaining = 2 + parts.topic.size + (2 if parts.flags & 6 else 0) + parts.payload.size
    cdef bytes data
    cdef unsigned char* at
    if version == 5:
        remaining += varint_bytes(parts.section.size) + parts.section.size
    if remaining > VARINT_MAX:
        raise unsayable(f"a packet of {remaining} bytes, allowed are {VARINT_MAX}", "2.1.4")
    data = PyBytes_FromStringAndSize(NULL, 1 + varint_bytes(remaining) + remaining)
    at = <unsigned char*>PyBytes_AS_STRING(data)
    at[0] = PUBLISH << 4 | parts.flags
    at = poke_varint(at + 1, remaining)
    at[0] = parts.topic.size >> 8
    at[1] = parts.topic.size & 0xFF
    memcpy(at + 2, parts.topic.data, parts.topic.size)
    at += 2 + parts.topic.size
    if parts.flags & 6:
        at[0] = parts.packet_id >> 8
        at[1] = parts.packet_id & 0xFF
        at += 2
    if version == 5:
        at = poke_varint(at, parts.section.size)
        memcpy(at, parts.section.data, parts.section.size)
        at += parts.section.size
    memcpy(at, parts.payload.data, parts.payload.size)
    return data
