"""Lift: an A2A message -> the canonical Envelope. Raw stays raw: the message is scanned once, and `data` is a slice of it.

In: a JSON-RPC message of A2A 1.0 or 0.3 (they tell themselves apart), and what only the edge knows. Out:
`Translation[Envelope]`. Above: the edge, `translate`. Below: `message`, `outcome`.

| message                                  | fabkind  | fabmethod               | data                                       |
|------------------------------------------|----------|-------------------------|--------------------------------------------|
| SendMessage, SendStreamingMessage        | request  | as spelled              | the one part's content, else whole         |
| the same, made by `lower` of an event    | event .. | as spelled              | the same                                   |
| CancelTask                               | cancel   | as spelled              | whole                                      |
| any other operation                      | request  | as spelled              | whole                                      |
| result: a message                        | response | message                 | the one part's content, else whole         |
| result: a task, statusUpdate             | status, response | task, statusUpdate | whole                                   |
| the same, of a task that failed          | error    | task, statusUpdate      | a failure with it inside                   |
| the same, of a progress                  | progress | statusUpdate            | `progress`, `total`, `message`             |
| result: artifactUpdate                   | artifact | artifactUpdate          | whole                                      |
| an update that `events`, `lower` made    | as it was | as spelled             | as it was                                  |
| any other result                         | response | result                  | whole                                      |
| JSON-RPC error                           | error    | -                       | a failure with it inside                   |

Whole is the message, task, event or `params` as it came, of type application/a2a+json. `messageId` is the id, the context the
correlationid unless a mark (`core.marks`) in `metadata` says otherwise, the task the subject of what is about a task. Every
other member is kept raw as a native entry: `message/<name>`, `metadata/<key>`, `params/<name>`, `request/<key>` (metadata of
the request), `rpc/<name>`.
"""

from libc.string cimport memchr, strlen

from fabric_codecs.a2a.message cimport (
    Message, carried_type, give_whole, invalid, message_in, read_message, take_metadata, tell_message,
)
from fabric_codecs.a2a.outcome cimport ARTIFACT, STATUS, TASK, Event, take_event, take_failure
from fabric_codecs.core.canonical cimport (
    Canonical, close_canonical, open_canonical, tell, tell_str, tell_time, tell_usual, tell_word,
)
from fabric_codecs.core.enveloped cimport envelope_of
from fabric_codecs.core.jsonlift cimport check_natives, keep_member, tell_rpc_id, tell_text
from fabric_codecs.core.jsonvalues cimport Field, find, is_named
from fabric_codecs.core.marks cimport CORRELATIONID, FABMETHOD, FABPROTO, FABVER, ID, SOURCE, SUBJECT, TIME, TRACEPARENT
from fabric_codecs.core.rpcfields cimport ERROR, REQUEST, RESULT, is_string
from fabric_codecs.losses cimport translation_of

__all__ = ["WHOLE", "lift"]

WHOLE = "application/a2a+json"  # `data` is a message, task, event or params as it came

cdef enum:
    INVALID_REQUEST = -32600


def lift(
    bytes message not None, *, str source not None, str fresh_id not None, long long now_us, str target=None,
    str traceparent=None,
):
    cdef Canonical c
    open_canonical(&c)
    try:
        if traceparent is not None:
            tell_str(&c, TRACEPARENT, traceparent)
        take_message(&c, message, source, fresh_id, now_us, target)
        return translation_of(envelope_of(&c, "a2a"), ())
    finally:
        close_canonical(&c)


cdef int take_message(Canonical* to, bytes message, str source, str fresh_id, long long now_us, str target) except -1:
    """`lift`, for `translate`."""
    cdef Message m
    read_message(&m, to, message)
    if target is not None:
        tell_str(to, SUBJECT, target)
    if m.rpc.kind == REQUEST:
        request(&m)
    elif m.rpc.kind == RESULT:
        answer(&m)
    elif m.rpc.kind == ERROR:
        take_failure(&m)
        tell_version(&m, True)
    else:
        raise invalid("A2A has no notifications: the id is missing", m.rpc.method.start, "A2A 1.0.1, 9.3", INVALID_REQUEST)
    tell_word(to, FABPROTO, b"a2a", 3)
    tell_rpc(&m)
    tell_str(to, ID, fresh_id)
    tell_str(to, SOURCE, source)
    tell_time(to, TIME, now_us)
    return check_natives(to, "a2a")


cdef int tell_rpc(Message* m) except -1:
    """The correlation, and members beside those of JSON-RPC."""
    cdef Field* field
    cdef int i
    if m.rpc.id != NULL:
        tell_rpc_id(m.to, &m.rpc.s, m.rpc.id)
    for i in range(m.rpc.top.count):
        field = &m.rpc.top.items[i]
        if field != m.rpc.method and field != m.rpc.params and field != m.rpc.result and field != m.rpc.error:
            if not is_named(field, b"jsonrpc", 7) and not is_named(field, b"id", 2):
                keep_member(m.to, b"rpc/", 4, &m.rpc.s, field)
    return 0


cdef int tell_version(Message* m, bint is_new) noexcept:
    if is_new:
        tell_word(m.to, FABVER, b"1.0", 3)
    else:
        tell_word(m.to, FABVER, b"0.3", 3)
    return 0


# ---- Requests


cdef int request(Message* m) except -1:
    cdef Field* method = m.rpc.method
    cdef Field* message = message_in(m, &m.params)
    cdef bint is_new = is_method(m, b"SendMessage", b"SendStreamingMessage")
    if is_new or is_method(m, b"message/send", b"message/stream"):
        return send(m, message, is_new)
    if message != NULL:
        raise invalid("params.message in an operation that sends none", message.start, "A2A 1.0.1, 9.4")
    tell_text(m.to, FABMETHOD, &m.rpc.s, method)
    tell_text(m.to, SUBJECT, &m.rpc.s, find(&m.params, b"taskId", 6))
    tell_text(m.to, SUBJECT, &m.rpc.s, find(&m.params, b"id", 2))
    tell_text(m.to, SUBJECT, &m.rpc.s, find(&m.params, b"name", 4))
    tell_text(m.to, SUBJECT, &m.rpc.s, find(&m.params, b"contextId", 9))
    take_metadata(m, &m.outer, NULL, 0)
    give_whole(m, m.rpc.params)
    tell_version(m, memchr(m.rpc.s.base + method.start, c"/", method.end - method.start) == NULL)
    if is_method(m, b"CancelTask", b"tasks/cancel"):
        tell_usual(m.to, b"io.agentfabric.cancel", 21)
    else:
        tell_usual(m.to, b"io.agentfabric.request", 22)
    return 0


cdef inline bint is_method(Message* m, const char* one, const char* other) noexcept nogil:
    return is_string(&m.rpc.s, m.rpc.method, one, strlen(one)) or is_string(&m.rpc.s, m.rpc.method, other, strlen(other))


cdef int send(Message* m, const Field* message, bint is_new) except -1:
    cdef const char* carried
    if message == NULL:
        raise invalid("params.message is missing", 0 if m.rpc.params == NULL else m.rpc.params.start, "A2A 1.0.1, 3.1.1")
    if is_new:
        tell_message(m, message, True, b"ROLE_USER", 9)
    else:
        tell_message(m, message, False, b"user", 4)
    take_metadata(m, &m.outer, b"request/", 8)
    carried = carried_type(m)
    keep_params(m, carried != NULL)
    tell(m.to, FABMETHOD, m.rpc.s.base + m.rpc.method.start + 1, m.rpc.method.end - m.rpc.method.start - 2)
    tell_version(m, is_new)
    if carried == NULL:
        tell_usual(m.to, b"io.agentfabric.request", 22)
    else:
        tell_usual(m.to, carried, strlen(carried))
        m.rpc.id = NULL  # the event's own id, there because SendMessage needs one
    return 0


cdef int keep_params(Message* m, bint is_carried) except -1:
    """Members beside the message; the configuration of an event was put there by `lower`."""
    cdef Field* field
    cdef int i
    for i in range(m.params.count):
        field = &m.params.items[i]
        if is_named(field, b"message", 7) or (is_named(field, b"metadata", 8) and field.first == c"{"):
            continue
        if not is_carried or not is_named(field, b"configuration", 13):
            keep_member(m.to, b"params/", 7, &m.rpc.s, field)
    return 0


# ---- Answers


cdef struct Spelling:  # of an event
    Event event
    const char* new  # the member that holds it
    const char* old  # its `kind` in 0.3
cdef Spelling spellings[3]
spellings[0] = Spelling(TASK, b"task", b"task")
spellings[1] = Spelling(STATUS, b"statusUpdate", b"status-update")
spellings[2] = Spelling(ARTIFACT, b"artifactUpdate", b"artifact-update")


cdef int answer(Message* m) except -1:
    cdef const char* carried
    cdef Field* field = message_in(m, &m.result)
    cdef int i
    if field != NULL:
        tell_message(m, field, True, b"ROLE_AGENT", 10)
        keep_beside(m, field)
        carried = carried_type(m)
        if carried == NULL:
            carried = b"io.agentfabric.response"
        tell_usual(m.to, carried, strlen(carried))
        return tell_method(m, b"message", True)
    for i in range(3):
        field = find(&m.result, spellings[i].new, strlen(spellings[i].new))
        if field != NULL and field.first == c"{":
            keep_beside(m, field)
            take_event(m, field, spellings[i].event)
            return tell_method(m, spellings[i].new, True)
    return bare_answer(m)


cdef int tell_method(Message* m, const char* method, bint is_new) noexcept:
    tell_word(m.to, FABMETHOD, method, strlen(method))
    return tell_version(m, is_new)


cdef int keep_beside(Message* m, const Field* field) except -1:
    """Members beside the one of a StreamResponse."""
    cdef int i
    for i in range(m.result.count):
        if &m.result.items[i] != field:
            keep_member(m.to, b"result/", 7, &m.rpc.s, &m.result.items[i])
    return 0


cdef int bare_answer(Message* m) except -1:
    """A result that is the thing itself: of 0.3, which says its kind inside; the task of GetTask; or anything."""
    cdef Field* said = find(&m.result, b"kind", 4)
    cdef Field* status = find(&m.result, b"status", 6)
    cdef int i
    if said != NULL and said.first == c'"':
        for i in range(3):
            if is_string(&m.rpc.s, said, spellings[i].old, strlen(spellings[i].old)):
                take_event(m, m.rpc.result, spellings[i].event)
                return tell_method(m, spellings[i].new, False)
        return old_answer(m, is_string(&m.rpc.s, said, b"message", 7))
    if status != NULL and status.first == c"{" and find(&m.result, b"id", 2) != NULL:
        take_event(m, m.rpc.result, TASK)
    else:
        give_whole(m, m.rpc.result)
        tell_usual(m.to, b"io.agentfabric.response", 23)
    return tell_method(m, b"result", True)


cdef int old_answer(Message* m, bint is_message) except -1:
    """A message of 0.3, or a kind of result that nobody knows."""
    tell_text(m.to, CORRELATIONID, &m.rpc.s, find(&m.result, b"contextId", 9))
    if is_message:
        tell_text(m.to, ID, &m.rpc.s, find(&m.result, b"messageId", 9))
    give_whole(m, m.rpc.result)
    tell_usual(m.to, b"io.agentfabric.response", 23)
    return tell_method(m, b"message", False) if is_message else tell_method(m, b"result", False)
