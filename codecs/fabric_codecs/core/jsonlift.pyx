# What JSON messages say for the fabric, told a Canonical: marks (see `marks`) become attributes, a JSON-RPC id the correlation,
# and members that nobody knows native entries, raw. What a peer may not say of itself (WITHHELD) is one of these. A value of the
# message is given on as the data: as it stands, or as the text or the bytes that a string holds.
#
# In: fields of a scanned message. Out: places. Above: the lifts of MCP and A2A. Below: `canonical`, `jsonvalues`.

from base64 import b64decode
from json import loads

from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr, memcmp, memcpy, strlen

from fabric_codecs.core.canonical cimport (
    CONVERSATION, JSON, OBJECT, UNKNOWN, Canonical, Place, hold, is_attribute, is_legal, keep, tell, tell_base64, tell_data,
    tell_held, tell_other, tell_word,
)
from fabric_codecs.core.jsontext cimport Scan, is_digit
from fabric_codecs.core.jsonvalues cimport Field
from fabric_codecs.core.jsonwrite cimport put_unescaped_string
from fabric_codecs.core.marks cimport (
    CORRELATIONID, DATACONTENTTYPE, FABCORR, FABEPOCH, FABKEY, FABKIND, FABLIVE, FABLOSS, FABMETHOD, FABPROTO, FABREPLY, FABVER,
    SOURCE, attribute_of, is_reserved,
)
from fabric_codecs.core.rpcfields cimport is_string
from fabric_codecs.core.writer cimport Writer, writer_bytes, writer_free, writer_init

from fabric_codecs.bounds import CONVERSATION_CHARS_MAX, JSONRPC_ID_BYTES_MAX, MCP_META_BYTES_MAX
from fabric_codecs.errors import CodecError

cdef enum:
    PREFIX_BYTES = 15
    LOSSES_BYTES_MAX = 4096
    KINDS = 9
cdef const char* PREFIX = b"io.agentfabric/"
cdef const char* TYPES[KINDS]
TYPES[:] = [
    b"io.agentfabric.event", b"io.agentfabric.status", b"io.agentfabric.artifact", b"io.agentfabric.presence",
    b"io.agentfabric.request", b"io.agentfabric.response", b"io.agentfabric.error", b"io.agentfabric.progress",
    b"io.agentfabric.cancel",
]
cdef int RPC_ID_BYTES = JSONRPC_ID_BYTES_MAX
cdef Py_ssize_t NATIVE_BYTES = MCP_META_BYTES_MAX

cdef unsigned long long WITHHELD = (
    1ULL << SOURCE | 1ULL << DATACONTENTTYPE | 1ULL << FABPROTO | 1ULL << FABVER | 1ULL << FABMETHOD
    | 1ULL << FABREPLY | 1ULL << FABCORR | 1ULL << FABLIVE | 1ULL << FABEPOCH | 1ULL << FABLOSS | 1ULL << FABKIND
)


# ---- values


cdef bytes raw_of(const Scan* s, const Field* field):
    return PyBytes_FromStringAndSize(<const char*>s.base + field.start, field.end - field.start)


cdef bytes undone(const Scan* s, const Field* field):
    """The text of a string member, as UTF-8."""
    cdef Writer w
    writer_init(&w)
    try:
        put_unescaped_string(&w, s.base + field.start + 1, field.end - field.start - 2)
        return writer_bytes(&w) if w.size else b""
    finally:
        writer_free(&w)


cdef bint is_number(const Field* field) noexcept nogil:
    return field != NULL and (field.first == c"-" or is_digit(field.first))


cdef const char* type_said(const Scan* s, const Field* field) noexcept nogil:
    """`io.agentfabric.<kind>`, when the member is the name of a kind of the fabric's; else NULL."""
    cdef int at
    if field != NULL:
        for at in range(KINDS):
            if is_string(s, field, TYPES[at] + PREFIX_BYTES, strlen(TYPES[at]) - PREFIX_BYTES):
                return TYPES[at]
    return NULL


# ---- data


cdef void give(Canonical* c, const Scan* s, const Field* field) noexcept:
    """A JSON value of the message, as it stands."""
    tell_data(
        c, s.base + field.start, field.end - field.start,
        UNKNOWN if s.long_numbers else OBJECT if field.first == c"{" else JSON,
    )


cdef int give_text(Canonical* c, const Scan* s, const Field* field) except -1:
    cdef Place text
    text_of(c, s, field, &text)
    tell_data(c, text.text, text.size, UNKNOWN)
    return 0


cdef bint give_base64(Canonical* c, const Scan* s, const Field* field) except -1:
    """What a string member holds in base64; False when it is none (RFC 4648, 4)."""
    if field.first != c'"':
        return False
    try:
        tell_held(c, b64decode(undone(s, field), validate=True))
    except ValueError:
        return False
    return True


cdef int give_failure(Canonical* c, const Scan* s, bytes code, bytes words, bint retriable, const Field* inside) except -1:
    """A failure, with the member that told of it inside; `code` and `words` are JSON strings."""
    judged = b',"retriable":true,"data":' if retriable else b',"retriable":false,"data":'
    tell_word(c, DATACONTENTTYPE, b"application/json", 16)
    return tell_held(c, b'{"code":' + code + b',"message":' + words + judged + raw_of(s, inside) + b"}")


# ---- texts and ids


cdef int text_of(Canonical* c, const Scan* s, const Field* field, Place* text) except -1:
    """The text of a string member."""
    cdef bytes plain
    text.text = s.base + field.start + 1
    text.size = field.end - field.start - 2
    if memchr(text.text, c"\\", text.size) != NULL:
        plain = undone(s, field)
        text.text = hold(c, plain)
        text.size = PyBytes_GET_SIZE(plain)
    return 0


cdef int tell_text(Canonical* c, int which, const Scan* s, const Field* field) except -1:
    """A string member as an attribute, when it is one and can be."""
    cdef Place text
    if field == NULL or field.first != c'"':
        return 0
    text_of(c, s, field, &text)
    if text.size and is_legal(which, text.text, text.size):
        tell(c, which, text.text, text.size)
    return 0


cdef bint tell_rpc_id(Canonical* c, const Scan* s, const Field* id) except -1:
    """`fabcorr` of a JSON-RPC id, typed: base64 of `i:7` or `s:seven`. False when the id is none (JSON-RPC 2.0, 4)."""
    cdef unsigned char typed[2 + 256]
    cdef Py_ssize_t at
    cdef Place text
    if id.end - id.start > RPC_ID_BYTES:
        return False
    typed[1] = c":"
    if id.first == c'"':
        typed[0] = c"s"
        text_of(c, s, id, &text)
    else:
        typed[0] = c"i"
        text.text = s.base + id.start
        text.size = id.end - id.start
        for at in range(text.size):
            if not is_digit(text.text[at]) and not (at == 0 and text.text[0] == c"-"):
                return False
    memcpy(typed + 2, text.text, text.size)
    tell_base64(c, FABCORR, typed, text.size + 2)
    return True


# ---- what is kept


cdef int keep_member(Canonical* c, const char* room, Py_ssize_t size, const Scan* s, const Field* field) except -1:
    """A member that no attribute carries, as the native entry `<room><name>`."""
    return keep(c, room, size, field.name, field.name_size, s.base + field.start, field.end - field.start)


cdef int check_natives(const Canonical* c, str protocol) except -1:
    if c.native_bytes > NATIVE_BYTES:
        raise CodecError(
            f"{c.native_bytes:,} bytes of members that no attribute carries, allowed are {NATIVE_BYTES:,}", protocol=protocol,
            clause="MCP_META_BYTES_MAX",
        )
    return 0


# ---- marks


cdef bint take_mark(Canonical* c, const Scan* s, const Field* field, str protocol) except -1:
    """True when the member `io.agentfabric/<name>` became an attribute, False when it is for others to look at. A conversation, a
    cause, a key or a count of hops that is none is the sender's mistake: it counts on them."""
    cdef const unsigned char* name = field.name + PREFIX_BYTES
    cdef Py_ssize_t size = field.name_size - PREFIX_BYTES
    cdef Place text
    cdef int which
    if size <= 0 or memcmp(field.name, PREFIX, PREFIX_BYTES) != 0:
        return False
    which = mark_of(name, size)
    if which >= 0 and CONVERSATION >> which & 1:
        return take_conversation(c, which, s, field, protocol)
    if size == 4 and memcmp(name, b"loss", 4) == 0:
        return take_losses(c, s, field)
    if size == 6 and memcmp(name, b"native", 6) == 0:
        return take_natives(c, s, field)
    if field.first != c'"':
        return False
    text_of(c, s, field, &text)
    if which < 0:
        return take_other(c, name, size, &text)
    if WITHHELD >> which & 1 or not is_legal(which, text.text, text.size):
        return False
    tell(c, which, text.text, text.size)
    return True


cdef inline int mark_of(const unsigned char* name, Py_ssize_t size) noexcept nogil:
    if size == 12 and memcmp(name, b"conversation", 12) == 0:
        return CORRELATIONID
    if size == 15 and memcmp(name, b"idempotency-key", 15) == 0:
        return FABKEY
    return attribute_of(name, size)


cdef bint take_conversation(Canonical* c, int which, const Scan* s, const Field* field, str protocol) except -1:
    cdef Place text
    if field.first == c'"':
        text_of(c, s, field, &text)
        if is_legal(which, text.text, text.size):
            tell(c, which, text.text, text.size)
            return True
    raise CodecError(
        f"{(<const char*>field.name)[:field.name_size].decode()!r} is no text of 1 to {CONVERSATION_CHARS_MAX} characters"
        " without control characters", protocol=protocol, offset=field.start, clause="CloudEvents 1.0.2", reason=-32602,
    )


cdef bint take_other(Canonical* c, const unsigned char* name, Py_ssize_t size, const Place* text) except -1:
    """An attribute of another vocabulary, by a name that CloudEvents allows."""
    cdef Py_ssize_t at
    if is_reserved(name, size):
        return False
    if size > 3 and memcmp(name, b"ce-", 3) == 0 and is_reserved(name + 3, size - 3):
        name += 3
        size -= 3
    if size > 20 or not is_legal(-1, text.text, text.size):
        return False
    for at in range(size):
        if not (is_digit(name[at]) or c"a" <= name[at] <= c"z"):
            return False
    return tell_other(c, name, size, text.text, text.size) > 0


cdef bint take_losses(Canonical* c, const Scan* s, const Field* field) except -1:
    """MCP lists codes, A2A objects that also tell the field and the outcome."""
    cdef bytes text
    told = loads((<const char*>s.base)[field.start:field.end])
    if type(told) is not list:
        return False
    codes = [one.get("code") if type(one) is dict else one for one in told]
    if not all([type(code) is str and code.isascii() and code.isidentifier() and len(code) <= 40 for code in codes]):
        return False
    text = ",".join(codes).encode()
    if 0 < len(text) <= LOSSES_BYTES_MAX:
        tell(c, FABLOSS, hold(c, text), len(text))
    return True


cdef bint take_natives(Canonical* c, const Scan* s, const Field* field) except -1:
    """What `put_rest` wrote; anything else is left as it is."""
    cdef bytes name, value
    try:
        pairs = native_pairs(loads((<const char*>s.base)[field.start:field.end]))
    except ValueError:  # not base64, or more than pairs
        return False
    for name, value in pairs:
        if value is None:
            keep(c, b"", 0, hold(c, name), len(name), NULL, 0)
        else:
            keep(c, b"", 0, hold(c, name), len(name), hold(c, value), len(value))
    return True


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
