"""The properties of MQTT 5 (2.2.2): a section of a packet, checked where it stands, and looked into on demand.

    section    Property Length (variable byte integer), then that many bytes of properties
    property   identifier (variable byte integer), then a value of the type that `table` gives it

Reading checks every rule of the table without making an object; walking (`next_property`) trusts that check. Writing
checks what is built from fields. Below: `fields`, `table`. Above: `publish`, `wire`, `encode`, `lift`, `lower`.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp

from fabric_codecs.core.reader cimport Reader, read_u8, read_u16, read_u32, reader_init, take
from fabric_codecs.core.writer cimport Writer, put, put_u8, put_u16, put_u32, writer_bytes, writer_free, writer_init
from fabric_codecs.mqtt.fields cimport (
    ALIAS_INVALID, PROTOCOL, QUOTA, VARINT_MAX, Span, binary_span, byte, number, put_binary, put_text, put_topic, put_varint,
    text_span, topic_span, two, unsayable, varint, whole, wrong
)

from fabric_codecs.bounds import MQTT_USER_PROPERTIES_MAX
from fabric_codecs.errors import CodecError
from fabric_codecs.mqtt.table import TABLE

cdef enum:
    CODES = 64  # property identifiers end at 0x2A
    REASON_STRING = 0x1F, AUTHENTICATION_METHOD = 0x15, AUTHENTICATION_DATA = 0x16
    CONNECTS = 1 << 1 | 1 << 2 | 1 << 15  # where Authentication Data may stand

# The table, compiled into arrays that a decoder can index.
cdef unsigned char kind_of[CODES]
cdef uint32_t allowed_in[CODES]
cdef uint32_t many_in[CODES]
cdef unsigned char positive[CODES]
cdef list ROW = [None] * CODES
cdef list FIELD = [None] * CODES  # the rows' names
cdef dict CODE_OF = {}

for row in TABLE:
    kind_of[<int>row.code] = row.kind
    allowed_in[<int>row.code] = row.packets
    many_in[<int>row.code] = row.many
    positive[<int>row.code] = row.positive
    ROW[row.code] = row
    FIELD[row.code] = row.field
    CODE_OF[row.field] = row.code

cdef Py_ssize_t REPEATS_MAX = MQTT_USER_PROPERTIES_MAX


cdef class Properties:
    def __init__(self, **fields):
        self.fields = {}
        for name, value in fields.items():
            if name not in CODE_OF:
                raise TypeError(f"MQTT has no property {name!r}")
            if value is not None and value != ():
                self.fields[name] = value

    def __getattr__(self, str name):
        code = CODE_OF.get(name)
        if code is None:
            raise AttributeError(f"MQTT has no property {name!r}")
        return self.value_of(code)

    cdef object value_of(self, int code):
        if self.fields is not None:
            return self.fields.get(FIELD[code], () if many_in[code] else None)
        if not self.seen >> code & 1:
            return () if many_in[code] else None
        return self.given()[FIELD[code]] if many_in[code] else first_of(self.section, code)

    cdef dict given(self):
        """The fields that are there, by name."""
        cdef Reader r
        cdef Property one
        cdef dict found
        if self.fields is not None:
            return self.fields
        found = {}
        reader_init(&r, <const unsigned char*>PyBytes_AS_STRING(self.section), 0, PyBytes_GET_SIZE(self.section))
        while next_property(&r, &one):
            value = object_of(&one)
            if many_in[one.code]:
                found.setdefault(FIELD[one.code], []).append(value)
            else:
                found[FIELD[one.code]] = value
        return {name: tuple(value) if type(value) is list else value for name, value in found.items()}

    def asdict(self):
        return dict(self.given())

    def passed_on(self, str traceparent=None, int waited_s=0):
        """A copy for the next hop: the first user property traceparent says that one, at the end when there was none, and the
        expiry is less by what the message waited (at least 1). Every other byte stays. Raises CodecError."""
        cdef bytes section = self.section if self.section is not None else section_of(self, PUBLISH_PLACE)
        cdef bint is_told = traceparent is None
        cdef Reader r
        cdef Property one
        cdef Writer w
        cdef Py_ssize_t start = 0
        reader_init(&r, <const unsigned char*>PyBytes_AS_STRING(section), 0, PyBytes_GET_SIZE(section))
        writer_init(&w)
        try:
            while next_property(&r, &one):
                if one.code == MESSAGE_EXPIRY and waited_s > 0:
                    put_u8(&w, MESSAGE_EXPIRY)
                    put_u32(&w, one.number - waited_s if one.number > <uint32_t>waited_s else 1)
                elif not is_told and one.code == USER and one.name_size == 11 and memcmp(one.name, b"traceparent", 11) == 0:
                    put_property(&w, USER, (("traceparent", traceparent),), PUBLISH_PLACE)
                    is_told = True
                else:
                    put(&w, r.base + start, r.at - start)
                start = r.at
            if not is_told:
                put_property(&w, USER, (("traceparent", traceparent),), PUBLISH_PLACE)
            return properties_of(writer_bytes(&w), self.seen | (<uint64_t>1 << USER if traceparent is not None else 0), PUBLISH_PLACE)
        finally:
            writer_free(&w)

    def __eq__(self, other):
        if not isinstance(other, Properties):
            return NotImplemented
        if self is other or (self.section is not None and self.section == (<Properties>other).section):
            return True
        return self.given() == (<Properties>other).given()

    def __hash__(self):
        return hash(frozenset(self.given().items()))

    def __repr__(self):
        return f"Properties({', '.join(f'{name}={value!r}' for name, value in self.given().items())})"

    def __reduce__(self):
        return rebuilt, (self.given(),)


def rebuilt(dict fields):
    return Properties(**fields) if fields else NOTHING


cdef Properties NOTHING = Properties()
NOTHING.section = b""
NONE = NOTHING


cdef object first_of(bytes section, int code):
    cdef Reader r
    cdef Property one
    reader_init(&r, <const unsigned char*>PyBytes_AS_STRING(section), 0, PyBytes_GET_SIZE(section))
    while next_property(&r, &one):
        if one.code == code:
            return object_of(&one)


cdef object object_of(Property* one):
    cdef int kind = kind_of[one.code]
    if kind == TEXT:
        return PyUnicode_DecodeUTF8(<const char*>one.value, one.size, NULL)
    if kind == BINARY:
        return PyBytes_FromStringAndSize(<const char*>one.value, one.size)
    if kind == PAIR:
        return (
            PyUnicode_DecodeUTF8(<const char*>one.name, one.name_size, NULL),
            PyUnicode_DecodeUTF8(<const char*>one.value, one.size, NULL),
        )
    return one.number


# ---- walking a checked section -----------------------------------------------------------------------------------


cdef inline uint32_t small(Reader* r) noexcept nogil:
    cdef uint32_t value = 0
    cdef int shift = 0
    cdef unsigned char b = 0x80
    while b & 0x80 and shift < 28:
        b = read_u8(r)
        value |= <uint32_t>(b & 0x7F) << shift
        shift += 7
    return value


cdef bint next_property(Reader* r, Property* found) noexcept nogil:
    """The next property of a section that `read_properties` has checked; False at its end."""
    cdef int kind
    if r.at >= r.end:
        return False
    found.code = <int>small(r) & (CODES - 1)
    kind = kind_of[found.code]
    if kind >= TEXT:
        if kind == PAIR:
            found.name_size = read_u16(r)
            found.name = take(r, found.name_size)
        found.size = read_u16(r)
        found.value = take(r, found.size)
    elif kind == FLAG:
        found.number = read_u8(r)
    elif kind == U16:
        found.number = read_u16(r)
    elif kind == U32:
        found.number = read_u32(r)
    else:
        found.number = small(r)
    return not r.short_


# ---- reading -----------------------------------------------------------------------------------------------------


cdef Properties properties_of(bytes section, uint64_t seen, uint32_t place):
    """Properties of a section that is right: checked, or written by us."""
    cdef Properties properties = Properties.__new__(Properties)
    properties.section = section
    properties.seen = seen
    properties.place = place
    return properties


cdef Properties read_properties(Reader* r, uint32_t place):
    """`place` is the bit of the packet (or the will) that they stand in."""
    cdef Span section = Span(NULL, 0)
    cdef uint64_t seen = read_section(r, place, &section)
    if section.size == 0:
        return NOTHING
    return properties_of(PyBytes_FromStringAndSize(<const char*>section.data, section.size), seen, place)


cdef uint64_t read_section(Reader* r, uint32_t place, Span* section) except? 0:
    """Which properties there are; `section` is where they stand, without their length."""
    cdef Py_ssize_t outer = r.end
    cdef uint64_t seen
    section.size = varint(r, "the Property Length")
    section.data = r.base + r.at
    if section.size == 0:
        return 0
    if r.at + section.size > outer:
        raise wrong("the Property Length runs past the end of the packet", r.at, "2.2.2.1")
    r.end = r.at + section.size
    seen = check_section(r, place)
    r.end = outer
    return seen


cdef uint64_t check_section(Reader* r, uint32_t place) except 0:
    """Which properties stand from here to the reader's end, all of them right."""
    cdef uint64_t seen = 0
    cdef Py_ssize_t start, code, users = 0, others = 0
    while r.at < r.end:
        start = r.at
        code = varint(r, "a property identifier")
        if code >= CODES or kind_of[code] == 0:
            raise wrong(f"property 0x{code:02X} does not exist", start, "2.2.2.2")
        if not allowed_in[code] & place:
            raise wrong(f"property {FIELD[code]} does not belong in this packet", start, "2.2.2.2")
        if code == USER:
            users += 1
            if users > REPEATS_MAX:
                raise wrong(f"more than {REPEATS_MAX} user properties", start, "2.2.2.2", QUOTA)
        elif many_in[code] & place:
            others += 1
            if others > REPEATS_MAX:
                raise wrong(f"more than {REPEATS_MAX} times {FIELD[code]}", start, ROW[code].clause, QUOTA)
        check_value(r, start, <int>code)
        if seen >> code & 1 and not many_in[code] & place:
            raise wrong(f"property {FIELD[code]} stands twice", start, ROW[code].clause, PROTOCOL)
        seen |= <uint64_t>1 << code
    if place & CONNECTS and seen >> AUTHENTICATION_DATA & 1 and not seen >> AUTHENTICATION_METHOD & 1:
        raise wrong("Authentication Data without Authentication Method", r.at, "3.1.2.11.10", PROTOCOL)
    return seen


cdef int check_value(Reader* r, Py_ssize_t start, int code) except -1:
    cdef int kind = kind_of[code]
    cdef Py_ssize_t number
    cdef Span span
    if kind == PAIR:
        text_span(r, "a user property's name", &span)
        return text_span(r, "a user property's value", &span)
    if kind == TEXT:
        if code != RESPONSE_TOPIC:
            return text_span(r, FIELD[code], &span)
        topic_span(r, "the Response Topic", "3.3.2-14", &span)
        if span.size == 0:
            raise wrong("the Response Topic is empty", start, "4.7.3-1", PROTOCOL)
        return 0
    if kind == BINARY:
        return binary_span(r, FIELD[code], &span)
    if kind == FLAG:
        number = byte(r, FIELD[code])
        if number > 1:
            raise wrong(f"{FIELD[code]} is {number}, not 0 or 1", start, ROW[code].clause, PROTOCOL)
    elif kind == U16:
        number = two(r, FIELD[code])
    elif kind == U32:
        number = read_u32(r)
        whole(r, FIELD[code])
    else:
        number = varint(r, FIELD[code])
    if number == 0 and positive[code]:
        reason = ALIAS_INVALID if code == TOPIC_ALIAS else PROTOCOL
        raise wrong(f"{FIELD[code]} is 0", start, ROW[code].clause, reason)
    return 0


# ---- writing -----------------------------------------------------------------------------------------------------


cdef int put_properties(Writer* w, Properties properties, uint32_t place, int version) except -1:
    """The section with its length; nothing in 3.1.1, where having any is an error."""
    cdef bytes section
    if version == 4:
        if properties is not NOTHING and properties != NOTHING:
            raise unsayable("MQTT 3.1.1 has no properties", "3.1.1: 3")
        return 0
    if properties is NOTHING:
        return put_u8(w, 0)
    section = section_of(properties, place)
    put_varint(w, PyBytes_GET_SIZE(section))
    return put(w, PyBytes_AS_STRING(section), PyBytes_GET_SIZE(section))


cdef bytes section_of(Properties properties, uint32_t place):
    """The section of a packet at `place`, without its length. Raises CodecError when it cannot stand there."""
    cdef Reader r
    cdef Writer w
    if properties.section is not None:
        if properties.place != place and PyBytes_GET_SIZE(properties.section):
            reader_init(&r, <const unsigned char*>PyBytes_AS_STRING(properties.section), 0, PyBytes_GET_SIZE(properties.section))
            try:
                check_section(&r, place)
            except CodecError as error:
                raise unsayable(error.what, error.clause) from None
        return properties.section
    writer_init(&w)
    try:
        for name, value in properties.fields.items():
            put_property(&w, CODE_OF[name], value, place)
        if w.size > VARINT_MAX:
            raise unsayable(f"the Property Length is {w.size}, allowed are {VARINT_MAX}", "1.5.5")
        return writer_bytes(&w)
    finally:
        writer_free(&w)


cdef int put_property(Writer* w, int code, object value, uint32_t place) except -1:
    cdef int kind = kind_of[code]
    if not allowed_in[code] & place:
        raise unsayable(f"property {FIELD[code]} does not belong in this packet", "2.2.2.2")
    if kind == PAIR:
        for name, content in value:
            put_u8(w, code)
            put_text(w, name, "a user property's name")
            put_text(w, content, "a user property's value")
        return 0
    if kind == VARINT:
        if len(value) > 1 and not many_in[code] & place:
            raise unsayable(f"property {FIELD[code]} stands twice", ROW[code].clause)
        for content in value:
            put_u8(w, code)
            put_varint(w, number_for(code, content, VARINT_MAX))
        return 0
    put_u8(w, code)
    if kind == TEXT:
        if code != RESPONSE_TOPIC:
            return put_text(w, value, FIELD[code])
        if not value:
            raise unsayable("the Response Topic is empty", "4.7.3-1")
        return put_topic(w, value, "the Response Topic")
    if kind == BINARY:
        return put_binary(w, value, FIELD[code])
    if kind == FLAG:
        return put_u8(w, <unsigned char>number_for(code, value, 1))
    if kind == U16:
        return put_u16(w, <unsigned short>number_for(code, value, 0xFFFF))
    return put_u32(w, <uint32_t>number_for(code, value, 0xFFFFFFFF))


cdef Py_ssize_t number_for(int code, object value, Py_ssize_t limit) except -1:
    cdef Py_ssize_t checked = number(value, limit, FIELD[code])
    if checked == 0 and positive[code]:
        raise unsayable(f"{FIELD[code]} is 0", ROW[code].clause)
    return checked
