# Messages of MCP written: `_meta`, and what else several messages have. Below `lower`.

from libc.string cimport memchr

from fabric_codecs.core.canonical cimport JSON, OBJECT, TEXT, Place, has, says
from fabric_codecs.core.jsondata cimport has_typed_id, put_raw
from fabric_codecs.core.jsonlower cimport Rooms, drop_comma, put_place, put_spliced, put_told, sort_natives, with_unplaced
from fabric_codecs.core.marks cimport DATACONTENTTYPE, FABCORR, FABKIND, FABMETHOD, TRACEPARENT, TRACESTATE
from fabric_codecs.core.writer cimport Writer, put, put_u8

cdef bytes MODERN_META = b'"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}'


cdef int sort_rooms(Lowering* l, const char* members, Py_ssize_t size) except -1:
    """What the message has room for: always `rpc/`; `_meta/` and its own members (`params/`, `result/`) unless it came whole."""
    cdef Rooms rooms
    if not l.c.natives:
        return 0
    rooms.count = 1 if members == NULL else 3
    rooms.name[RPC], rooms.size[RPC] = b"rpc/", 4
    rooms.name[META], rooms.size[META] = b"_meta/", 6
    rooms.name[MEMBERS], rooms.size[MEMBERS] = members, size
    return sort_natives(l.c, &rooms)


cdef int put_meta(Lowering* l, tuple lost, unsigned long long skip, bytes more) except -1:
    """`"_meta":{...}`: what this hop must say (`more`), then the envelope's."""
    cdef Writer* w = &l.out
    cdef Py_ssize_t start
    put(w, b'"_meta":{', 9)
    start = w.size
    if more is not None:
        put_raw(w, more)
    put_meta_members(l, lost, skip)
    drop_comma(w, start)
    return put_u8(w, c"}")


cdef int put_meta_members(Lowering* l, tuple lost, unsigned long long skip) except -1:
    """Traces, marks, losses, and what was kept, each with a comma before it."""
    cdef Writer* w = &l.out
    if has(l.c, TRACEPARENT):
        put(w, b',"traceparent":', 15)
        put_place(w, &l.c.known[TRACEPARENT])
    if has(l.c, TRACESTATE):
        put(w, b',"tracestate":', 14)
        put_place(w, &l.c.known[TRACESTATE])
    skip |= 1ULL << TRACEPARENT | 1ULL << TRACESTATE
    if not l.shape.tells_content:
        skip |= 1ULL << DATACONTENTTYPE
    return put_told(w, l.c, skip, lost, False, META)


cdef tuple put_whole(Lowering* l, tuple lost):
    """A whole message's params or result; what is lost now."""
    sort_rooms(l, NULL, 0)
    lost = with_unplaced(l.c, lost)
    put_spliced(&l.out, l.c, "_meta", lost, False)
    return lost


cdef bytes request_meta(Lowering* l, bytes client_info):
    """What a modern request says of itself, and under which name data stands in the arguments that are none by themselves."""
    if l.is_modern and client_info is None and l.shape.form == OBJECT:
        return MODERN_META
    said = [MODERN_META] if l.is_modern else []
    if l.is_modern and client_info is not None:
        said.append(b'"io.modelcontextprotocol/clientInfo":' + client_info)
    if l.shape.form != OBJECT:
        name = b'"data"' if l.shape.form == JSON else b'"text"' if l.shape.form == TEXT else b'"data_base64"'
        said.append(b'"io.agentfabric/argument":' + name)
    return b",".join(said) if said else None


cdef bytes server_meta(Lowering* l, bytes server_info):
    return b'"io.modelcontextprotocol/serverInfo":' + server_info if l.is_modern and server_info is not None else None


cdef unsigned long long answered(Lowering* l) except? 0:
    cdef unsigned long long skip = 1ULL << FABKIND
    if has_typed_id(l.c):  # else a correlation of another protocol, for which the id does not stand
        skip |= 1ULL << FABCORR
    if says(l.c, FABMETHOD, b"tools/call", 10):
        skip |= 1ULL << FABMETHOD
    return skip


cdef int put_uri_path(Writer* w, const Place* subject) except -1:
    """A subject, percent-encoded where a URI's path asks for it (RFC 3986, 3.3)."""
    cdef Py_ssize_t at
    cdef unsigned char c
    for at in range(subject.size):
        c = subject.text[at]
        if c <= 32 or c >= 127 or memchr(b'%#?[]\\^`{|}<>"', c, 14) != NULL:
            put_percent(w, c)
        else:
            put_u8(w, c)
    return 0


cdef int put_percent(Writer* w, unsigned char c) except -1:
    cdef const char* hexdigits = b"0123456789ABCDEF"
    put_u8(w, c"%")
    put_u8(w, hexdigits[c >> 4])
    return put_u8(w, hexdigits[c & 15])
