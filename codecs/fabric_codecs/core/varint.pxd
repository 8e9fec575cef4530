# Variable-length integers, as Protocol Buffers and Kafka write them: seven bits a byte, least significant first, the
# top bit set on all but the last. Signed ones are zigzag-coded first, so that -1 (Kafka's null) takes one byte.
# A number that does not end within its width, or ends later than it need, marks the reader short: bytes that make no number.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from fabric_codecs.core.reader cimport Reader, fail, read_u8
from fabric_codecs.core.writer cimport Writer, reserve


cdef inline uint64_t zigzag(int64_t value) noexcept nogil:
    return (<uint64_t>value << 1) ^ <uint64_t>(value >> 63)


cdef inline int64_t unzigzag(uint64_t value) noexcept nogil:
    return <int64_t>(value >> 1) ^ -<int64_t>(value & 1)


cdef inline int uvarint_size(uint64_t value) noexcept nogil:
    cdef int size = 1
    while value > 0x7F:
        value >>= 7
        size += 1
    return size


cdef inline int varint_size(int64_t value) noexcept nogil:
    return uvarint_size(zigzag(value))


cdef inline unsigned char* poke_uvarint(unsigned char* at, uint64_t value) noexcept nogil:
    """Write into memory that has room (at most ten bytes); returns the byte after it."""
    while value > 0x7F:
        at[0] = 0x80 | (value & 0x7F)
        at += 1
        value >>= 7
    at[0] = <unsigned char>value
    return at + 1


cdef inline unsigned char* poke_varint(unsigned char* at, int64_t value) noexcept nogil:
    return poke_uvarint(at, zigzag(value))


cdef inline int put_uvarint(Writer* w, uint64_t value) except -1 nogil:
    reserve(w, 10)
    w.size = poke_uvarint(w.data + w.size, value) - w.data
    return 0


cdef inline uint64_t read_uvarint(Reader* r, int width_bits) noexcept nogil:
    cdef uint64_t value = 0, group
    cdef Py_ssize_t start = r.at
    cdef int shift = 0
    cdef uint8_t byte
    while shift < width_bits:
        byte = read_u8(r)
        group = byte & 0x7F
        if shift + 7 > width_bits and group >> (width_bits - shift):
            break
        value |= group << shift
        if byte < 0x80:
            if byte == 0 and shift:  # nobody writes it so, and one number must not have two spellings
                fail(r, start, b"a varint that is longer than it need be")
            return value
        shift += 7
    fail(r, start, b"a varint that does not end within its width")
    return 0


cdef inline int32_t read_varint(Reader* r) noexcept nogil:
    return <int32_t>unzigzag(read_uvarint(r, 32))


cdef inline int64_t read_varlong(Reader* r) noexcept nogil:
    return unzigzag(read_uvarint(r, 64))
