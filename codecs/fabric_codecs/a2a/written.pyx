# Messages of A2A written: what an envelope holds, the one part, the metadata, and what else several messages have. Below `lower`
# and `events`.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.string cimport memmove

from fabric_codecs.core.base64 cimport put_base64
from fabric_codecs.core.forms cimport BINARY, JSON, TEXT, is_usual_type, judge, put_typed_id
from fabric_codecs.core.jsonwrite cimport put_string
from fabric_codecs.core.marks cimport (
    CORRELATIONID, DATACONTENTTYPE, EXPIRYTIME, FABCORR, FABKIND, FABLIVE, FABMETHOD, FABVER, ID, TYPE, Value,
)
from fabric_codecs.core.told cimport (
    is_text, native_rooms, put_losses, put_marks, put_members, put_rest, put_value_string, read_told, with_losses,
)
from fabric_codecs.core.writer cimport Writer, put, put_u8, reserve, writer_free, writer_init
from fabric_codecs.envelope cimport Envelope

from fabric_codecs.a2a.lift import WHOLE
from fabric_codecs.a2a.numbers import survives_doubles
from fabric_codecs.core.jsonscan import scan
from fabric_codecs.errors import CodecError
from fabric_codecs.translate.losses import Loss, LossCode

cdef frozenset ROOMS = frozenset(("message", "metadata", "params", "request", "result", "rpc"))
cdef frozenset OLD_KINDS = frozenset(("task", "message", "status-update", "artifact-update"))
cdef object EXPIRY_UNENFORCED = Loss(
    LossCode.EXPIRY_UNENFORCED, "expirytime", "told in metadata; an A2A message does not expire"
)
cdef object NOT_JSON = Loss(LossCode.CONTENT_TYPE_GUESSED, "data", "said to be JSON, and is none: sent as text or bytes")

cdef enum:
    FRAME_BYTES = 1024  # what stands around the data has 300 to 900 bytes: grown at once


cdef tuple open_lowering(Lowering* l, Envelope envelope, tuple losses, list kept):
    """What the envelope holds, and what is lost whatever it becomes. `kept` holds what the places point into."""
    reserve(&l.out, PyBytes_GET_SIZE(envelope.data) + FRAME_BYTES)
    read_told(envelope, &l.told, kept)
    judge(&l.form, envelope, &l.told, WHOLE)
    l.is_old = is_old(l, envelope)
    l.is_raw = l.form.long_numbers and l.form.form <= JSON and not survives_doubles(envelope.data)
    if l.form.is_guessed:
        losses = (*losses, NOT_JSON)
    return losses if l.told.known[EXPIRYTIME].text == NULL else (*losses, EXPIRY_UNENFORCED)


cdef dict natives_of(Lowering* l, Envelope envelope):
    """The native entries by the rooms of `lift`; None when there are none."""
    return None if l.told.native.text == NULL else native_rooms(envelope, &l.told, ROOMS)


cdef bint is_old(Lowering* l, Envelope envelope) except -1:
    """Whether something whole is spelled as 0.3 has it."""
    cdef Value* version = &l.told.known[FABVER]
    if not l.form.is_whole or is_text(version, b"1.0", 3):
        return False
    return is_text(version, b"0.3", 3) or is_old_kind(scan(envelope.data, protocol="a2a"))


cdef bint is_old_kind(object body):
    """Whether an object says what it is as 0.3 does. (It has come by another protocol, which told no version.)"""
    return body.kind("kind") == "string" and body.text("kind") in OLD_KINDS


cdef int put_str(Writer* w, str text) except -1:
    """A text as a JSON string."""
    cdef Py_ssize_t size
    cdef const char* utf8
    try:
        utf8 = PyUnicode_AsUTF8AndSize(text, &size)
    except UnicodeEncodeError as error:
        raise CodecError("a lone surrogate is no text", protocol="a2a", clause="RFC 7493 2.1") from error
    return put_string(w, <const unsigned char*>utf8, size)


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
    return put_str(&l.out, given) if given is not None else put_value_string(&l.out, value)


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


cdef Py_ssize_t open_metadata(Lowering* l) except -1:
    """Where metadata begin; what is put there before `close_metadata` begins with a comma."""
    put(&l.out, b',"metadata":{', 13)
    return l.out.size


cdef int close_metadata(Lowering* l, Py_ssize_t start, tuple lost, dict natives, unsigned long long skip) except -1:
    """The rest of `,"metadata":{...}`: marks, losses, and what was kept; nothing at all when there is nothing to say."""
    cdef Writer* w = &l.out
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
    w.size -= 1  # the comma before the first
    memmove(w.data + start, w.data + start + 1, w.size - start)
    return put_u8(w, c"}")


cdef int put_told_id(Lowering* l) except -1:
    """An event has no id of its own."""
    put(&l.out, b',"io.agentfabric/id":', 21)
    return put_value_string(&l.out, &l.told.known[ID])


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
        put_str(&l.out, task_id)
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
    close_metadata(l, open_metadata(l), lost, natives, skip)
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
