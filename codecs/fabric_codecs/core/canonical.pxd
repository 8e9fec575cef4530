# The canonical message on its way through: what one message says, as places in the bytes that said it. A lift tells it, a lower
# writes from it; an Envelope is the same thing as bytes of its own (`enveloped` makes one of the other). So a translation
# makes no header block, and an edge that stores makes nothing else.
#
# A Canonical stands on its maker's stack, between `open_canonical` and `close_canonical`; what its places point into lives as long:
# the message, `scratch` and what it was given to `hold`. Every text is well-formed UTF-8 and stands as it is read, without escapes.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdlib cimport free
from libc.string cimport memcmp

from fabric_codecs.core.marks cimport ATTRIBUTES_COUNT, FABKIND, TYPE

cdef extern from "Python.h":
    void Py_XDECREF(PyObject*)

cdef enum:
    OTHERS_MAX = 64  # attributes that are not the fabric's own; CloudEvents registers two dozen extensions
    NATIVES_HERE = 16  # native entries that need no memory of their own
    BLOCK_BYTES = 4096  # of names, line ends and the like: 40 an attribute
    SCRATCH_BYTES = 512  # a time, an id, a correlation: more is held as an object

cdef enum DataForm:  # as far as is known
    UNKNOWN
    OBJECT  # a checked JSON object whose numbers a double holds
    JSON  # likewise, any other value
    TEXT
    BINARY


cdef struct Place:
    const unsigned char* text  # NULL: not there; of a native entry's value: null
    Py_ssize_t size


cdef struct Other:  # an attribute of another vocabulary
    Place name
    Place value


cdef struct Native:  # a header or member that no attribute carries; its whole name is `<room><name>`
    const char* room
    Py_ssize_t room_size
    Place name
    Place value
    int place  # for a lower: which of its rooms it goes back to


cdef struct Canonical:
    unsigned long long seen  # a bit for each attribute that is there; `known` of the others means nothing
    Place known[ATTRIBUTES_COUNT]
    Py_ssize_t block_bytes  # of the header block that it would be, at most
    int others
    Other other[OTHERS_MAX]
    int natives
    int natives_room
    Py_ssize_t native_bytes
    Native* native
    Native native_here[NATIVES_HERE]
    Place data
    PyObject* whole  # the bytes object that the data are, borrowed; NULL when they are a part of one
    DataForm form
    Py_ssize_t scratch_used
    unsigned char scratch_here[SCRATCH_BYTES]
    PyObject* held  # a list, or NULL


cdef inline void open_canonical(Canonical* c) noexcept nogil:
    c.seen = 0
    c.block_bytes = BLOCK_BYTES
    c.others = 0
    c.natives = 0
    c.natives_room = NATIVES_HERE
    c.native_bytes = 0
    c.native = c.native_here
    c.data.text = <const unsigned char*><const char*>b""
    c.data.size = 0
    c.whole = NULL
    c.form = UNKNOWN
    c.scratch_used = 0
    c.held = NULL


cdef inline void close_canonical(Canonical* c) noexcept:
    if c.native != c.native_here:
        free(c.native)
    Py_XDECREF(c.held)


cdef inline bint has(const Canonical* c, int which) noexcept nogil:
    return c.seen >> which & 1


cdef inline bint says(const Canonical* c, int which, const char* text, Py_ssize_t size) noexcept nogil:
    """Whether the attribute is that text."""
    return has(c, which) and c.known[which].size == size and memcmp(c.known[which].text, text, size) == 0


cdef inline void tell(Canonical* c, int which, const unsigned char* text, Py_ssize_t size) noexcept nogil:
    """An attribute, unless it was told before: what a message says comes before what its reader assumes."""
    if not has(c, which):
        c.seen |= 1ULL << which
        c.known[which].text = text
        c.known[which].size = size
        c.block_bytes += 3 * size


cdef inline void tell_word(Canonical* c, int which, const char* word, Py_ssize_t size) noexcept nogil:
    """`tell` of a literal."""
    tell(c, which, <const unsigned char*>word, size)


cdef inline void tell_usual(Canonical* c, const char* type, Py_ssize_t size) noexcept nogil:
    """`fabkind` and type, of a literal `io.agentfabric.<kind>`."""
    tell_word(c, FABKIND, type + 15, size - 15)
    tell_word(c, TYPE, type, size)


cdef inline void tell_data(Canonical* c, const unsigned char* data, Py_ssize_t size, DataForm form) noexcept nogil:
    """A part of the message."""
    c.data.text = data
    c.data.size = size
    c.form = form


cdef inline void tell_whole(Canonical* c, bytes data) noexcept:
    """The content of an object that lives as long as the message, or is held."""
    tell_data(c, <const unsigned char*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), UNKNOWN)
    c.whole = <PyObject*>data


cdef inline bytes data_of(const Canonical* c):
    if c.whole != NULL:
        return <bytes>c.whole
    return PyBytes_FromStringAndSize(<const char*>c.data.text, c.data.size)


cdef unsigned char* scratch(Canonical* c, Py_ssize_t size) except NULL  # memory that lives as long as the canonical
cdef int hold_object(Canonical* c, object kept) except -1
cdef const unsigned char* hold(Canonical* c, bytes text) except NULL  # its bytes, which now do, too
cdef int tell_held(Canonical* c, bytes data) except -1  # data that are held from now on
cdef int tell_str(Canonical* c, int which, str text) except -1
cdef int tell_time(Canonical* c, int which, long long time_us) except -1
cdef int tell_base64(Canonical* c, int which, const unsigned char* data, Py_ssize_t size) except -1
cdef int tell_kind(Canonical* c, const char* kind, Py_ssize_t size) except -1
cdef int tell_other(Canonical* c, const unsigned char* name, Py_ssize_t name_size, const unsigned char* text, Py_ssize_t size) noexcept nogil
cdef int keep(
    Canonical* c, const char* room, Py_ssize_t room_size, const unsigned char* name, Py_ssize_t name_size,
    const unsigned char* value, Py_ssize_t size,
) except -1
cdef int keep_first(
    Canonical* c, const unsigned char* name, Py_ssize_t name_size, const unsigned char* value, Py_ssize_t size
) except -1
cdef bint is_attribute(const unsigned char* text, Py_ssize_t size) noexcept nogil
cdef unsigned long long CONVERSATION  # the attributes whose sender counts on them: a text that one cannot have is refused
cdef bint is_legal(int which, const unsigned char* text, Py_ssize_t size)
cdef bint is_trace(const unsigned char* text, Py_ssize_t size) noexcept nogil
cdef bint is_usual_type(const Canonical* c) noexcept nogil
