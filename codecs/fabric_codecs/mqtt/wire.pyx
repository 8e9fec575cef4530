"""MQTT 3.1.1 and 5: bytes -> packets.

    byte 1           type << 4 | flags                            2.1
    1 to 4 bytes     Remaining Length, little end first, 7 bits a byte, in its shortest form   2.1.4, 1.5.5
    variable header  [Topic Name] [Packet Identifier] ... [Property Length and properties, MQTT 5]
    payload          the rest

Sans-IO: feed `Decoder` what the socket gave. Every rule that bytes alone can break is checked here and raises CodecError
with the clause and the MQTT 5 reason code to answer; rules that need a session's memory are the edge's. Clauses are
those of MQTT 5 unless marked 3.1.1.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from fabric_codecs.core.reader cimport Reader, left, reader_init
from fabric_codecs.mqtt.fields cimport (
    PROTOCOL, QUOTA, TOO_LARGE, VARINT_MAX, VERSION, binary, byte, finished, packet_id, remaining_length, text, topic_name, two,
    unsayable, wrong
)
from fabric_codecs.mqtt.properties cimport read_properties
from fabric_codecs.mqtt.publish cimport Parts, Publish, publish_of, read_parts

from fabric_codecs.bounds import MQTT_CONNECT_BYTES_MAX, MQTT_FILTERS_MAX, MQTT_PACKET_BYTES_MAX
from fabric_codecs.errors import CodecError
from fabric_codecs.mqtt import packets
from fabric_codecs.mqtt.properties import NONE

cdef enum:  # packet types, 2.1.2; WILL is the place of a will's properties
    WILL = 0, CONNECT = 1, CONNACK = 2, PUBLISH = 3, PUBACK = 4, PUBREC = 5, PUBREL = 6, PUBCOMP = 7, SUBSCRIBE = 8
    SUBACK = 9, UNSUBSCRIBE = 10, UNSUBACK = 11, PINGREQ = 12, PINGRESP = 13, DISCONNECT = 14, AUTH = 15

cdef dict ACKNOWLEDGEMENTS = {
    PUBACK: packets.Puback, PUBREC: packets.Pubrec, PUBREL: packets.Pubrel, PUBCOMP: packets.Pubcomp,
}
cdef object Subscription = packets.Subscription
cdef object PINGREQ_PACKET = packets.Pingreq()
cdef object PINGRESP_PACKET = packets.Pingresp()
cdef Py_ssize_t FILTERS_MAX = MQTT_FILTERS_MAX


cdef object connect(Reader* r, Decoder decoder):
    cdef Py_ssize_t start = r.at
    cdef str name = text(r, "the Protocol Name")
    cdef int level = byte(r, "the Protocol Version")
    if name not in ("MQTT", "MQIsdp"):
        raise wrong(f"the protocol is called {name!r}, not MQTT", start, "3.1.2-1", VERSION)
    decoder.version = 5 if level >= 5 else 4  # also the form in which a refusal is understood
    if level not in (4, 5) or name != "MQTT":
        raise wrong(f"protocol version {level} is neither 4 (3.1.1) nor 5", r.at - 1, "3.1.2-2", VERSION)
    cdef int flags = byte(r, "the Connect Flags"), at = r.at - 1
    check_connect_flags(flags, at, level)
    cdef int keep_alive = two(r, "the Keep Alive")
    props = read_properties(r, 1 << CONNECT) if level == 5 else NONE
    client_id = text(r, "the Client Identifier")
    will = connect_will(r, flags, level) if flags & 0x04 else None
    username = text(r, "the User Name") if flags & 0x80 else None
    password = binary(r, "the Password") if flags & 0x40 else None
    return packets.Connect(client_id, level, flags & 0x02 != 0, keep_alive, username, password, will, props)


cdef int check_connect_flags(int flags, Py_ssize_t at, int level) except -1:
    cdef int will_qos = flags >> 3 & 3
    if flags & 0x01:
        raise wrong("the reserved Connect Flag is set", at, "3.1.2-3")
    if will_qos == 3:
        raise wrong("Will QoS 3 does not exist", at, "3.1.2-12")
    if will_qos and not flags & 0x04:
        raise wrong("Will QoS without a Will", at, "3.1.2-11")
    if flags & 0x24 == 0x20:
        raise wrong("Will Retain without a Will", at, "3.1.2-13")
    if level == 4 and flags & 0x40 and not flags & 0x80:
        raise wrong("a Password without a User Name", at, "3.1.1: 3.1.2-22")
    return 0


cdef object connect_will(Reader* r, int flags, int level):
    cdef Py_ssize_t start = r.at
    props = read_properties(r, 1 << WILL) if level == 5 else NONE
    topic = topic_name(r, "the Will Topic", "3.1.3.3")
    if not topic:
        raise wrong("the Will Topic is empty", start, "4.7.3-1", PROTOCOL)
    payload = binary(r, "the Will Payload")
    return packets.Will(topic, payload, flags >> 3 & 3, flags & 0x20 != 0, props)


cdef object connack(Reader* r, int version):
    cdef int flags = byte(r, "the Connect Acknowledge Flags")
    if flags > 1:
        raise wrong("a reserved Connect Acknowledge Flag is set", r.at - 1, "3.2.2-1")
    cdef int code = reason(r, packets.Connack, version)
    props = read_properties(r, 1 << CONNACK) if version == 5 else NONE
    return packets.Connack(flags == 1, code, props)


cdef int reason(Reader* r, object packet, int version) except -1:
    cdef int code = byte(r, "the Reason Code")
    if version == 5 and code not in packets.REASONS[packet]:
        raise wrong(f"reason code 0x{code:02X} does not belong in {packet.__name__.upper()}", r.at - 1, "2.4", PROTOCOL)
    if version == 4 and code > 5:
        raise wrong(f"return code {code} is reserved", r.at - 1, "3.1.1: 3.2.2.3")
    return code


cdef object acknowledgement(Reader* r, object packet, int kind, int version):
    """PUBACK, PUBREC, PUBREL, PUBCOMP: they are laid out alike."""
    cdef int number = packet_id(r)
    if version == 4 or not left(r):
        return packet(number)
    return packet(number, *answer(r, packet, kind))


cdef tuple answer(Reader* r, object packet, int kind):
    """Reason Code and properties at the end of a packet that may leave them out, and how much of what it could leave out is
    there (`packets`)."""
    cdef int code = reason(r, packet, 5)
    if not left(r):
        return code, NONE, 0 if code else 1
    props = read_properties(r, 1 << kind)
    return code, props, 2 if props is NONE else 0


cdef object subscribe(Reader* r, int version):
    cdef int number = packet_id(r)
    props = read_properties(r, 1 << SUBSCRIBE) if version == 5 else NONE
    cdef list found = []
    cdef int options
    while left(r) or not found:
        if not left(r):
            raise wrong("SUBSCRIBE without a Topic Filter", r.at, "3.8.3-2", PROTOCOL)
        if len(found) == FILTERS_MAX:
            raise wrong(f"more than {FILTERS_MAX} Topic Filters", r.at, "3.8.3", QUOTA)
        topic_filter = text(r, "a Topic Filter")
        options = byte(r, "the Subscription Options")
        if options & 3 == 3:
            raise wrong("QoS 3 does not exist", r.at - 1, "3.8.3.1", PROTOCOL)
        if options & (0xC0 if version == 5 else 0xFC):
            raise wrong("a reserved Subscription Option is set", r.at - 1, "3.8.3-5")
        if options >> 4 == 3:
            raise wrong("Retain Handling 3 does not exist", r.at - 1, "3.8.3.1", PROTOCOL)
        if options & 4 and topic_filter.startswith("$share/"):
            raise wrong("No Local on a Shared Subscription", r.at - 1, "3.8.3-4", PROTOCOL)
        found.append(Subscription(topic_filter, options & 3, options & 4 != 0, options & 8 != 0, options >> 4))
    return packets.Subscribe(number, tuple(found), props)


cdef object unsubscribe(Reader* r, int version):
    cdef int number = packet_id(r)
    props = read_properties(r, 1 << UNSUBSCRIBE) if version == 5 else NONE
    cdef list found = []
    while left(r):
        if len(found) == FILTERS_MAX:
            raise wrong(f"more than {FILTERS_MAX} Topic Filters", r.at, "3.10.3", QUOTA)
        found.append(text(r, "a Topic Filter"))
    if not found:
        raise wrong("UNSUBSCRIBE without a Topic Filter", r.at, "3.10.3-2", PROTOCOL)
    return packets.Unsubscribe(number, tuple(found), props)


cdef tuple reasons(Reader* r, object packet, int version):
    cdef list codes = []
    cdef int code
    while left(r):
        if len(codes) == FILTERS_MAX:
            raise wrong(f"more than {FILTERS_MAX} reason codes", r.at, "3.9.3", QUOTA)
        code = reason(r, packet, 5) if version == 5 else byte(r, "the return code")
        if version == 4 and code not in (0, 1, 2, 0x80):
            raise wrong(f"return code 0x{code:02X} is reserved", r.at - 1, "3.1.1: 3.9.3-2")
        codes.append(code)
    if not codes:
        raise wrong("an acknowledgement without a reason code", r.at, "3.9.3", PROTOCOL)
    return tuple(codes)


cdef object suback(Reader* r, int version):
    cdef int number = packet_id(r)
    props = read_properties(r, 1 << SUBACK) if version == 5 else NONE
    return packets.Suback(number, reasons(r, packets.Suback, version), props)


cdef object unsuback(Reader* r, int version):
    cdef int number = packet_id(r)
    if version == 4:
        return packets.Unsuback(number)
    props = read_properties(r, 1 << UNSUBACK)
    return packets.Unsuback(number, reasons(r, packets.Unsuback, 5), props)


cdef object disconnect(Reader* r, int version):
    if version == 4 or not left(r):
        return packets.Disconnect()
    return packets.Disconnect(*answer(r, packets.Disconnect, DISCONNECT))


cdef object auth(Reader* r):
    cdef Py_ssize_t start = r.at
    if not left(r):
        return packets.Auth()
    cdef int code = reason(r, packets.Auth, 5)
    props = read_properties(r, 1 << AUTH)
    if props.authentication_method is None:
        raise wrong("AUTH without an Authentication Method", start, "3.15.2.2.2", PROTOCOL)
    return packets.Auth(code, props)


cdef object body(Reader* r, Py_ssize_t start, Decoder decoder):
    """The packet at `start` whose fixed header was read; `r` ends where it ends."""
    cdef int version = decoder.version, kind = r.base[start] >> 4, flags = r.base[start] & 15
    cdef Parts parts
    if kind == PUBLISH:
        read_parts(r, start, version, &parts)
        return publish_of(&parts, None)
    if flags != (2 if kind in (PUBREL, SUBSCRIBE, UNSUBSCRIBE) else 0):
        raise wrong(f"the fixed header's flags are {flags:04b}", start, "2.1.3-1")
    if kind == 0 or (kind == AUTH and version == 4):
        raise wrong(f"packet type {kind} is reserved", start, "2.1.2")
    if kind == CONNECT:
        if version:
            raise wrong("a second CONNECT", start, "3.1.0-2", PROTOCOL)
        packet = connect(r, decoder)
    elif kind == CONNACK: packet = connack(r, version)
    elif kind <= PUBCOMP: packet = acknowledgement(r, ACKNOWLEDGEMENTS[kind], kind, version)
    elif kind == SUBSCRIBE: packet = subscribe(r, version)
    elif kind == UNSUBSCRIBE: packet = unsubscribe(r, version)
    elif kind == PINGREQ: packet = PINGREQ_PACKET
    elif kind == DISCONNECT: packet = disconnect(r, version)
    elif kind == SUBACK: packet = suback(r, version)
    elif kind == UNSUBACK: packet = unsuback(r, version)
    elif kind == PINGRESP: packet = PINGRESP_PACKET
    else: packet = auth(r)
    finished(r)
    return packet


cdef class Decoder:
    """One direction of one connection. A server's decoder learns the version from CONNECT; a client's is told.

    `feed` returns the packets that are whole, in order, and keeps the rest, at most one packet of at most
    `max_packet_bytes`. When bytes break a rule, the packets before them are returned first and the *next* feed raises (also
    `feed(b"")`): so call it until it returns nothing. After an error it raises that error for ever.
    """

    cdef readonly int version  # 4 or 5; 0 until CONNECT said so
    cdef readonly Py_ssize_t max_packet_bytes
    cdef readonly object fault
    cdef bytearray _held
    cdef Py_ssize_t _wanted  # held bytes without which no packet can be whole
    cdef Py_ssize_t _passed  # bytes of the stream before those held

    def __init__(self, int version=0, Py_ssize_t max_packet_bytes=MQTT_PACKET_BYTES_MAX):
        if version not in (0, 4, 5):
            raise ValueError(f"MQTT protocol version {version} is neither 4 nor 5")
        self.version = version
        self.max_packet_bytes = max_packet_bytes
        self._held = bytearray()

    def feed(self, bytes data):
        cdef list found = []
        cdef Py_ssize_t used
        if self.fault is not None:
            raise self.fault
        if PyByteArray_GET_SIZE(self._held) == 0:
            used = self._decode(<const unsigned char*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), found)
            if used < PyBytes_GET_SIZE(data):
                self._held += data[used:]
        else:
            self._held += data
            if PyByteArray_GET_SIZE(self._held) < self._wanted:
                return found
            used = self._decode(<const unsigned char*>PyByteArray_AS_STRING(self._held), PyByteArray_GET_SIZE(self._held), found)
            del self._held[:used]
        self._passed += used
        if self.fault is not None:
            self._held.clear()
            if not found:
                raise self.fault
        return found

    cdef Py_ssize_t _decode(self, const unsigned char* data, Py_ssize_t size, list found) except -1:
        """Append the whole packets of `data` to `found`; the number of bytes that they took."""
        cdef Reader r
        cdef Py_ssize_t used = 0, stop
        self._wanted = 0
        while used < size:
            reader_init(&r, data, used, size)
            try:
                stop = self._frame(&r, size)
                if stop < 0:
                    break
                found.append(body(&r, used, self))
            except CodecError as error:
                self.fault = wrong(error.what, self._passed + error.offset, error.clause, error.reason)
                break
            used = stop
        return used

    cdef Py_ssize_t _frame(self, Reader* r, Py_ssize_t size) except -2:
        """Narrow `r` to the body of the packet that it stands on and return where that ends, or -1 when bytes are missing."""
        cdef Py_ssize_t start = r.at, remaining, limit = self.max_packet_bytes
        if self.version == 0 and r.base[start] >> 4 != CONNECT:  # said before the length of nonsense is waited for
            raise wrong("the first packet is not CONNECT", start, "3.1.0-1", PROTOCOL)
        remaining = remaining_length(r)
        if remaining < 0:
            return -1
        if self.version == 0:
            limit = min(limit, <Py_ssize_t>MQTT_CONNECT_BYTES_MAX)
        if r.at + remaining - start > limit:
            raise wrong(f"a packet of {r.at + remaining - start} bytes, allowed are {limit}", start, "3.2.2-15", TOO_LARGE)
        r.end = r.at + remaining
        if r.end > size:
            self._wanted = r.end - start
            return -1
        return r.end


# Of one packet each time: they hold nothing, and learn no version.
cdef Decoder WHOLE_4 = Decoder(4, VARINT_MAX + 5), WHOLE_5 = Decoder(5, VARINT_MAX + 5)


def decode(bytes data not None, int version):
    """The one packet that `data` is, in MQTT 3.1.1 (`version` 4) or 5; a CONNECT is told by version 0. Raises CodecError, also
    for bytes that are missing or left over."""
    cdef Decoder decoder = WHOLE_4 if version == 4 else WHOLE_5 if version == 5 else Decoder(version, VARINT_MAX + 5)
    cdef Reader r
    cdef const unsigned char* base = <const unsigned char*>PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data), stop = -1
    reader_init(&r, base, 0, size)
    if size:
        stop = decoder._frame(&r, size)
    if stop < 0:
        raise wrong("the packet is cut short", size, "2.1.4")
    packet = body(&r, 0, decoder)
    all_read(stop, size)
    return packet


cdef inline int all_read(Py_ssize_t stop, Py_ssize_t size) except -1:
    if stop < size:
        raise wrong(f"{size - stop} bytes follow the packet", stop, "2.1.4")
    return 0


cdef int read_message(bytes data, int version, Parts* parts) except -1:
    """`decode` without objects, of a packet that has to be a PUBLISH with a topic of its own."""
    cdef const unsigned char* base = <const unsigned char*>PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data), stop
    cdef Reader r
    if size == 0 or base[0] >> 4 != PUBLISH:
        raise message_less(decode(data, version))
    reader_init(&r, base, 0, size)
    stop = (WHOLE_5 if version == 5 else WHOLE_4)._frame(&r, size)
    if stop < 0:
        raise wrong("the packet is cut short", size, "2.1.4")
    read_parts(&r, 0, version, parts)
    all_read(stop, size)
    if parts.topic.size == 0:
        raise unsayable("the Topic Alias means something on its connection only", "3.3.2.3.4")
    return 0


cdef object message_less(object packet):
    return unsayable(f"{type(packet).__name__.upper()} carries no message: PUBLISH does", "3.3")


cpdef Publish only_publish(bytes data, int version):
    cdef Parts parts
    read_message(data, version, &parts)
    return publish_of(&parts, None)
