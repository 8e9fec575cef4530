# An MCP message found in place: its members, what `_meta` says, and the lines of a header block that messages of a kind share.
# Below `lift` and `results`, which know what each kind means.

from base64 import b64decode

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp

from fabric_codecs.core.jsonvalues cimport Field, Fields, Inner, find, is_named, look_into
from fabric_codecs.core.jsonwrite cimport put_unescaped_string
from fabric_codecs.core.lifted cimport Lifted, is_attribute, is_trace, keep, take_mark, tell, tell_str, text_of
from fabric_codecs.core.marks cimport DATACONTENTTYPE, FABKIND, TRACEPARENT, TRACESTATE, TYPE, Value
from fabric_codecs.core.rpcfields cimport is_rpc_id, read_rpc_fields, rpc_init
from fabric_codecs.core.writer cimport Writer, put, writer_bytes, writer_free, writer_init

from fabric_codecs.core.jsonscan import scan
from fabric_codecs.errors import CodecError

cdef enum:
    INVALID_PARAMS = -32602

cdef str WHOLE = "application/mcp+json"


cdef int read_message(Message* m, bytes message, list kept) except -1:
    rpc_init(&m.rpc)
    look_into(&m.rpc.top, b"params", 6, &m.params, False)
    look_into(&m.rpc.top, b"result", 6, &m.result, False)
    look_into(&m.rpc.top, b"error", 5, &m.error, False)
    look_into(&m.params, b"_meta", 5, &m.meta, False)
    m.contents = look_into(&m.result, b"content", 7, &m.content, True)
    look_into(&m.content, b"resource", 8, &m.resource, False)
    look_into(&m.result, b"_meta", 5, &m.meta, False)
    read_rpc_fields(&m.rpc, message, "mcp", kept)
    if m.rpc.method != NULL and m.rpc.result != NULL:
        raise CodecError("a method and a result in one message", protocol="mcp", offset=m.rpc.result.start, clause="JSON-RPC 2.0 5", reason=-32600)
    return 0


cdef object invalid(str what, Py_ssize_t offset, str clause):
    return CodecError(what, protocol="mcp", offset=offset, clause=clause, reason=INVALID_PARAMS)


cdef bytes raw_of(Message* m, const Field* field):
    return PyBytes_FromStringAndSize(<const char*>m.rpc.s.base + field.start, field.end - field.start)


cdef bytes undone(Message* m, const Field* field):
    """The text of a string member, as UTF-8."""
    cdef Writer w
    writer_init(&w)
    try:
        put_unescaped_string(&w, m.rpc.s.base + field.start + 1, field.end - field.start - 2)
        return writer_bytes(&w) if w.size else b""
    finally:
        writer_free(&w)


# ---- Kinds


cdef int kind(Lifted* to, str name) except -1:
    """`fabkind`, and the type that goes with it unless the message has its own."""
    tell_str(to, FABKIND, name)
    return tell_str(to, TYPE, f"io.agentfabric.{name}")


cdef int json_kind(Lifted* to, const char* lines, Py_ssize_t size, const char* type, Py_ssize_t type_size) except -1:
    """The lines that all messages of a kind share, and the type."""
    put(&to.block, lines, size)
    to.seen |= 1ULL << FABKIND | 1ULL << DATACONTENTTYPE
    return tell(to, TYPE, <const unsigned char*>type, type_size)


cdef bytes whole(Message* m, Lifted* to, list kept, str name, const Field* value):
    """The params or the result as it is; of its `_meta` only what are attributes."""
    take_meta(m, to, kept, False)
    kind(to, name)
    tell_str(to, DATACONTENTTYPE, WHOLE)
    return b"" if value == NULL else raw_of(m, value)


cdef int tell_content(Message* m, Lifted* to, list kept, const Field* content) except -1:
    cdef Value text
    if content != NULL and content.first == c'"':
        text_of(&m.rpc.s, content, &text, kept)
        if is_attribute(text.text, text.size):
            tell(to, DATACONTENTTYPE, text.text, text.size)
    return 0


cdef object carried_value(str name, bytes raw, str prefix):
    """Data that stands as a member `data` (JSON), `text`, or `data_base64`; None for anything else."""
    if raw is None or not name.startswith(prefix):
        return None
    name = name[len(prefix):]
    if name == "data":
        return raw
    if name == "text" and raw.startswith(b'"'):
        return scan(b'{"text":' + raw + b"}").text("text").encode()
    if name == "data_base64" and raw.startswith(b'"'):
        try:
            return b64decode(raw.strip(b'"'), validate=True)
        except ValueError:
            return None
    return None


# ---- `_meta`


cdef bint is_of_this_hop(const Field* field) noexcept nogil:
    if field.name_size == 13:
        return memcmp(field.name, b"progressToken", 13) == 0
    if field.name_size < 24 or memcmp(field.name, b"io.modelcontextprotocol/", 24) != 0:
        return False
    return (
        is_named(field, b"io.modelcontextprotocol/protocolVersion", 39)
        or is_named(field, b"io.modelcontextprotocol/clientCapabilities", 42)
        or is_named(field, b"io.modelcontextprotocol/clientInfo", 34)
        or is_named(field, b"io.modelcontextprotocol/serverInfo", 34)
        or is_named(field, b"io.modelcontextprotocol/logLevel", 32)
    )


cdef bint is_content(const Field* field) noexcept nogil:
    """The members that carry data or say what it is, which their readers have taken."""
    return (
        is_named(field, b"io.agentfabric/datacontenttype", 30) or is_named(field, b"io.agentfabric/data", 19)
        or is_named(field, b"io.agentfabric/text", 19) or is_named(field, b"io.agentfabric/data_base64", 26)
        or is_named(field, b"io.agentfabric/fabkind", 22) or is_named(field, b"io.agentfabric/error", 20)
        or is_named(field, b"io.agentfabric/argument", 23)
    )


cdef int take_meta(Message* m, Lifted* to, list kept, bint keep_rest) except -1:
    """What `_meta` says: attributes, and what is kept. A trace that is none is kept as it came: W3C says to go on without."""
    cdef Field* field
    cdef Value text
    cdef int i, which
    for i in range(m.meta.count):
        field = &m.meta.items[i]
        if is_of_this_hop(field):
            if field.name_size == 13 and not is_rpc_id(&m.rpc.s, field) and not is_number(field):
                raise invalid("_meta.progressToken is neither a string nor a number", field.start, "MCP progress")
            continue
        which = -1
        if field.first == c'"':
            which = TRACEPARENT if is_named(field, b"traceparent", 11) else TRACESTATE if is_named(field, b"tracestate", 10) else -1
        if which >= 0:
            text_of(&m.rpc.s, field, &text, kept)
            if is_trace(text.text, text.size) if which == TRACEPARENT else is_tracestate(&text):
                tell(to, which, text.text, text.size)
                continue
        if take_mark(to, &m.rpc.s, field, "mcp", kept) or not keep_rest or is_content(field):
            continue
        keep(to, b"_meta/", 6, &m.rpc.s, field)
    return 0


cdef bint is_number(const Field* field) noexcept nogil:
    return field.first == c"-" or c"0" <= field.first <= c"9"


cdef bint is_tracestate(const Value* text) noexcept nogil:
    cdef Py_ssize_t at
    for at in range(text.size):
        if not 32 <= text.text[at] <= 126:
            return False
    return 0 < text.size <= 512
