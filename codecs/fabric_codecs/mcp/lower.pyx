"""Lower: an Envelope of any origin -> one MCP message. JSON data is spliced in as it is.

In: an envelope. Out: `Translation[bytes]`, one JSON-RPC message. Above: the edge, `translate`. Below: `content`, `core`. The way
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

from libc.string cimport memcmp

from fabric_codecs.core.canonical cimport JSON, OBJECT, TEXT, Canonical, Place, close_canonical, data_of, has, open_canonical, says
from fabric_codecs.core.enveloped cimport read_envelope
from fabric_codecs.core.jsondata cimport has_typed_id, judge, put_data, put_raw, put_typed_id
from fabric_codecs.core.jsonlower cimport has_member, put_id, put_own_id, put_place, put_room, with_guess
from fabric_codecs.core.marks cimport DATACONTENTTYPE, EXPIRYTIME, FABCORR, FABKIND, FABMETHOD, SUBJECT
from fabric_codecs.core.writer cimport put, put_u8, reserve, writer_bytes, writer_free, writer_on
from fabric_codecs.envelope cimport Envelope
from fabric_codecs.losses cimport Translation, translation_of
from fabric_codecs.mcp.content cimport put_content, put_text
from fabric_codecs.mcp.written cimport (
    MEMBERS, RPC, Lowering, answered, put_meta, put_meta_members, put_uri_path, put_whole, request_meta, server_meta, sort_rooms,
)

from fabric_codecs.core.jsonscan import quote, scan
from fabric_codecs.errors import CodecError
from fabric_codecs.losses import Loss, LossCode

__all__ = ["lower"]

cdef str MODERN = "2026-07-28"
cdef object EXPIRY_UNENFORCED = Loss(
    LossCode.EXPIRY_UNENFORCED, "expirytime", "told in _meta; an MCP message does not expire"
)
cdef object NO_METADATA = Loss(LossCode.NO_METADATA, "attributes", "a JSON-RPC error has no metadata")

cdef enum:
    FRAME_BYTES = 1024  # what stands around the data has 300 to 900 bytes: grown at once

def lower(
    Envelope envelope not None, *, str revision=MODERN, bytes request_id=None, bytes progress_token=None,
    bytes server_info=None, bytes client_info=None, tuple losses=(),
):
    cdef Canonical c
    open_canonical(&c)
    try:
        read_envelope(&c, envelope, NULL)
        return message_of(&c, revision, request_id, progress_token, server_info, client_info, losses)
    finally:
        close_canonical(&c)


cdef Translation message_of(
    Canonical* c, str revision, bytes request_id, bytes progress_token, bytes server_info, bytes client_info, tuple losses
):
    """`lower`, for `translate`."""
    cdef unsigned char memory[FRAME_BYTES + 512]
    cdef Lowering l
    cdef tuple lost
    l.c = c
    l.is_modern = revision is MODERN or revision == MODERN
    writer_on(&l.out, memory, sizeof(memory))
    try:
        reserve(&l.out, c.data.size + FRAME_BYTES)
        judge(&l.shape, c, b"application/mcp+json", 20)
        lost = with_guess(&l.shape, losses)
        if has(c, EXPIRYTIME):
            lost = (*lost, EXPIRY_UNENFORCED)
        put(&l.out, b'{"jsonrpc":"2.0"', 16)
        lost = dispatch(&l, lost, request_id, progress_token, server_info, client_info)
        put_room(&l.out, c, RPC)
        put_u8(&l.out, c"}")
        return translation_of(writer_bytes(&l.out), lost)
    finally:
        writer_free(&l.out)


cdef tuple dispatch(
    Lowering* l, tuple lost, bytes request_id, bytes progress_token, bytes server_info, bytes client_info
):
    """Writes the message; what was lost in the end."""
    cdef Canonical* c = l.c
    if says(c, FABKIND, b"request", 7) or (l.shape.is_whole and says(c, FABMETHOD, b"tasks/cancel", 12)):
        return put_request(l, lost, request_id, client_info)
    if says(c, FABKIND, b"response", 8) or (l.shape.is_whole and says(c, FABKIND, b"status", 6) and is_result(c)):
        return put_response(l, lost, request_id, server_info)
    if says(c, FABKIND, b"error", 5):
        return put_failure(l, lost, request_id, server_info)
    if l.shape.is_whole and has(c, FABMETHOD):
        return put_own(l, lost)
    if says(c, FABKIND, b"progress", 8) and l.shape.form == OBJECT:
        put_progress(l, lost, progress_token)
    elif says(c, FABKIND, b"cancel", 6) and says(c, FABMETHOD, b"CancelTask", 10) and has(c, SUBJECT):
        put_task_cancel(l, lost, request_id)
    elif says(c, FABKIND, b"cancel", 6):
        put_cancel(l, lost, request_id)
    else:
        put_event(l, lost)
    return lost


cdef bint is_result(const Canonical* c) noexcept nogil:
    """A task or a question that came as a result: its method is none of a notification."""
    cdef const Place* method = &c.known[FABMETHOD]
    return not has(c, FABMETHOD) or method.size < 14 or memcmp(method.text, b"notifications/", 14) != 0


# ---- Messages


cdef unsigned long long OWN_REQUEST = 1ULL << FABKIND | 1ULL << SUBJECT


cdef tuple put_own(Lowering* l, tuple lost):
    """A notification or a request that came whole."""
    put(&l.out, b',"method":', 10)
    put_place(&l.out, &l.c.known[FABMETHOD])
    put(&l.out, b',"params":', 10)
    return put_whole(l, lost)


cdef tuple put_request(Lowering* l, tuple lost, bytes request_id, bytes client_info):
    cdef unsigned long long skip = OWN_REQUEST
    put_id(&l.out, l.c, request_id)
    if l.shape.is_whole and has(l.c, FABMETHOD):
        return put_own(l, lost)
    sort_rooms(l, b"params/", 7)
    put(&l.out, b',"method":"tools/call","params":{"name":', 40)
    if has(l.c, SUBJECT):
        put_place(&l.out, &l.c.known[SUBJECT])
    else:
        put(&l.out, b'"ask"', 5)  # the tool that takes what is addressed to no tool
    put(&l.out, b',"arguments":', 13)
    if l.shape.form == OBJECT:
        put(&l.out, l.c.data.text, l.c.data.size)
    else:
        put_u8(&l.out, c"{")
        put_data(&l.out, l.shape.form, l.c, b"", 0)
        put_u8(&l.out, c"}")
        l.shape.tells_content = True
    put_room(&l.out, l.c, MEMBERS)
    put_u8(&l.out, c",")
    if request_id is not None or has_typed_id(l.c):
        skip |= 1ULL << FABCORR
    if says(l.c, FABMETHOD, b"tools/call", 10):
        skip |= 1ULL << FABMETHOD
    put_meta(l, lost, skip, request_meta(l, client_info))
    put_u8(&l.out, c"}")
    return lost


cdef tuple put_response(Lowering* l, tuple lost, bytes request_id, bytes server_info):
    put_id(&l.out, l.c, request_id)
    put(&l.out, b',"result":', 10)
    if l.shape.is_whole:
        return put_whole(l, lost)
    sort_rooms(l, b"result/", 7)
    put_u8(&l.out, c"{")
    if l.is_modern:
        put(&l.out, b'"resultType":"complete",', 24)
    put_content(&l.out, l.c, &l.shape, l.is_modern, has_member(l.c, MEMBERS, b"content", 7))
    put_room(&l.out, l.c, MEMBERS)
    put_u8(&l.out, c",")
    more = server_meta(l, server_info)
    if l.shape.form == JSON and not l.is_modern:  # the text is for people: `structuredContent` has no place for it yet
        more = b'"io.agentfabric/data":' + data_of(l.c)
    put_meta(l, lost, answered(l), more)
    put_u8(&l.out, c"}")
    return lost


cdef tuple put_failure(Lowering* l, tuple lost, bytes request_id, bytes server_info):
    """A JSON-RPC error or a tool's result when one is inside; else a result that says what failed."""
    cdef bytes words
    if l.shape.form != OBJECT:
        raise CodecError("an error whose data is no JSON object", protocol="mcp", clause="JSON-RPC 2.0 5.1")
    put_id(&l.out, l.c, request_id)
    failure = scan(data_of(l.c), protocol="mcp")
    inside = failure.object("data") if failure.kind("data") == "object" else None
    if inside is not None and inside.kind("code") == "number" and inside.kind("message") == "string":
        sort_rooms(l, NULL, 0)
        put(&l.out, b',"error":', 9)
        put_raw(&l.out, inside.raw)
        return (*lost, NO_METADATA)
    put(&l.out, b',"result":', 10)
    if inside is not None and inside.kind("content") == "array" and inside.get("isError") == b"true":
        sort_rooms(l, NULL, 0)
        put_raw(&l.out, inside.raw)
        return lost
    sort_rooms(l, b"result/", 7)
    put_u8(&l.out, c"{")
    if l.is_modern:
        put(&l.out, b'"resultType":"complete",', 24)
    words = (failure.text("message") if failure.kind("message") == "string" else "").encode() or b"the tool failed"
    put_text(&l.out, <const unsigned char*><const char*>words, len(words))
    put(&l.out, b',"isError":true,', 16)
    more = server_meta(l, server_info)
    told = b'"io.agentfabric/error":' + failure.raw
    put_meta(l, lost, answered(l), told if more is None else more + b"," + told)
    put_u8(&l.out, c"}")
    return lost


cdef int put_progress(Lowering* l, tuple lost, bytes progress_token) except -1:
    step = scan(data_of(l.c), protocol="mcp")
    if step.kind("progress") != "number":
        raise CodecError("a progress envelope without a number `progress`", protocol="mcp", clause="MCP progress")
    sort_rooms(l, b"params/", 7)
    put(&l.out, b',"method":"notifications/progress","params":{"progressToken":', 61)
    if progress_token is not None:
        put_raw(&l.out, progress_token)
    elif not put_typed_id(&l.out, l.c):
        put_own_id(&l.out, l.c)
    for name, kind in (("progress", "number"), ("total", "number"), ("message", "string")):
        if step.kind(name) == kind:
            put_raw(&l.out, b"," + quote(name) + b":" + step.get(name))
    put_room(&l.out, l.c, MEMBERS)
    put_u8(&l.out, c",")
    put_meta(l, lost, OWN_REQUEST | 1ULL << FABCORR | 1ULL << FABMETHOD, None)
    return put_u8(&l.out, c"}")


cdef int put_task_cancel(Lowering* l, tuple lost, bytes request_id) except -1:
    """The cancel of a task: a request of the tasks extension."""
    put_id(&l.out, l.c, request_id)
    sort_rooms(l, b"params/", 7)
    put(&l.out, b',"method":"tasks/cancel","params":{"taskId":', 44)
    put_place(&l.out, &l.c.known[SUBJECT])
    put_room(&l.out, l.c, MEMBERS)
    put_u8(&l.out, c",")
    more = request_meta(l, None) if l.shape.form == OBJECT else None
    if l.shape.form == OBJECT:
        more = (b"" if more is None else more + b",") + b'"io.agentfabric/data":' + data_of(l.c)
    put_meta(l, lost, OWN_REQUEST | 1ULL << FABCORR, more)
    return put_u8(&l.out, c"}")


cdef int put_cancel(Lowering* l, tuple lost, bytes request_id) except -1:
    put(&l.out, b',"method":"notifications/cancelled","params":{"requestId":', 58)
    if request_id is not None:
        put_raw(&l.out, request_id)
    elif not put_typed_id(&l.out, l.c):
        raise CodecError("a cancel envelope whose fabcorr names no request", protocol="mcp", clause="MCP cancellation")
    sort_rooms(l, b"params/", 7)
    if l.shape.form == OBJECT:
        given = scan(data_of(l.c), protocol="mcp")
        if given.kind("reason") == "string":
            put_raw(&l.out, b',"reason":' + given.get("reason"))
    put_room(&l.out, l.c, MEMBERS)
    put_u8(&l.out, c",")
    put_meta(l, lost, 1ULL << FABKIND | 1ULL << FABCORR | 1ULL << FABMETHOD, None)
    return put_u8(&l.out, c"}")


cdef int put_event(Lowering* l, tuple lost) except -1:
    """What MCP has no message for: a resource that changed, and to what."""
    cdef unsigned long long skip = 1ULL << SUBJECT
    sort_rooms(l, b"params/", 7)
    put(&l.out, b',"method":"notifications/resources/updated","params":{"uri":"fab://channel/', 75)
    if has(l.c, SUBJECT):
        put_uri_path(&l.out, &l.c.known[SUBJECT])
    put_u8(&l.out, c'"')
    put_room(&l.out, l.c, MEMBERS)
    if l.shape.form == TEXT and says(l.c, DATACONTENTTYPE, b"text/plain", 10):
        l.shape.tells_content = False
    if says(l.c, FABKIND, b"event", 5):
        skip |= 1ULL << FABKIND
    if says(l.c, FABMETHOD, b"notifications/resources/updated", 31):
        skip |= 1ULL << FABMETHOD
    put(&l.out, b',"_meta":{', 10)
    put_data(&l.out, l.shape.form, l.c, b"io.agentfabric/", 15)
    put_meta_members(l, lost, skip)
    return put(&l.out, b"}}", 2)
