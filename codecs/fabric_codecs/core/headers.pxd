# Finding and writing header lines of a NATS header block: `NATS/1.0[ status]\r\n` (`name: value\r\n`)* `\r\n`.
# Inline, without the GIL on the reading side; every search stays inside the block it was given.

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memchr

from fabric_codecs.core.writer cimport Writer, put, put_u8, reserve

cdef extern from "string.h" nogil:
    void* memmem(const void* haystack, size_t size, const void* needle, size_t needle_size)


cdef struct Token:
    Py_ssize_t start
    Py_ssize_t stop


cdef inline Py_ssize_t number(const char* text, Token token) noexcept nogil:
    """The decimal in text[start:stop], or -1 for anything but one to eighteen digits (tickets count for a process's life)."""
    cdef Py_ssize_t value = 0, at
    if token.stop <= token.start or token.stop - token.start > 18:
        return -1
    for at in range(token.start, token.stop):
        if text[at] < 48 or text[at] > 57:
            return -1
        value = value * 10 + (text[at] - 48)
    return value


cdef inline const char* header_value(
    const char* block, Py_ssize_t size, const char* lead, Py_ssize_t lead_size, Py_ssize_t* value_size
) noexcept nogil:
    """The value after `lead` (`\\r\\nname: `), up to the line's end; NULL when there is no such line."""
    cdef const char* found = <const char*>memmem(block, size, lead, lead_size)
    cdef const char* start
    cdef const char* stop
    if found == NULL:
        return NULL
    start = found + lead_size
    stop = <const char*>memchr(start, 13, size - (start - block))
    if stop == NULL:
        return NULL
    value_size[0] = stop - start
    return start


cdef inline const char* last_header_value(
    const char* block, Py_ssize_t size, const char* lead, Py_ssize_t lead_size, Py_ssize_t* value_size
) noexcept nogil:
    """As `header_value`, of the last such line. The server appends its lines (`Nats-Sequence`) to the sender's, who may have
    written lines of the same names: only the last one is the server's."""
    cdef const char* value = header_value(block, size, lead, lead_size, value_size)
    cdef const char* later = value
    while later != NULL:
        value = later
        later = header_value(value, size - (value - block), lead, lead_size, value_size)
    if value != NULL:
        value_size[0] = <const char*>memchr(value, 13, size - (value - block)) - value
    return value


cdef inline long long server_number(const char* block, Py_ssize_t size, const char* lead, Py_ssize_t lead_size) noexcept nogil:
    """The unsigned decimal in the server's own line `lead`, or -1 when the line is absent or holds something else."""
    cdef Py_ssize_t length = 0, at
    cdef const char* value = last_header_value(block, size, lead, lead_size, &length)
    cdef long long number = 0
    if value == NULL or length == 0 or length > 18:
        return -1
    for at in range(length):
        if value[at] < 48 or value[at] > 57:
            return -1
        number = number * 10 + (value[at] - 48)
    return number


cdef inline bint plain(unsigned char byte) noexcept nogil:
    # CloudEvents NATS binding, 3.1.3.2: printable ASCII but space, double quote and percent stand for themselves.
    return (33 <= byte) & (byte <= 126) & (byte != 34) & (byte != 37)


cdef inline int put_value(Writer* w, const unsigned char* value, Py_ssize_t size) except -1 nogil:
    """A header value, percent-encoded where the binding asks for it."""
    cdef Py_ssize_t at, run = 0
    cdef const char* hexdigits = b"0123456789ABCDEF"
    cdef bint any_special = False
    for at in range(size):  # nearly always none: a loop without a way out, sixteen bytes a step
        any_special |= not plain(value[at])
    if not any_special:
        return put(w, value, size)
    for at in range(size):
        if not plain(value[at]):
            put(w, value + run, at - run)
            put_u8(w, 37)
            put_u8(w, hexdigits[value[at] >> 4])
            put_u8(w, hexdigits[value[at] & 15])
            run = at + 1
    return put(w, value + run, size - run)
