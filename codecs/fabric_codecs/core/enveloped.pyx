# A canonical message made an Envelope, and an Envelope read as one: between places and a NATS header block (`block`).
#
# In, out: a Canonical, an Envelope. Above: every lift and lower; a translation needs neither. Below: `block`, `canonical`, `marks`.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.string cimport memchr, memcmp

from fabric_codecs.core.base64 cimport put_base64, put_unbase64
from fabric_codecs.core.block cimport (
    Entries, Entry, Line, Lines, entries_of, lines_of, next_entry, next_line, put_unescaped,
)
from fabric_codecs.core.canonical cimport (
    OTHERS_MAX, Canonical, Native, Place, data_of, has, hold, keep, tell, tell_other, tell_whole,
)
from fabric_codecs.core.headers cimport put_value
from fabric_codecs.core.marks cimport ATTRIBUTES_COUNT, Lead, attribute_of, leads
from fabric_codecs.core.utf8 cimport utf8_fault
from fabric_codecs.core.writer cimport Writer, put, put_u8, put_u16, put_u32, writer_bytes, writer_free, writer_init, writer_on
from fabric_codecs.envelope cimport Envelope, envelope_of_block

from fabric_codecs.bounds import HEADER_BYTES_MAX
from fabric_codecs.errors import CodecError

cdef enum:
    USUAL_BYTES = 2048  # of a header block; most have 300 to 600
    NATIVES_MAX = 0xFFFF  # what an array of MessagePack counts in 16 bits
cdef const Lead* LEADS = leads()
cdef Py_ssize_t BLOCK_MAX = HEADER_BYTES_MAX


# ---- from places to a block


cdef Envelope envelope_of(const Canonical* c, str protocol):
    """Raises CodecError when the headers would have more than 64 KiB."""
    cdef unsigned char memory[USUAL_BYTES]
    cdef Writer w
    writer_on(&w, memory, sizeof(memory))
    try:
        put_block(&w, c)
        check_block(w.size, protocol)
        return envelope_of_block(writer_bytes(&w), data_of(c))
    finally:
        writer_free(&w)


cdef int check_size(const Canonical* c, str protocol) except -1:
    """What `envelope_of` refuses is refused on the way to another protocol, too."""
    cdef Writer w
    if c.block_bytes <= BLOCK_MAX:
        return 0
    writer_init(&w)
    try:
        put_block(&w, c)
        return check_block(w.size, protocol)
    finally:
        writer_free(&w)


cdef int check_block(Py_ssize_t size, str protocol) except -1:
    if size > BLOCK_MAX:
        raise CodecError(
            f"{size:,} bytes beside the data as an envelope, allowed are {BLOCK_MAX:,}", protocol=protocol, clause="HEADER_BYTES_MAX"
        )
    return 0


cdef int put_block(Writer* w, const Canonical* c) except -1:
    cdef int at
    put(w, b"NATS/1.0\r\nce-specversion: 1.0\r\n", 31)
    for at in range(ATTRIBUTES_COUNT):
        if has(c, at):
            put(w, LEADS[at].line, LEADS[at].line_size)
            put_line_end(w, &c.known[at])
    for at in range(c.others):
        put(w, b"ce-", 3)
        put(w, c.other[at].name.text, c.other[at].name.size)
        put(w, b": ", 2)
        put_line_end(w, &c.other[at].value)
    if c.natives:
        put_natives(w, c)
    return put(w, b"\r\n", 2)


cdef inline int put_line_end(Writer* w, const Place* value) except -1:
    put_value(w, value.text, value.size)
    return put(w, b"\r\n", 2)


cdef int put_natives(Writer* w, const Canonical* c) except -1:
    cdef unsigned char memory[USUAL_BYTES]
    cdef Writer packed
    cdef int at
    if c.natives > NATIVES_MAX:
        raise CodecError(f"{c.natives:,} native headers, allowed are {NATIVES_MAX:,}", protocol="envelope", clause="NATIVES_MAX")
    writer_on(&packed, memory, sizeof(memory))
    try:
        put_u8(&packed, 0xDC)
        put_u16(&packed, <unsigned short>c.natives)
        for at in range(c.natives):
            pack(&packed, &c.native[at])
        put(w, b"Fab-Native: ", 12)
        put_base64(w, packed.data, packed.size)
        return put(w, b"\r\n", 2)
    finally:
        writer_free(&packed)


cdef int pack(Writer* w, const Native* one) except -1:
    """`[name, value or nil]` in MessagePack."""
    cdef Py_ssize_t name_size = one.room_size + one.name.size
    put_u8(w, 0x92)
    if name_size < 32:
        put_u8(w, 0xA0 | <unsigned char>name_size)
    elif name_size < 1 << 16:
        put_u8(w, 0xDA)
        put_u16(w, <unsigned short>name_size)
    else:
        put_u8(w, 0xDB)
        put_u32(w, <unsigned int>name_size)
    put(w, one.room, one.room_size)
    put(w, one.name.text, one.name.size)
    if one.value.text == NULL:
        return put_u8(w, 0xC0)
    if one.value.size < 256:
        put_u8(w, 0xC4)
        put_u8(w, <unsigned char>one.value.size)
    elif one.value.size < 1 << 16:
        put_u8(w, 0xC5)
        put_u16(w, <unsigned short>one.value.size)
    else:
        put_u8(w, 0xC6)
        put_u32(w, <unsigned int>one.value.size)
    return put(w, one.value.text, one.value.size)


# ---- from an envelope to places


cdef int read_envelope(Canonical* c, Envelope envelope, Writer* carried) except -1:
    """What an envelope says. The lines of its carrier (`Line`s that are no attributes, but for the server's own) are appended to
    `carried` unless that is NULL. Raises CodecError for native headers that cannot be read, and more than OTHERS_MAX extensions."""
    tell_whole(c, envelope.data)
    if envelope._attributes is None:
        return read_block(c, envelope, carried)
    return read_built(c, envelope)


cdef int read_built(Canonical* c, Envelope envelope) except -1:
    cdef Py_ssize_t name_size, size
    cdef const unsigned char* name
    cdef const unsigned char* text
    cdef bytes natives
    for key, value in envelope._attributes.items():
        if key == "fabnative":  # as a received block had it: anybody's bytes
            natives = value.encode("utf-8", "surrogateescape")
            read_natives(c, envelope, hold(c, natives), PyBytes_GET_SIZE(natives))
        else:
            name = <const unsigned char*>PyUnicode_AsUTF8AndSize(key, &name_size)
            text = <const unsigned char*>PyUnicode_AsUTF8AndSize(value, &size)
            read_attribute(c, name, name_size, text, size)
    return 0


cdef int read_block(Canonical* c, Envelope envelope, Writer* carried) except -1:
    cdef const unsigned char* block = <const unsigned char*>PyBytes_AS_STRING(envelope._block)
    cdef Lines lines
    cdef Line line
    cdef bint has_natives = False
    lines_of(&lines, block, PyBytes_GET_SIZE(envelope._block))
    while next_line(&lines, &line):
        if line.is_attribute:
            show(c, &line)
            read_attribute(c, line.name, line.name_size, line.value, line.size)
        elif line.name[0] == c"F" and line.name_size == 10 and memcmp(line.name, b"Fab-Native", 10) == 0:
            if not has_natives:  # of two lines of one name the first counts
                has_natives = True
                read_natives(c, envelope, line.value, line.size)
        elif carried != NULL and line.name[0] != c"N":
            put(carried, &line, sizeof(Line))
    return 0


cdef inline int read_attribute(
    Canonical* c, const unsigned char* name, Py_ssize_t name_size, const unsigned char* text, Py_ssize_t size
) except -1:
    cdef int which = attribute_of(name, name_size)
    if which >= 0:
        tell(c, which, text, size)
    elif not (name_size == 11 and memcmp(name, b"specversion", 11) == 0):
        if tell_other(c, name, name_size, text, size) < 0:
            raise CodecError(f"more than {OTHERS_MAX} attributes of other vocabularies", protocol="envelope", clause="OTHERS_MAX")
    return 0


cdef inline int show(Canonical* c, Line* line) except -1:
    """The line's value as `Envelope.get` shows it: escapes undone, in UTF-8."""
    cdef Py_ssize_t at
    cdef bint any_special = False
    for at in range(line.size):
        any_special |= (line.value[at] == c"%") | (line.value[at] >= 0x80)
    return undo(c, line) if any_special else 0


cdef int undo(Canonical* c, Line* line) except -1:
    cdef Writer w
    cdef bytes shown
    writer_init(&w)
    try:
        if memchr(line.value, c"%", line.size) == NULL:  # no writer of ours: a byte of Latin-1
            shown = (<const char*>line.value)[:line.size].decode("latin-1").encode()
        else:
            put_unescaped(&w, line.value, line.size)
            shown = writer_bytes(&w)
            if utf8_fault(w.data, w.size) >= 0:
                shown = shown.decode("utf-8", "replace").encode()
    finally:
        writer_free(&w)
    line.value = hold(c, shown)
    line.size = PyBytes_GET_SIZE(shown)
    return 0


cdef int read_natives(Canonical* c, Envelope envelope, const unsigned char* text, Py_ssize_t size) except -1:
    cdef Writer packed
    cdef bytes entries
    cdef bytes name, value
    writer_init(&packed)
    try:
        entries = writer_bytes(&packed) if put_unbase64(&packed, text, size) else None
    finally:
        writer_free(&packed)
    if entries is not None and read_entries(c, hold(c, entries), PyBytes_GET_SIZE(entries)):
        return 0
    c.natives = 0
    c.native_bytes = 0
    for said, value in envelope.native:  # in another form than ours, or not to be read: this tells which
        name = said.encode()
        if value is None:
            keep(c, b"", 0, hold(c, name), PyBytes_GET_SIZE(name), NULL, 0)
        else:
            keep(c, b"", 0, hold(c, name), PyBytes_GET_SIZE(name), hold(c, value), PyBytes_GET_SIZE(value))
    return 0


cdef bint read_entries(Canonical* c, const unsigned char* packed, Py_ssize_t size) except -1:
    cdef Entries entries
    cdef Entry entry
    entries_of(&entries, packed, size)
    while next_entry(&entries, &entry):
        if utf8_fault(entry.name, entry.name_size) >= 0:
            return False
        keep(c, b"", 0, entry.name, entry.name_size, entry.value, entry.size)
    return entries.left == 0
