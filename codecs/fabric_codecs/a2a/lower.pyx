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
    FRAME_BYTES, MESSAGE, METADATA, PARAMS, REQUEST, RESULT, RPC, Lowering, close_metadata, end_metadata, is_old_kind, knows,
    open_lowering, open_metadata, put_item, put_known, put_message, put_told_id, put_whole, sort_rooms,
)
from fabric_codecs.core.canonical cimport OBJECT, Canonical, close_canonical, data_of, has, open_canonical, says, tell_held
from fabric_codecs.core.enveloped cimport read_envelope
from fabric_codecs.core.jsondata cimport put_raw
from fabric_codecs.core.jsonlower cimport displace, has_member, put_id, put_place, put_room, with_unplaced
from fabric_codecs.core.marks cimport CORRELATIONID, FABCORR, FABKIND, FABMETHOD, FABVER, SUBJECT
from fabric_codecs.core.writer cimport put, put_u8, writer_bytes, writer_free, writer_on
from fabric_codecs.envelope cimport Envelope
from fabric_codecs.losses cimport Translation, translation_of

from fabric_codecs.a2a.spelling import to_new, to_old
from fabric_codecs.core.jsonscan import quote, scan
from fabric_codecs.errors import CodecError
from fabric_codecs.losses import Loss, LossCode

__all__ = ["lower"]

cdef str NEW = "1.0"
cdef unsigned long long OF_EVENT = 1ULL << FABCORR | 1ULL << FABKIND | 1ULL << SUBJECT | 1ULL << CORRELATIONID
cdef object NO_METADATA = Loss(LossCode.NO_METADATA, "attributes", "a JSON-RPC error has no metadata")


def lower(
    Envelope envelope not None, *, str version=NEW, bytes request_id=None, str task_id=None, str context_id=None,
    tuple losses=(),
):
    cdef Canonical c
    open_canonical(&c)
    try:
        read_envelope(&c, envelope, NULL)
        return message_of(&c, version, request_id, task_id, context_id, losses)
    finally:
        close_canonical(&c)


cdef Translation message_of(Canonical* c, str version, bytes request_id, str task_id, str context_id, tuple losses):
    """`lower`, for `translate`."""
    cdef unsigned char memory[FRAME_BYTES + 512]
    cdef Lowering l
    cdef tuple lost
    writer_on(&l.out, memory, sizeof(memory))
    try:
        lost = open_lowering(&l, c, task_id, context_id, losses)
        put(&l.out, b'{"jsonrpc":"2.0"', 16)
        put_id(&l.out, c, request_id)
        lost = dispatch(&l, lost)
        put_room(&l.out, c, RPC)
        put_u8(&l.out, c"}")
        return translation_of(spelled(&l, version), lost)
    finally:
        writer_free(&l.out)


cdef bytes spelled(Lowering* l, str version):
    """The message in the words of that version."""
    cdef bint is_new = version is NEW or version == NEW
    cdef bytes message = writer_bytes(&l.out)
    if is_new == l.is_old:
        return to_new(message) if is_new else to_old(message)
    return message


cdef tuple dispatch(Lowering* l, tuple lost):
    """Writes the message; what was lost in the end."""
    cdef Canonical* c = l.c
    if says(c, FABKIND, b"request", 7):
        return put_request(l, lost)
    if says(c, FABKIND, b"error", 5) and l.shape.form == OBJECT:
        return put_failure(l, lost)
    if says(c, FABKIND, b"cancel", 6):
        return put_operation(l, lost) if l.shape.is_whole and has(c, FABMETHOD) else put_cancel(l, lost)
    if l.shape.is_whole:
        return put_result(l, lost)
    if says(c, FABKIND, b"response", 8):
        return put_response(l, lost)
    if says(c, FABKIND, b"progress", 8) or says(c, FABKIND, b"status", 6):
        return put_update(l, lost, False)
    if says(c, FABKIND, b"artifact", 8):
        return put_update(l, lost, True)
    return put_event(l, lost)


# ---- Operations


cdef bint is_streaming(Lowering* l) noexcept nogil:
    """Whether the method is one that sends a message and streams the answer, in either version's spelling."""
    return says(l.c, FABMETHOD, b"SendStreamingMessage", 20) or says(l.c, FABMETHOD, b"message/stream", 14)


cdef bint is_sending(Lowering* l) noexcept nogil:
    return is_streaming(l) or says(l.c, FABMETHOD, b"SendMessage", 11) or says(l.c, FABMETHOD, b"message/send", 12)


cdef tuple put_request(Lowering* l, tuple lost):
    if l.shape.is_whole and has(l.c, FABMETHOD) and not is_sending(l):
        return put_operation(l, lost)
    lost = put_send(l, lost, True)
    put_u8(&l.out, c"}")
    return lost


cdef tuple put_event(Lowering* l, tuple lost):
    """A message that waits for nothing."""
    lost = put_send(l, lost, False)
    if not has_member(l.c, PARAMS, b"configuration", 13):
        put(&l.out, b',"configuration":{"returnImmediately":true}', 43)
    put_u8(&l.out, c"}")
    return lost


cdef tuple put_send(Lowering* l, tuple lost, bint is_request):
    """The operation that sends a message, but for the end of its params."""
    put_send_method(l)
    if l.shape.is_whole:
        sort_rooms(l, 1 << RPC | 1 << PARAMS | 1 << REQUEST)
    else:
        sort_rooms(l, 1 << RPC | 1 << PARAMS | 1 << REQUEST | 1 << MESSAGE | 1 << METADATA)
    displace(l.c, PARAMS, b"message", 7)
    displace(l.c, PARAMS, b"metadata", 8)
    if l.shape.is_whole:
        lost = put_whole(l, lost)
    else:
        put_message(l, lost, is_request, is_sending(l))
    put_request_metadata(l)
    put_room(&l.out, l.c, PARAMS)
    return lost


cdef int put_send_method(Lowering* l) except -1:
    cdef bint streams = is_streaming(l)
    if l.is_old and streams:
        return put(&l.out, b',"method":"message/stream","params":{"message":', 47)
    if l.is_old:
        return put(&l.out, b',"method":"message/send","params":{"message":', 45)
    if streams:
        return put(&l.out, b',"method":"SendStreamingMessage","params":{"message":', 53)
    return put(&l.out, b',"method":"SendMessage","params":{"message":', 44)


cdef int put_request_metadata(Lowering* l) except -1:
    """Metadata that the request had beside those of the message."""
    cdef Py_ssize_t start = open_metadata(l)
    put_room(&l.out, l.c, REQUEST)
    return end_metadata(l, start)


cdef tuple put_operation(Lowering* l, tuple lost):
    """Any other operation, whole."""
    sort_rooms(l, 1 << RPC)
    put(&l.out, b',"method":', 10)
    put_place(&l.out, &l.c.known[FABMETHOD])
    put(&l.out, b',"params":', 10)
    put(&l.out, l.c.data.text, l.c.data.size)
    return with_unplaced(l.c, lost)


cdef tuple put_cancel(Lowering* l, tuple lost):
    cdef Py_ssize_t start
    if not knows(l, &l.task, SUBJECT):
        raise CodecError("a cancel envelope without a subject names no task", protocol="a2a", clause="A2A 1.0.1, 3.1.5")
    sort_rooms(l, 1 << RPC | 1 << METADATA)
    put(&l.out, b',"method":"CancelTask","params":{"id":', 38)
    put_known(l, &l.task, SUBJECT)
    start = open_metadata(l)
    reason = scan(data_of(l.c), protocol="a2a").get("reason") if l.shape.form == OBJECT else None
    if reason is not None:
        put_raw(&l.out, b',"io.agentfabric/reason":' + reason)
    put_told_id(l)
    close_metadata(l, start, lost, 1ULL << FABKIND | 1ULL << FABCORR | 1ULL << SUBJECT)
    put_u8(&l.out, c"}")
    return lost


# ---- Messages, tasks and their events


cdef tuple put_result(Lowering* l, tuple lost):
    """A message, a task or an event that came whole, in its place in a StreamResponse; or a result as it is."""
    put(&l.out, b',"result":', 10)
    if not l.is_old and (is_of_task(l) or says(l.c, FABMETHOD, b"message", 7) or says(l.c, FABMETHOD, b"artifactUpdate", 14)):
        sort_rooms(l, 1 << RPC | 1 << RESULT)
        return put_item(l, lost)
    sort_rooms(l, 1 << RPC)
    return put_whole(l, lost)


cdef inline bint is_of_task(Lowering* l) noexcept nogil:
    return says(l.c, FABMETHOD, b"task", 4) or says(l.c, FABMETHOD, b"statusUpdate", 12)


cdef tuple put_response(Lowering* l, tuple lost):
    sort_rooms(l, 1 << RPC | 1 << MESSAGE | 1 << METADATA | 1 << RESULT)
    displace(l.c, RESULT, b"message", 7)
    put(&l.out, b',"result":{"message":', 21)
    put_message(l, lost, True, says(l.c, FABMETHOD, b"message", 7))
    put_room(&l.out, l.c, RESULT)
    put_u8(&l.out, c"}")
    return lost


cdef tuple put_update(Lowering* l, tuple lost, bint is_artifact):
    sort_rooms(l, 1 << RPC | 1 << METADATA | 1 << RESULT)
    put(&l.out, b',"result":', 10)
    if is_artifact:
        displace(l.c, RESULT, b"artifactUpdate", 14)
        lost = put_artifact(l, lost, OF_EVENT)
    else:
        displace(l.c, RESULT, b"statusUpdate", 12)
        lost = put_status(l, lost, OF_EVENT, True)
    put_room(&l.out, l.c, RESULT)
    put_u8(&l.out, c"}")
    return lost


# ---- Failures


cdef tuple put_failure(Lowering* l, tuple lost):
    """The task or the JSON-RPC error that is inside; else an internal error whose details are the failure."""
    failure = scan(data_of(l.c), protocol="a2a")
    inside = failure.object("data") if failure.kind("data") == "object" else None
    if inside is not None and inside.kind("code") == "number" and inside.kind("message") == "string":
        put(&l.out, b',"error":', 9)
        put_raw(&l.out, inside.raw)
    elif inside is not None and inside.kind("status") == "object" and (is_of_task(l) or says(l.c, FABMETHOD, b"result", 6)):
        l.is_old = not says(l.c, FABVER, b"1.0", 3) and is_old_kind(inside)
        tell_held(l.c, inside.raw)
        return put_result(l, lost)
    else:
        put_internal_error(l, failure)
    sort_rooms(l, 1 << RPC)
    return (*lost, NO_METADATA)


cdef int put_internal_error(Lowering* l, object failure) except -1:
    words = failure.text("message") if failure.kind("message") == "string" else ""
    code = failure.text("code") if failure.kind("code") == "string" else ""
    put(&l.out, b',"error":{"code":-32603,"message":', 34)
    put_raw(&l.out, quote(words or code or "the call failed"))
    put(&l.out, b',"data":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":', 70)
    put_raw(&l.out, quote((code or "internal").upper()))
    put(&l.out, b',"domain":"io.agentfabric"},{"@type":"type.googleapis.com/google.protobuf.Struct","value":', 90)
    put_raw(&l.out, failure.raw)
    return put(&l.out, b"}]}", 3)
