# Messages of A2A written: the one part, the metadata, and what else several messages have. Below `lower`.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memmove

from fabric_codecs.core.base64 cimport put_base64
from fabric_codecs.core.forms cimport BINARY, TEXT, is_usual_type, put_typed_id
from fabric_codecs.core.jsonwrite cimport put_string
from fabric_codecs.core.marks cimport (
    CORRELATIONID, DATACONTENTTYPE, FABCORR, FABKIND, FABLIVE, FABMETHOD, ID, TYPE, Value,
)
from fabric_codecs.core.told cimport is_text, put_losses, put_marks, put_members, put_rest, put_value_string, with_losses
from fabric_codecs.core.writer cimport Writer, put, put_u8, writer_bytes, writer_free, writer_init
from fabric_codecs.envelope cimport Envelope

from fabric_codecs.core.jsonscan import quote


cdef int put_raw(Lowering* l, bytes raw) except -1:
    return put(&l.out, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))


cdef int put_id(Lowering* l, bytes request_id) except -1:
    """The caller's, else the one in `fabcorr`, else the envelope's own."""
    if request_id is not None:
        return put_raw(l, request_id)
    if put_typed_id(&l.out, &l.told.known[FABCORR]):
        return 0
    return put_value_string(&l.out, &l.told.known[ID])


cdef int put_either(Lowering* l, str given, const Value* value) except -1:
    return put_raw(l, quote(given)) if given is not None else put_value_string(&l.out, value)


cdef int put_context(Lowering* l, str context_id) except -1:
    """`,"contextId":...` when the conversation is known."""
    if context_id is None and l.told.known[CORRELATIONID].text == NULL:
        return 0
    put(&l.out, b',"contextId":', 13)
    return put_either(l, context_id, &l.told.known[CORRELATIONID])


cdef int put_part(Lowering* l, bytes data) except -1:
    """The one part; a content type that it cannot say is told by a mark."""
    cdef const unsigned char* start = <const unsigned char*>PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef Value* media = &l.told.known[DATACONTENTTYPE]
    if l.is_raw or l.form.form == BINARY:
        put(&l.out, b'{"raw":"', 8)
        put_base64(&l.out, start, size)
        put_u8(&l.out, c'"')
    elif l.form.form == TEXT:
        put(&l.out, b'{"text":', 8)
        put_string(&l.out, start, size)
    else:
        put(&l.out, b'{"data":', 8)
        put(&l.out, start, size)
    if media.text != NULL:
        put(&l.out, b',"mediaType":', 13)
        put_value_string(&l.out, media)
    elif l.is_raw:
        put(&l.out, b',"mediaType":"application/json"', 31)
    return put_u8(&l.out, c"}")


cdef int put_metadata(Lowering* l, tuple lost, dict natives, unsigned long long skip, bytes more) except -1:
    """`,"metadata":{...}`: marks, losses, and what was kept; nothing when there is nothing to say."""
    cdef Writer* w = &l.out
    cdef Py_ssize_t start
    put(w, b',"metadata":{', 13)
    start = w.size
    if more is not None:
        put_raw(l, more)
    skip |= 1ULL << ID | 1ULL << DATACONTENTTYPE | 1ULL << FABLIVE
    if is_usual_type(&l.told):
        skip |= 1ULL << TYPE
    put_marks(w, &l.told, skip)
    put_losses(w, &l.told, lost, True)
    if natives is not None:
        put_members(w, natives.get("metadata"))
        put_rest(w, natives[""])
    if w.size == start:
        w.size = start - 13
        return 0
    if w.data[start] == c",":
        w.size -= 1
        memmove(w.data + start, w.data + start + 1, w.size - start)
    return put_u8(w, c"}")


cdef bytes spliced(Lowering* l, bytes raw, tuple lost):
    """Something whole."""
    return with_losses(raw, "metadata", &l.told, lost, True)


cdef int put_message(
    Lowering* l, Envelope envelope, tuple lost, dict natives, str context_id, str task_id, bint is_plain, bint sends,
) except -1:
    """A message of one part. `is_plain` when its place says the kind, `sends` when its method is said too."""
    cdef unsigned long long skip = 1ULL << CORRELATIONID
    put(&l.out, b'{"messageId":', 13)
    put_value_string(&l.out, &l.told.known[ID])
    role = member_of(natives, "role")
    put(&l.out, b',"role":', 8)
    put_raw(l, role if role is not None else b'"ROLE_AGENT"' if is_text(&l.told.known[FABKIND], b"response", 8) else b'"ROLE_USER"')
    put_context(l, context_id)
    if task_id is not None:
        put(&l.out, b',"taskId":', 10)
        put_raw(l, quote(task_id))
    put(&l.out, b',"parts":[', 10)
    put_part(l, envelope.data)
    put_u8(&l.out, c"]")
    if natives is not None:
        taken = ("role", "contextId", "messageId", "parts", "metadata") if task_id is None else (
            "role", "contextId", "messageId", "parts", "metadata", "taskId")
        put_members(&l.out, [one for one in natives.get("message", ()) if one[0] not in taken])
    if is_plain:
        skip |= 1ULL << FABKIND
    if sends:
        skip |= 1ULL << FABMETHOD
    if typed(l):
        skip |= 1ULL << FABCORR
    put_metadata(l, lost, natives, skip, None)
    return put_u8(&l.out, c"}")


cdef bytes member_of(dict natives, str name):
    if natives is not None:
        for found, value in natives.get("message", ()):
            if found == name:
                return value
    return None


cdef bint typed(Lowering* l) except -1:
    """Whether `fabcorr` is the JSON-RPC id already."""
    cdef Writer w
    writer_init(&w)
    try:
        return put_typed_id(&w, &l.told.known[FABCORR])
    finally:
        writer_free(&w)


cdef bytes told_id(Lowering* l, bytes more):
    """An event has no id of its own."""
    cdef Writer w
    writer_init(&w)
    try:
        put(&w, b'"io.agentfabric/id":', 20)
        put_value_string(&w, &l.told.known[ID])
        id = writer_bytes(&w)
    finally:
        writer_free(&w)
    return id if more is None else more + b"," + id
