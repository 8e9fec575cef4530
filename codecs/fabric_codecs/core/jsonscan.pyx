# A bounded, shallow JSON scanner: it checks a whole document and hands out the members of an object as the raw bytes
# they came in; values are never parsed, so what nobody asks about is forwarded byte for byte, unknown members included.
#
# Grammar:  RFC 8259 to the letter: no comments, no trailing commas, no NaN, no BOM; nothing but whitespace after the value.
# Stricter: where RFC 8259 leaves receivers apart we follow I-JSON (RFC 7493): UTF-8 only (no overlong forms, no encoded
#           surrogates), an escaped surrogate must be half of a pair (no other protocol could carry it as text), and the
#           names of an object that somebody looks into are unique (two readers must not see two different values).
# Numbers:  checked by grammar alone; their digits are never touched, so 2**53 + 1 and 1e400 pass through whole.
# Bounds:   a size and a depth; recursion is bounded by the depth, everything else is one pass over the bytes.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8

from fabric_codecs.core.jsontext cimport (
    Scan, fault, is_digit, peek, skip_number, skip_space, skip_string, skip_word,
)

from json import dumps, loads

from fabric_codecs.bounds import JSON_BYTES_MAX, JSON_DEPTH_MAX
from fabric_codecs.errors import CodecError

__all__ = ["JsonObject", "check", "compose", "kind_of", "quote", "scan"]


cdef struct Member:
    Py_ssize_t name  # offsets of the name without its quotes
    Py_ssize_t name_end
    bint escaped


# Values and what holds them. Recursion is as deep as the document, which `depth_left` bounds.


cdef inline bint enter(Scan* s) noexcept nogil:
    if s.depth_left == 0:
        return fault(s, b"nested deeper than allowed", b"RFC 8259 9")
    s.depth_left -= 1
    s.at += 1
    skip_space(s)
    return True


cdef inline bint leave(Scan* s) noexcept nogil:
    s.depth_left += 1
    s.at += 1
    return True


cdef bint skip_value(Scan* s) noexcept nogil:
    cdef unsigned char c = peek(s)
    cdef bint escaped
    if c == c'"':
        return skip_string(s, &escaped)
    if c == c"{":
        return skip_object(s)
    if c == c"[":
        return skip_array(s)
    if c == c"-" or is_digit(c):
        return skip_number(s)
    if c == c"t":
        return skip_word(s, b"true", 4)
    if c == c"f":
        return skip_word(s, b"false", 5)
    if c == c"n":
        return skip_word(s, b"null", 4)
    if s.at >= s.end:
        return fault(s, b"the document ends where a value is expected", b"RFC 8259 2")
    return fault(s, b"no JSON value starts like this", b"RFC 8259 3")


cdef bint skip_array(Scan* s) noexcept nogil:
    if not enter(s):
        return False
    if peek(s) == c"]":
        return leave(s)
    while True:
        if not skip_value(s):
            return False
        skip_space(s)
        if peek(s) == c"]":
            return leave(s)
        if peek(s) != c",":
            return fault(s, b"an array needs , or ] here", b"RFC 8259 5")
        s.at += 1
        skip_space(s)


cdef bint skip_object(Scan* s) noexcept nogil:
    cdef Member member
    cdef int more = enter_object(s, &member)
    while more == 1:
        if not skip_value(s):
            return False
        more = next_member(s, &member)
    return more == 0


cdef int enter_object(Scan* s, Member* member) noexcept nogil:
    """1 with `at` on the first member's value, 0 behind an empty object, -1 with a fault."""
    if not enter(s):
        return -1
    if peek(s) == c"}":
        leave(s)
        return 0
    return read_name(s, member)


cdef int next_member(Scan* s, Member* member) noexcept nogil:
    """Behind a value: 1 with `at` on the next member's value, 0 behind the object, -1 with a fault."""
    skip_space(s)
    if peek(s) == c"}":
        leave(s)
        return 0
    if peek(s) != c",":
        fault(s, b"an object needs , or } here", b"RFC 8259 4")
        return -1
    s.at += 1
    skip_space(s)
    return read_name(s, member)


cdef int read_name(Scan* s, Member* member) noexcept nogil:
    if peek(s) != c'"':
        fault(s, b"an object needs a name in double quotes here", b"RFC 8259 4")
        return -1
    member.name = s.at + 1
    if not skip_string(s, &member.escaped):
        return -1
    member.name_end = s.at - 1
    skip_space(s)
    if peek(s) != c":":
        fault(s, b"a name needs : behind it", b"RFC 8259 4")
        return -1
    s.at += 1
    skip_space(s)
    return 1


# What Python sees.


cdef object refusal(Scan* s, str protocol):
    return CodecError(s.problem.decode(), protocol=protocol, offset=s.at, clause=s.clause.decode())


cdef int open_document(Scan* s, bytes data, str protocol, Py_ssize_t bytes_max, int depth_max) except -1:
    s.base = <const unsigned char*>PyBytes_AS_STRING(data)
    s.at = 0
    s.end = PyBytes_GET_SIZE(data)
    s.depth_left = depth_max
    s.problem = NULL
    s.clause = NULL
    if s.end > bytes_max:
        raise CodecError(
            f"a document of {s.end:,} bytes, allowed are {bytes_max:,}",
            protocol=protocol, offset=bytes_max, clause="RFC 8259 9",
        )
    skip_space(s)
    return 0


cdef int close_document(Scan* s, str protocol) except -1:
    skip_space(s)
    if s.at < s.end:
        fault(s, b"something follows the end of the document", b"RFC 8259 2")
        raise refusal(s, protocol)
    return 0


cdef str text_between(bytes data, Py_ssize_t start, Py_ssize_t end, bint escaped):
    """The text of a checked string, given the offsets inside its quotes."""
    if escaped:
        return loads(data[start - 1:end + 1])
    return PyUnicode_DecodeUTF8(PyBytes_AS_STRING(data) + start, end - start, NULL)


cdef JsonObject read_object(Scan* s, bytes data, str protocol):
    """The object at `at`, checked whole; `at` is behind it then."""
    cdef JsonObject found = JsonObject.__new__(JsonObject)
    cdef Py_ssize_t value
    cdef Member member
    cdef int more
    found.data = data
    found.protocol = protocol
    found.start = s.at
    found.members = {}
    more = enter_object(s, &member)
    while more == 1:
        name = text_between(data, member.name, member.name_end, member.escaped)
        if name in found.members:
            raise CodecError(
                f"the name {name!r} twice in one object",
                protocol=protocol, offset=member.name - 1, clause="RFC 7493 2.3",
            )
        value = s.at
        if not skip_value(s):
            raise refusal(s, protocol)
        found.members[name] = (value, s.at)
        more = next_member(s, &member)
    if more < 0:
        raise refusal(s, protocol)
    found.end = s.at
    return found


cdef str kind_at(const unsigned char* base, Py_ssize_t at):
    cdef unsigned char c = base[at]
    if c == c"{":
        return "object"
    if c == c"[":
        return "array"
    if c == c'"':
        return "string"
    if c == c"t" or c == c"f":
        return "boolean"
    if c == c"n":
        return "null"
    return "number"


cdef class JsonObject:
    cdef bytes data
    cdef str protocol
    cdef Py_ssize_t start
    cdef Py_ssize_t end
    cdef dict members  # name -> (start, end) of its raw value in `data`

    def __init__(self):
        raise TypeError("use scan()")

    def __len__(self):
        return len(self.members)

    def __contains__(self, name):
        return name in self.members

    def __repr__(self):
        return f"JsonObject({', '.join(self.members)})"

    @property
    def raw(self):
        return self.data[self.start:self.end]

    def names(self):
        return list(self.members)

    def get(self, str name not None):
        place = self.members.get(name)
        return None if place is None else self.data[place[0]:place[1]]

    def kind(self, str name not None):
        place = self.members.get(name)
        return None if place is None else kind_at(<const unsigned char*>PyBytes_AS_STRING(self.data), place[0])

    def offset(self, str name not None):
        return self.members[name][0]

    def text(self, str name not None):
        if name not in self.members:
            return None
        self.expect(name, "string")
        start, end = self.members[name]
        return text_between(self.data, start + 1, end - 1, b"\\" in self.data[start:end])

    def object(self, str name not None):
        cdef Scan s
        if name not in self.members:
            return None
        self.expect(name, "object")
        open_document(&s, self.data, self.protocol, PyBytes_GET_SIZE(self.data), JSON_DEPTH_MAX)
        s.at, s.end = self.members[name]
        return read_object(&s, self.data, self.protocol)

    cdef expect(self, str name, str kind):
        actual = self.kind(name)
        if actual != kind:
            raise CodecError(
                f"{name!r} is of type {actual}, {kind} is needed",
                protocol=self.protocol, offset=self.members[name][0],
            )

    def splice(self, str name not None, bytes value not None):
        """A copy of the raw object with one member replaced or added; every other byte stays as it is."""
        place = self.members.get(name)
        if place is not None:
            return self.data[self.start:place[0]] + value + self.data[place[1]:self.end]
        comma = b"," if self.members else b""
        return self.data[self.start:self.end - 1] + comma + quote(name) + b":" + value + b"}"


def scan(
    bytes data not None, *, str protocol="json", Py_ssize_t bytes_max=JSON_BYTES_MAX, int depth_max=JSON_DEPTH_MAX
):
    cdef Scan s
    cdef JsonObject found
    open_document(&s, data, protocol, bytes_max, depth_max)
    if peek(&s) != c"{":
        if not skip_value(&s):
            raise refusal(&s, protocol)
        close_document(&s, protocol)
        raise CodecError("the document is no object", protocol=protocol, offset=0)
    found = read_object(&s, data, protocol)
    close_document(&s, protocol)
    return found


def check(
    bytes data not None, *, str protocol="json", Py_ssize_t bytes_max=JSON_BYTES_MAX, int depth_max=JSON_DEPTH_MAX
):
    cdef Scan s
    cdef Py_ssize_t start
    cdef bint ok
    open_document(&s, data, protocol, bytes_max, depth_max)
    start = s.at
    with nogil:
        ok = skip_value(&s)
    if not ok:
        raise refusal(&s, protocol)
    close_document(&s, protocol)
    return kind_at(s.base, start)


def kind_of(bytes raw not None):
    """What a raw value that this scanner handed out is; it has no space before it."""
    if not raw:
        raise CodecError("an empty value", protocol="json")
    return kind_at(<const unsigned char*>PyBytes_AS_STRING(raw), 0)


def quote(str text not None):
    """`text` as a JSON string."""
    try:
        return dumps(text, ensure_ascii=False).encode()
    except UnicodeEncodeError as surrogate:
        raise CodecError("text with a lone surrogate cannot be UTF-8", protocol="json", clause="RFC 7493 2.1") from surrogate


def compose(members not None):
    """An object of (name, raw value) pairs, in their order."""
    return b"{" + b",".join([quote(name) + b":" + value for name, value in members]) + b"}"
