"""Lower: an Envelope of any origin -> one A2A message, in JSON-RPC. JSON data is spliced in as it is.

In: an envelope. Out: `Translation[bytes]`. Above: the edge, `translate`. Below: `core.told`, `core.forms`. The way back is
`lift`, whose table has the same rows.

| fabkind                           | becomes                                                                              |
|-----------------------------------|--------------------------------------------------------------------------------------|
| request                           | SendMessage, or SendStreamingMessage when it came as one                             |
| event, presence, others           | SendMessage that returns immediately, with a mark for the kind                       |
| response                          | a result: the agent's message                                                        |
| error                             | the task or error that is inside; else -32603 with the failure as a detail           |
| progress, status                  | statusUpdate of the task, in state WORKING                                           |
| artifact                          | artifactUpdate of the task                                                           |
| cancel                            | CancelTask                                                                           |
| data of type application/a2a+json | what it was: a message, task, event or params                                        |

Data is one part: `data`, `text`, or `raw`; JSON that has more digits than a double is `raw` too, for receivers hold doubles.
Attributes are marks (`core.marks`) in `metadata`; native entries go back to where they came from, or ride in
`metadata["io.agentfabric/native"]`. The JSON-RPC id is the one in `fabcorr`, else the envelope's.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcmp, memmove

from fabric_codecs.core.base64 cimport put_base64
from fabric_codecs.core.forms cimport BINARY, JSON, OBJECT, TEXT, Form, is_usual_type, judge, put_typed_id
from fabric_codecs.core.jsonwrite cimport put_string
from fabric_codecs.core.marks cimport (
    CORRELATIONID, DATACONTENTTYPE, EXPIRYTIME, FABCORR, FABKIND, FABLIVE, FABLOSS, FABMETHOD, FABVER, ID, SUBJECT, TIME, TYPE, Value,
)
from fabric_codecs.core.told cimport (
    Told, is_text, native_rooms, put_losses, put_marks, put_members, put_rest, put_value_string, read_told,
)
from fabric_codecs.core.writer cimport Writer, put, put_u8, reserve, writer_bytes, writer_free, writer_init
from fabric_codecs.envelope cimport Envelope

from fabric_codecs.a2a.lift import WHOLE
from fabric_codecs.a2a.numbers import survives_doubles
from fabric_codecs.core.jsonscan import quote, scan
from fabric_codecs.errors import CodecError
from fabric_codecs.translate.losses import Loss, LossCode, Translation

__all__ = ["lower"]

cdef frozenset ROOMS = frozenset(("message", "metadata", "params", "request", "result", "rpc"))
cdef object EXPIRY_UNENFORCED = Loss(
    LossCode.EXPIRY_UNENFORCED, "expirytime", "told in metadata; an A2A message does not expire"
)
cdef object NOT_JSON = Loss(LossCode.CONTENT_TYPE_GUESSED, "data", "said to be JSON, and is none: sent as text or bytes")
cdef object TASK_ALIASED = Loss(LossCode.TASK_ID_ALIASED, "task", "the envelope names no task: its own id stands for one")
cdef dict STATES = {  # of an MCP task (SEP-2663)
    "working": "TASK_STATE_WORKING", "input_required": "TASK_STATE_INPUT_REQUIRED", "completed": "TASK_STATE_COMPLETED",
    "failed": "TASK_STATE_FAILED", "cancelled": "TASK_STATE_CANCELED",
}


cdef enum:
    FRAME_BYTES = 1024  # what stands around the data has 300 to 900 bytes: grown at once


cdef struct Lowering:
    Told told
    Writer out
    Form form
    bint is_raw  # JSON that goes as bytes


def lower(
    Envelope envelope not None, *, str version="1.0", bytes request_id=None, str task_id=None, str context_id=None,
    tuple losses=(),
):
    cdef Lowering l
    cdef list kept = []
    cdef dict natives
    cdef tuple lost
    writer_init(&l.out)
    try:
        reserve(&l.out, PyBytes_GET_SIZE(envelope.data) + FRAME_BYTES)
        read_told(envelope, &l.told, kept)
        judge(&l.form, envelope, &l.told, WHOLE)
        l.is_raw = l.form.long_numbers and l.form.form <= JSON and not survives_doubles(envelope.data)
        lost = losses if not l.form.is_guessed else (*losses, NOT_JSON)
        if l.told.known[EXPIRYTIME].text != NULL:
            lost = (*lost, EXPIRY_UNENFORCED)
        natives = native_rooms(envelope, &l.told, ROOMS) if l.told.native.text != NULL else None
        put(&l.out, b'{"jsonrpc":"2.0","id":', 22)
        put_id(&l, request_id)
        lost = dispatch(&l, envelope, lost, natives, task_id, context_id)
        if natives is not None:
            put_members(&l.out, natives.get("rpc"))
        put_u8(&l.out, c"}")
        message = writer_bytes(&l.out)
    finally:
        writer_free(&l.out)
    if version != "1.0":
        message = old_spelling(message)
    return Translation(message, lost)


cdef bytes old_spelling(bytes message):
    from fabric_codecs.a2a.spelling import to_0_3

    return to_0_3(message)


cdef tuple dispatch(Lowering* l, Envelope envelope, tuple lost, dict natives, str task_id, str context_id):
    cdef Value* kind = &l.told.known[FABKIND]
    if is_text(kind, b"request", 7):
        put_request(l, envelope, lost, natives, context_id, True)
    elif is_text(kind, b"error", 5) and l.form.form == OBJECT:
        put_failure(l, envelope, lost, natives)
    elif l.form.is_whole:
        put_whole(l, envelope, lost)
    elif is_text(kind, b"response", 8):
        put_response(l, envelope, lost, natives, task_id, context_id)
    elif is_text(kind, b"progress", 8) or is_text(kind, b"status", 6):
        return put_status(l, envelope, lost, natives, task_id, context_id)
    elif is_text(kind, b"artifact", 8):
        return put_artifact(l, envelope, lost, natives, task_id, context_id)
    elif is_text(kind, b"cancel", 6):
        put_cancel(l, envelope, lost, natives, task_id)
    else:
        put_request(l, envelope, lost, natives, context_id, False)
    return lost


# ---- Members that several messages have


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
    """Something whole; what was lost is told in its metadata, every other byte stays."""
    cdef Writer w
    if not lost and l.told.known[FABLOSS].text == NULL:
        return raw
    writer_init(&w)
    try:
        put_losses(&w, &l.told, lost, True)
        told = writer_bytes(&w).partition(b":")[2]
    finally:
        writer_free(&w)
    body = scan(raw, protocol="a2a")
    metadata = body.object("metadata") if body.kind("metadata") == "object" else None
    if metadata is None:
        return body.splice("metadata", b'{"io.agentfabric/loss":' + told + b"}")
    return body.splice("metadata", metadata.splice("io.agentfabric/loss", told))


# ---- Operations


cdef bint is_send(Lowering* l, bint* streams) noexcept nogil:
    """Whether the method is one that sends a message, in either version's spelling."""
    cdef Value* method = &l.told.known[FABMETHOD]
    streams[0] = is_text(method, b"SendStreamingMessage", 20) or is_text(method, b"message/stream", 14)
    return streams[0] or is_text(method, b"SendMessage", 11) or is_text(method, b"message/send", 12)


cdef int put_request(Lowering* l, Envelope envelope, tuple lost, dict natives, str context_id, bint is_request) except -1:
    cdef bint streams
    cdef bint sends = is_send(l, &streams)
    if l.form.is_whole and not sends and is_request and l.told.known[FABMETHOD].text != NULL:
        return put_operation(l, envelope, lost)
    if streams:
        put(&l.out, b',"method":"SendStreamingMessage","params":{"message":', 53)
    else:
        put(&l.out, b',"method":"SendMessage","params":{"message":', 44)
    if l.form.is_whole:
        put_raw(l, spliced(l, envelope.data, lost))
    else:
        put_message(l, envelope, lost, natives, context_id, None, is_request, sends)
    if natives is not None:
        put_beside(l, natives)
    if not is_request and (natives is None or "params" not in natives):
        put(&l.out, b',"configuration":{"returnImmediately":true}', 43)
    return put_u8(&l.out, c"}")


cdef int put_beside(Lowering* l, dict natives) except -1:
    """Members of the params, and metadata of the request."""
    outer = natives.get("request")
    if outer:
        put(&l.out, b',"metadata":{', 13)
        put_raw(l, b",".join([quote(name) + b":" + value for name, value in outer]))
        put_u8(&l.out, c"}")
    return put_members(&l.out, [one for one in natives.get("params", ()) if one[0] not in ("message", "metadata")])


cdef int put_operation(Lowering* l, Envelope envelope, tuple lost) except -1:
    """Any other operation, whole."""
    put(&l.out, b',"method":', 10)
    put_value_string(&l.out, &l.told.known[FABMETHOD])
    put(&l.out, b',"params":', 10)
    return put_raw(l, envelope.data)


cdef int put_cancel(Lowering* l, Envelope envelope, tuple lost, dict natives, str task_id) except -1:
    if task_id is None and l.told.known[SUBJECT].text == NULL:
        raise CodecError("a cancel envelope without a subject names no task", protocol="a2a", clause="A2A 1.0.1, 3.1.5")
    put(&l.out, b',"method":"CancelTask","params":{"id":', 38)
    put_either(l, task_id, &l.told.known[SUBJECT])
    given = scan(envelope.data, protocol="a2a") if l.form.form == OBJECT else None
    reason = given.get("reason") if given is not None else None
    more = None if reason is None else b'"io.agentfabric/reason":' + reason
    put_metadata(l, lost, natives, 1ULL << FABKIND | 1ULL << FABCORR | 1ULL << SUBJECT, told_id(l, more))
    return put_u8(&l.out, c"}")


# ---- Messages, tasks and their events


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


cdef int put_whole(Lowering* l, Envelope envelope, tuple lost) except -1:
    """A message, a task or an event that came whole, in its place in a StreamResponse; or a result as it is."""
    cdef Value* method = &l.told.known[FABMETHOD]
    if is_text(&l.told.known[FABKIND], b"cancel", 6):
        return put_operation(l, envelope, lost)
    put(&l.out, b',"result":', 10)
    named = (
        is_text(method, b"message", 7) or is_text(method, b"task", 4) or is_text(method, b"statusUpdate", 12)
        or is_text(method, b"artifactUpdate", 14)
    )
    if not named or scan(envelope.data, protocol="a2a").kind("kind") == "string":
        return put_raw(l, spliced(l, envelope.data, lost))
    put_u8(&l.out, c"{")
    put_value_string(&l.out, method)
    put_u8(&l.out, c":")
    put_raw(l, spliced(l, envelope.data, lost))
    return put_u8(&l.out, c"}")


cdef int put_response(Lowering* l, Envelope envelope, tuple lost, dict natives, str task_id, str context_id) except -1:
    put(&l.out, b',"result":{"message":', 21)
    put_message(l, envelope, lost, natives, context_id, task_id, True, is_text(&l.told.known[FABMETHOD], b"message", 7))
    return put_u8(&l.out, c"}")


cdef tuple put_task(Lowering* l, tuple lost, str task_id, str context_id):
    """`"taskId":...,"contextId":...`; what the envelope's task is called."""
    cdef Value* task = &l.told.known[SUBJECT]
    if task_id is None and task.text == NULL:
        task = &l.told.known[ID]
        lost = (*lost, TASK_ALIASED)
    put(&l.out, b'"taskId":', 9)
    put_either(l, task_id, task)
    if context_id is None and l.told.known[CORRELATIONID].text == NULL:
        put(&l.out, b',"contextId":""', 15)
    else:
        put_context(l, context_id)
    return lost


cdef unsigned long long OF_EVENT = 1ULL << FABCORR | 1ULL << FABKIND | 1ULL << SUBJECT | 1ULL << CORRELATIONID


cdef tuple put_status(Lowering* l, Envelope envelope, tuple lost, dict natives, str task_id, str context_id):
    """A step of the work, or a status of another protocol in the words of A2A."""
    step = scan(envelope.data, protocol="a2a") if l.form.form == OBJECT else None
    is_step = step is not None and step.kind("progress") == "number"
    put(&l.out, b',"result":{"statusUpdate":{', 27)
    lost = put_task(l, lost, task_id, context_id)
    put(&l.out, b',"status":{"state":"', 20)
    state = step.text("status") if step is not None and not is_step and step.kind("status") == "string" else None
    put_raw(l, STATES.get(state, "TASK_STATE_WORKING").encode())
    put_u8(&l.out, c'"')
    if l.told.known[TIME].text != NULL:
        put(&l.out, b',"timestamp":', 13)
        put_value_string(&l.out, &l.told.known[TIME])
    if not is_step or step.kind("message") == "string":
        put(&l.out, b',"message":{"messageId":', 24)
        put_value_string(&l.out, &l.told.known[ID])
        put(&l.out, b',"role":"ROLE_AGENT","parts":[', 30)
        if is_step:
            put_raw(l, b'{"text":' + step.get("message") + b',"mediaType":"text/plain"}')
        else:
            put_part(l, envelope.data)
        put(&l.out, b"]}", 2)
    put_u8(&l.out, c"}")
    more = None
    if is_step:
        more = b'"io.agentfabric/progress":' + step.get("progress")
        if step.kind("total") == "number":
            more += b',"io.agentfabric/total":' + step.get("total")
    put_metadata(l, lost, natives, OF_EVENT, told_id(l, more))
    put(&l.out, b"}}", 2)
    return lost


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


cdef tuple put_artifact(Lowering* l, Envelope envelope, tuple lost, dict natives, str task_id, str context_id):
    put(&l.out, b',"result":{"artifactUpdate":{', 29)
    lost = put_task(l, lost, task_id, context_id)
    put(&l.out, b',"artifact":{"artifactId":', 26)
    put_value_string(&l.out, &l.told.known[ID])
    put(&l.out, b',"parts":[', 10)
    put_part(l, envelope.data)
    put(&l.out, b"]}", 2)
    put_metadata(l, lost, natives, OF_EVENT, told_id(l, None))
    put(&l.out, b"}}", 2)
    return lost


cdef int put_failure(Lowering* l, Envelope envelope, tuple lost, dict natives) except -1:
    """The task or the JSON-RPC error that is inside; else an internal error whose details are the failure."""
    failure = scan(envelope.data, protocol="a2a")
    inside = failure.object("data") if failure.kind("data") == "object" else None
    if inside is not None and inside.kind("code") == "number" and inside.kind("message") == "string":
        put(&l.out, b',"error":', 9)
        return put_raw(l, inside.raw)
    if inside is not None and inside.kind("status") == "object" and is_event_method(&l.told.known[FABMETHOD]):
        put(&l.out, b',"result":', 10)
        if is_text(&l.told.known[FABMETHOD], b"result", 6) or inside.kind("kind") == "string":
            return put_raw(l, spliced(l, inside.raw, lost))
        put_u8(&l.out, c"{")
        put_value_string(&l.out, &l.told.known[FABMETHOD])
        put_u8(&l.out, c":")
        put_raw(l, spliced(l, inside.raw, lost))
        return put_u8(&l.out, c"}")
    words = failure.text("message") if failure.kind("message") == "string" else ""
    code = failure.text("code") if failure.kind("code") == "string" else ""
    put(&l.out, b',"error":{"code":-32603,"message":', 34)
    put_raw(l, quote(words or code or "the call failed"))
    put(&l.out, b',"data":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":', 70)
    put_raw(l, quote((code or "internal").upper()))
    put(&l.out, b',"domain":"io.agentfabric"},{"@type":"type.googleapis.com/google.protobuf.Struct","value":', 90)
    put_raw(l, failure.raw)
    return put(&l.out, b"}]}", 3)


cdef bint is_event_method(const Value* method) noexcept nogil:
    return is_text(method, b"task", 4) or is_text(method, b"statusUpdate", 12) or is_text(method, b"result", 6)
