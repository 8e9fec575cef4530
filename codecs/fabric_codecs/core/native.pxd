# Writing native entries, the list of (name, bytes or None) behind an envelope's `Fab-Native`: MessagePack in base64.

from libc.stdint cimport uint16_t, uint32_t

from fabric_codecs.core.writer cimport Writer, put, put_u16, put_u32, put_u8, reserve


cdef inline int put_sized(Writer* w, const char* data, Py_ssize_t size, unsigned char size8) except -1:
    # `size8` is the type with one byte of length; the types with two and four follow it.
    if size < 0x100:
        put_u8(w, size8)
        put_u8(w, <unsigned char>size)
    elif size < 0x10000:
        put_u8(w, size8 + 1)
        put_u16(w, <uint16_t>size)
    else:
        put_u8(w, size8 + 2)
        put_u32(w, <uint32_t>size)
    return put(w, data, size)


cdef inline int put_entry(Writer* w, const char* name, Py_ssize_t name_size, const char* value, Py_ssize_t value_size) except -1:
    """A pair of the name, which is UTF-8, and the value; NULL is null."""
    put_u8(w, 0x92)
    if name_size < 32:
        put_u8(w, 0xA0 | <unsigned char>name_size)
        put(w, name, name_size)
    else:
        put_sized(w, name, name_size, 0xD9)
    if value == NULL:
        return put_u8(w, 0xC0)
    return put_sized(w, value, value_size, 0xC4)


cdef inline int put_count(Writer* w, uint32_t count) except -1:
    """The head of a list of that many entries, at most 65,535."""
    if count < 16:
        return put_u8(w, 0x90 | <unsigned char>count)
    put_u8(w, 0xDC)
    return put_u16(w, <uint16_t>count)


cdef inline int put_base64(Writer* w, const unsigned char* data, Py_ssize_t size) except -1:
    """RFC 4648, section 4, padded."""
    cdef const char* digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    cdef Py_ssize_t at = 0
    cdef unsigned char* target
    cdef uint32_t three
    reserve(w, (size + 2) // 3 * 4)
    target = w.data + w.size
    while at < size:
        three = (<uint32_t>data[at]) << 16
        if at + 1 < size:
            three |= (<uint32_t>data[at + 1]) << 8
        if at + 2 < size:
            three |= data[at + 2]
        target[0] = digits[three >> 18]
        target[1] = digits[three >> 12 & 63]
        target[2] = digits[three >> 6 & 63] if at + 1 < size else 61
        target[3] = digits[three & 63] if at + 2 < size else 61
        target += 4
        at += 3
    w.size = target - w.data
    return 0
