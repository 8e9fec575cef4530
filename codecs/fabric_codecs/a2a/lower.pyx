"""Lower: an Envelope of any origin -> one A2A message, in JSON-RPC. JSON data is spliced in as it is.

In: an envelope. Out: `Translation[bytes]`. Above: `translate`. Below: `written`, `updates`. The way back is `lift`, whose table
has the same rows. Where a server answers the calls of its own tasks, `events` writes the answers.

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

from fabric_codecs.a2a.updates cimport put_artifact, put_status
from fabric_codecs.a2a.written cimport (
    Lowering, close_metadata, is_old_kind, natives_of, open_lowering, open_metadata, put_either, put_id, put_message,
    put_raw, put_told_id, spliced,
)
from fabric_codecs.core.forms cimport OBJECT
from fabric_codecs.core.marks cimport CORRELATIONID, FABCORR, FABKIND, FABMETHOD, FABVER, ID, SUBJECT, Value
from fabric_codecs.core.told cimport is_text, put_members, put_value_string
from fabric_codecs.core.writer cimport put, put_u8, writer_bytes, writer_free, writer_init
from fabric_codecs.envelope cimport Envelope

from fabric_codecs.a2a.spelling import to_new, to_old
from fabric_codecs.core.jsonscan import quote, scan
from fabric_codecs.errors import CodecError
from fabric_codecs.translate.losses import Loss, LossCode, Translation

__all__ = ["lower"]

cdef unsigned long long OF_EVENT = 1ULL << FABCORR | 1ULL << FABKIND | 1ULL << SUBJECT | 1ULL << CORRELATIONID
cdef object NO_METADATA = Loss(LossCode.NO_METADATA, "attributes", "a JSON-RPC error has no metadata")


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
        lost = open_lowering(&l, envelope, losses, kept)
        natives = natives_of(&l, envelope)
        put(&l.out, b'{"jsonrpc":"2.0","id":', 22)
        put_id(&l, request_id)
        lost = dispatch(&l, envelope, lost, natives, kept, task_id, context_id)
        if natives is not None:
            put_members(&l.out, natives.get("rpc"))
        put_u8(&l.out, c"}")
        message = writer_bytes(&l.out)
    finally:
        writer_free(&l.out)
    if version == "1.0":
        return Translation(to_new(message) if l.is_old else message, lost)
    return Translation(message if l.is_old else to_old(message), lost)


cdef tuple dispatch(Lowering* l, Envelope envelope, tuple lost, dict natives, list kept, str task_id, str context_id):
    cdef Value* kind = &l.told.known[FABKIND]
    if is_text(kind, b"request", 7):
        put_request(l, envelope, lost, natives, context_id, True)
    elif is_text(kind, b"error", 5) and l.form.form == OBJECT:
        return put_failure(l, envelope, lost)
    elif l.form.is_whole:
        put_whole(l, envelope, lost)
    elif is_text(kind, b"response", 8):
        put_response(l, envelope, lost, natives, task_id, context_id)
    elif is_text(kind, b"progress", 8) or is_text(kind, b"status", 6):
        put(&l.out, b',"result":', 10)
        return put_status(l, envelope, lost, natives, kept, task_id, context_id, OF_EVENT, True)
    elif is_text(kind, b"artifact", 8):
        put(&l.out, b',"result":', 10)
        return put_artifact(l, envelope, lost, natives, task_id, context_id, OF_EVENT)
    elif is_text(kind, b"cancel", 6):
        put_cancel(l, envelope, lost, natives, task_id)
    else:
        put_request(l, envelope, lost, natives, context_id, False)
    return lost


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
    if l.is_old and streams:
        put(&l.out, b',"method":"message/stream","params":{"message":', 47)
    elif l.is_old:
        put(&l.out, b',"method":"message/send","params":{"message":', 45)
    elif streams:
        put(&l.out, b',"method":"SendStreamingMessage","params":{"message":', 53)
    else:
        put(&l.out, b',"method":"SendMessage","params":{"message":', 44)
    if l.form.is_whole:
        put_raw(l, spliced(l, envelope.data, lost))
    else:
        put_message(l, envelope, lost, natives, context_id, None, is_request, sends)
    if natives is not None:
        put_beside(l, natives)
    if not is_request and not l.is_old and (natives is None or "params" not in natives):
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
    cdef Py_ssize_t start
    if task_id is None and l.told.known[SUBJECT].text == NULL:
        raise CodecError("a cancel envelope without a subject names no task", protocol="a2a", clause="A2A 1.0.1, 3.1.5")
    put(&l.out, b',"method":"CancelTask","params":{"id":', 38)
    put_either(l, task_id, &l.told.known[SUBJECT])
    given = scan(envelope.data, protocol="a2a") if l.form.form == OBJECT else None
    reason = given.get("reason") if given is not None else None
    start = open_metadata(l)
    if reason is not None:
        put_raw(l, b',"io.agentfabric/reason":' + reason)
    put_told_id(l)
    close_metadata(l, start, lost, natives, 1ULL << FABKIND | 1ULL << FABCORR | 1ULL << SUBJECT)
    return put_u8(&l.out, c"}")


# ---- Messages, tasks and their events


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
    if not named or l.is_old:
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


cdef tuple put_failure(Lowering* l, Envelope envelope, tuple lost):
    """The task or the JSON-RPC error that is inside; else an internal error whose details are the failure."""
    failure = scan(envelope.data, protocol="a2a")
    inside = failure.object("data") if failure.kind("data") == "object" else None
    if inside is not None and inside.kind("code") == "number" and inside.kind("message") == "string":
        put(&l.out, b',"error":', 9)
        put_raw(l, inside.raw)
    elif inside is not None and inside.kind("status") == "object" and is_event_method(&l.told.known[FABMETHOD]):
        l.is_old = not is_text(&l.told.known[FABVER], b"1.0", 3) and is_old_kind(inside)
        put_failed_task(l, inside.raw, lost)
    else:
        put_internal_error(l, failure)
        lost = (*lost, NO_METADATA)
    return lost


cdef int put_failed_task(Lowering* l, bytes raw, tuple lost) except -1:
    put(&l.out, b',"result":', 10)
    if is_text(&l.told.known[FABMETHOD], b"result", 6) or l.is_old:
        return put_raw(l, spliced(l, raw, lost))
    put_u8(&l.out, c"{")
    put_value_string(&l.out, &l.told.known[FABMETHOD])
    put_u8(&l.out, c":")
    put_raw(l, spliced(l, raw, lost))
    return put_u8(&l.out, c"}")


cdef int put_internal_error(Lowering* l, object failure) except -1:
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
