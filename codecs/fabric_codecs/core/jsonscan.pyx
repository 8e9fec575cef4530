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

from fabric_codecs.core.jsontext cimport Scan, fault, peek, skip_space
from fabric_codecs.core.jsonvalues cimport (
    Member, close_document, enter_object, next_member, open_document, refusal, skip_value, text_between,
)

from json import dumps

from fabric_codecs.bounds import JSON_BYTES_MAX, JSON_DEPTH_MAX
from fabric_codecs.errors import CodecError

__all__ = ["JsonObject", "check", "compose", "elements", "kind_of", "quote", "scan"]


# What Python sees.


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
        name = text_between(s.base, member.name, member.name_end, member.escaped)
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
        return text_between(<const unsigned char*>PyBytes_AS_STRING(self.data), start + 1, end - 1, b"\\" in self.data[start:end])

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
                protocol=self.protocol, offset=self.members[name][0], clause="RFC 8259 3",
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
        raise CodecError("the document is no object", protocol=protocol, clause="RFC 8259 4")
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


def elements(
    bytes data not None, *, str protocol="json", Py_ssize_t bytes_max=JSON_BYTES_MAX, int depth_max=JSON_DEPTH_MAX,
    Py_ssize_t count_max=0,
):
    cdef Scan s
    cdef Py_ssize_t start
    cdef list found = []
    open_document(&s, data, protocol, bytes_max, depth_max)
    if peek(&s) != c"[":
        raise CodecError("the document is no array", protocol=protocol, clause="RFC 8259 5")
    s.at += 1
    s.depth_left -= 1
    skip_space(&s)
    while peek(&s) != c"]" or found:
        if count_max and len(found) == count_max:
            raise CodecError(f"more than {count_max} elements", protocol=protocol, offset=s.at, clause="RFC 8259 9")
        start = s.at
        if not skip_value(&s):
            raise refusal(&s, protocol)
        found.append(data[start:s.at])
        skip_space(&s)
        if peek(&s) == c"]":
            break
        if peek(&s) != c",":
            fault(&s, b"an array needs , or ] here", b"RFC 8259 5")
            raise refusal(&s, protocol)
        s.at += 1
        skip_space(&s)
    s.at += 1
    close_document(&s, protocol)
    return found


def kind_of(bytes raw not None):
    """What a raw value that this scanner handed out is; it has no space before it."""
    if not raw:
        raise CodecError("an empty value", protocol="json", clause="RFC 8259 3")
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
