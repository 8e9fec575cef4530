"""Lift: an A2A message -> the canonical Envelope. Raw stays raw: the message is scanned once, and `data` is a slice of it.

In: a JSON-RPC message of A2A 1.0 or 0.3 (they tell themselves apart), and what only the edge knows. Out:
`Translation[Envelope]`. Above: the edge, `translate`. Below: `core.rpcfields`, `core.lifted`, `parts`.

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

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memchr

from fabric_codecs.a2a.message cimport (
    Message, carried_kind, invalid, prepare, raw_of, read_message, take_metadata, tell_text, undone,
)
from fabric_codecs.core.jsontext cimport Scan
from fabric_codecs.core.jsonvalues cimport Field, find, is_named
from fabric_codecs.core.lifted cimport (
    Lifted, is_attribute, keep, lifted_envelope, lifted_free, lifted_init, tell, tell_rpc_id, tell_str, tell_time,
)
from fabric_codecs.core.marks cimport (
    CORRELATIONID, DATACONTENTTYPE, FABKIND, FABMETHOD, FABVER, ID, SOURCE, SUBJECT, TRACEPARENT, TYPE,
)
from fabric_codecs.core.rpcfields cimport ERROR, REQUEST, RESULT, is_string, read_rpc_fields
from fabric_codecs.core.writer cimport put

from fabric_codecs.a2a.outcome import read_event, read_failure
from fabric_codecs.core.jsonscan import scan
from fabric_codecs.errors import CodecError
from fabric_codecs.translate.losses import Translation

__all__ = ["WHOLE", "lift"]

WHOLE = "application/a2a+json"  # `data` is a message, task, event or params as it came

cdef enum:
    INVALID_REQUEST = -32600

cdef const char* new_version = b"1.0"
cdef const char* old_version = b"0.3"
cdef const char* metadata_room = b"metadata/"


def lift(
    bytes message not None, *, str source not None, str fresh_id not None, long long now_us, str target=None,
    str traceparent=None,
):
    cdef Message m
    cdef Lifted to
    cdef list kept = []
    cdef bytes data
    prepare(&m)
    read_rpc_fields(&m.rpc, message, "a2a", kept)
    if m.rpc.method != NULL and m.rpc.result != NULL:
        raise invalid("a method and a result in one message", m.rpc.result.start, "JSON-RPC 2.0 5", INVALID_REQUEST)
    lifted_init(&to)
    try:
        if traceparent is not None:
            tell_str(&to, TRACEPARENT, traceparent)
        if target is not None:
            tell_str(&to, SUBJECT, target)
        if m.rpc.kind == ERROR:
            data = rpc_failure(&m, &to)
        elif m.rpc.kind == RESULT:
            data = answer(&m, &to, kept)
        elif m.rpc.kind == REQUEST:
            data = request(&m, &to, kept)
        else:
            raise invalid("A2A has no notifications: the id is missing", m.rpc.method.start, "A2A 1.0.1, 9.3", INVALID_REQUEST)
        put(&to.block, b"ce-fabproto: a2a\r\n", 18)
        tell_rpc(&m, &to)
        tell_str(&to, ID, fresh_id)
        tell_str(&to, SOURCE, source)
        tell_time(&to, now_us)
        return Translation(lifted_envelope(&to, data, "a2a"))
    finally:
        lifted_free(&to)


cdef int tell_rpc(Message* m, Lifted* to) except -1:
    """The correlation, and members beside those of JSON-RPC."""
    cdef Field* field
    cdef int i
    if m.rpc.id != NULL:
        tell_rpc_id(to, &m.rpc.s, m.rpc.id)
    for i in range(m.rpc.top.count):
        field = &m.rpc.top.items[i]
        if field != m.rpc.method and field != m.rpc.params and field != m.rpc.result and field != m.rpc.error:
            if not is_named(field, b"jsonrpc", 7) and not is_named(field, b"id", 2):
                keep(to, b"rpc/", 4, &m.rpc.s, field)
    return 0


cdef int kind(Lifted* to, str name, str version, str method) except -1:
    """`fabkind`, the type that goes with it unless the message has its own, the version and the method."""
    tell_str(to, FABKIND, name)
    tell_str(to, TYPE, f"io.agentfabric.{name}")
    tell_str(to, FABVER, version)
    if method is not None:
        tell_str(to, FABMETHOD, method)
    return 0


# ---- Requests


cdef bytes request(Message* m, Lifted* to, list kept):
    cdef Scan* s = &m.rpc.s
    cdef Field* method = m.rpc.method
    cdef bint is_new = is_string(s, method, b"SendMessage", 11) or is_string(s, method, b"SendStreamingMessage", 20)
    if is_new or is_string(s, method, b"message/send", 12) or is_string(s, method, b"message/stream", 14):
        return send(m, to, kept, is_new)
    if m.message.there:
        raise invalid("params.message in an operation that sends none", m.message.start, "A2A 1.0.1, 9.4")
    tell_text(m, to, kept, FABMETHOD, method)
    for name in (b"taskId", b"id", b"name", b"contextId"):
        tell_text(m, to, kept, SUBJECT, find(&m.params, name, len(name)))
    take_metadata(m, to, kept, &m.outer, NULL, 0)
    tell_str(to, DATACONTENTTYPE, WHOLE)
    is_cancel = is_string(s, method, b"CancelTask", 10) or is_string(s, method, b"tasks/cancel", 12)
    is_old = memchr(s.base + method.start, c"/", method.end - method.start) != NULL
    kind(to, "cancel" if is_cancel else "request", "0.3" if is_old else "1.0", None)
    return b"{}" if m.rpc.params == NULL else raw_of(m, m.rpc.params)


cdef bytes send(Message* m, Lifted* to, list kept, bint is_new):
    cdef Field* field
    cdef int i
    if not m.message.there:
        raise invalid("params.message is missing", 0 if m.rpc.params == NULL else m.rpc.params.start, "A2A 1.0.1, 3.1.1")
    data = read_message(m, to, kept, is_new, b"ROLE_USER" if is_new else b"user")
    take_metadata(m, to, kept, &m.outer, b"request/", 8)
    said = carried_kind(m)
    for i in range(m.params.count):
        field = &m.params.items[i]
        if is_named(field, b"message", 7) or (is_named(field, b"metadata", 8) and field.first == c"{"):
            continue
        if said is None or not is_named(field, b"configuration", 13):  # an event's was put there by `lower`
            keep(to, b"params/", 7, &m.rpc.s, field)
    if said is None and not to.seen >> TYPE & 1 and is_string(&m.rpc.s, m.rpc.method, b"SendMessage", 11):
        put(&to.block, b"ce-fabkind: request\r\nce-type: io.agentfabric.request\r\nce-fabver: 1.0\r\nce-fabmethod: SendMessage\r\n", 97)
        to.seen |= 1ULL << FABKIND | 1ULL << TYPE | 1ULL << FABVER | 1ULL << FABMETHOD
    elif said is None:
        put(&to.block, b"ce-fabkind: request\r\n", 21)
        tell(to, TYPE, <const unsigned char*><const char*>b"io.agentfabric.request", 22)
        tell(to, FABVER, <const unsigned char*>(new_version if is_new else old_version), 3)
        tell(to, FABMETHOD, m.rpc.s.base + m.rpc.method.start + 1, m.rpc.method.end - m.rpc.method.start - 2)
    else:
        tell_text(m, to, kept, FABMETHOD, m.rpc.method)
        kind(to, said, "1.0" if is_new else "0.3", None)
        m.rpc.id = NULL  # the event's own id, there because SendMessage needs one
    return data


# ---- Answers


cdef bytes answer(Message* m, Lifted* to, list kept):
    cdef Field* field
    if m.message.there and m.result.count >= 1:
        data = read_message(m, to, kept, True, b"ROLE_AGENT")
        keep_beside(m, to, b"message", 7)
        kind(to, carried_kind(m) or "response", "1.0", "message")
        return data
    for name in (b"task", b"statusUpdate", b"artifactUpdate"):
        field = find(&m.result, name, len(name))
        if field != NULL and field.first == c"{":
            keep_beside(m, to, name, len(name))
            return event(m, to, kept, field, name.decode(), "1.0")
    field = find(&m.result, b"kind", 4)
    if field != NULL and field.first == c'"':
        return old_answer(m, to, kept, undone(m, field).decode())
    field = find(&m.result, b"status", 6)
    if field != NULL and field.first == c"{" and find(&m.result, b"id", 2) != NULL:
        return event(m, to, kept, m.rpc.result, "result", "1.0")
    tell_str(to, DATACONTENTTYPE, WHOLE)
    kind(to, "response", "1.0", "result")
    return raw_of(m, m.rpc.result)


cdef int keep_beside(Message* m, Lifted* to, const char* name, Py_ssize_t size) except -1:
    """Members beside the one of a StreamResponse."""
    cdef int i
    for i in range(m.result.count):
        if not is_named(&m.result.items[i], name, size):
            keep(to, b"result/", 7, &m.rpc.s, &m.result.items[i])
    return 0


cdef bytes old_answer(Message* m, Lifted* to, list kept, str said):
    """A result of 0.3 says its kind inside."""
    names = {"task": "task", "status-update": "statusUpdate", "artifact-update": "artifactUpdate"}
    if said in names:
        return event(m, to, kept, m.rpc.result, names[said], "0.3")
    tell_str(to, DATACONTENTTYPE, WHOLE)
    tell_text(m, to, kept, CORRELATIONID, find(&m.result, b"contextId", 9))
    if said == "message":
        tell_text(m, to, kept, ID, find(&m.result, b"messageId", 9))
    kind(to, "response", "0.3", "message" if said == "message" else "result")
    return raw_of(m, m.rpc.result)


cdef bytes event(Message* m, Lifted* to, list kept, const Field* field, str name, str version):
    """A task or an update; what its state says of the call is `outcome`'s to know."""
    cdef bytes text
    try:
        found = read_event(raw_of(m, field), name)
    except CodecError as broken:
        raise invalid(broken.what, field.start + broken.offset, "A2A 1.0.1, 4.1", INVALID_REQUEST) from broken
    take_metadata(m, to, kept, &m.metadata, metadata_room if found.is_ours else NULL, 9)
    for which, said in ((SUBJECT, found.task_id), (CORRELATIONID, found.conversation)):
        text = said.encode()
        if text and is_attribute(<const unsigned char*>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)):
            tell_str(to, which, said)
    if found.content_type:
        tell_str(to, DATACONTENTTYPE, found.content_type)
    kind(to, found.kind, version, name)
    return found.data


cdef bytes rpc_failure(Message* m, Lifted* to):
    error = scan(raw_of(m, m.rpc.error), protocol="a2a")
    if error.kind("code") != "number" or error.kind("message") != "string":
        raise invalid("an error needs a number code and a string message", m.rpc.error.start, "JSON-RPC 2.0 5.1", INVALID_REQUEST)
    tell_str(to, DATACONTENTTYPE, "application/json")
    kind(to, "error", "1.0", None)
    return read_failure(error)
