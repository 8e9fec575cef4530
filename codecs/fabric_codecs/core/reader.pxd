# The one bounded reader of every binary decoder: the fast path is the safe path. A Reader is a window on memory that
# somebody else keeps alive; a read past its end sets `short_` and returns 0, so that a decoder checks once, after a group of
# reads. `fault_at` and `why` (NULL: the bytes end) tell of the first that failed. Network byte order. Inline, without the GIL and without exceptions.

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef struct Reader:
    const unsigned char* base
    Py_ssize_t at
    Py_ssize_t end
    bint short_
    Py_ssize_t fault_at
    const char* why


cdef inline void reader_init(Reader* r, const unsigned char* base, Py_ssize_t start, Py_ssize_t end) noexcept nogil:
    r.base = base
    r.at = start
    r.end = end
    r.short_ = False
    r.fault_at = 0
    r.why = NULL


cdef inline bint fail(Reader* r, Py_ssize_t at, const char* why) noexcept nogil:
    """Keep the first fault; False."""
    if not r.short_:
        r.short_ = True
        r.fault_at = at
        r.why = why
    return False


cdef inline Py_ssize_t left(Reader* r) noexcept nogil:
    return r.end - r.at


cdef inline bint has(Reader* r, Py_ssize_t n) noexcept nogil:
    if n < 0 or n > r.end - r.at:
        return fail(r, r.at, NULL)
    return True


cdef inline const unsigned char* take(Reader* r, Py_ssize_t n) noexcept nogil:
    """The next n bytes, or NULL when fewer are left."""
    if not has(r, n):
        return NULL
    r.at += n
    return r.base + r.at - n


cdef inline uint8_t read_u8(Reader* r) noexcept nogil:
    if not has(r, 1):
        return 0
    r.at += 1
    return r.base[r.at - 1]


cdef inline uint16_t read_u16(Reader* r) noexcept nogil:
    if not has(r, 2):
        return 0
    cdef const unsigned char* p = r.base + r.at
    r.at += 2
    return (<uint16_t>p[0] << 8) | p[1]


cdef inline uint32_t read_u32(Reader* r) noexcept nogil:
    if not has(r, 4):
        return 0
    cdef const unsigned char* p = r.base + r.at
    r.at += 4
    return (<uint32_t>p[0] << 24) | (<uint32_t>p[1] << 16) | (<uint32_t>p[2] << 8) | p[3]


cdef inline uint64_t read_u64(Reader* r) noexcept nogil:
    cdef uint64_t high = read_u32(r)
    return (high << 32) | read_u32(r)


cdef inline int8_t read_i8(Reader* r) noexcept nogil:
    return <int8_t>read_u8(r)


cdef inline int16_t read_i16(Reader* r) noexcept nogil:
    return <int16_t>read_u16(r)


cdef inline int32_t read_i32(Reader* r) noexcept nogil:
    return <int32_t>read_u32(r)


cdef inline int64_t read_i64(Reader* r) noexcept nogil:
    return <int64_t>read_u64(r)
