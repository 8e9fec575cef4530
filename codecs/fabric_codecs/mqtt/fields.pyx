"""The fields of MQTT packets (1.5) and the properties of MQTT 5 (2.2.2): each function reads one value, or raises.

Below: `core/reader`, which knows where the packet ends. Above: `wire`. Every CodecError has the byte, the clause (of
MQTT 5) and the reason code to answer.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memchr

from fabric_codecs.core.reader cimport Reader, left, read_u8, read_u16, read_u32, take

from fabric_codecs.bounds import MQTT_USER_PROPERTIES_MAX
from fabric_codecs.errors import CodecError
from fabric_codecs.mqtt.properties import NONE, TABLE, Properties

cdef enum:
    CODES = 64  # property codes end at 0x2A
    FLAG = 1, U16 = 2, U32 = 3, VARINT = 4, TEXT = 5, BINARY = 6, PAIR = 7  # properties.Kind
    CONNECTS = 1 << 1 | 1 << 2

# The property table, compiled into arrays that a decoder can index.
cdef unsigned char kind_of[CODES]
cdef uint32_t allowed_in[CODES]
cdef uint32_t many_in[CODES]
cdef unsigned char positive[CODES]
cdef list ROW = [None] * CODES

for row in TABLE:
    kind_of[<int>row.code] = row.kind
    allowed_in[<int>row.code] = row.packets
    many_in[<int>row.code] = row.many
    positive[<int>row.code] = row.positive
    ROW[row.code] = row

cdef Py_ssize_t USER_MAX = MQTT_USER_PROPERTIES_MAX


cdef object wrong(str what, Py_ssize_t offset, str clause, int reason=MALFORMED):
    return CodecError(what, protocol="mqtt", offset=offset, clause=clause, reason=reason)


# ---- fields (1.5): each reads one value or raises ----------------------------------------------------------------


cdef int whole(Reader* r, str what) except -1:
    if r.short_:
        raise wrong(f"the packet ends inside {what}", r.end, "2.1.4")
    return 0


cdef unsigned char byte(Reader* r, str what) except? 0xFF:
    cdef unsigned char value = read_u8(r)
    whole(r, what)
    return value


cdef uint16_t two(Reader* r, str what) except? 0xFFFF:
    cdef uint16_t value = read_u16(r)
    whole(r, what)
    return value


cdef Py_ssize_t varint(Reader* r, str what) except -1:
    cdef Py_ssize_t value = 0, start = r.at
    cdef int shift = 0
    cdef unsigned char b
    while True:
        b = read_u8(r)
        whole(r, what)
        value |= <Py_ssize_t>(b & 0x7F) << shift
        if not b & 0x80:
            break
        shift += 7
        if shift == 28:
            raise wrong(f"{what} takes more than four bytes", start, "1.5.5")
    if b == 0 and shift:
        raise wrong(f"{what} is not in its shortest form", start, "1.5.5-1")
    return value


cdef bytes binary(Reader* r, str what):
    cdef uint16_t size = read_u16(r)
    cdef const unsigned char* p = take(r, size)
    whole(r, what)
    return PyBytes_FromStringAndSize(<const char*>p, size)


cdef str text(Reader* r, str what):
    cdef Py_ssize_t start = r.at
    cdef uint16_t size = read_u16(r)
    cdef const unsigned char* p = take(r, size)
    whole(r, what)
    if size == 0:
        return ""
    if memchr(p, 0, size) != NULL:
        raise wrong(f"{what} holds U+0000", start, "1.5.4-2")
    try:
        return PyUnicode_DecodeUTF8(<const char*>p, size, NULL)
    except UnicodeDecodeError as error:
        raise wrong(f"{what} is not UTF-8", start + 2 + error.start, "1.5.4-1") from None


cdef str topic_name(Reader* r, str what, str clause):
    """A topic to publish to: no wildcards. Empty is for the caller to judge."""
    cdef Py_ssize_t start = r.at
    cdef str topic = text(r, what)
    if "+" in topic or "#" in topic:
        raise wrong(f"{what} {topic!r} holds a wildcard", start, clause, TOPIC_INVALID)
    return topic


cdef int packet_id(Reader* r) except -1:
    cdef uint16_t value = two(r, "the Packet Identifier")
    if value == 0:
        raise wrong("the Packet Identifier is 0", r.at - 2, "2.2.1-3", PROTOCOL)
    return value


cdef int finished(Reader* r) except -1:
    if left(r):
        raise wrong(f"{left(r)} bytes are left over at the end of the packet", r.at, "2.1.4")
    return 0


# ---- properties (2.2.2) ------------------------------------------------------------------------------------------


cdef object properties(Reader* r, uint32_t place):
    """`place` is the bit of the packet (or the will) that they stand in."""
    cdef Py_ssize_t size = varint(r, "the Property Length")
    cdef Py_ssize_t stop = r.at + size, outer = r.end
    if size == 0:
        return NONE
    if stop > outer:
        raise wrong("the Property Length runs past the end of the packet", r.at, "2.2.2.1")
    cdef dict found = {}
    cdef list users = None
    r.end = stop
    while r.at < stop:
        users = one_property(r, place, found, users)
    r.end = outer
    if users is not None:
        found["user"] = tuple(users)
    if "subscription_ids" in found:
        found["subscription_ids"] = tuple(found["subscription_ids"])
    if place & CONNECTS and "authentication_data" in found and "authentication_method" not in found:
        raise wrong("Authentication Data without Authentication Method", r.at, "3.1.2.11.10", PROTOCOL)
    return Properties(**found)


cdef list one_property(Reader* r, uint32_t place, dict found, list users):
    cdef Py_ssize_t start = r.at
    cdef Py_ssize_t code = varint(r, "a property identifier")
    if code >= CODES or kind_of[code] == 0:
        raise wrong(f"property 0x{code:02X} does not exist", start, "2.2.2.2")
    row = ROW[code]
    if not allowed_in[code] & place:
        raise wrong(f"property {row.field} does not belong in this packet", start, "2.2.2.2")
    if kind_of[code] == PAIR:
        users = [] if users is None else users
        if len(users) == USER_MAX:
            raise wrong(f"more than {USER_MAX} user properties", start, row.clause, QUOTA)
        name = text(r, "a user property's name")
        users.append((name, text(r, "a user property's value")))
        return users
    value = property_value(r, start, kind_of[code], row)
    if many_in[code] & place:
        held = found.setdefault(row.field, [])
        if len(held) == USER_MAX:
            raise wrong(f"more than {USER_MAX} times {row.field}", start, row.clause, QUOTA)
        held.append(value)
    elif row.field in found:
        raise wrong(f"property {row.field} stands twice", start, row.clause, PROTOCOL)
    else:
        found[row.field] = [value] if row.field == "subscription_ids" else value
    return users


cdef object property_value(Reader* r, Py_ssize_t start, int kind, object row):
    cdef Py_ssize_t value
    cdef str what = row.field
    if kind == TEXT:
        if what == "response_topic":
            topic = topic_name(r, "the Response Topic", "3.3.2-14")
            if not topic:
                raise wrong("the Response Topic is empty", start, "4.7.3-1", PROTOCOL)
            return topic
        return text(r, what)
    if kind == BINARY:
        return binary(r, what)
    if kind == FLAG:
        value = byte(r, what)
        if value > 1:
            raise wrong(f"{what} is {value}, not 0 or 1", start, row.clause, PROTOCOL)
    elif kind == U16:
        value = two(r, what)
    elif kind == U32:
        value = <Py_ssize_t>read_u32(r)
        whole(r, what)
    else:
        value = varint(r, what)
    if value == 0 and positive[<int>row.code]:
        raise wrong(f"{what} is 0", start, row.clause, ALIAS_INVALID if what == "topic_alias" else PROTOCOL)
    return value
