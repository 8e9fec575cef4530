# A growing output buffer. `reserve` may raise MemoryError; the `put_*` functions write and grow in one call.
# Network byte order. The owner frees `data` (see `writer_free`) or hands it out as bytes (`writer_bytes`).

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int16_t, int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy


cdef struct Writer:
    unsigned char* data
    Py_ssize_t size
    Py_ssize_t capacity


cdef inline void writer_init(Writer* w) noexcept nogil:
    w.data = NULL
    w.size = 0
    w.capacity = 0


cdef inline void writer_free(Writer* w) noexcept nogil:
    free(w.data)
    writer_init(w)


cdef inline int writer_grow(Writer* w, Py_ssize_t more) except -1 nogil:
    cdef Py_ssize_t capacity = w.capacity if w.capacity > 0 else 256
    cdef void* data
    while capacity - w.size < more:
        capacity *= 2
    data = realloc(w.data, capacity)
    if data == NULL:
        with gil:
            raise MemoryError(f"a buffer of {capacity} bytes")
    w.data = <unsigned char*>data
    w.capacity = capacity
    return 0


cdef inline int reserve(Writer* w, Py_ssize_t more) except -1 nogil:
    if w.capacity - w.size < more:
        return writer_grow(w, more)
    return 0


cdef inline int put(Writer* w, const void* data, Py_ssize_t size) except -1 nogil:
    reserve(w, size)
    memcpy(w.data + w.size, data, size)
    w.size += size
    return 0


cdef inline int put_u8(Writer* w, unsigned char value) except -1 nogil:
    reserve(w, 1)
    w.data[w.size] = value
    w.size += 1
    return 0


cdef inline int put_u16(Writer* w, uint16_t value) except -1 nogil:
    reserve(w, 2)
    w.data[w.size] = value >> 8
    w.data[w.size + 1] = value & 0xFF
    w.size += 2
    return 0


cdef inline void poke_u32(unsigned char* p, uint32_t value) noexcept nogil:
    p[0] = value >> 24
    p[1] = (value >> 16) & 0xFF
    p[2] = (value >> 8) & 0xFF
    p[3] = value & 0xFF


cdef inline int put_u32(Writer* w, uint32_t value) except -1 nogil:
    reserve(w, 4)
    poke_u32(w.data + w.size, value)
    w.size += 4
    return 0


cdef inline int put_u64(Writer* w, uint64_t value) except -1 nogil:
    put_u32(w, <uint32_t>(value >> 32))
    return put_u32(w, <uint32_t>value)


cdef inline int put_decimal(Writer* w, uint64_t value) except -1 nogil:
    """An unsigned integer in ASCII decimal."""
    cdef unsigned char digits[20]
    cdef int at = 20
    while True:
        at -= 1
        digits[at] = 48 + value % 10
        value //= 10
        if value == 0:
            break
    return put(w, digits + at, 20 - at)


cdef inline bytes writer_bytes(Writer* w):
    return PyBytes_FromStringAndSize(<char*>w.data, w.size)
