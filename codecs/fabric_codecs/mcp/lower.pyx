"""Lower: an Envelope of any origin -> one MCP message. JSON data is spliced in as it is.

In: an envelope. Out: `Translation[bytes]`, one JSON-RPC message. Above: the edge, `translate`. Below: `core.told`. The way
back is `lift`, whose table has the same rows.

| fabkind                         | becomes                                                                             |
|---------------------------------|-------------------------------------------------------------------------------------|
| request                         | `tools/call` of the subject, else of `ask`; `arguments` are the data                |
| response                        | the result of a tool: `structuredContent` and text, text, or a resource             |
| error                           | a JSON-RPC error when one is inside, else a result with `isError`                   |
| progress                        | `notifications/progress`                                                            |
| cancel                          | `notifications/cancelled`                                                           |
| event, status, artifact, others | `notifications/resources/updated` of `fab://channel/<subject>`, the data in `_meta` |
| data of type application/mcp+json | the message that it was: `fabmethod` with these params, or this result            |

Data that is no JSON object is an argument by itself: `data` (other JSON), `text`, or `data_base64`; so are the data of an
event, as `io.agentfabric/data` and so on. Attributes are marks (`core.marks`); native entries go back to where they came from,
or ride in `_meta["io.agentfabric/native"]`. The id is the request's when `fabcorr` holds a JSON-RPC id, else the envelope's.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memchr, memcmp, memmove

from fabric_codecs.core.forms cimport JSON, OBJECT, TEXT, Form, is_usual_type, judge, put_data, put_typed_id
from fabric_codecs.core.marks cimport (
    DATACONTENTTYPE, EXPIRYTIME, FABCORR, FABKIND, FABLIVE, FABLOSS, FABMETHOD, ID, SUBJECT, TRACEPARENT,
    TRACESTATE, TYPE, Value,
)
from fabric_codecs.core.told cimport (
    Told, is_text, native_rooms, put_losses, put_marks, put_members, put_rest, put_value_string, read_told, with_losses,
)
from fabric_codecs.core.writer cimport Writer, put, put_u8, reserve, writer_bytes, writer_free, writer_init
from fabric_codecs.envelope cimport Envelope
from fabric_codecs.mcp.content cimport put_content, put_text

from fabric_codecs.core.jsonscan import quote, scan
from fabric_codecs.errors import CodecError
from fabric_codecs.mcp.lift import WHOLE
from fabric_codecs.translate.losses import Loss, LossCode, Translation

__all__ = ["lower"]

cdef str MODERN = "2026-07-28"
cdef frozenset ROOMS = frozenset(("_meta", "params", "result", "rpc"))
cdef object EXPIRY_UNENFORCED = Loss(
    LossCode.EXPIRY_UNENFORCED, "expirytime", "told in _meta; an MCP message does not expire"
)
cdef object NOT_JSON = Loss(LossCode.CONTENT_TYPE_GUESSED, "data", "said to be JSON, and is none: sent as text or bytes")

cdef enum:
    FRAME_BYTES = 1024  # what stands around the data has 300 to 900 bytes: grown at once


cdef struct Lowering:
    Told told
    Writer out
    Form form
    bint is_modern


def lower(
    Envelope envelope not None, *, str revision=MODERN, bytes request_id=None, bytes progress_token=None,
    bytes server_info=None, bytes client_info=None, tuple losses=(),
):
    cdef Lowering l
    cdef list kept = []
    cdef dict natives
    cdef tuple lost
    writer_init(&l.out)
    try:
        reserve(&l.out, PyBytes_GET_SIZE(envelope.data) + FRAME_BYTES)
        read_told(envelope, &l.told, kept)
        l.is_modern = revision == MODERN
        judge(&l.form, envelope, &l.told, WHOLE)
        lost = losses if not l.form.is_guessed else (*losses, NOT_JSON)
        if l.told.known[EXPIRYTIME].text != NULL:
            lost = (*lost, EXPIRY_UNENFORCED)
        natives = native_rooms(envelope, &l.told, ROOMS) if l.told.native.text != NULL else None
        put(&l.out, b'{"jsonrpc":"2.0"', 16)
        dispatch(&l, envelope, lost, natives, request_id, progress_token, server_info, client_info)
        if natives is not None:
            put_members(&l.out, natives.get("rpc"))
        put_u8(&l.out, c"}")
        return Translation(writer_bytes(&l.out), lost)
    finally:
        writer_free(&l.out)


cdef int dispatch(
    Lowering* l, Envelope envelope, tuple lost, dict natives, bytes request_id, bytes progress_token, bytes server_info,
    bytes client_info,
) except -1:
    cdef Value* kind = &l.told.known[FABKIND]
    if is_text(kind, b"request", 7) or (l.form.is_whole and is_text(&l.told.known[FABMETHOD], b"tasks/cancel", 12)):
        return put_request(l, envelope, lost, natives, request_id, client_info)
    if is_text(kind, b"response", 8) or (l.form.is_whole and is_text(kind, b"status", 6) and is_result(l)):
        return put_response(l, envelope, lost, natives, request_id, server_info)
    if is_text(kind, b"error", 5):
        return put_failure(l, envelope, lost, natives, request_id, server_info)
    if l.form.is_whole and l.told.known[FABMETHOD].text != NULL:
        return put_own(l, envelope, lost)
    if is_text(kind, b"progress", 8) and l.form.form == OBJECT:
        return put_progress(l, envelope, lost, natives, progress_token)
    if is_text(kind, b"cancel", 6) and is_text(&l.told.known[FABMETHOD], b"CancelTask", 10) and l.told.known[SUBJECT].text != NULL:
        return put_task_cancel(l, envelope, lost, natives, request_id)
    if is_text(kind, b"cancel", 6):
        return put_cancel(l, envelope, lost, natives, request_id)
    return put_event(l, envelope, lost, natives)


cdef bint is_result(Lowering* l) noexcept nogil:
    """A task or a question that came as a result: its method is none of a notification."""
    cdef Value* method = &l.told.known[FABMETHOD]
    return method.text == NULL or method.size < 14 or memcmp(method.text, b"notifications/", 14) != 0


# ---- Members that several messages have


cdef int put_id(Lowering* l, bytes request_id) except -1:
    """`,"id":...`: the caller's, else the one in `fabcorr`, else the envelope's own."""
    put(&l.out, b',"id":', 6)
    if request_id is not None:
        return put(&l.out, PyBytes_AS_STRING(request_id), PyBytes_GET_SIZE(request_id))
    if put_typed_id(&l.out, &l.told.known[FABCORR]):
        return 0
    return put_value_string(&l.out, &l.told.known[ID])


cdef bint has_typed_id(Lowering* l) except -1:
    cdef Writer w
    writer_init(&w)
    try:
        return put_typed_id(&w, &l.told.known[FABCORR])
    finally:
        writer_free(&w)


cdef int put_meta(Lowering* l, tuple lost, dict natives, unsigned long long skip, bytes more) except -1:
    """`"_meta":{...}`: what this hop must say (`more`), then the envelope's."""
    cdef Writer* w = &l.out
    cdef Py_ssize_t start
    put(w, b'"_meta":{', 9)
    start = w.size
    if more is not None:
        put(w, PyBytes_AS_STRING(more), PyBytes_GET_SIZE(more))
    put_meta_members(l, lost, natives, skip)
    if w.size > start and w.data[start] == c",":
        w.size -= 1
        memmove(w.data + start, w.data + start + 1, w.size - start)
    return put_u8(w, c"}")


cdef int put_meta_members(Lowering* l, tuple lost, dict natives, unsigned long long skip) except -1:
    """Traces, marks, losses, and what was kept, each with a comma before it."""
    cdef Writer* w = &l.out
    if l.told.known[TRACEPARENT].text != NULL:
        put(w, b',"traceparent":', 15)
        put_value_string(w, &l.told.known[TRACEPARENT])
    if l.told.known[TRACESTATE].text != NULL:
        put(w, b',"tracestate":', 14)
        put_value_string(w, &l.told.known[TRACESTATE])
    skip |= 1ULL << TRACEPARENT | 1ULL << TRACESTATE | 1ULL << FABLIVE
    if not l.form.tells_content:
        skip |= 1ULL << DATACONTENTTYPE
    if is_usual_type(&l.told):
        skip |= 1ULL << TYPE
    put_marks(w, &l.told, skip)
    put_losses(w, &l.told, lost, False)
    if natives is not None:
        put_members(w, natives.get("_meta"))
        put_rest(w, natives[""])
    return 0


cdef bytes spliced(Lowering* l, Envelope envelope, tuple lost):
    """A whole message's params or result."""
    return with_losses(envelope.data, "_meta", &l.told, lost, False)


cdef int put_raw(Lowering* l, bytes raw) except -1:
    return put(&l.out, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))


# ---- Messages


cdef unsigned long long OWN_REQUEST = 1ULL << FABKIND | 1ULL << SUBJECT


cdef int put_own(Lowering* l, Envelope envelope, tuple lost) except -1:
    """A notification that came whole."""
    put(&l.out, b',"method":', 10)
    put_value_string(&l.out, &l.told.known[FABMETHOD])
    put(&l.out, b',"params":', 10)
    return put_raw(l, spliced(l, envelope, lost))


cdef int put_request(Lowering* l, Envelope envelope, tuple lost, dict natives, bytes request_id, bytes client_info) except -1:
    cdef unsigned long long skip = OWN_REQUEST
    put_id(l, request_id)
    if l.form.is_whole and l.told.known[FABMETHOD].text != NULL:
        return put_own(l, envelope, lost)
    put(&l.out, b',"method":"tools/call","params":{"name":', 40)
    if l.told.known[SUBJECT].text != NULL:
        put_value_string(&l.out, &l.told.known[SUBJECT])
    else:
        put(&l.out, b'"ask"', 5)  # the tool that takes what is addressed to no tool
    put(&l.out, b',"arguments":', 13)
    if l.form.form == OBJECT:
        put_raw(l, envelope.data)
    else:
        put_u8(&l.out, c"{")
        put_data(&l.out, l.form.form, envelope.data, b"", 0)
        put_u8(&l.out, c"}")
        l.form.tells_content = True
    if natives is not None:
        put_members(&l.out, natives.get("params"))
    put_u8(&l.out, c",")
    if request_id is not None or has_typed_id(l):
        skip |= 1ULL << FABCORR
    if is_text(&l.told.known[FABMETHOD], b"tools/call", 10):
        skip |= 1ULL << FABMETHOD
    put_meta(l, lost, natives, skip, request_meta(l, client_info))
    return put_u8(&l.out, c"}")


cdef bytes request_meta(Lowering* l, bytes client_info):
    """What a modern request says of itself, and under which name data stands in the arguments that are none by themselves."""
    said = []
    if l.is_modern:
        said.append(b'"io.modelcontextprotocol/protocolVersion":"2026-07-28"')
        said.append(b'"io.modelcontextprotocol/clientCapabilities":{}')
        if client_info is not None:
            said.append(b'"io.modelcontextprotocol/clientInfo":' + client_info)
    if l.form.form != OBJECT:
        said.append(b'"io.agentfabric/argument":' + (b'"data"' if l.form.form == JSON else b'"text"' if l.form.form == TEXT else b'"data_base64"'))
    return b",".join(said) if said else None


cdef bytes server_meta(Lowering* l, bytes server_info):
    return b'"io.modelcontextprotocol/serverInfo":' + server_info if l.is_modern and server_info is not None else None


cdef int put_response(Lowering* l, Envelope envelope, tuple lost, dict natives, bytes request_id, bytes server_info) except -1:
    put_id(l, request_id)
    put(&l.out, b',"result":', 10)
    if l.form.is_whole:
        return put_raw(l, spliced(l, envelope, lost))
    put_u8(&l.out, c"{")
    if l.is_modern:
        put(&l.out, b'"resultType":"complete",', 24)
    has_content = natives is not None and any([name == "content" for name, _ in natives.get("result", ())])
    put_content(&l.out, &l.told, &l.form, envelope, l.is_modern, has_content)
    if natives is not None:
        put_members(&l.out, natives.get("result"))
    put_u8(&l.out, c",")
    more = server_meta(l, server_info)
    if l.form.form == JSON and not l.is_modern:  # the text is for people: `structuredContent` has no place for it yet
        more = b'"io.agentfabric/data":' + envelope.data
    put_meta(l, lost, natives, answered(l), more)
    return put_u8(&l.out, c"}")


cdef unsigned long long answered(Lowering* l) except? 0:
    cdef unsigned long long skip = 1ULL << FABKIND
    if has_typed_id(l):  # else a correlation of another protocol, for which the id does not stand
        skip |= 1ULL << FABCORR
    if is_text(&l.told.known[FABMETHOD], b"tools/call", 10):
        skip |= 1ULL << FABMETHOD
    return skip


cdef int put_failure(Lowering* l, Envelope envelope, tuple lost, dict natives, bytes request_id, bytes server_info) except -1:
    """A JSON-RPC error or a tool's result when one is inside; else a result that says what failed."""
    if l.form.form != OBJECT:
        raise CodecError("an error whose data is no JSON object", protocol="mcp", clause="JSON-RPC 2.0 5.1")
    put_id(l, request_id)
    failure = scan(envelope.data, protocol="mcp")
    inside = failure.object("data") if failure.kind("data") == "object" else None
    if inside is not None and inside.kind("code") == "number" and inside.kind("message") == "string":
        put(&l.out, b',"error":', 9)
        return put_raw(l, inside.raw)
    put(&l.out, b',"result":', 10)
    if inside is not None and inside.kind("content") == "array" and inside.get("isError") == b"true":
        return put_raw(l, inside.raw)
    put_u8(&l.out, c"{")
    if l.is_modern:
        put(&l.out, b'"resultType":"complete",', 24)
    words = failure.text("message") if failure.kind("message") == "string" else ""
    put_text(&l.out, (words or "the tool failed").encode())
    put(&l.out, b',"isError":true,', 16)
    more = server_meta(l, server_info)
    told = b'"io.agentfabric/error":' + failure.raw
    put_meta(l, lost, natives, answered(l) , told if more is None else more + b"," + told)
    return put_u8(&l.out, c"}")


cdef int put_progress(Lowering* l, Envelope envelope, tuple lost, dict natives, bytes progress_token) except -1:
    step = scan(envelope.data, protocol="mcp")
    if step.kind("progress") != "number":
        raise CodecError("a progress envelope without a number `progress`", protocol="mcp", clause="MCP progress")
    put(&l.out, b',"method":"notifications/progress","params":{"progressToken":', 61)
    if progress_token is not None:
        put_raw(l, progress_token)
    elif not put_typed_id(&l.out, &l.told.known[FABCORR]):
        put_value_string(&l.out, &l.told.known[ID])
    for name, kind in (("progress", "number"), ("total", "number"), ("message", "string")):
        if step.kind(name) == kind:
            put_members(&l.out, [(name, step.get(name))])
    if natives is not None:
        put_members(&l.out, natives.get("params"))
    put_u8(&l.out, c",")
    put_meta(l, lost, natives, OWN_REQUEST | 1ULL << FABCORR | 1ULL << FABMETHOD, None)
    return put_u8(&l.out, c"}")


cdef int put_task_cancel(Lowering* l, Envelope envelope, tuple lost, dict natives, bytes request_id) except -1:
    """The cancel of a task: a request of the tasks extension."""
    put_id(l, request_id)
    put(&l.out, b',"method":"tasks/cancel","params":{"taskId":', 44)
    put_value_string(&l.out, &l.told.known[SUBJECT])
    put_u8(&l.out, c",")
    more = request_meta(l, None) if l.form.form == OBJECT else None
    if l.form.form == OBJECT:
        more = (b"" if more is None else more + b",") + b'"io.agentfabric/data":' + envelope.data
    put_meta(l, lost, natives, OWN_REQUEST | 1ULL << FABCORR, more)
    return put_u8(&l.out, c"}")


cdef int put_cancel(Lowering* l, Envelope envelope, tuple lost, dict natives, bytes request_id) except -1:
    put(&l.out, b',"method":"notifications/cancelled","params":{"requestId":', 58)
    if request_id is not None:
        put_raw(l, request_id)
    elif not put_typed_id(&l.out, &l.told.known[FABCORR]):
        raise CodecError("a cancel envelope whose fabcorr names no request", protocol="mcp", clause="MCP cancellation")
    if l.form.form == OBJECT:
        given = scan(envelope.data, protocol="mcp")
        if given.kind("reason") == "string":
            put_members(&l.out, [("reason", given.get("reason"))])
    if natives is not None:
        put_members(&l.out, natives.get("params"))
    put_u8(&l.out, c",")
    put_meta(l, lost, natives, 1ULL << FABKIND | 1ULL << FABCORR | 1ULL << FABMETHOD, None)
    return put_u8(&l.out, c"}")


cdef int put_event(Lowering* l, Envelope envelope, tuple lost, dict natives) except -1:
    """What MCP has no message for: a resource that changed, and to what."""
    cdef unsigned long long skip = 1ULL << SUBJECT
    put(&l.out, b',"method":"notifications/resources/updated","params":{"uri":"fab://channel/', 75)
    put_uri_path(&l.out, &l.told.known[SUBJECT])
    put_u8(&l.out, c'"')
    if natives is not None:
        put_members(&l.out, natives.get("params"))
    if l.form.form == TEXT and is_text(&l.told.known[DATACONTENTTYPE], b"text/plain", 10):
        l.form.tells_content = False
    if is_text(&l.told.known[FABKIND], b"event", 5):
        skip |= 1ULL << FABKIND
    if is_text(&l.told.known[FABMETHOD], b"notifications/resources/updated", 31):
        skip |= 1ULL << FABMETHOD
    put(&l.out, b',"_meta":{', 10)
    put_data(&l.out, l.form.form, envelope.data, b"io.agentfabric/", 15)
    put_meta_members(l, lost, natives, skip)
    return put(&l.out, b"}}", 2)


cdef int put_uri_path(Writer* w, const Value* subject) except -1:
    """A subject as its header line has it, percent-encoded where a URI's path asks for more (RFC 3986, 3.3)."""
    cdef Py_ssize_t at
    cdef unsigned char c
    for at in range(subject.size):
        c = subject.text[at]
        if c >= 0x80:  # no writer of ours: a byte of Latin-1, as `Envelope.get` reads it
            put_percent(w, 0xC0 | c >> 6)
            put_percent(w, 0x80 | c & 63)
        elif c <= 32 or c == 127 or memchr(b'#?[]\\^`{|}<>"', c, 13) != NULL:
            put_percent(w, c)
        else:
            put_u8(w, c)
    return 0


cdef int put_percent(Writer* w, unsigned char c) except -1:
    cdef const char* hexdigits = b"0123456789ABCDEF"
    put_u8(w, c"%")
    put_u8(w, hexdigits[c >> 4])
    return put_u8(w, hexdigits[c & 15])
