# Updates of a task written, piece by piece: whose task it is, its state, the words that go with it, and the marks from which
# `outcome` makes the envelope's data again. Below `lower` and `events`.
#
# A step is `{"progress","total","message"}`, a failure `{"code","message","retriable","data"}`. Their members become marks one by
# one, for clients that look at one; what is written in any other way (a null, a space, a member more) is told whole beside them.

from libc.string cimport strlen

from fabric_codecs.a2a.written cimport (
    Lowering, close_metadata, knows, open_metadata, put_context, put_known, put_part, put_told_id,
)
from fabric_codecs.core.canonical cimport OBJECT, has, says
from fabric_codecs.core.jsonlift cimport is_number
from fabric_codecs.core.jsonlower cimport put_own_id, put_place
from fabric_codecs.core.jsontext cimport skip_space
from fabric_codecs.core.jsonvalues cimport Field, fields_init, find, is_named, open_scan, read_fields
from fabric_codecs.core.marks cimport CORRELATIONID, FABKIND, SUBJECT, TIME
from fabric_codecs.core.rpcfields cimport is_string
from fabric_codecs.core.writer cimport put, put_u8

from fabric_codecs.bounds import JSON_DEPTH_MAX
from fabric_codecs.losses import Loss, LossCode

cdef int DEPTH_MAX = JSON_DEPTH_MAX
cdef object TASK_ALIASED = Loss(LossCode.TASK_ID_ALIASED, "task", "the envelope names no task: its own id stands for one")

cdef const char* step_names[3]
cdef const char* failure_names[4]
cdef const char* states[8][2]  # the fabric's word (MCP's tasks have the same, SEP-2663), A2A's
step_names[:] = [b"progress", b"total", b"message"]
failure_names[:] = [b"code", b"message", b"retriable", b"data"]
states[0][:] = [b"submitted", b"TASK_STATE_SUBMITTED"]
states[1][:] = [b"working", b"TASK_STATE_WORKING"]
states[2][:] = [b"input_required", b"TASK_STATE_INPUT_REQUIRED"]
states[3][:] = [b"auth_required", b"TASK_STATE_AUTH_REQUIRED"]
states[4][:] = [b"completed", b"TASK_STATE_COMPLETED"]
states[5][:] = [b"failed", b"TASK_STATE_FAILED"]
states[6][:] = [b"cancelled", b"TASK_STATE_CANCELED"]
states[7][:] = [b"refused", b"TASK_STATE_REJECTED"]


cdef bint read_body(Body* body, Lowering* l) except -1:
    """Whether the data are an object, whose members are then found. One with a name twice, or with too many, is looked at no
    further: it is content like any other."""
    if l.shape.form != OBJECT:
        return False
    fields_init(&body.fields)
    open_scan(&body.s, l.c.data.text, l.c.data.size, DEPTH_MAX)
    skip_space(&body.s)
    return read_fields(&body.s, &body.fields, l.c) == 0


cdef int put_field(Lowering* l, Body* body, const Field* field) except -1:
    """A member's value, raw."""
    return put(&l.out, body.s.base + field.start, field.end - field.start)


cdef bint is_usual(Body* body, const char** names, int count) noexcept nogil:
    """Whether the object has no other members than these, in this order, and no space: then it can be made again of them."""
    cdef Py_ssize_t size = 1
    cdef int i, at = 0
    cdef Field* field
    for i in range(body.fields.count):
        field = &body.fields.items[i]
        while at < count and not is_named(field, names[at], strlen(names[at])):
            at += 1
        if at == count:
            return False
        size += field.name_size + 4 + field.end - field.start
    return size == body.s.end


# ---- Whose, and in which state


cdef tuple put_task(Lowering* l, tuple lost):
    """`"taskId":...,"contextId":...`; what the envelope's task is called."""
    put(&l.out, b'"taskId":', 9)
    if knows(l, &l.task, SUBJECT):
        put_known(l, &l.task, SUBJECT)
    else:
        put_own_id(&l.out, l.c)
        lost = (*lost, TASK_ALIASED)
    if knows(l, &l.context, CORRELATIONID):
        put_context(l)
    else:
        put(&l.out, b',"contextId":""', 15)
    return lost


cdef tuple open_status(Lowering* l, tuple lost, const char* state):
    """`{"statusUpdate":{...,"status":{"state":...,"timestamp":...`; words may follow, then `}`, metadata, `}`."""
    put(&l.out, b'{"statusUpdate":{', 17)
    lost = put_task(l, lost)
    put(&l.out, b',"status":{"state":"', 20)
    put(&l.out, state, strlen(state))
    put_u8(&l.out, c'"')
    if has(l.c, TIME):
        put(&l.out, b',"timestamp":', 13)
        put_place(&l.out, &l.c.known[TIME])
    return lost


cdef tuple open_artifact(Lowering* l, tuple lost):
    """`{"artifactUpdate":{...,"artifact":{"artifactId":`; the id and `,"parts":[..]` follow, then `}`, metadata, `}`."""
    put(&l.out, b'{"artifactUpdate":{', 19)
    lost = put_task(l, lost)
    put(&l.out, b',"artifact":{"artifactId":', 26)
    return lost


cdef int open_message(Lowering* l) except -1:
    put(&l.out, b',"message":{"messageId":', 24)
    put_own_id(&l.out, l.c)
    return put(&l.out, b',"role":"ROLE_AGENT","parts":[', 30)


cdef int put_said(Lowering* l) except -1:
    """The data as what the agent says with a status."""
    open_message(l)
    put_part(l)
    return put(&l.out, b"]}", 2)


cdef int put_words(Lowering* l, Body* body, const Field* text) except -1:
    """A JSON string as what the agent says with a status."""
    open_message(l)
    put(&l.out, b'{"text":', 8)
    put_field(l, body, text)
    return put(&l.out, b',"mediaType":"text/plain"}]}', 28)


cdef int put_kind(Lowering* l) except -1:
    """For an update that could be of another kind."""
    put(&l.out, b',"io.agentfabric/fabkind":', 26)
    return put_place(&l.out, &l.c.known[FABKIND])


# ---- What is told while a task is worked on


cdef tuple put_status(Lowering* l, tuple lost, unsigned long long skip, bint ends):
    """A step of the work, or a status of another protocol in the words of A2A; unless `ends` a task goes on whatever that says."""
    cdef Body body
    cdef bint is_object = read_body(&body, l)
    cdef bint is_progress = says(l.c, FABKIND, b"progress", 8)
    cdef bint steps = is_object and is_progress and is_number(find(&body.fields, b"progress", 8))
    cdef Py_ssize_t start
    lost = open_status(l, lost, state_said(&body, ends) if is_object and not is_progress else states[1][1])
    if steps:
        put_step_words(l, &body)
    else:
        put_said(l)
    put_u8(&l.out, c"}")
    start = open_metadata(l)
    if steps:
        put_step_marks(l, &body)
    elif is_progress:
        put_kind(l)
    put_told_id(l)
    close_metadata(l, start, lost, skip)
    put_u8(&l.out, c"}")
    return lost


cdef tuple put_artifact(Lowering* l, tuple lost, unsigned long long skip):
    cdef Py_ssize_t start
    lost = open_artifact(l, lost)
    put_own_id(&l.out, l.c)
    put(&l.out, b',"parts":[', 10)
    put_part(l)
    put(&l.out, b"]}", 2)
    start = open_metadata(l)
    put_told_id(l)
    close_metadata(l, start, lost, skip)
    put_u8(&l.out, c"}")
    return lost


cdef const char* state_said(Body* body, bint ends) noexcept nogil:
    """The state that `status` of an object names; WORKING for none, and for one that nobody knows."""
    cdef Field* said = find(&body.fields, b"status", 6)
    cdef int i
    if said != NULL:
        for i in range(8 if ends else 4):
            if is_string(&body.s, said, states[i][0], strlen(states[i][0])):
                return states[i][1]
    return states[1][1]


cdef int put_step_words(Lowering* l, Body* step) except -1:
    cdef Field* words = find(&step.fields, b"message", 7)
    return put_words(l, step, words) if words != NULL and words.first == c'"' else 0


cdef int put_step_marks(Lowering* l, Body* step) except -1:
    cdef Field* total = find(&step.fields, b"total", 5)
    cdef Field* words = find(&step.fields, b"message", 7)
    put(&l.out, b',"io.agentfabric/progress":', 27)
    put_field(l, step, find(&step.fields, b"progress", 8))
    if is_number(total):
        put(&l.out, b',"io.agentfabric/total":', 24)
        put_field(l, step, total)
    if (
        is_usual(step, step_names, 3)
        and (total == NULL or is_number(total)) and (words == NULL or words.first == c'"')
    ):
        return 0
    put(&l.out, b',"io.agentfabric/data":', 23)
    return put(&l.out, step.s.base, step.s.end)


# ---- A failure


cdef const char* state_of_failure(Body* failure) noexcept nogil:
    """REJECTED for what was refused, CANCELED for what was cancelled; all other failures are FAILED. NULL: no object."""
    cdef Field* code = find(&failure.fields, b"code", 4) if failure != NULL else NULL
    cdef int i
    if code != NULL:
        for i in range(6, 8):
            if is_string(&failure.s, code, states[i][0], strlen(states[i][0])):
                return states[i][1]
    return states[5][1]


cdef Field* text_in(Body* body, const char* name) noexcept nogil:
    """A member that is a string and not empty."""
    cdef Field* field = find(&body.fields, name, strlen(name))
    return field if field != NULL and field.first == c'"' and field.end - field.start > 2 else NULL


cdef int put_failure_words(Lowering* l, Body* failure) except -1:
    """The sentence, or where there is none the code."""
    cdef Field* words = text_in(failure, b"message")
    if words == NULL:
        words = text_in(failure, b"code")
    return 0 if words == NULL else put_words(l, failure, words)


cdef int put_failure_marks(Lowering* l, Body* failure) except -1:
    cdef Field* code = text_in(failure, b"code")
    cdef Field* retriable = find(&failure.fields, b"retriable", 9)
    cdef Field* data = find(&failure.fields, b"data", 4)
    cdef bint is_judged = retriable != NULL and (retriable.first == c"t" or retriable.first == c"f")
    put(&l.out, b',"io.agentfabric/code":', 23)
    if code != NULL:
        put_field(l, failure, code)
    else:
        put(&l.out, b'"internal"', 10)
    put(&l.out, b',"io.agentfabric/retriable":', 28)
    if is_judged:
        put_field(l, failure, retriable)
    else:
        put(&l.out, b"false", 5)
    if data != NULL:
        put(&l.out, b',"io.agentfabric/data":', 23)
        put_field(l, failure, data)
    if code != NULL and is_judged and text_in(failure, b"message") != NULL and is_usual(failure, failure_names, 4):
        return 0
    put(&l.out, b',"io.agentfabric/error":', 24)
    return put(&l.out, failure.s.base, failure.s.end)
