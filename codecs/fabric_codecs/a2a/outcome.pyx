# Everything here is for other Cython modules; see outcome.pxd.
# What a task's state, an update or an error says of a call: its kind, and the data of the envelope. Below `lift`, whose table has
# the rows. An update that `events` or `lower` made (it has `io.agentfabric/id`) is what it was made of; any other comes whole, and
# whole in a failure when the task ended badly.

from libc.string cimport strcmp, strlen

from fabric_codecs.a2a.message cimport Message, give_whole, invalid, take_metadata
from fabric_codecs.core.canonical cimport has, tell_held, tell_usual, tell_word
from fabric_codecs.core.jsonlift cimport (
    give, give_base64, give_failure, give_text, is_number, raw_of, tell_text, type_said,
)
from fabric_codecs.core.jsonvalues cimport Field, Fields, Inner, fields_init, find, look_into, read_fields
from fabric_codecs.core.marks cimport CORRELATIONID, DATACONTENTTYPE, SUBJECT
from fabric_codecs.core.rpcfields cimport is_string
from fabric_codecs.core.writer cimport Writer, put, put_u8, writer_bytes, writer_free, writer_init

from fabric_codecs.a2a.faults import Fault
from fabric_codecs.core.jsonscan import elements, quote, scan

cdef enum:
    INVALID_REQUEST = -32600
    BAD_ENDS = 6
cdef const char* bad_ends[BAD_ENDS][2]  # in the spellings of 1.0 and 0.3, and what a failure is called
bad_ends[0][:] = [b"TASK_STATE_FAILED", b"failed"]
bad_ends[1][:] = [b"TASK_STATE_REJECTED", b"refused"]
bad_ends[2][:] = [b"TASK_STATE_CANCELED", b"cancelled"]
bad_ends[3][:] = [b"failed", b"failed"]
bad_ends[4][:] = [b"rejected", b"refused"]
bad_ends[5][:] = [b"canceled", b"cancelled"]
cdef const char* kinds_of_update[5]
kinds_of_update[:] = [b"progress", b"status", b"artifact", b"response", b"error"]
cdef const char* step_names[3]
step_names[:] = [b"progress", b"total", b"message"]
cdef const char* failure_names[4]
failure_names[:] = [b"code", b"message", b"retriable", b"data"]
cdef dict CODES = {str(int(fault)).encode(): quote(fault.name.lower()) for fault in Fault}
cdef bytes STRUCT = b'"type.googleapis.com/google.protobuf.Struct"'


cdef struct Told:  # a task or an update, with what may have content
    Fields event
    Fields metadata
    Fields status
    Fields holder  # of parts: the artifact, or the message of the status
    Fields part  # the first
    Fields about  # metadata of the part
    Fields file  # of a part of 0.3
    Inner* parts


cdef int take_event(Message* m, const Field* field, Event event) except -1:
    """A task or an update, and its attributes."""
    cdef Told told
    cdef const char* type = NULL
    read_event(&told, m, field, event)
    if event != TASK and find(&told.metadata, b"io.agentfabric/id", 17) != NULL:
        type = give_told(m, &told, event)
    if type == NULL:
        take_metadata(m, &told.metadata, NULL, 0)
    else:
        take_metadata(m, &told.metadata, b"metadata/", 9)
    tell_named(m, SUBJECT, find(&told.event, b"id", 2) if event == TASK else find(&told.event, b"taskId", 6))
    if not has(m.to, CORRELATIONID):
        tell_named(m, CORRELATIONID, find(&told.event, b"contextId", 9))
    if type == NULL:
        type = give_state(m, &told, field, event)
    tell_usual(m.to, type, strlen(type))
    return 0


cdef int read_event(Told* told, Message* m, const Field* field, Event event) except -1:
    """The same scan once more, of what nobody looked into."""
    fields_init(&told.event)
    look_into(&told.event, b"metadata", 8, &told.metadata, False)
    look_into(&told.event, b"status", 6, &told.status, False)
    if event == ARTIFACT:
        look_into(&told.event, b"artifact", 8, &told.holder, False)
    else:
        look_into(&told.status, b"message", 7, &told.holder, False)
    told.parts = look_into(&told.holder, b"parts", 5, &told.part, True)
    look_into(&told.part, b"metadata", 8, &told.about, False)
    look_into(&told.part, b"file", 4, &told.file, False)
    m.rpc.s.at = field.start
    if read_fields(&m.rpc.s, &told.event, m.to) < 0:
        raise refused(m)
    return 0


cdef object refused(Message* m):
    return invalid(m.rpc.s.problem.decode(), m.rpc.s.at, m.rpc.s.clause.decode(), INVALID_REQUEST)


cdef int tell_named(Message* m, int which, const Field* id) except -1:
    if id != NULL and id.first != c'"':
        raise invalid(f"'{(<const char*>id.name)[:id.name_size].decode()}' is no string", id.start, "A2A 1.0.1, 4.1", INVALID_REQUEST)
    return tell_text(m.to, which, &m.rpc.s, id)


# ---- What somebody's agent says of its task


cdef const char* give_state(Message* m, Told* told, const Field* field, Event event) except NULL:
    """The task or the update whole, or a failure with it inside; the type that its state stands for."""
    cdef Field* state = find(&told.status, b"state", 5)
    cdef Field* kind = find(&told.metadata, b"io.agentfabric/fabkind", 22)
    cdef int i
    if event != ARTIFACT and state != NULL:
        for i in range(BAD_ENDS):
            if is_string(&m.rpc.s, state, bad_ends[i][0], strlen(bad_ends[i][0])):
                give_end(m, told, field, bad_ends[i][1])
                return b"io.agentfabric.error"
    give_whole(m, field)
    if event == ARTIFACT:
        return b"io.agentfabric.artifact"
    if state == NULL or not (is_string(&m.rpc.s, state, b"TASK_STATE_COMPLETED", 20) or is_string(&m.rpc.s, state, b"completed", 9)):
        return b"io.agentfabric.status"
    if kind != NULL and is_string(&m.rpc.s, kind, b"status", 6):  # it only ends the task of a response
        return b"io.agentfabric.status"
    return b"io.agentfabric.response"


cdef int give_end(Message* m, Told* told, const Field* field, bytes usual) except -1:
    """A failure as the agent reports it: its own code where it told one of ours, its words where it had some."""
    cdef Field* code = find(&told.metadata, b"io.agentfabric/code", 19)
    cdef Field* retriable = find(&told.metadata, b"io.agentfabric/retriable", 24)
    cdef Field* said = words(told)
    return give_failure(
        m.to, &m.rpc.s,
        raw_of(&m.rpc.s, code) if code != NULL and code.first == c'"' and code.end - code.start > 2 else b'"' + usual + b'"',
        raw_of(&m.rpc.s, said) if said != NULL else b'"the task is ' + usual + b'"',
        retriable != NULL and retriable.first == c"t", field,
    )


cdef Field* words(Told* told) noexcept nogil:
    """The first part's text, as a JSON string; NULL when there is none."""
    cdef Field* text = find(&told.part, b"text", 4) if told.part.there else NULL
    return text if text != NULL and text.first == c'"' else NULL


# ---- What `events` and `lower` made an update of


cdef inline bint is_kind(const char* type, const char* kind) noexcept nogil:
    return strcmp(type + 15, kind) == 0


cdef const char* give_told(Message* m, Told* told, Event event) except? NULL:
    """The data of that envelope and their content type; its type. NULL when nothing here is content after all."""
    cdef const char* type = told_type(m, told, event)
    if not give_marks(m, told, type):
        return type if give_part(m, told) else NULL
    tell_text(m.to, DATACONTENTTYPE, &m.rpc.s, find(&told.metadata, b"io.agentfabric/datacontenttype", 30))
    tell_word(m.to, DATACONTENTTYPE, b"application/json", 16)
    return type


cdef const char* told_type(Message* m, Told* told, Event event) noexcept nogil:
    cdef const char* type = type_said(&m.rpc.s, find(&told.metadata, b"io.agentfabric/fabkind", 22))
    cdef int at
    if is_number(find(&told.metadata, b"io.agentfabric/progress", 23)):
        return b"io.agentfabric.progress"
    if type != NULL:
        for at in range(5):
            if is_kind(type, kinds_of_update[at]):
                return type
    return b"io.agentfabric.artifact" if event == ARTIFACT else b"io.agentfabric.status"


cdef bint give_marks(Message* m, Told* told, const char* type) except -1:
    """Data that marks tell, whole or member by member."""
    cdef bint is_progress = is_kind(type, b"progress")
    cdef bint is_error = is_kind(type, b"error")
    cdef Field* whole = NULL
    if is_error:
        whole = find(&told.metadata, b"io.agentfabric/error", 20)
    elif is_progress or is_kind(type, b"response"):
        whole = find(&told.metadata, b"io.agentfabric/data", 19)
    if whole != NULL:
        give(m.to, &m.rpc.s, whole)
        return True
    return (is_progress and give_step(m, told)) or (is_error and give_reported(m, told))


cdef bint give_step(Message* m, Told* told) except -1:
    cdef Field* progress = find(&told.metadata, b"io.agentfabric/progress", 23)
    cdef const Field* values[3]
    if not is_number(progress):
        return False
    values[:] = [progress, find(&told.metadata, b"io.agentfabric/total", 20), words(told)]
    return give_members(m, step_names, values, 3)


cdef bint give_reported(Message* m, Told* told) except -1:
    cdef Field* code = find(&told.metadata, b"io.agentfabric/code", 19)
    cdef const Field* values[4]
    if code == NULL or code.first != c'"':
        return False
    values[:] = [
        code, words(told), find(&told.metadata, b"io.agentfabric/retriable", 24), find(&told.metadata, b"io.agentfabric/data", 19),
    ]
    return give_members(m, failure_names, values, 4)


cdef bint give_members(Message* m, const char** names, const Field** values, int count) except -1:
    """An object of those that are there, the first of which is."""
    cdef Writer w
    cdef int at
    writer_init(&w)
    try:
        for at in range(count):
            if values[at] != NULL:
                put_u8(&w, c"," if at else c"{")
                put_u8(&w, c'"')
                put(&w, names[at], strlen(names[at]))
                put(&w, b'":', 2)
                put(&w, m.rpc.s.base + values[at].start, values[at].end - values[at].start)
        put_u8(&w, c"}")
        tell_held(m.to, writer_bytes(&w))
    finally:
        writer_free(&w)
    return True


cdef bint give_part(Message* m, Told* told) except -1:
    """What the one part of an artifact or a message holds."""
    cdef Field* said = find(&told.metadata, b"io.agentfabric/datacontenttype", 30)
    cdef Field* field
    if not told.part.there or told.parts.count != 1:
        return False
    field = find(&told.part, b"data", 4)
    if field != NULL:
        give(m.to, &m.rpc.s, field)
        return tell_media(m, told, b"application/json", 16)
    field = find(&told.part, b"text", 4)
    if field == NULL or field.first != c'"':
        field = find(&told.file, b"bytes", 5) if told.file.there else find(&told.part, b"raw", 3)
        return field != NULL and give_base64(m.to, &m.rpc.s, field) and tell_media(m, told, NULL, 0)
    if said != NULL and said.first == c'"':  # the text is a JSON string, of that type
        tell_text(m.to, DATACONTENTTYPE, &m.rpc.s, said)
        give(m.to, &m.rpc.s, field)
        return True
    give_text(m.to, &m.rpc.s, field)
    return tell_media(m, told, b"text/plain", 10)


cdef bint tell_media(Message* m, Told* told, const char* usual, Py_ssize_t size) except -1:
    """The content type that the part says, in the place that its version has for it."""
    tell_text(m.to, DATACONTENTTYPE, &m.rpc.s, find(&told.part, b"mediaType", 9))
    if told.about.there:
        tell_text(m.to, DATACONTENTTYPE, &m.rpc.s, find(&told.about, b"io.agentfabric/mediaType", 24))
    if told.file.there:
        tell_text(m.to, DATACONTENTTYPE, &m.rpc.s, find(&told.file, b"mimeType", 8))
    if usual != NULL:
        tell_word(m.to, DATACONTENTTYPE, usual, size)
    return True


# ---- Errors


cdef int take_failure(Message* m) except -1:
    """A JSON-RPC error, named, with itself inside; or the failure of ours that it carries."""
    cdef Fields error
    cdef Field* code
    cdef Field* said
    cdef Field* details
    fields_init(&error)
    m.rpc.s.at = m.rpc.error.start
    if read_fields(&m.rpc.s, &error, m.to) < 0:
        raise refused(m)
    code = find(&error, b"code", 4)
    said = find(&error, b"message", 7)
    details = find(&error, b"data", 4)
    if not is_number(code) or said == NULL or said.first != c'"':
        raise invalid("an error needs a number code and a string message", m.rpc.error.start, "JSON-RPC 2.0 5.1", INVALID_REQUEST)
    tell_usual(m.to, b"io.agentfabric.error", 20)
    ours = None if details == NULL or details.first != c"[" else carried_in(raw_of(&m.rpc.s, details))
    if ours is not None:
        tell_word(m.to, DATACONTENTTYPE, b"application/json", 16)
        return tell_held(m.to, ours)
    return give_failure(
        m.to, &m.rpc.s, CODES.get(raw_of(&m.rpc.s, code), b'"error"'), raw_of(&m.rpc.s, said), False, m.rpc.error,
    )


cdef bytes carried_in(bytes details):
    """The detail in which `lower` put a failure of ours: a google.protobuf.Struct behind an ErrorInfo of our domain."""
    if b'"io.agentfabric"' not in details:
        return None
    for raw in elements(details, protocol="a2a"):
        detail = scan(raw, protocol="a2a") if raw.startswith(b"{") else None
        if detail is not None and detail.get("@type") == STRUCT and detail.kind("value") == "object":
            return detail.get("value")
    return None
