# An MCP message found in place: its members, what `_meta` says, and how its data are given on. Below `lift` and `results`,
# which know what each kind means.

from libc.string cimport memcmp

from fabric_codecs.core.canonical cimport Canonical, Place, is_trace, tell, tell_held, tell_word
from fabric_codecs.core.jsonlift cimport give, give_base64, give_text, is_number, keep_member, take_mark, tell_text, text_of
from fabric_codecs.core.jsonvalues cimport Field, Fields, Inner, is_named, look_into
from fabric_codecs.core.marks cimport DATACONTENTTYPE, TRACEPARENT, TRACESTATE
from fabric_codecs.core.rpcfields cimport is_rpc_id, read_rpc_fields, rpc_init

from fabric_codecs.errors import CodecError

cdef enum:
    INVALID_PARAMS = -32602


cdef int read_message(Message* m, Canonical* to, bytes message) except -1:
    m.to = to
    rpc_init(&m.rpc)
    look_into(&m.rpc.top, b"params", 6, &m.params, False)
    look_into(&m.rpc.top, b"result", 6, &m.result, False)
    look_into(&m.rpc.top, b"error", 5, &m.error, False)
    look_into(&m.params, b"_meta", 5, &m.meta, False)
    m.contents = look_into(&m.result, b"content", 7, &m.content, True)
    look_into(&m.content, b"resource", 8, &m.resource, False)
    look_into(&m.result, b"_meta", 5, &m.meta, False)
    read_rpc_fields(&m.rpc, message, "mcp", to)
    if m.rpc.method != NULL and m.rpc.result != NULL:
        raise CodecError("a method and a result in one message", protocol="mcp", offset=m.rpc.result.start, clause="JSON-RPC 2.0 5", reason=-32600)
    return 0


cdef object invalid(str what, Py_ssize_t offset, str clause):
    return CodecError(what, protocol="mcp", offset=offset, clause=clause, reason=INVALID_PARAMS)


# ---- Data


cdef bint give_carried(Message* m, const Field* field, const char* prefix, Py_ssize_t size) except -1:
    """Data that stand as a member `<prefix>data` (JSON), `text` or `data_base64`; False for anything else."""
    cdef const unsigned char* name = field.name + size
    cdef Py_ssize_t left = field.name_size - size
    if left <= 0 or memcmp(field.name, prefix, size) != 0:
        return False
    if left == 4 and memcmp(name, b"data", 4) == 0:
        give(m.to, &m.rpc.s, field)
        return True
    if left == 4 and memcmp(name, b"text", 4) == 0 and field.first == c'"':
        give_text(m.to, &m.rpc.s, field)
        return True
    if left == 11 and memcmp(name, b"data_base64", 11) == 0 and field.first == c'"':
        return give_base64(m.to, &m.rpc.s, field)
    return False


cdef int give_whole(Message* m, const Field* field) except -1:
    """The params or the result as it is, `{}` where there are none; of its `_meta` only what are attributes."""
    take_meta(m, False)
    tell_word(m.to, DATACONTENTTYPE, b"application/mcp+json", 20)
    if field == NULL:
        return tell_held(m.to, b"{}")
    give(m.to, &m.rpc.s, field)
    return 0


cdef int tell_content(Message* m, const Field* content) except -1:
    return tell_text(m.to, DATACONTENTTYPE, &m.rpc.s, content)


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


cdef int take_meta(Message* m, bint keep_rest) except -1:
    """What `_meta` says: attributes, and what is kept."""
    cdef Field* field
    cdef int i
    for i in range(m.meta.count):
        field = &m.meta.items[i]
        if is_of_this_hop(field):
            if field.name_size == 13 and not is_rpc_id(&m.rpc.s, field) and not is_number(field):
                raise invalid("_meta.progressToken is neither a string nor a number", field.start, "MCP progress")
        elif not take_trace(m, field) and not take_mark(m.to, &m.rpc.s, field, "mcp") and keep_rest and not is_content(field):
            keep_member(m.to, b"_meta/", 6, &m.rpc.s, field)
    return 0


cdef bint take_trace(Message* m, const Field* field) except -1:
    """A trace that is none is kept as it came: W3C says to go on without."""
    cdef Place text
    cdef int which = TRACEPARENT if is_named(field, b"traceparent", 11) else TRACESTATE if is_named(field, b"tracestate", 10) else -1
    if which < 0 or field.first != c'"':
        return False
    text_of(m.to, &m.rpc.s, field, &text)
    if not (is_trace(text.text, text.size) if which == TRACEPARENT else is_tracestate(&text)):
        return False
    tell(m.to, which, text.text, text.size)
    return True


cdef bint is_tracestate(const Place* text) noexcept nogil:
    cdef Py_ssize_t at
    for at in range(text.size):
        if not 32 <= text.text[at] <= 126:
            return False
    return 0 < text.size <= 512
