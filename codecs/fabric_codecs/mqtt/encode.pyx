"""MQTT 3.1.1 and 5: packets -> bytes; the other half of `wire`, where the layout is shown.

`encode` refuses, with CodecError at byte 0, whatever `wire` would refuse to read: an edge that builds a packet from
somebody else's message learns of it here, not from the peer. Clauses are those of MQTT 5 unless marked 3.1.1.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize

from fabric_codecs.core.writer cimport Writer, put, put_u8, put_u16, writer_free, writer_init
from fabric_codecs.mqtt.fields cimport (
    VARINT_MAX, number, put_binary, put_packet_id, put_text, put_topic, unsayable
)
from fabric_codecs.mqtt.properties cimport put_properties
from fabric_codecs.mqtt.publish cimport Publish, encode_publish

from fabric_codecs.mqtt import packets
from fabric_codecs.mqtt.properties import NONE

cdef enum:  # packet types, 2.1.2; WILL is the place of a will's properties
    WILL = 0, CONNECT = 1, CONNACK = 2, PUBLISH = 3, PUBACK = 4, PUBREC = 5, PUBREL = 6, PUBCOMP = 7, SUBSCRIBE = 8
    SUBACK = 9, UNSUBSCRIBE = 10, UNSUBACK = 11, PINGREQ = 12, PINGRESP = 13, DISCONNECT = 14, AUTH = 15

cdef enum:
    HEADER = 5  # room for the longest fixed header

cdef dict KINDS = {
    packets.Connect: CONNECT, packets.Connack: CONNACK, packets.Puback: PUBACK, packets.Pubrec: PUBREC,
    packets.Pubrel: PUBREL, packets.Pubcomp: PUBCOMP, packets.Auth: AUTH, packets.Subscribe: SUBSCRIBE,
    packets.Suback: SUBACK, packets.Unsubscribe: UNSUBSCRIBE, packets.Unsuback: UNSUBACK, packets.Pingreq: PINGREQ,
    packets.Pingresp: PINGRESP, packets.Disconnect: DISCONNECT,
}


cdef int put_reason(Writer* w, object packet, int code, int version) except -1:
    if version == 5 and code not in packets.REASONS[packet]:
        raise unsayable(f"reason code 0x{code:02X} does not belong in {packet.__name__.upper()}", "2.4")
    return put_u8(w, <unsigned char>number(code, 0xFF, "the Reason Code"))


# ---- packets (3): each writes what follows the fixed header and returns the header's flags -----------------------


cdef int put_connect(Writer* w, object packet, int version) except -1:
    cdef object will = packet.will
    cdef int flags = 2 if packet.clean else 0
    if packet.version != version:
        raise unsayable(f"a CONNECT of version {packet.version} encoded as {version}", "3.1.2.2")
    if version == 4 and packet.password is not None and packet.username is None:
        raise unsayable("a Password without a User Name", "3.1.1: 3.1.2-22")
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
            raise unsayable("the Will Topic is empty", "4.7.3-1")
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
        raise unsayable(f"return code {packet.code} is reserved", "3.1.1: 3.2.2.3")
    put_reason(w, packets.Connack, packet.code, version)
    put_properties(w, packet.properties, 1 << CONNACK, version)
    return 0


cdef int put_acknowledgement(Writer* w, object packet, int kind, int version) except -1:
    put_packet_id(w, packet.packet_id)
    put_answer(w, packet, kind, version)
    return 2 if kind == PUBREL else 0


cdef int put_answer(Writer* w, object packet, int kind, int version) except -1:
    """Reason Code and properties, left out where they say nothing and were not spelled out."""
    cdef int spelled = packet.spelled
    if version == 4:
        if packet.code or spelled:
            raise unsayable(f"{type(packet).__name__.upper()} of 3.1.1 has no reason code", f"3.1.1: 3.{kind}")
        return put_properties(w, packet.properties, 0, 4)
    cdef bint said = packet.properties is not NONE
    if packet.code or said or spelled:
        put_reason(w, type(packet), packet.code, 5)
        if said or spelled == 2:
            put_properties(w, packet.properties, 1 << kind, 5)
    return 0


cdef int put_auth(Writer* w, object packet, int version) except -1:
    if version == 4:
        raise unsayable("MQTT 3.1.1 has no AUTH", "3.1.1: 2.2.1")
    if not packet.code and packet.properties is NONE:
        return 0
    if packet.properties.authentication_method is None:
        raise unsayable("AUTH without an Authentication Method", "3.15.2.2.2")
    put_reason(w, packets.Auth, packet.code, 5)
    return put_properties(w, packet.properties, 1 << AUTH, 5)


cdef int put_subscribe(Writer* w, object packet, int version) except -1:
    put_packet_id(w, packet.packet_id)
    put_properties(w, packet.properties, 1 << SUBSCRIBE, version)
    if not packet.subscriptions:
        raise unsayable("SUBSCRIBE without a Topic Filter", "3.8.3-2")
    for one in packet.subscriptions:
        options = number(one.qos, 2, "the QoS") | number(one.retain_handling, 2, "Retain Handling") << 4
        options |= (4 if one.no_local else 0) | (8 if one.retain_as_published else 0)
        if version == 4 and options > 2:
            raise unsayable("MQTT 3.1.1 has no Subscription Options but the QoS", "3.1.1: 3.8.3-4")
        if one.no_local and one.filter.startswith("$share/"):
            raise unsayable("No Local on a Shared Subscription", "3.8.3-4")
        put_text(w, one.filter, "a Topic Filter")
        put_u8(w, options)
    return 2


cdef int put_unsubscribe(Writer* w, object packet, int version) except -1:
    put_packet_id(w, packet.packet_id)
    put_properties(w, packet.properties, 1 << UNSUBSCRIBE, version)
    if not packet.filters:
        raise unsayable("UNSUBSCRIBE without a Topic Filter", "3.10.3-2")
    for one in packet.filters:
        put_text(w, one, "a Topic Filter")
    return 2


cdef int put_answers(Writer* w, object packet, int kind, int version) except -1:
    """SUBACK and UNSUBACK: one reason code a filter; in 3.1.1 an UNSUBACK has none."""
    put_packet_id(w, packet.packet_id)
    put_properties(w, packet.properties, 1 << kind, version)
    if (kind == UNSUBACK and version == 4) != (not packet.codes):
        raise unsayable(f"{len(packet.codes)} reason codes", "3.9.3")
    for code in packet.codes:
        if version == 4 and code not in (0, 1, 2, 0x80):
            raise unsayable(f"return code 0x{code:02X} is reserved", "3.1.1: 3.9.3-2")
        put_reason(w, type(packet), code, version)
    return 0


cdef int put_packet(Writer* w, object packet, int kind, int version) except -1:
    if kind == CONNACK: return put_connack(w, packet, version)
    if PUBACK <= kind <= PUBCOMP: return put_acknowledgement(w, packet, kind, version)
    if kind == SUBACK or kind == UNSUBACK: return put_answers(w, packet, kind, version)
    if kind == CONNECT: return put_connect(w, packet, version)
    if kind == SUBSCRIBE: return put_subscribe(w, packet, version)
    if kind == UNSUBSCRIBE: return put_unsubscribe(w, packet, version)
    if kind == DISCONNECT: return put_answer(w, packet, kind, version)
    if kind == AUTH: return put_auth(w, packet, version)
    return 0  # PINGREQ and PINGRESP have nothing after the fixed header


def encode(packet, int version):
    """One packet as the bytes of MQTT 3.1.1 (`version` 4) or 5. Raises CodecError when that version cannot say it."""
    cdef Writer w
    cdef int kind, flags, at = 0
    cdef Py_ssize_t remaining
    cdef unsigned char header[HEADER]
    if version != 4 and version != 5:
        raise ValueError(f"MQTT protocol version {version} is neither 4 nor 5")
    if type(packet) is Publish:
        return encode_publish(packet, version)
    kind = KINDS[type(packet)]
    writer_init(&w)
    try:
        # The length is known last: the body starts behind room for the longest header, the header is put against it.
        put(&w, b"\0\0\0\0\0", HEADER)
        flags = put_packet(&w, packet, kind, version)
        remaining = w.size - HEADER
        if remaining > VARINT_MAX:
            raise unsayable(f"a packet of {remaining} bytes, allowed are {VARINT_MAX}", "2.1.4")
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
