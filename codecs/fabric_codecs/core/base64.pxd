# Base64 (RFC 4648, 4) into a Writer. Encoding always pads; decoding takes only what encoding gives, whole groups with
# right padding, and says False for anything else: a caller that wants to be kinder asks the standard library.

from fabric_codecs.core.writer cimport Writer, reserve


cdef inline Py_ssize_t poke_base64(unsigned char* to, const unsigned char* p, Py_ssize_t size) noexcept nogil:
    """Into memory that has room, (size + 2) // 3 * 4 bytes; how many were written."""
    cdef const char* digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    cdef unsigned char* start = to
    cdef Py_ssize_t at = 0
    cdef unsigned int group
    while size - at >= 3:
        group = <unsigned int>p[at] << 16 | <unsigned int>p[at + 1] << 8 | p[at + 2]
        to[0] = digits[group >> 18]
        to[1] = digits[group >> 12 & 63]
        to[2] = digits[group >> 6 & 63]
        to[3] = digits[group & 63]
        to += 4
        at += 3
    if size > at:
        group = <unsigned int>p[at] << 16 | (<unsigned int>p[at + 1] << 8 if size - at == 2 else 0)
        to[0] = digits[group >> 18]
        to[1] = digits[group >> 12 & 63]
        to[2] = digits[group >> 6 & 63] if size - at == 2 else c"="
        to[3] = c"="
        to += 4
    return to - start


cdef inline int put_base64(Writer* w, const unsigned char* p, Py_ssize_t size) except -1 nogil:
    reserve(w, (size + 2) // 3 * 4)
    w.size += poke_base64(w.data + w.size, p, size)
    return 0


cdef inline int sextet(unsigned char c) noexcept nogil:
    """The six bits of a digit, or -1."""
    if c"A" <= c <= c"Z":
        return c - 65
    if c"a" <= c <= c"z":
        return c - 71
    if c"0" <= c <= c"9":
        return c + 4
    if c == c"+":
        return 62
    return 63 if c == c"/" else -1


cdef inline bint put_unbase64(Writer* w, const unsigned char* p, Py_ssize_t size) except -1 nogil:
    """Append what `p` encodes; False, with nothing appended, when it is not base64 as we write it."""
    cdef Py_ssize_t at, start = w.size, padding = 0
    cdef int a, b, c, d
    cdef unsigned char* to
    if size & 3:
        return False
    if size and p[size - 1] == c"=":
        padding = 2 if p[size - 2] == c"=" else 1
    reserve(w, size // 4 * 3)
    to = w.data + start
    for at in range(0, size, 4):
        a = sextet(p[at])
        b = sextet(p[at + 1])
        c = 0 if padding == 2 and at + 4 == size else sextet(p[at + 2])
        d = 0 if padding and at + 4 == size else sextet(p[at + 3])
        if (a | b | c | d) < 0:
            return False
        to[0] = a << 2 | b >> 4
        to[1] = (b & 15) << 4 | c >> 2
        to[2] = (c & 3) << 6 | d
        to += 3
    w.size = to - w.data - padding
    return True
