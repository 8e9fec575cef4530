# JSON values in place, below `jsonscan` and below every codec that scans a message on its way through: one pass checks all
# of a document and finds the members that somebody asked for, as places in its bytes, without a Python object for a member.
#
# In: bytes that somebody else keeps alive. Out: offsets, or the first fault with its place and clause. The leaves of the
# grammar are in `jsontext`. Recursion is as deep as the document, which `depth_left` bounds.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memcmp

from fabric_codecs.core.canonical cimport Canonical, hold
from fabric_codecs.core.jsontext cimport (
    Scan, fault, is_digit, peek, skip_number, skip_space, skip_string, skip_word,
)

from json import loads

from fabric_codecs.errors import CodecError


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


# Objects that are looked into.


cdef int twice(Scan* s, Fields* found, Py_ssize_t name) noexcept nogil:
    """-1 with a fault when the newest member's name was there before."""
    cdef Field* last = &found.items[found.count - 1]
    cdef Field* other
    cdef int i
    for i in range(found.count - 1):
        other = &found.items[i]
        if other.name_size == last.name_size and memcmp(other.name, last.name, last.name_size) == 0:
            s.at = name - 1
            fault(s, b"the same name twice in one object", b"RFC 7493 2.3")
            return -1
    return 0


cdef int read_fields(Scan* s, Fields* found, Canonical* to) except -2:
    cdef Member member
    cdef Field* field
    cdef int more
    cdef bytes name
    found.count = 0
    found.there = True
    found.start = s.at
    more = enter_object(s, &member)
    while more == 1:
        if found.count == FIELDS_MAX:
            fault(s, b"more members than are looked into", b"RFC 8259 9")
            return -1
        field = &found.items[found.count]
        found.count += 1
        if member.escaped:
            name = text_between(s.base, member.name, member.name_end, True).encode()
            field.name = hold(to, name)
            field.name_size = PyBytes_GET_SIZE(name)
        else:
            field.name = s.base + member.name
            field.name_size = member.name_end - member.name
        if twice(s, found, member.name) < 0:
            return -1
        field.start = s.at
        field.first = peek(s)
        if not read_within(s, found, field, to):
            return -1
        field.end = s.at
        more = next_member(s, &member)
    found.end = s.at
    return more


cdef bint read_within(Scan* s, Fields* found, Field* field, Canonical* to) except -1:
    """The value of a member, looked into when somebody asked for it."""
    cdef Inner* inner
    cdef int i
    for i in range(found.inners):
        inner = &found.inner[i]
        if field.first == c"{" and not inner.is_array and is_named(field, inner.name, inner.name_size):
            return read_fields(s, inner.fields, to) == 0
        if field.first == c"[" and inner.is_array and is_named(field, inner.name, inner.name_size):
            return read_first(s, inner, to)
    return skip_value(s)


cdef bint read_first(Scan* s, Inner* inner, Canonical* to) except -1:
    """An array whose first element is looked into if it is an object; `count` says how many elements there are."""
    inner.count = 0
    if not enter(s):
        return False
    if peek(s) == c"]":
        return leave(s)
    while True:
        inner.count += 1
        if inner.count == 1 and peek(s) == c"{":
            if read_fields(s, inner.fields, to) != 0:
                return False
        elif not skip_value(s):
            return False
        skip_space(s)
        if peek(s) == c"]":
            return leave(s)
        if peek(s) != c",":
            return fault(s, b"an array needs , or ] here", b"RFC 8259 5")
        s.at += 1
        skip_space(s)


# Documents.


cdef object refusal(Scan* s, str protocol):
    return CodecError(s.problem.decode(), protocol=protocol, offset=s.at, clause=s.clause.decode())


cdef void open_scan(Scan* s, const unsigned char* text, Py_ssize_t size, int depth_max) noexcept nogil:
    s.base = text
    s.at = 0
    s.end = size
    s.depth_left = depth_max
    s.long_numbers = False
    s.problem = NULL
    s.clause = NULL


cdef int open_document(Scan* s, bytes data, str protocol, Py_ssize_t bytes_max, int depth_max) except -1:
    open_scan(s, <const unsigned char*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), depth_max)
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


cdef str text_between(const unsigned char* base, Py_ssize_t start, Py_ssize_t end, bint escaped):
    """The text of a checked string, given the offsets inside its quotes."""
    if escaped:
        return loads((<const char*>base)[start - 1:end + 1])
    return PyUnicode_DecodeUTF8(<const char*>base + start, end - start, NULL)
