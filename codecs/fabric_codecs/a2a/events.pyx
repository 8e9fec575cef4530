"""Events: the envelopes of a call -> the events of the A2A task that stands for it. JSON data is spliced in as it is.

In: an envelope that an agent sent to its caller, and the ids of the task. Out: `Translation` of StreamResponses (A2A 1.0.1, 3.2.3),
raw, each to be put into a JSON-RPC result; `spelling.to_old` spells that for 0.3. Above: the edge. Below: `updates`, `written`.
The way back is `lift`.

| fabkind              | becomes                                                           | state                         |
|----------------------|-------------------------------------------------------------------|-------------------------------|
| progress             | statusUpdate: its words as the message, its numbers as marks      | WORKING                       |
| status               | statusUpdate: the data as the message                             | as it says; not ended         |
| artifact             | artifactUpdate                                                    |                               |
| response             | artifactUpdate unless the result is null, and then a statusUpdate | COMPLETED                     |
| error                | statusUpdate: its sentence as the message, the rest as marks      | FAILED, REJECTED, CANCELED    |
| an A2A update, whole | the same, of this task                                            | as it was                     |

A result that is a JSON string is text. Attributes are marks in the update's `metadata`, `io.agentfabric/fabkind` among them where
the update alone does not say it: the artifact of a response is the response, and the status behind it only ends the task.
"""

from fabric_codecs.a2a.updates cimport (
    Body, open_artifact, open_status, put_artifact, put_failure_marks, put_failure_words, put_kind, put_said, put_status,
    read_body, state_of_failure,
)
from fabric_codecs.a2a.written cimport (
    FRAME_BYTES, METADATA, RESULT, Lowering, close_metadata, open_lowering, open_metadata, put_item, put_part, put_told_id, sort_rooms,
)
from fabric_codecs.core.canonical cimport JSON, Canonical, close_canonical, data_of, has, open_canonical, says, tell_held
from fabric_codecs.core.enveloped cimport read_envelope
from fabric_codecs.core.jsonlower cimport displace, put_place
from fabric_codecs.core.marks cimport CAUSATIONID, CORRELATIONID, DATACONTENTTYPE, FABCORR, FABKIND, FABMETHOD
from fabric_codecs.core.writer cimport put, put_u8, writer_bytes, writer_free, writer_on
from fabric_codecs.envelope cimport Envelope
from fabric_codecs.losses cimport translation_of

from fabric_codecs.core.jsonscan import quote, scan
from fabric_codecs.errors import CodecError
from fabric_codecs.losses import Loss, LossCode

__all__ = ["lower_events"]

cdef object TASK_ALIASED = Loss(LossCode.TASK_ID_ALIASED, "taskId", "the update is told under the ids of the caller's task")
cdef unsigned long long BESIDE = 1ULL << FABCORR | 1ULL << FABKIND  # told by the frame, and by the update
cdef unsigned long long ALL_BUT_STORY = ~(1ULL << CAUSATIONID | 1ULL << CORRELATIONID)


def lower_events(Envelope envelope not None, *, str task_id not None, str context_id not None, tuple losses=()):
    cdef unsigned char memory[FRAME_BYTES + 512]
    cdef Canonical c
    cdef Lowering l
    cdef list events = []
    open_canonical(&c)
    writer_on(&l.out, memory, sizeof(memory))
    try:
        read_envelope(&c, envelope, NULL)
        losses = open_lowering(&l, &c, task_id, context_id, losses)
        if is_update(&l):
            losses = pass_update(&l, losses, events, task_id, context_id)
        else:
            sort_rooms(&l, 1 << METADATA)
            dispatch(&l, losses, events, envelope)
        return translation_of(tuple(events), losses)
    finally:
        writer_free(&l.out)
        close_canonical(&c)


cdef int dispatch(Lowering* l, tuple lost, list events, Envelope envelope) except -1:
    if says(l.c, FABKIND, b"response", 8):
        return put_response(l, lost, events)
    if says(l.c, FABKIND, b"error", 5):
        put_error(l, lost)
    elif says(l.c, FABKIND, b"progress", 8) or says(l.c, FABKIND, b"status", 6):
        put_status(l, lost, BESIDE, False)
    elif says(l.c, FABKIND, b"artifact", 8):
        put_artifact(l, lost, BESIDE)
    else:
        what = f"an envelope of kind {envelope.kind!r} tells a caller nothing of its task"
        raise CodecError(what, protocol="a2a", clause="A2A 1.0.1, 4.2")
    return end(l, events)


cdef int end(Lowering* l, list events) except -1:
    """One StreamResponse is written, but for its last brace."""
    put_u8(&l.out, c"}")
    events.append(writer_bytes(&l.out))
    l.out.size = 0
    return 0


# ---- Answers


cdef int put_response(Lowering* l, tuple lost, list events) except -1:
    cdef Py_ssize_t start
    cdef bint is_nothing = l.shape.form == JSON and data_of(l.c).strip() == b"null"
    if not is_nothing:
        put_result(l, lost)
        end(l, events)
    open_status(l, lost, b"TASK_STATE_COMPLETED")
    put_u8(&l.out, c"}")
    start = open_metadata(l)
    if is_nothing:
        put(&l.out, b',"io.agentfabric/data":', 23)
        put(&l.out, l.c.data.text, l.c.data.size)
        put_content_type(l, True)
        put_told_id(l)
        put_kind(l)
        close_metadata(l, start, lost, BESIDE)
    else:
        put(&l.out, b',"io.agentfabric/fabkind":"status"', 34)
        l.c.natives = 0  # told with the artifact
        close_metadata(l, start, lost, ALL_BUT_STORY)
    put_u8(&l.out, c"}")
    return end(l, events)


cdef int put_result(Lowering* l, tuple lost) except -1:
    cdef bint is_string = l.shape.form == JSON and l.c.data.text[0] == c'"'
    cdef Py_ssize_t start
    open_artifact(l, lost)
    put(&l.out, b'"result","name":"result","parts":[', 34)
    if is_string:
        put_text(l)
    else:
        put_part(l)
    put(&l.out, b']},"lastChunk":true', 19)
    start = open_metadata(l)
    if is_string:
        put_content_type(l, False)
    put_told_id(l)
    put_kind(l)
    close_metadata(l, start, lost, BESIDE)
    return put_u8(&l.out, c"}")


cdef int put_text(Lowering* l) except -1:
    """A JSON string is text for people."""
    put(&l.out, b'{"text":', 8)
    put(&l.out, l.c.data.text, l.c.data.size)
    return put(&l.out, b',"mediaType":"text/plain"}', 26)


cdef int put_content_type(Lowering* l, bint is_usual) except -1:
    """What no part says: that the data are JSON, in which words."""
    if is_usual and (not has(l.c, DATACONTENTTYPE) or says(l.c, DATACONTENTTYPE, b"application/json", 16)):
        return 0
    put(&l.out, b',"io.agentfabric/datacontenttype":', 34)
    if has(l.c, DATACONTENTTYPE):
        return put_place(&l.out, &l.c.known[DATACONTENTTYPE])
    displace(l.c, METADATA, b"io.agentfabric/datacontenttype", 30)
    return put(&l.out, b'"application/json"', 18)


cdef int put_error(Lowering* l, tuple lost) except -1:
    cdef Body failure
    cdef Py_ssize_t start
    cdef bint is_failure = read_body(&failure, l)
    open_status(l, lost, state_of_failure(&failure if is_failure else NULL))
    if is_failure:
        put_failure_words(l, &failure)
    else:
        put_said(l)
    put_u8(&l.out, c"}")
    start = open_metadata(l)
    if is_failure:
        put_failure_marks(l, &failure)
        put_content_type(l, True)
    put_told_id(l)
    put_kind(l)
    close_metadata(l, start, lost, BESIDE)
    return put_u8(&l.out, c"}")


# ---- Updates of another A2A agent


cdef bint is_update(Lowering* l) noexcept nogil:
    cdef bint is_named = says(l.c, FABMETHOD, b"statusUpdate", 12) or says(l.c, FABMETHOD, b"artifactUpdate", 14)
    return is_named and l.shape.is_whole and not l.is_old


cdef tuple pass_update(Lowering* l, tuple lost, list events, str task_id, str context_id):
    """The same update, of the task that this caller knows; every other byte stays."""
    update = scan(data_of(l.c), protocol="a2a")
    ids = (quote(task_id), quote(context_id))
    if (update.get("taskId"), update.get("contextId")) != ids:
        lost = (*lost, TASK_ALIASED)
    tell_held(l.c, scan(update.splice("taskId", ids[0]), protocol="a2a").splice("contextId", ids[1]))
    sort_rooms(l, 1 << RESULT)
    lost = put_item(l, lost)
    events.append(writer_bytes(&l.out))
    return lost
