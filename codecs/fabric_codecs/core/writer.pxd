# A growing output buffer. `reserve` may raise MemoryError; the `put_*` functions write and grow in one call.
# Network byte order. The owner frees `data` (see `writer_free`) or hands it out as bytes (`writer_bytes`). What usually fits into a
# few hundred bytes begins in memory of its owner's (`writer_on`), and moves to the heap when it does not.

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int16_t, int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free


cdef extern from *:
    """
    #ifndef FABRIC_WRITER
    #define FABRIC_WRITER
    #include <Python.h>
    #include <string.h>

    typedef struct { unsigned char *data; Py_ssize_t size, capacity; unsigned char *lent; } fab_writer;

    static int fab_writer_grow(fab_writer *w, Py_ssize_t more) {
        Py_ssize_t capacity = w->capacity > 0 ? w->capacity : 256;
        unsigned char *data;
        while (capacity - w->size < more) capacity *= 2;
        data = (unsigned char *)realloc(w->data == w->lent ? NULL : w->data, (size_t)capacity);
        if (!data) {
            PyGILState_STATE state = PyGILState_Ensure();
            PyErr_Format(PyExc_MemoryError, "a buffer of %zd bytes", capacity);
            PyGILState_Release(state);
            return -1;
        }
        if (w->size && w->data == w->lent) memcpy(data, w->lent, (size_t)w->size);
        w->data = data;
        w->capacity = capacity;
        return 0;
    }

    /* Inlined into every caller, so that the copy of a literal is a store or two. */
    static inline __attribute__((always_inline)) int fab_writer_reserve(fab_writer *w, Py_ssize_t more) {
        return __builtin_expect(w->capacity - w->size < more, 0) ? fab_writer_grow(w, more) : 0;
    }

    static inline __attribute__((always_inline)) int fab_writer_put(fab_writer *w, const void *data, Py_ssize_t size) {
        if (__builtin_expect(w->capacity - w->size < size, 0) && fab_writer_grow(w, size) < 0) return -1;
        memcpy(w->data + w->size, data, (size_t)size);
        w->size += size;
        return 0;
    }

    static inline __attribute__((always_inline)) int fab_writer_put_u8(fab_writer *w, unsigned char value) {
        if (__builtin_expect(w->capacity == w->size, 0) && fab_writer_grow(w, 1) < 0) return -1;
        w->data[w->size++] = value;
        return 0;
    }
    #endif
    """
    ctypedef struct Writer "fab_writer":
        unsigned char* data
        Py_ssize_t size
        Py_ssize_t capacity
        unsigned char* lent
    int reserve "fab_writer_reserve" (Writer* w, Py_ssize_t more) except -1 nogil
    int put "fab_writer_put" (Writer* w, const void* data, Py_ssize_t size) except -1 nogil
    int put_u8 "fab_writer_put_u8" (Writer* w, unsigned char value) except -1 nogil


cdef inline void writer_init(Writer* w) noexcept nogil:
    w.data = NULL
    w.size = 0
    w.capacity = 0
    w.lent = NULL


cdef inline void writer_on(Writer* w, unsigned char* memory, Py_ssize_t size) noexcept nogil:
    """Begin in memory that outlives the writer and stays its owner's."""
    w.data = memory
    w.size = 0
    w.capacity = size
    w.lent = memory


cdef inline void writer_free(Writer* w) noexcept nogil:
    if w.data != w.lent:
        free(w.data)
    writer_init(w)


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
