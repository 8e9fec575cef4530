# Lifting into a header block: what a codec finds in a JSON message becomes the lines of an envelope, as it goes. An
# attribute that was told once is not told again, so what the message says comes before what a lift assumes. Members that no
# attribute carries are kept as native entries, raw. See `marks` for the members that are attributes.
#
# What a peer may not say of itself (WITHHELD) stays among the native entries, as any member that nobody knows.

from base64 import b64decode
from datetime import datetime
from json import loads

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t
from libc.string cimport memchr, memcmp, memcpy

from fabric_codecs.core.base64 cimport put_base64
from fabric_codecs.core.block cimport put_attribute, put_end, put_entry, put_head, put_name, put_native
from fabric_codecs.core.headers cimport plain, put_value
from fabric_codecs.core.jsontext cimport Scan, is_digit
from fabric_codecs.core.jsonvalues cimport Field, text_between
from fabric_codecs.core.marks cimport (
    CAUSATIONID, CORRELATIONID, DATACONTENTTYPE, EXPIRYTIME, FABCORR, FABEPOCH, FABHOPS, FABKEY, FABKIND, FABLIVE, FABLOSS,
    FABMETHOD, FABPROTO, FABREPLY, FABVER, ID, SOURCE, SUBJECT, TIME, TRACEPARENT, TYPE, Lead, Value, attribute_of, is_reserved,
    leads,
)
from fabric_codecs.core.rfc3339 cimport put_timestamp, read_timestamp
from fabric_codecs.core.writer cimport Writer, put, reserve, writer_bytes, writer_free, writer_init
from fabric_codecs.envelope cimport Envelope, envelope_of_block

from fabric_codecs.bounds import ID_CHARS_MAX, JSONRPC_ID_BYTES_MAX, MCP_META_BYTES_MAX
from fabric_codecs.errors import CodecError

cdef enum:
    PREFIX_BYTES = 15
    BLOCK_BYTES = 1024  # most header blocks fit
    CONVERSATION_CHARS_MAX = 256  # four UUIDs with separators, and far below what a header may hold
    MARK_BYTES_MAX = 4096  # of any other attribute: a sixteenth of what all headers may hold
cdef const Lead* LEADS = leads()
cdef const char* PREFIX = b"io.agentfabric/"
cdef int ID_CHARS = ID_CHARS_MAX
cdef int RPC_ID_BYTES = JSONRPC_ID_BYTES_MAX
cdef Py_ssize_t NATIVE_BYTES = MCP_META_BYTES_MAX

cdef unsigned long long WITHHELD = (
    1ULL << SOURCE | 1ULL << DATACONTENTTYPE | 1ULL << FABPROTO | 1ULL << FABVER | 1ULL << FABMETHOD
    | 1ULL << FABREPLY | 1ULL << FABCORR | 1ULL << FABLIVE | 1ULL << FABEPOCH | 1ULL << FABLOSS | 1ULL << FABKIND
)


cdef int lifted_init(Lifted* to) except -1:
    writer_init(&to.block)
    writer_init(&to.entries)
    to.entry_count = 0
    to.seen = 0
    reserve(&to.block, BLOCK_BYTES)
    return put_head(&to.block)


cdef void lifted_free(Lifted* to) noexcept:
    writer_free(&to.block)
    writer_free(&to.entries)


cdef int tell(Lifted* to, int which, const unsigned char* text, Py_ssize_t size) except -1:
    """An attribute, unless it was told before."""
    if to.seen >> which & 1:
        return 0
    to.seen |= 1ULL << which
    return put_line(&to.block, &LEADS[which], text, size)


cdef int put_line(Writer* w, const Lead* lead, const unsigned char* text, Py_ssize_t size) except -1:
    """What `put_attribute` writes, with one look at the room there is."""
    cdef Py_ssize_t at = 0
    cdef unsigned char* to
    reserve(w, lead.line_size + size + 2)
    memcpy(w.data + w.size, lead.line, lead.line_size)
    w.size += lead.line_size
    to = w.data + w.size
    while at < size and plain(text[at]):
        to[at] = text[at]
        at += 1
    w.size += at
    if at < size:
        put_value(w, text + at, size - at)
    return put_end(w)


cdef int tell_str(Lifted* to, int which, str text) except -1:
    cdef Py_ssize_t size
    cdef const char* utf8 = PyUnicode_AsUTF8AndSize(text, &size)
    if not is_attribute(<const unsigned char*>utf8, size):
        raise CodecError(f"{LEADS[which].name.decode()} holds a control character", protocol="envelope", clause="CloudEvents 1.0.2")
    return tell(to, which, <const unsigned char*>utf8, size)


cdef int tell_time(Lifted* to, long long now_us) except -1:
    if to.seen >> TIME & 1:
        return 0
    to.seen |= 1ULL << TIME
    put_name(&to.block, b"time", 4)
    put_timestamp(&to.block, now_us)
    return put_end(&to.block)


cdef int tell_rpc_id(Lifted* to, Scan* s, const Field* id) except -1:
    """`fabcorr` of a JSON-RPC id, typed: base64 of `i:7` or `s:seven`. 1 when the id is none (JSON-RPC 2.0, 4)."""
    cdef unsigned char typed[2 + 256]
    cdef Py_ssize_t at, size = id.end - id.start
    cdef const unsigned char* raw = s.base + id.start
    cdef bytes text
    if size > RPC_ID_BYTES:
        return 1
    typed[1] = c":"
    if id.first == c'"':
        typed[0] = c"s"
        raw += 1
        size -= 2
        if memchr(raw, c"\\", size) != NULL:
            text = text_between(s.base, id.start + 1, id.end - 1, True).encode()
            raw = <const unsigned char*>PyBytes_AS_STRING(text)
            size = PyBytes_GET_SIZE(text)
    else:
        typed[0] = c"i"
        for at in range(size):
            if not is_digit(raw[at]) and not (at == 0 and raw[0] == c"-"):
                return 1
    for at in range(size):
        typed[2 + at] = raw[at]
    to.seen |= 1ULL << FABCORR
    put_name(&to.block, b"fabcorr", 7)
    put_base64(&to.block, typed, size + 2)
    put_end(&to.block)
    return 0


cdef int keep(Lifted* to, const char* room, Py_ssize_t size, Scan* s, const Field* field) except -1:
    """A member that no attribute carries, as the native entry `<room><name>`."""
    cdef Writer name
    writer_init(&name)
    try:
        put(&name, room, size)
        put(&name, field.name, field.name_size)
        put_entry(&to.entries, name.data, name.size, s.base + field.start, field.end - field.start)
        to.entry_count += 1
    finally:
        writer_free(&name)
    return 0


cdef Envelope lifted_envelope(Lifted* to, bytes data, str protocol):
    if to.entries.size > NATIVE_BYTES + 16 * to.entry_count:
        raise CodecError(
            f"{to.entries.size:,} bytes of members that no attribute carries, allowed are {NATIVE_BYTES:,}", protocol=protocol, clause="MCP_META_BYTES_MAX"
        )
    put_native(&to.block, &to.entries, to.entry_count)
    put_end(&to.block)
    return envelope_of_block(writer_bytes(&to.block), data)


cdef bint is_attribute(const unsigned char* text, Py_ssize_t size) noexcept nogil:
    """Whether well-formed UTF-8 has none of the control characters that CloudEvents 1.0.2 forbids, C1 included."""
    cdef Py_ssize_t at
    for at in range(size):
        if text[at] < 32 or text[at] == 127 or (text[at] == 0xC2 and at + 1 < size and text[at + 1] < 0xA0):
            return False
    return True


cdef inline Py_ssize_t chars(const unsigned char* text, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t at, count = 0
    for at in range(size):
        count += (text[at] & 0xC0) != 0x80
    return count


cdef inline bint is_hex(const unsigned char* text, int size, bint zero_is_none) noexcept nogil:
    cdef int at
    cdef bint some = not zero_is_none
    for at in range(size):
        if not (is_digit(text[at]) or c"a" <= text[at] <= c"f"):
            return False
        some = some or text[at] != c"0"
    return some


cdef bint is_trace(const unsigned char* text, Py_ssize_t size):
    """A traceparent of any version but ff (W3C Trace Context, 3.2); later ones may have more behind a dash."""
    cdef Py_ssize_t at
    if size < 55 or size == 56 or size > 456 or text[2] != c"-" or text[35] != c"-" or text[52] != c"-":
        return False
    if text[0] == c"f" and text[1] == c"f" or (size > 55 and text[55] != c"-"):
        return False
    for at in range(56, size):
        if not 33 <= text[at] <= 126:
            return False
    return is_hex(text, 2, False) and is_hex(text + 3, 32, True) and is_hex(text + 36, 16, True) and is_hex(text + 53, 2, False)


cdef int text_of(Scan* s, const Field* field, Value* text, list kept) except -1:
    """The text of a string member."""
    cdef bytes undone
    text.text = s.base + field.start + 1
    text.size = field.end - field.start - 2
    text.coded = False
    if memchr(text.text, c"\\", text.size) != NULL:
        undone = text_between(s.base, field.start + 1, field.end - 1, True).encode()
        kept.append(undone)
        text.text = <const unsigned char*>PyBytes_AS_STRING(undone)
        text.size = PyBytes_GET_SIZE(undone)
    return 0


cdef bint is_moment(const unsigned char* text, Py_ssize_t size):
    cdef int64_t moment_us
    if read_timestamp(text, size, &moment_us):
        return True
    try:
        return datetime.fromisoformat((<const char*>text)[:size].decode()).tzinfo is not None
    except ValueError:
        return False


cdef bint is_legal(int which, const unsigned char* text, Py_ssize_t size):
    """Whether the attribute may have that text; if not, the member stays a native entry."""
    if size > MARK_BYTES_MAX or not is_attribute(text, size):
        return False
    if which == ID:
        return 0 < chars(text, size) <= ID_CHARS
    if which == TYPE:
        return size > 0
    if which == TIME or which == EXPIRYTIME:
        return is_moment(text, size)
    if which == TRACEPARENT:
        return is_trace(text, size)
    return True


cdef int take_mark(Lifted* to, Scan* s, const Field* field, str protocol, list kept) except -2:
    """1 when the member `io.agentfabric/<name>` became an attribute, 0 when it is for others to look at. A conversation, a
    cause, a key or a count of hops that is none is the sender's mistake: it counts on them."""
    cdef const unsigned char* name = field.name + PREFIX_BYTES
    cdef Py_ssize_t size = field.name_size - PREFIX_BYTES
    cdef Value text
    cdef int which
    if size <= 0 or memcmp(field.name, PREFIX, PREFIX_BYTES) != 0:
        return 0
    if size == 12 and memcmp(name, b"conversation", 12) == 0:
        which = CORRELATIONID
    elif size == 15 and memcmp(name, b"idempotency-key", 15) == 0:
        which = FABKEY
    else:
        which = attribute_of(name, size)
    if which == CORRELATIONID or which == CAUSATIONID or which == FABKEY or which == FABHOPS:
        if field.first == c'"':
            text_of(s, field, &text, kept)
            if 0 < chars(text.text, text.size) <= CONVERSATION_CHARS_MAX and is_attribute(text.text, text.size):
                tell(to, which, text.text, text.size)
                return 1
        raise CodecError(
            f"{(<const char*>field.name)[:field.name_size].decode()!r} is no text of 1 to {CONVERSATION_CHARS_MAX} characters"
            " without control characters", protocol=protocol, offset=field.start, clause="CloudEvents 1.0.2", reason=-32602,
        )
    if size == 4 and memcmp(name, b"loss", 4) == 0:
        return take_losses(to, s, field)
    if size == 6 and memcmp(name, b"native", 6) == 0:
        return take_natives(to, s, field)
    if field.first != c'"':
        return 0
    text_of(s, field, &text, kept)
    if which < 0:
        return take_other(to, name, size, &text)
    if WITHHELD >> which & 1 or not is_legal(which, text.text, text.size):
        return 0
    tell(to, which, text.text, text.size)
    return 1


cdef int take_other(Lifted* to, const unsigned char* name, Py_ssize_t size, Value* text) except -2:
    """An attribute of another vocabulary, by a name that CloudEvents allows."""
    cdef Py_ssize_t at
    if size > 20 or is_reserved(name, size) or not is_legal(-1, text.text, text.size):
        return 0
    for at in range(size):
        if not (is_digit(name[at]) or c"a" <= name[at] <= c"z"):
            return 0
    put_attribute(&to.block, <const char*>name, size, text.text, text.size)
    return 1


cdef int take_losses(Lifted* to, Scan* s, const Field* field) except -2:
    """MCP lists codes, A2A objects that also tell the field and the outcome."""
    told = loads((<const char*>s.base)[field.start:field.end])
    if type(told) is not list:
        return 0
    codes = [one.get("code") if type(one) is dict else one for one in told]
    if not all([type(code) is str and code.isascii() and code.isidentifier() and len(code) <= 40 for code in codes]):
        return 0
    text = ",".join(codes).encode()
    if 0 < len(text) <= MARK_BYTES_MAX:
        tell(to, FABLOSS, text, len(text))
    return 1


cdef int take_natives(Lifted* to, Scan* s, const Field* field) except -2:
    """What `put_rest` wrote; anything else is left as it is."""
    cdef bytes name, value
    try:
        pairs = native_pairs(loads((<const char*>s.base)[field.start:field.end]))
    except ValueError:  # not base64, or more than pairs
        return 0
    for name, value in pairs:
        if value is None:
            put_entry(&to.entries, name, len(name), NULL, 0)
        else:
            put_entry(&to.entries, name, len(name), value, len(value))
        to.entry_count += 1
    return 1


cdef list native_pairs(object told):
    pairs = []
    if type(told) is not list:
        raise ValueError("no list")
    for entry in told:
        if type(entry) is not list or not 2 <= len(entry) <= 3 or type(entry[0]) is not str:
            raise ValueError("no pair")
        if len(entry) == 2 and entry[1] is None:
            pairs.append((entry[0].encode(), None))
        elif type(entry[1]) is not str or entry[2:] not in ([], ["base64"]):
            raise ValueError("no pair")
        elif len(entry) == 2:
            pairs.append((entry[0].encode(), entry[1].encode()))
        else:
            pairs.append((entry[0].encode(), b64decode(entry[1], validate=True)))
    return pairs
