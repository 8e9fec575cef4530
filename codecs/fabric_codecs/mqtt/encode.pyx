"""MQTT 3.1.1 and 5: packets -> bytes; the other half of `wire`, where the layout is shown.

`encode` refuses, with CodecError at byte 0, whatever `wire` would refuse to read: an edge that builds a packet from
somebody else's message learns of it here, not from the peer. Clauses are those of MQTT 5 unless marked 3.1.1.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport uint32_t
from libc.string cimport memchr

from fabric_codecs.core.writer cimport Writer, put, put_u8, put_u16, put_u32, writer_free, writer_init

from fabric_codecs.errors import CodecError
from fabric_codecs.mqtt import packets
from fabric_codecs.mqtt.properties import NONE, TABLE

cdef enum:  # packet types, 2.1.2; WILL is the place of a will's properties
    WILL = 0, CONNECT = 1, CONNACK = 2, PUBLISH = 3, PUBACK = 4, SUBSCRIBE = 8, SUBACK = 9, UNSUBSCRIBE = 10
    UNSUBACK = 11, PINGREQ = 12, PINGRESP = 13, DISCONNECT = 14

cdef enum:
    FLAG = 1, U16 = 2, U32 = 3, VARINT = 4, TEXT = 5, BINARY = 6, PAIR = 7  # properties.Kind
    HEADER = 5  # room for the longest fixed header
    REMAINING_MAX = 268_435_455  # 2.1.4, four bytes of seven bits

cdef object NOTHING = NONE
cdef tuple ROWS = TABLE
cdef object Publish = packets.Publish
cdef object Puback = packets.Puback
cdef dict KINDS = {
    packets.Connect: CONNECT, packets.Connack: CONNACK, packets.Publish: PUBLISH, packets.Puback: PUBACK,
    packets.Subscribe: SUBSCRIBE, packets.Suback: SUBACK, packets.Unsubscribe: UNSUBSCRIBE,
    packets.Unsuback: UNSUBACK, packets.Pingreq: PINGREQ, packets.Pingresp: PINGRESP, packets.Disconnect: DISCONNECT,
}


cdef object wrong(str what, str clause):
    return CodecError(what, protocol="mqtt", clause=clause)


# ---- fields (1.5) ------------------------------------------------------------------------------------------------


cdef Py_ssize_t number(object value, Py_ssize_t limit, str what) except -1:
    if not isinstance(value, int) or not 0 <= value <= limit:
        raise wrong(f"{what} is {value!r}, not a number from 0 to {limit}", "1.5")
    return value


cdef int put_varint(Writer* w, Py_ssize_t value, str what) except -1:
    if value > REMAINING_MAX:
        raise wrong(f"{what} is {value}, allowed are {REMAINING_MAX}", "1.5.5")
    while value > 0x7F:
        put_u8(w, value & 0x7F | 0x80)
        value >>= 7
    return put_u8(w, <unsigned char>value)


cdef int put_sized(Writer* w, const char* data, Py_ssize_t size, str what) except -1:
    if size > 0xFFFF:
        raise wrong(f"{what} has {size} bytes, allowed are 65535", "1.5")
    put_u16(w, <unsigned short>size)
    return put(w, data, size)


cdef int put_binary(Writer* w, object value, str what) except -1:
    if type(value) is not bytes:
        raise wrong(f"{what} is {type(value).__name__}, not bytes", "1.5.6")
    return put_sized(w, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), what)


cdef int put_text(Writer* w, object value, str what) except -1:
    cdef Py_ssize_t size = 0
    cdef const char* data
    if type(value) is not str:
        raise wrong(f"{what} is {type(value).__name__}, not a string", "1.5.4")
    try:
        data = PyUnicode_AsUTF8AndSize(value, &size)
    except UnicodeEncodeError:
        raise wrong(f"{what} holds a lone surrogate, which UTF-8 cannot carry", "1.5.4-1") from None
    if size and memchr(data, 0, size) != NULL:
        raise wrong(f"{what} holds U+0000", "1.5.4-2")
    return put_sized(w, data, size, what)


cdef int put_topic(Writer* w, str topic, str what) except -1:
    if "+" in topic or "#" in topic:
        raise wrong(f"{what} {topic!r} holds a wildcard", "3.3.2-2")
    return put_text(w, topic, what)


cdef int put_packet_id(Writer* w, object value) except -1:
    if number(value, 0xFFFF, "the Packet Identifier") == 0:
        raise wrong("the Packet Identifier is 0", "2.2.1-3")
    return put_u16(w, <unsigned short>value)


cdef int put_reason(Writer* w, object packet, int code, int version) except -1:
    if version == 5 and code not in packets.REASONS[packet]:
        raise wrong(f"reason code 0x{code:02X} does not belong in {packet.__name__.upper()}", "2.4")
    return put_u8(w, <unsigned char>number(code, 0xFF, "the Reason Code"))


# ---- properties (2.2.2) ------------------------------------------------------------------------------------------


cdef int put_properties(Writer* w, object properties, uint32_t place, int version) except -1:
    cdef Writer inner
    if version == 4:
        if properties is not NOTHING and properties != NOTHING:
            raise wrong("MQTT 3.1.1 has no properties", "3.1.1: 3")
        return 0
    if properties is NOTHING:
        return put_u8(w, 0)
    writer_init(&inner)
    try:
        for row in ROWS:
            value = getattr(properties, row.field)
            if value is not None and value != ():
                put_property(&inner, row, value, place)
        put_varint(w, inner.size, "the Property Length")
        return put(w, inner.data, inner.size)
    finally:
        writer_free(&inner)


cdef int put_property(Writer* w, object row, object value, uint32_t place) except -1:
    cdef int kind = row.kind
    cdef str what = row.field
    if not row.packets & place:
        raise wrong(f"property {what} does not belong in this packet", "2.2.2.2")
    if kind == PAIR:
        for name, content in value:
            put_u8(w, row.code)
            put_text(w, name, "a user property's name")
            put_text(w, content, "a user property's value")
        return 0
    if kind == VARINT:
        if len(value) > 1 and not row.many & place:
            raise wrong(f"property {what} stands twice", row.clause)
        for content in value:
            put_u8(w, row.code)
            put_varint(w, positive_number(row, content, REMAINING_MAX), what)
        return 0
    put_u8(w, row.code)
    if kind == TEXT:
        if what == "response_topic":
            if not value:
                raise wrong("the Response Topic is empty", "4.7.3-1")
            return put_topic(w, value, "the Response Topic")
        return put_text(w, value, what)
    if kind == BINARY:
        return put_binary(w, value, what)
    if kind == FLAG:
        return put_u8(w, <unsigned char>number(value, 1, what))
    if kind == U16:
        return put_u16(w, <unsigned short>positive_number(row, value, 0xFFFF))
    return put_u32(w, <uint32_t>positive_number(row, value, 0xFFFFFFFF))


cdef Py_ssize_t positive_number(object row, object value, Py_ssize_t limit) except -1:
    if number(value, limit, row.field) == 0 and row.positive:
        raise wrong(f"{row.field} is 0", row.clause)
    return value


# ---- packets (3): each writes what follows the fixed header and returns the header's flags -----------------------


cdef int put_publish(Writer* w, object packet, int version) except -1:
    cdef int qos = number(packet.qos, 2, "the QoS")
    cdef str topic = packet.topic
    if not topic and packet.properties.topic_alias is None:
        raise wrong("the Topic Name is empty", "4.7.3-1")
    if not qos and (packet.dup or packet.packet_id):
        raise wrong("QoS 0 with DUP or a Packet Identifier", "3.3.1-2")
    put_topic(w, topic, "the Topic Name")
    if qos:
        put_packet_id(w, packet.packet_id)
    put_properties(w, packet.properties, 1 << PUBLISH, version)
    payload = packet.payload
    if type(payload) is not bytes:
        raise wrong(f"the payload is {type(payload).__name__}, not bytes", "3.3.3")
    put(w, PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))
    return (8 if packet.dup else 0) | qos << 1 | (1 if packet.retain else 0)


cdef int put_connect(Writer* w, object packet, int version) except -1:
    cdef object will = packet.will
    cdef int flags = 2 if packet.clean else 0
    if packet.version != version:
        raise wrong(f"a CONNECT of version {packet.version} encoded as {version}", "3.1.2.2")
    if version == 4 and packet.password is not None and packet.username is None:
        raise wrong("a Password without a User Name", "3.1.1: 3.1.2-22")
    if will is not None:
        flags |= 4 | number(will.qos, 2, "the Will QoS") << 3 | (0x20 if will.retain else 0)
    flags |= (0x80 if packet.username is not None else 0) | (0x40 if packet.password is not None else 0)
    put(w, b"\x00\x04MQTT", 6)
    put_u8(w, <unsigned char>version)
    put_u8(w, <unsigned char>flags)
    put_u16(w, <unsigned short>number(packet.keep_alive_s, 0xFFFF, "the Keep Alive"))
    put_properties(w, packet.properties, 1 << CONNECT, version)
    put_text(w, packet.client_id, "the Client Identifier")
    if will is not None:
        put_properties(w, will.properties, 1 << WILL, version)
        if not will.topic:
            raise wrong("the Will Topic is empty", "4.7.3-1")
        put_topic(w, will.topic, "the Will Topic")
        put_binary(w, will.payload, "the Will Payload")
    if packet.username is not None:
        put_text(w, packet.username, "the User Name")
    if packet.password is not None:
        put_binary(w, packet.password, "the Password")
    return 0


cdef int put_connack(Writer* w, object packet, int version) except -1:
    put_u8(w, 1 if packet.session_present else 0)
    if version == 4 and packet.code > 5:
        raise wrong(f"return code {packet.code} is reserved", "3.1.1: 3.2.2.3")
    put_reason(w, packets.Connack, packet.code, version)
    put_properties(w, packet.properties, 1 << CONNACK, version)
    return 0


cdef int put_puback(Writer* w, object packet, int version) except -1:
    put_packet_id(w, packet.packet_id)
    if version == 4:
        if packet.code:
            raise wrong("a PUBACK of 3.1.1 has no reason code", "3.1.1: 3.4")
        return put_properties(w, packet.properties, 0, 4)
    if packet.code or packet.properties is not NOTHING:
        put_reason(w, Puback, packet.code, 5)
        if packet.properties is not NOTHING:
            put_properties(w, packet.properties, 1 << PUBACK, 5)
    return 0


cdef int put_subscribe(Writer* w, object packet, int version) except -1:
    put_packet_id(w, packet.packet_id)
    put_properties(w, packet.properties, 1 << SUBSCRIBE, version)
    if not packet.subscriptions:
        raise wrong("SUBSCRIBE without a Topic Filter", "3.8.3-2")
    for one in packet.subscriptions:
        options = number(one.qos, 2, "the QoS") | number(one.retain_handling, 2, "Retain Handling") << 4
        options |= (4 if one.no_local else 0) | (8 if one.retain_as_published else 0)
        if version == 4 and options > 2:
            raise wrong("MQTT 3.1.1 has no Subscription Options but the QoS", "3.1.1: 3.8.3-4")
        put_text(w, one.filter, "a Topic Filter")
        put_u8(w, options)
    return 2


cdef int put_unsubscribe(Writer* w, object packet, int version) except -1:
    put_packet_id(w, packet.packet_id)
    put_properties(w, packet.properties, 1 << UNSUBSCRIBE, version)
    if not packet.filters:
        raise wrong("UNSUBSCRIBE without a Topic Filter", "3.10.3-2")
    for one in packet.filters:
        put_text(w, one, "a Topic Filter")
    return 2


cdef int put_answers(Writer* w, object packet, int kind, int version) except -1:
    """SUBACK and UNSUBACK: one reason code a filter; in 3.1.1 an UNSUBACK has none."""
    put_packet_id(w, packet.packet_id)
    put_properties(w, packet.properties, 1 << kind, version)
    if (kind == UNSUBACK and version == 4) != (not packet.codes):
        raise wrong(f"{len(packet.codes)} reason codes", "3.9.3")
    for code in packet.codes:
        if version == 4 and code not in (0, 1, 2, 0x80):
            raise wrong(f"return code 0x{code:02X} is reserved", "3.1.1: 3.9.3-2")
        put_reason(w, type(packet), code, version)
    return 0


cdef int put_disconnect(Writer* w, object packet, int version) except -1:
    if version == 4:
        if packet.code:
            raise wrong("a DISCONNECT of 3.1.1 has no reason code", "3.1.1: 3.14")
        return put_properties(w, packet.properties, 0, 4)
    if packet.code or packet.properties is not NOTHING:
        put_reason(w, packets.Disconnect, packet.code, 5)
        if packet.properties is not NOTHING:
            put_properties(w, packet.properties, 1 << DISCONNECT, 5)
    return 0


cdef int put_packet(Writer* w, object packet, int kind, int version) except -1:
    if kind == PUBLISH: return put_publish(w, packet, version)
    if kind == PUBACK: return put_puback(w, packet, version)
    if kind == CONNACK: return put_connack(w, packet, version)
    if kind == SUBACK or kind == UNSUBACK: return put_answers(w, packet, kind, version)
    if kind == CONNECT: return put_connect(w, packet, version)
    if kind == SUBSCRIBE: return put_subscribe(w, packet, version)
    if kind == UNSUBSCRIBE: return put_unsubscribe(w, packet, version)
    if kind == DISCONNECT: return put_disconnect(w, packet, version)
    return 0  # PINGREQ and PINGRESP have nothing after the fixed header


def encode(packet, int version):
    """One packet as the bytes of MQTT 3.1.1 (`version` 4) or 5. Raises CodecError when that version cannot say it."""
    cdef Writer w
    cdef int kind = KINDS[type(packet)], flags, at = 0
    cdef Py_ssize_t remaining
    cdef unsigned char header[HEADER]
    if version != 4 and version != 5:
        raise ValueError(f"MQTT protocol version {version} is neither 4 nor 5")
    writer_init(&w)
    try:
        # The length is known last: the body starts behind room for the longest header, the header is put against it.
        put(&w, b"\0\0\0\0\0", HEADER)
        flags = put_packet(&w, packet, kind, version)
        remaining = w.size - HEADER
        if remaining > REMAINING_MAX:
            raise wrong(f"a packet of {remaining} bytes, allowed are {REMAINING_MAX}", "2.1.4")
        header[at] = <unsigned char>(kind << 4 | flags)
        while True:
            at += 1
            header[at] = remaining & 0x7F
            remaining >>= 7
            if not remaining:
                break
            header[at] |= 0x80
        at += 1
        for flags in range(at):
            w.data[HEADER - at + flags] = header[flags]
        return PyBytes_FromStringAndSize(<char*>w.data + HEADER - at, w.size - HEADER + at)
    finally:
        writer_free(&w)
