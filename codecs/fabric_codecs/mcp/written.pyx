# Messages of MCP written: ids, `_meta`, and what else several messages have. Below `lower`.

from libc.string cimport memchr, memcmp, memmove

from fabric_codecs.core.canonical cimport JSON, OBJECT, TEXT, Canonical, Place, has, is_usual_type, says
from fabric_codecs.core.jsondata cimport put_raw, put_typed_id
from fabric_codecs.core.jsonlower cimport (
    NOWHERE, Rooms, put_losses, put_marks, put_place, put_rest, put_room, put_spliced, sort_natives,
)
from fabric_codecs.core.marks cimport (
    DATACONTENTTYPE, FABCORR, FABKIND, FABLIVE, FABMETHOD, ID, TRACEPARENT, TRACESTATE, TYPE,
)
from fabric_codecs.core.writer cimport Writer, put, put_u8, writer_free, writer_on

from fabric_codecs.translate.losses import Loss, LossCode

cdef object NATIVES_LOST = Loss(LossCode.NO_METADATA, "native", "a message that came whole has no place for other headers")
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


cdef int put_id(Lowering* l, bytes request_id) except -1:
    """`,"id":...`: the caller's, else the one in `fabcorr`, else the envelope's own."""
    put(&l.out, b',"id":', 6)
    if request_id is not None:
        return put_raw(&l.out, request_id)
    return 0 if put_typed_id(&l.out, l.c) else put_text_id(l)


cdef int put_text_id(Lowering* l) except -1:
    return put_place(&l.out, &l.c.known[ID]) if has(l.c, ID) else put(&l.out, b'""', 2)


cdef bint has_typed_id(Lowering* l) except -1:
    cdef unsigned char memory[256]
    cdef Writer w
    writer_on(&w, memory, sizeof(memory))
    try:
        return put_typed_id(&w, l.c)
    finally:
        writer_free(&w)


cdef int put_meta(Lowering* l, tuple lost, unsigned long long skip, bytes more) except -1:
    """`"_meta":{...}`: what this hop must say (`more`), then the envelope's."""
    cdef Writer* w = &l.out
    cdef Py_ssize_t start
    put(w, b'"_meta":{', 9)
    start = w.size
    if more is not None:
        put_raw(w, more)
    put_meta_members(l, lost, skip)
    if w.size > start and w.data[start] == c",":
        w.size -= 1
        memmove(w.data + start, w.data + start + 1, w.size - start)
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
    skip |= 1ULL << TRACEPARENT | 1ULL << TRACESTATE | 1ULL << FABLIVE
    if not l.shape.tells_content:
        skip |= 1ULL << DATACONTENTTYPE
    if is_usual_type(l.c):
        skip |= 1ULL << TYPE
    put_marks(w, l.c, skip)
    put_losses(w, l.c, lost, False)
    put_room(w, l.c, META)
    return put_rest(w, l.c)


cdef tuple put_whole(Lowering* l, tuple lost):
    """A whole message's params or result; what is lost now."""
    cdef int at
    sort_rooms(l, NULL, 0)
    for at in range(l.c.natives):
        if l.c.native[at].place == NOWHERE:
            lost = (*lost, NATIVES_LOST)
            break
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


cdef bint has_member(const Canonical* c, const char* name, Py_ssize_t size) noexcept nogil:
    cdef int at
    for at in range(c.natives):
        if c.native[at].place == MEMBERS and c.native[at].name.size == size and memcmp(c.native[at].name.text, name, size) == 0:
            return True
    return False


cdef unsigned long long answered(Lowering* l) except? 0:
    cdef unsigned long long skip = 1ULL << FABKIND
    if has_typed_id(l):  # else a correlation of another protocol, for which the id does not stand
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
