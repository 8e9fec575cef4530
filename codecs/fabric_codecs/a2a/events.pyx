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

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from fabric_codecs.a2a.updates cimport (
    Body, open_artifact, open_status, put_artifact, put_failure_marks, put_failure_words, put_kind, put_said, put_status, read_body,
    state_of_failure,
)
from fabric_codecs.a2a.written cimport (
    Lowering, close_metadata, natives_of, open_lowering, open_metadata, put_part, put_raw, put_told_id, spliced,
)
from fabric_codecs.core.forms cimport JSON
from fabric_codecs.core.marks cimport CAUSATIONID, CORRELATIONID, DATACONTENTTYPE, FABCORR, FABKIND, FABMETHOD, Value
from fabric_codecs.core.told cimport is_text, put_value_string
from fabric_codecs.core.writer cimport put, put_u8, writer_bytes, writer_free, writer_init
from fabric_codecs.envelope cimport Envelope

from fabric_codecs.core.jsonscan import quote, scan
from fabric_codecs.errors import CodecError
from fabric_codecs.translate.losses import Loss, LossCode, Translation

__all__ = ["lower_events"]

cdef object TASK_ALIASED = Loss(LossCode.TASK_ID_ALIASED, "taskId", "the update is told under the ids of the caller's task")
cdef unsigned long long BESIDE = 1ULL << FABCORR | 1ULL << FABKIND  # told by the frame, and by the update
cdef unsigned long long ALL_BUT_STORY = ~(1ULL << CAUSATIONID | 1ULL << CORRELATIONID)


def lower_events(Envelope envelope not None, *, str task_id not None, str context_id not None, tuple losses=()):
    cdef Lowering l
    cdef list kept = []
    cdef list events = []
    cdef tuple lost
    writer_init(&l.out)
    try:
        lost = open_lowering(&l, envelope, losses, kept)
        lost = dispatch(&l, envelope, lost, natives_of(&l, envelope), kept, events, task_id, context_id)
        return Translation(tuple(events), lost)
    finally:
        writer_free(&l.out)


cdef tuple dispatch(
    Lowering* l, Envelope envelope, tuple lost, dict natives, list kept, list events, str task_id, str context_id
):
    cdef Value* kind = &l.told.known[FABKIND]
    if is_update(l):
        return pass_update(l, envelope, lost, events, task_id, context_id)
    if is_text(kind, b"response", 8):
        put_response(l, envelope, lost, natives, events, task_id, context_id)
    elif is_text(kind, b"error", 5):
        put_error(l, envelope, lost, natives, kept, events, task_id, context_id)
    elif is_text(kind, b"progress", 8) or is_text(kind, b"status", 6):
        put_status(l, envelope, lost, natives, kept, task_id, context_id, BESIDE, False)
        end(l, events)
    elif is_text(kind, b"artifact", 8):
        put_artifact(l, envelope, lost, natives, task_id, context_id, BESIDE)
        end(l, events)
    else:
        raise CodecError(f"an envelope of kind {envelope.kind!r} tells a caller nothing of its task", protocol="a2a", clause="A2A 1.0.1, 4.2")
    return lost


cdef int end(Lowering* l, list events) except -1:
    """One event is written."""
    events.append(writer_bytes(&l.out))
    l.out.size = 0
    return 0


# ---- Answers


cdef int put_response(
    Lowering* l, Envelope envelope, tuple lost, dict natives, list events, str task_id, str context_id
) except -1:
    cdef Py_ssize_t start
    cdef bint is_nothing = l.form.form == JSON and envelope.data.strip() == b"null"
    if not is_nothing:
        put_result(l, envelope, lost, natives, events, task_id, context_id)
    open_status(l, lost, task_id, context_id, b"TASK_STATE_COMPLETED")
    put_u8(&l.out, c"}")
    start = open_metadata(l)
    if is_nothing:
        put(&l.out, b',"io.agentfabric/data":', 23)
        put_raw(l, envelope.data)
        put_content_type(l, True)
        put_told_id(l)
        put_kind(l)
        close_metadata(l, start, lost, natives, BESIDE)
    else:
        put(&l.out, b',"io.agentfabric/fabkind":"status"', 34)
        close_metadata(l, start, lost, None, ALL_BUT_STORY)
    put(&l.out, b"}}", 2)
    return end(l, events)


cdef int put_result(
    Lowering* l, Envelope envelope, tuple lost, dict natives, list events, str task_id, str context_id
) except -1:
    cdef bint is_string = is_json_string(l, envelope.data)
    cdef Py_ssize_t start
    open_artifact(l, lost, task_id, context_id)
    put(&l.out, b'"result","name":"result","parts":[', 34)
    if is_string:
        put_text(l, envelope.data)
    else:
        put_part(l, envelope.data)
    put(&l.out, b']},"lastChunk":true', 19)
    start = open_metadata(l)
    if is_string:
        put_content_type(l, False)
    put_told_id(l)
    put_kind(l)
    close_metadata(l, start, lost, natives, BESIDE)
    put(&l.out, b"}}", 2)
    return end(l, events)


cdef bint is_json_string(Lowering* l, bytes data) noexcept:
    return l.form.form == JSON and PyBytes_GET_SIZE(data) > 0 and PyBytes_AS_STRING(data)[0] == c'"'


cdef int put_text(Lowering* l, bytes data) except -1:
    """A JSON string is text for people."""
    put(&l.out, b'{"text":', 8)
    put_raw(l, data)
    return put(&l.out, b',"mediaType":"text/plain"}', 26)


cdef int put_content_type(Lowering* l, bint is_usual) except -1:
    """What no part says: that the data are JSON, in which words."""
    cdef Value* told = &l.told.known[DATACONTENTTYPE]
    if is_usual and (told.text == NULL or is_text(told, b"application/json", 16)):
        return 0
    put(&l.out, b',"io.agentfabric/datacontenttype":', 34)
    return put(&l.out, b'"application/json"', 18) if told.text == NULL else put_value_string(&l.out, told)


cdef int put_error(
    Lowering* l, Envelope envelope, tuple lost, dict natives, list kept, list events, str task_id, str context_id
) except -1:
    cdef Body failure
    cdef Py_ssize_t start
    cdef bint is_failure = read_body(&failure, l, envelope.data, kept)
    open_status(l, lost, task_id, context_id, state_of_failure(&failure if is_failure else NULL))
    if is_failure:
        put_failure_words(l, &failure)
    else:
        put_said(l, envelope.data)
    put_u8(&l.out, c"}")
    start = open_metadata(l)
    if is_failure:
        put_failure_marks(l, &failure)
        put_content_type(l, True)
    put_told_id(l)
    put_kind(l)
    close_metadata(l, start, lost, natives, BESIDE)
    put(&l.out, b"}}", 2)
    return end(l, events)


# ---- Updates of another A2A agent


cdef bint is_update(Lowering* l) noexcept nogil:
    cdef Value* method = &l.told.known[FABMETHOD]
    return l.form.is_whole and not l.is_old and (is_text(method, b"statusUpdate", 12) or is_text(method, b"artifactUpdate", 14))


cdef tuple pass_update(Lowering* l, Envelope envelope, tuple lost, list events, str task_id, str context_id):
    """The same update, of the task that this caller knows; every other byte stays."""
    update = scan(envelope.data, protocol="a2a")
    ids = (quote(task_id), quote(context_id))
    if (update.get("taskId"), update.get("contextId")) != ids:
        lost = (*lost, TASK_ALIASED)
    raw = scan(update.splice("taskId", ids[0]), protocol="a2a").splice("contextId", ids[1])
    put(&l.out, b'{"', 2)
    put_raw(l, envelope.get("fabmethod").encode())
    put(&l.out, b'":', 2)
    put_raw(l, spliced(l, raw, lost))
    put_u8(&l.out, c"}")
    end(l, events)
    return lost
