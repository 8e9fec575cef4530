# JSON values as codecs use them in place (see jsonvalues.pyx): one pass over a message finds the members they ask for, as places in
# its bytes, and checks all of it. A Scan's bytes are kept alive by whoever opened it; names that had escapes are held by a
# Canonical.

from libc.string cimport memcmp

from fabric_codecs.core.canonical cimport Canonical
from fabric_codecs.core.jsontext cimport Scan

cdef enum:
    FIELDS_MAX = 64  # members of an object that is looked into; specifications name a dozen, clients add a handful
    INNER_MAX = 6


cdef struct Member:
    Py_ssize_t name  # offsets of the name without its quotes
    Py_ssize_t name_end
    bint escaped


cdef struct Field:
    const unsigned char* name  # as text: escapes are undone
    Py_ssize_t name_size
    Py_ssize_t start  # the raw value, from its first byte
    Py_ssize_t end
    unsigned char first


cdef struct Inner:
    const char* name
    Py_ssize_t name_size
    Fields* fields
    bint is_array  # then `fields` are those of the first element
    Py_ssize_t count


cdef struct Fields:
    bint there
    int count
    int inners
    Py_ssize_t start
    Py_ssize_t end
    Inner inner[INNER_MAX]
    Field items[FIELDS_MAX]


cdef inline void fields_init(Fields* fields) noexcept nogil:
    fields.there = False
    fields.count = 0
    fields.inners = 0


cdef inline Inner* look_into(Fields* fields, const char* name, Py_ssize_t size, Fields* inner, bint is_array) noexcept nogil:
    """Have the member `name` of `fields` read into `inner`, in the same pass, when it is an object (or an array)."""
    cdef Inner* added = &fields.inner[fields.inners]
    fields.inners += 1
    added.name = name
    added.name_size = size
    added.fields = inner
    added.is_array = is_array
    added.count = 0
    fields_init(inner)
    return added


cdef inline bint is_named(const Field* field, const char* name, Py_ssize_t size) noexcept nogil:
    return field.name_size == size and memcmp(field.name, name, size) == 0


cdef inline Field* find(Fields* fields, const char* name, Py_ssize_t size) noexcept nogil:
    """The member of that name, or NULL."""
    cdef int i
    for i in range(fields.count):
        if is_named(&fields.items[i], name, size):
            return &fields.items[i]
    return NULL


cdef int enter_object(Scan* s, Member* member) noexcept nogil
cdef int next_member(Scan* s, Member* member) noexcept nogil
cdef void open_scan(Scan* s, const unsigned char* text, Py_ssize_t size, int depth_max) noexcept nogil
cdef int open_document(Scan* s, bytes data, str protocol, Py_ssize_t bytes_max, int depth_max) except -1
cdef int close_document(Scan* s, str protocol) except -1
cdef object refusal(Scan* s, str protocol)
cdef bint skip_value(Scan* s) noexcept nogil
cdef int read_fields(Scan* s, Fields* found, Canonical* to) except -2  # `at` on a {; 0 behind it, -1 with a fault
cdef str text_between(const unsigned char* base, Py_ssize_t start, Py_ssize_t end, bint escaped)
