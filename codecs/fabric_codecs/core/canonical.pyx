# The canonical message on its way through; see canonical.pxd. Here: memory for what stands in no message, and which texts an
# attribute may have.
#
# In: texts, checked where they were read. Out: places. Above: every lift and lower. Below: `marks`, `rfc3339`, `base64`.

from datetime import datetime

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t
from libc.stdlib cimport malloc, realloc
from libc.string cimport memcmp, memcpy, memmove

from fabric_codecs.core.base64 cimport poke_base64
from fabric_codecs.core.marks cimport (
    CAUSATIONID, CORRELATIONID, EXPIRYTIME, FABHOPS, FABKEY, FABKIND, ID, TIME, TRACEPARENT, TYPE, Lead, leads,
)
from fabric_codecs.core.rfc3339 cimport SECOND_CHARS, TIMESTAMP_CHARS, floored, read_timestamp, render_fraction, render_second
from fabric_codecs.core.utf8 cimport is_printable_ascii

from fabric_codecs.bounds import CONVERSATION_CHARS_MAX, ID_CHARS_MAX
from fabric_codecs.errors import CodecError

cdef enum:
    MARK_BYTES_MAX = 4096  # of any attribute but the id: a sixteenth of what all headers may hold
cdef const Lead* LEADS = leads()
cdef int ID_CHARS = ID_CHARS_MAX
cdef int CONVERSATION_CHARS = CONVERSATION_CHARS_MAX
cdef unsigned long long CONVERSATION = 1ULL << CORRELATIONID | 1ULL << CAUSATIONID | 1ULL << FABKEY | 1ULL << FABHOPS


# ---- memory


cdef int hold_object(Canonical* c, object kept) except -1:
    cdef list held
    if c.held == NULL:
        held = []
        Py_INCREF(held)
        c.held = <PyObject*>held
    (<list>c.held).append(kept)
    return 0


cdef const unsigned char* hold(Canonical* c, bytes text) except NULL:
    hold_object(c, text)
    return <const unsigned char*>PyBytes_AS_STRING(text)


cdef unsigned char* scratch(Canonical* c, Py_ssize_t size) except NULL:
    if SCRATCH_BYTES - c.scratch_used < size:
        return <unsigned char*>hold(c, PyBytes_FromStringAndSize(NULL, size))
    c.scratch_used += size
    return c.scratch_here + c.scratch_used - size


cdef int grow(Canonical* c) except -1:
    cdef Native* more = <Native*>(
        malloc(2 * c.natives_room * sizeof(Native)) if c.native == c.native_here
        else realloc(c.native, 2 * c.natives_room * sizeof(Native))
    )
    if more == NULL:
        raise MemoryError(f"{c.natives_room} native entries")
    if c.native == c.native_here:
        memcpy(more, c.native_here, sizeof(c.native_here))
    c.native = more
    c.natives_room *= 2
    return 0


# ---- telling


cdef int tell_held(Canonical* c, bytes data) except -1:
    hold_object(c, data)
    tell_whole(c, data)
    return 0


cdef int tell_str(Canonical* c, int which, str text) except -1:
    cdef Py_ssize_t size
    cdef const unsigned char* utf8
    if has(c, which):
        return 0
    try:
        utf8 = <const unsigned char*>PyUnicode_AsUTF8AndSize(text, &size)
    except UnicodeEncodeError:
        raise illegal(which, "a lone surrogate, which UTF-8 cannot carry") from None
    if not is_attribute(utf8, size):
        raise illegal(which, "a control character")
    tell(c, which, utf8, size)
    return 0


cdef object illegal(int which, str what):
    return CodecError(f"{LEADS[which].name.decode()} holds {what}", protocol="envelope", clause="CloudEvents 1.0.2")


cdef int tell_time(Canonical* c, int which, long long time_us) except -1:
    cdef unsigned char* to
    if not has(c, which):
        to = scratch(c, TIMESTAMP_CHARS)
        put_moment(<char*>to, time_us)
        tell(c, which, to, TIMESTAMP_CHARS)
    return 0


cdef int64_t last_second = -1  # messages come by the thousand in a second: its date is rendered once
cdef char last_text[SECOND_CHARS]


cdef void put_moment(char* to, int64_t time_us) noexcept:
    global last_second
    cdef int64_t second = floored(time_us, 1000000)
    if second != last_second:
        render_second(last_text, second)
        last_second = second
    memcpy(to, last_text, SECOND_CHARS)
    render_fraction(to + SECOND_CHARS, <int>(time_us - second * 1000000))


cdef int tell_base64(Canonical* c, int which, const unsigned char* data, Py_ssize_t size) except -1:
    cdef unsigned char* to
    if not has(c, which):
        to = scratch(c, (size + 2) // 3 * 4)
        tell(c, which, to, poke_base64(to, data, size))
    return 0


cdef int tell_kind(Canonical* c, const char* kind, Py_ssize_t size) except -1:
    """`fabkind` (of at most 16 characters), and `io.agentfabric.<kind>` as the type unless the message has its own."""
    cdef unsigned char* to
    tell_word(c, FABKIND, kind, size)
    if not has(c, TYPE):
        to = scratch(c, 15 + size)
        memcpy(to, b"io.agentfabric.", 15)
        memcpy(to + 15, kind, size)
        tell(c, TYPE, to, 15 + size)
    return 0


cdef int tell_other(
    Canonical* c, const unsigned char* name, Py_ssize_t name_size, const unsigned char* text, Py_ssize_t size
) noexcept nogil:
    """An attribute of another vocabulary: 1; 0 when it was told before, -1 when there are too many."""
    cdef Other* one
    cdef int at
    for at in range(c.others):
        if c.other[at].name.size == name_size and memcmp(c.other[at].name.text, name, name_size) == 0:
            return 0
    if c.others == OTHERS_MAX:
        return -1
    one = &c.other[c.others]
    c.others += 1
    c.block_bytes += name_size + 3 * size
    one.name.text = name
    one.name.size = name_size
    one.value.text = text
    one.value.size = size
    return 1


cdef int keep(
    Canonical* c, const char* room, Py_ssize_t room_size, const unsigned char* name, Py_ssize_t name_size,
    const unsigned char* value, Py_ssize_t size,
) except -1:
    """What no attribute carries, as the native entry `<room><name>`; `room` is a literal, a `value` of NULL is null."""
    cdef Native* one
    if c.natives == c.natives_room:
        grow(c)
    one = &c.native[c.natives]
    c.natives += 1
    c.native_bytes += room_size + name_size + size
    c.block_bytes += 16 + 2 * (room_size + name_size + size)
    one.room = room
    one.room_size = room_size
    one.name.text = name
    one.name.size = name_size
    one.value.text = value
    one.value.size = size
    return 0


cdef int keep_first(
    Canonical* c, const unsigned char* name, Py_ssize_t name_size, const unsigned char* value, Py_ssize_t size
) except -1:
    """`keep`, before all others."""
    cdef Native last
    keep(c, b"", 0, name, name_size, value, size)
    last = c.native[c.natives - 1]
    memmove(c.native + 1, c.native, (c.natives - 1) * sizeof(Native))
    c.native[0] = last
    return 0


# ---- what an attribute may be


cdef bint is_attribute(const unsigned char* text, Py_ssize_t size) noexcept nogil:
    """Whether well-formed UTF-8 has none of the control characters that CloudEvents 1.0.2 forbids, C1 included."""
    cdef Py_ssize_t at
    if is_printable_ascii(text, size):  # nearly always
        return True
    for at in range(size):
        if text[at] < 32 or text[at] == 127 or (text[at] == 0xC2 and at + 1 < size and text[at + 1] < 0xA0):
            return False
    return True


cdef inline Py_ssize_t chars(const unsigned char* text, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t at, count = 0
    for at in range(size):
        count += (text[at] & 0xC0) != 0x80
    return count


cdef bint is_legal(int which, const unsigned char* text, Py_ssize_t size):
    """Whether the attribute (-1: any other) may have that text, which is UTF-8; if not, it stays what it was, a native entry."""
    if size > MARK_BYTES_MAX or not is_attribute(text, size):
        return False
    if which == ID:
        return 0 < size and (size <= ID_CHARS or chars(text, size) <= ID_CHARS)
    if which >= 0 and CONVERSATION >> which & 1:
        return 0 < size and (size <= CONVERSATION_CHARS or chars(text, size) <= CONVERSATION_CHARS)
    if which == TYPE:
        return size > 0
    if which == TIME or which == EXPIRYTIME:
        return is_moment(text, size)
    if which == TRACEPARENT:
        return is_trace(text, size)
    return True


cdef bint is_moment(const unsigned char* text, Py_ssize_t size):
    cdef int64_t moment_us
    if read_timestamp(text, size, &moment_us):
        return True
    try:
        return datetime.fromisoformat((<const char*>text)[:size].decode()).tzinfo is not None
    except ValueError:
        return False


cdef inline bint is_hex(const unsigned char* text, int size, bint zero_is_none) noexcept nogil:
    """Lower-case hexadecimal digits. A loop without a way out: the compiler takes sixteen at a time."""
    cdef int at
    cdef unsigned char c, odd = 0, some = 0
    for at in range(size):
        c = text[at]
        odd |= (<unsigned char>(c - c"0") > 9) & (<unsigned char>(c - c"a") > 5)
        some |= c ^ c"0"
    return odd == 0 and (some != 0 or not zero_is_none)


cdef bint is_trace(const unsigned char* text, Py_ssize_t size) noexcept nogil:
    """A traceparent of any version but ff (W3C Trace Context, 3.2); later ones may have more behind a dash."""
    cdef Py_ssize_t at
    if size < 55 or size == 56 or size > 456 or text[2] != c"-" or text[35] != c"-" or text[52] != c"-":
        return False
    if text[0] == c"f" and text[1] == c"f" or (size > 55 and text[55] != c"-"):
        return False
    for at in range(56, size):
        if not 33 <= text[at] <= 126:
            return False
    return is_hex(text, 2, False) and is_hex(text + 3, 32, True) and is_hex(text + 36, 16, True) and is_hex(text + 53, 2, False)


cdef bint is_usual_type(const Canonical* c) noexcept nogil:
    """`io.agentfabric.<fabkind>`, which every way back puts there by itself."""
    cdef const Place* type = &c.known[TYPE]
    cdef const Place* kind = &c.known[FABKIND]
    return (
        has(c, TYPE) and has(c, FABKIND) and type.size == kind.size + 15
        and memcmp(type.text, b"io.agentfabric.", 15) == 0 and memcmp(type.text + 15, kind.text, kind.size) == 0
    )
