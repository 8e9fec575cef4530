"""A task as it is now (A2A 1.0.1, 4.1.1), put together of the events that told of it. Raw stays raw.

In: the raw StreamResponses of `events`, and the message that began the task. Out: a Task, raw. Above: the edge, which answers
SendMessage, GetTask and CancelTask with it, and begins each stream with it. Below: `core.jsonvalues`.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from fabric_codecs.a2a.written cimport put_str
from fabric_codecs.core.canonical cimport Canonical, close_canonical, open_canonical
from fabric_codecs.core.jsontext cimport Scan
from fabric_codecs.core.jsonvalues cimport (
    Field, Fields, fields_init, find, is_named, look_into, open_document, read_fields, refusal,
)
from fabric_codecs.core.jsonwrite cimport put_string
from fabric_codecs.core.writer cimport Writer, put, put_u8, writer_bytes, writer_free, writer_init

from fabric_codecs.bounds import JSON_DEPTH_MAX

__all__ = ["as_item", "is_artifact", "state_of", "submitted", "turn_of", "write_task"]

cdef int DEPTH_MAX = JSON_DEPTH_MAX + 8  # a result stands five deep in its event


cdef struct Update:  # a status or artifact update in its StreamResponse
    Scan s
    Fields top
    Fields fields
    Fields status
    Fields metadata


def as_item(bytes task not None):
    return b'{"task":' + task + b"}"


def is_artifact(bytes event not None):
    return event.startswith(b'{"artifactUpdate":')


def submitted(*, str task_id not None, str context_id not None, str time not None):
    cdef Writer w
    writer_init(&w)
    try:
        put(&w, b'{"statusUpdate":{"taskId":', 26)
        put_str(&w, task_id)
        put(&w, b',"contextId":', 13)
        put_str(&w, context_id)
        put(&w, b',"status":{"state":"TASK_STATE_SUBMITTED","timestamp":', 54)
        put_str(&w, time)
        put(&w, b"}}}", 3)
        return writer_bytes(&w)
    finally:
        writer_free(&w)


def turn_of(bytes message not None, *, str task_id not None, str context_id not None):
    cdef Scan s
    cdef Fields fields
    cdef Field* field
    cdef Writer w
    cdef Canonical names  # that had escapes
    cdef int i
    fields_init(&fields)
    open_canonical(&names)
    writer_init(&w)
    try:
        read_object(&s, &fields, message, &names)
        put(&w, b'{"taskId":', 10)
        put_str(&w, task_id)
        put(&w, b',"contextId":', 13)
        put_str(&w, context_id)
        for i in range(fields.count):
            field = &fields.items[i]
            if not is_named(field, b"taskId", 6) and not is_named(field, b"contextId", 9):
                put_u8(&w, c",")
                put_string(&w, field.name, field.name_size)
                put_u8(&w, c":")
                put(&w, s.base + field.start, field.end - field.start)
        put_u8(&w, c"}")
        return writer_bytes(&w)
    finally:
        writer_free(&w)
        close_canonical(&names)


def write_task(bytes status not None, artifacts, history, *, str task_id not None, str context_id not None):
    cdef Update u
    cdef Writer w
    cdef Canonical names
    cdef bytes answer
    open_canonical(&names)
    writer_init(&w)
    try:
        read_update(&u, status, &names)
        answer = metadata_of_answer(&u)
        put(&w, b'{"id":', 6)
        put_str(&w, task_id)
        put(&w, b',"contextId":', 13)
        put_str(&w, context_id)
        put(&w, b',"status":', 10)
        put_member(&w, &u, b"status", 6)
        if artifacts:
            answer = put_artifacts(&w, artifacts, answer, &names)
        if history:
            put(&w, b',"history":[', 12)
            put_bytes(&w, b",".join(history))
            put_u8(&w, c"]")
        if answer is not None:
            put(&w, b',"metadata":', 12)
            put_bytes(&w, answer)
        put_u8(&w, c"}")
        return writer_bytes(&w)
    finally:
        writer_free(&w)
        close_canonical(&names)


def state_of(bytes status not None):
    cdef Update u
    cdef Canonical names
    cdef Field* state
    open_canonical(&names)
    try:
        read_update(&u, status, &names)
        state = find(&u.status, b"state", 5)
        if state == NULL or state.first != c'"':
            return ""
        return (<const char*>u.s.base)[state.start + 1:state.end - 1].decode()
    finally:
        close_canonical(&names)


cdef bytes put_artifacts(Writer* w, artifacts, bytes answer, Canonical* names):
    """`,"artifacts":[...]`; returns the answer's metadata, which are those of the last artifact when the status has none."""
    cdef Update u
    cdef bytes last = None
    cdef bint is_first = True
    put(w, b',"artifacts":', 13)
    for event in artifacts:
        read_update(&u, event, names)
        put_u8(w, c"[" if is_first else c",")
        is_first = False
        put_member(w, &u, b"artifact", 8)
        last = metadata_of_answer(&u)
    put_u8(w, c"]")
    return last if answer is None else answer


cdef bytes metadata_of_answer(Update* u):
    """The metadata of an update that an envelope became; the status behind a result has no envelope of its own."""
    cdef Fields* metadata = &u.metadata
    if not metadata.there or find(metadata, b"io.agentfabric/id", 17) == NULL:
        return None
    return (<const char*>u.s.base)[metadata.start:metadata.end]


cdef int put_member(Writer* w, Update* u, const char* name, Py_ssize_t size) except -1:
    cdef Field* field = find(&u.fields, name, size)
    if field == NULL:
        return put(w, b"{}", 2)
    return put(w, u.s.base + field.start, field.end - field.start)


cdef int put_bytes(Writer* w, bytes raw) except -1:
    return put(w, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))


cdef int read_update(Update* u, bytes event, Canonical* names) except -1:
    fields_init(&u.top)
    look_into(&u.top, b"statusUpdate", 12, &u.fields, False)
    look_into(&u.top, b"artifactUpdate", 14, &u.fields, False)
    look_into(&u.fields, b"status", 6, &u.status, False)
    look_into(&u.fields, b"metadata", 8, &u.metadata, False)
    return read_object(&u.s, &u.top, event, names)


cdef int read_object(Scan* s, Fields* fields, bytes data, Canonical* names) except -1:
    open_document(s, data, "a2a", PyBytes_GET_SIZE(data), DEPTH_MAX)
    if read_fields(s, fields, names) < 0:
        raise refusal(s, "a2a")
    return 0
