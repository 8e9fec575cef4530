# A NATS header block read where it stands, without a Python object for a line; `enveloped` writes it. `NATS/1.0\r\n`
# (`name: value\r\n`)* `\r\n`; attributes are the lines `ce-<name>`, their values percent-encoded (CloudEvents NATS binding
# 3.1.3.2); native headers that no attribute can carry are one line `Fab-Native`, base64 of a MessagePack array of
# [name, value or nil].

from libc.string cimport memchr, memcmp

from fabric_codecs.core.writer cimport Writer, put, put_u8, reserve

# ---- lines -------------------------------------------------------------------------------------------------------


cdef struct Line:
    const unsigned char* name  # of an attribute without its `ce-`
    Py_ssize_t name_size
    const unsigned char* value
    Py_ssize_t size
    bint is_attribute


cdef struct Lines:
    const unsigned char* at
    const unsigned char* end


cdef inline void lines_of(Lines* lines, const unsigned char* block, Py_ssize_t size) noexcept nogil:
    """Stands at the end of the block's first line; `next_line` goes on from there."""
    cdef const void* found = memchr(block, 13, size)
    lines.end = block + size
    lines.at = lines.end if found == NULL else <const unsigned char*>found


cdef inline bint is_name(const unsigned char* p, Py_ssize_t size) noexcept nogil:
    """CloudEvents 1.0.2, "Naming conventions"."""
    cdef Py_ssize_t at
    if size < 1 or size > 20:
        return False
    for at in range(size):
        if not (97 <= p[at] <= 122 or 48 <= p[at] <= 57):
            return False
    return True


cdef inline bint next_line(Lines* lines, Line* line) noexcept nogil:
    """The next line that has a name and a value; False at the end of the block."""
    cdef const unsigned char* start
    cdef const unsigned char* stop
    cdef const unsigned char* colon
    while lines.end - lines.at > 2:
        start = lines.at + 2 if lines.at[1] == 10 else lines.at + 1
        stop = <const unsigned char*>memchr(start, 13, lines.end - start)
        if stop == NULL:
            break
        lines.at = stop
        if (start - 1)[0] != 10:
            continue
        colon = <const unsigned char*>memchr(start, 58, stop - start)
        if colon == NULL or stop - colon < 2 or colon[1] != 32:
            continue
        line.value = colon + 2
        line.size = stop - line.value
        line.is_attribute = colon - start > 3 and memcmp(start, b"ce-", 3) == 0 and is_name(start + 3, colon - start - 3)
        line.name = start + 3 if line.is_attribute else start
        line.name_size = colon - line.name
        return True
    lines.at = lines.end
    return False


cdef inline int unhex(unsigned char c) noexcept nogil:
    if 48 <= c <= 57:
        return c - 48
    if 65 <= c <= 70:
        return c - 55
    return c - 87 if 97 <= c <= 102 else -1


cdef inline int put_unescaped(Writer* w, const unsigned char* value, Py_ssize_t size) except -1 nogil:
    """A value with its percent-encoding undone; a `%` that is no escape stands for itself."""
    cdef const unsigned char* end = value + size
    cdef const unsigned char* mark
    reserve(w, size)
    while True:
        mark = <const unsigned char*>memchr(value, 37, end - value)
        if mark == NULL:
            return put(w, value, end - value)
        put(w, value, mark - value)
        if end - mark > 2 and unhex(mark[1]) >= 0 and unhex(mark[2]) >= 0:
            put_u8(w, unhex(mark[1]) << 4 | unhex(mark[2]))
            value = mark + 3
        else:
            put_u8(w, 37)
            value = mark + 1


# ---- native entries ----------------------------------------------------------------------------------------------


cdef struct Entry:
    const unsigned char* name
    Py_ssize_t name_size
    const unsigned char* value  # NULL: nil
    Py_ssize_t size


cdef struct Entries:
    const unsigned char* at
    const unsigned char* end
    long left  # entries to come; -1 when the bytes are not what `enveloped` writes


cdef inline Py_ssize_t packed_size(Entries* e, int width) noexcept nogil:
    cdef Py_ssize_t value = 0
    cdef int i
    if e.end - e.at < width:
        return -1
    for i in range(width):
        value = value << 8 | e.at[i]
    e.at += width
    return value


cdef inline void entries_of(Entries* e, const unsigned char* packed, Py_ssize_t size) noexcept nogil:
    """An array of entries in MessagePack, as msgspec or `enveloped` writes it."""
    cdef unsigned char lead
    e.at = packed
    e.end = packed + size
    e.left = -1
    if size == 0:
        return
    lead = packed[0]
    e.at += 1
    if 0x90 <= lead <= 0x9F:
        e.left = lead & 15
    elif lead == 0xDC:
        e.left = packed_size(e, 2)
    elif lead == 0xDD:
        e.left = packed_size(e, 4)


cdef inline bint next_entry(Entries* e, Entry* entry) noexcept nogil:
    """The next entry. False at the end, where `left` is 0, and for bytes in another form, where it is -1."""
    cdef unsigned char lead
    cdef Py_ssize_t size = -1
    if e.left <= 0:
        if e.left == 0 and e.at != e.end:
            e.left = -1
        return False
    if e.end - e.at >= 2 and e.at[0] == 0x92:
        lead = e.at[1]
        e.at += 2
        if 0xA0 <= lead <= 0xBF:
            size = lead & 31
        elif 0xD9 <= lead <= 0xDB:
            size = packed_size(e, 1 << (lead - 0xD9))
    if size >= 0 and e.end - e.at > size:
        entry.name = e.at
        entry.name_size = size
        e.at += size
        lead = e.at[0]
        e.at += 1
        if lead == 0xC0:
            entry.value = NULL
            entry.size = 0
            e.left -= 1
            return True
        if 0xC4 <= lead <= 0xC6:
            size = packed_size(e, 1 << (lead - 0xC4))
            if 0 <= size <= e.end - e.at:
                entry.value = e.at
                entry.size = size
                e.at += size
                e.left -= 1
                return True
    e.left = -1
    return False
