# JSON strings written and undone, into a Writer: text that is UTF-8 already becomes a string with its quotes, and back.
# Inline. What must be escaped is (RFC 8259, 7); everything else, DEL and all beyond ASCII included, stands for itself.

from fabric_codecs.core.jsontext cimport plain_run
from fabric_codecs.core.writer cimport Writer, put, put_u8


cdef inline int put_escape(Writer* w, unsigned char c) except -1 nogil:
    cdef const char* hexdigits = b"0123456789abcdef"
    if c == c'"' or c == c"\\":
        put_u8(w, c"\\")
        return put_u8(w, c)
    if c == c"\n":
        return put(w, b"\\n", 2)
    if c == c"\r":
        return put(w, b"\\r", 2)
    if c == c"\t":
        return put(w, b"\\t", 2)
    put(w, b"\\u00", 4)
    put_u8(w, hexdigits[c >> 4])
    return put_u8(w, hexdigits[c & 15])


cdef inline int put_inner(Writer* w, const unsigned char* p, Py_ssize_t size) except -1 nogil:
    """The inside of a JSON string: UTF-8, escaped where it must be."""
    cdef Py_ssize_t at = 0, run
    while at < size:
        run = plain_run(p + at, size - at)
        while at + run < size and p[at + run] >= 0x80:
            run += 1 + plain_run(p + at + run + 1, size - at - run - 1)
        put(w, p + at, run)
        at += run
        if at < size:
            put_escape(w, p[at])
            at += 1
    return 0


cdef inline int put_string(Writer* w, const unsigned char* p, Py_ssize_t size) except -1 nogil:
    """A JSON string with its quotes, of text in UTF-8."""
    put_u8(w, c'"')
    put_inner(w, p, size)
    return put_u8(w, c'"')


cdef inline int put_utf8(Writer* w, unsigned int point) except -1 nogil:
    if point < 0x80:
        return put_u8(w, point)
    if point < 0x800:
        put_u8(w, 0xC0 | point >> 6)
    else:
        if point < 0x10000:
            put_u8(w, 0xE0 | point >> 12)
        else:
            put_u8(w, 0xF0 | point >> 18)
            put_u8(w, 0x80 | point >> 12 & 63)
        put_u8(w, 0x80 | point >> 6 & 63)
    return put_u8(w, 0x80 | point & 63)


cdef inline unsigned int unit(const unsigned char* p) noexcept nogil:
    """The UTF-16 unit of four hexadecimal digits, which the scanner has checked."""
    cdef unsigned int value = 0
    cdef int i
    for i in range(4):
        value = value << 4 | (p[i] - 48 if p[i] < 58 else (p[i] | 0x20) - 87)
    return value


cdef inline int put_unescaped_string(Writer* w, const unsigned char* p, Py_ssize_t size) except -1 nogil:
    """The text of a checked JSON string, given what stands between its quotes."""
    cdef Py_ssize_t at = 0, run
    cdef unsigned char c
    cdef unsigned int point
    while at < size:
        run = 0
        while at + run < size and p[at + run] != c"\\":
            run += 1 + plain_run(p + at + run + 1, size - at - run - 1)
        put(w, p + at, run)
        at += run
        if at >= size:
            break
        c = p[at + 1]
        at += 2
        if c == c"u":
            point = unit(p + at)
            at += 4
            if 0xD800 <= point < 0xDC00:
                point = 0x10000 + ((point - 0xD800) << 10 | unit(p + at + 2) - 0xDC00)
                at += 6
            put_utf8(w, point)
        elif c == c"b":
            put_u8(w, 8)
        elif c == c"f":
            put_u8(w, 12)
        elif c == c"n":
            put_u8(w, 10)
        elif c == c"r":
            put_u8(w, 13)
        elif c == c"t":
            put_u8(w, 9)
        else:
            put_u8(w, c)
    return 0
