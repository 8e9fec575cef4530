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
| any other result                         | response | result                  | whole                                      |
| JSON-RPC error                           | error    | -                       | a failure with it inside                   |

Whole is the message, task, event or `params` as it came, of type application/a2a+json. `messageId` is the id, the context the
correlationid unless a mark (`core.marks`) in `metadata` says otherwise, the task the subject of what is about a task. Every
other member is kept raw as a native entry: `message/<name>`, `metadata/<key>`, `params/<name>`, `request/<key>` (metadata of
the request), `rpc/<name>`.
"""

from base64 import b64decode

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memchr

from fabric_codecs.core.jsontext cimport Scan
from fabric_codecs.core.jsonvalues cimport Field, Fields, Inner, find, is_named, look_into
from fabric_codecs.core.jsonwrite cimport put_unescaped_string
from fabric_codecs.core.lifted cimport (
    Lifted, is_attribute, keep, lifted_envelope, lifted_free, lifted_init, take_mark, tell, tell_rpc_id, tell_str, tell_time,
    text_of,
)
from fabric_codecs.core.marks cimport (
    CORRELATIONID, DATACONTENTTYPE, FABKIND, FABMETHOD, FABVER, ID, SOURCE, SUBJECT, TRACEPARENT, TYPE, Value,
)
from fabric_codecs.core.rpcfields cimport ERROR, REQUEST, RESULT, RpcFields, is_string, read_rpc_fields, rpc_init
from fabric_codecs.core.writer cimport Writer, put, writer_bytes, writer_free, writer_init

from fabric_codecs.bounds import ID_CHARS_MAX
from fabric_codecs.core.jsonscan import compose, elements, scan
from fabric_codecs.errors import CodecError
from fabric_codecs.translate.losses import Translation

__all__ = ["WHOLE", "lift"]

WHOLE = "application/a2a+json"  # `data` is a message, task, event or params as it came

cdef enum:
    INVALID_REQUEST = -32600
    INVALID_PARAMS = -32602

cdef frozenset CARRIED = frozenset(("event", "status", "artifact", "presence", "response", "error", "progress", "cancel"))
cdef dict ERRORS = {
    b"-32700": "parse_error", b"-32600": "invalid_request", b"-32601": "method_not_found", b"-32602": "invalid_params",
    b"-32603": "internal", b"-32001": "task_not_found", b"-32002": "task_not_cancelable",
    b"-32003": "push_notification_not_supported", b"-32004": "unsupported_operation",
    b"-32005": "content_type_not_supported", b"-32006": "invalid_agent_response",
    b"-32007": "extended_agent_card_not_configured", b"-32008": "extension_support_required",
    b"-32009": "version_not_supported",
}
cdef dict ENDED_BADLY = {
    "TASK_STATE_FAILED": "failed", "failed": "failed", "TASK_STATE_REJECTED": "refused", "rejected": "refused",
    "TASK_STATE_CANCELED": "cancelled", "canceled": "cancelled",
}


cdef const char* new_version = b"1.0"
cdef const char* old_version = b"0.3"
cdef const char* metadata_room = b"metadata/"


cdef struct Message:
    RpcFields rpc
    Fields params
    Fields metadata  # of the message
    Fields outer  # of the params
    Fields message
    Fields part  # the first
    Fields file  # of a part of 0.3
    Fields result
    Fields event  # a task or an update
    Fields error
    Inner* parts


cdef object invalid(str what, Py_ssize_t offset, str clause, int reason=INVALID_PARAMS):
    return CodecError(what, protocol="a2a", offset=offset, clause=clause, reason=reason)


cdef bytes raw_of(Message* m, const Field* field):
    return PyBytes_FromStringAndSize(<const char*>m.rpc.s.base + field.start, field.end - field.start)


cdef bytes raw_object(Message* m, const Fields* fields):
    return PyBytes_FromStringAndSize(<const char*>m.rpc.s.base + fields.start, fields.end - fields.start)


cdef int prepare(Message* m) except -1:
    """Which objects are looked into. A message of the params and one of the result cannot be in one document."""
    rpc_init(&m.rpc)
    look_into(&m.rpc.top, b"params", 6, &m.params, False)
    look_into(&m.rpc.top, b"result", 6, &m.result, False)
    look_into(&m.rpc.top, b"error", 5, &m.error, False)
    look_into(&m.params, b"message", 7, &m.message, False)
    look_into(&m.params, b"metadata", 8, &m.outer, False)
    m.parts = look_into(&m.message, b"parts", 5, &m.part, True)
    look_into(&m.message, b"metadata", 8, &m.metadata, False)
    look_into(&m.part, b"file", 4, &m.file, False)
    look_into(&m.result, b"message", 7, &m.message, False)
    m.parts = look_into(&m.message, b"parts", 5, &m.part, True)
    look_into(&m.message, b"metadata", 8, &m.metadata, False)
    look_into(&m.part, b"file", 4, &m.file, False)
    look_into(&m.result, b"task", 4, &m.event, False)
    look_into(&m.result, b"statusUpdate", 12, &m.event, False)
    look_into(&m.result, b"artifactUpdate", 14, &m.event, False)
    return 0


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
            raise invalid("A2A has no notifications: the id is missing", m.rpc.method.start, "A2A 1.0.1, 9.1", INVALID_REQUEST)
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


cdef int tell_text(Message* m, Lifted* to, list kept, int which, const Field* field) except -1:
    """A string member as an attribute, when it can be one."""
    cdef Value text
    if field == NULL or field.first != c'"':
        return 0
    text_of(&m.rpc.s, field, &text, kept)
    if text.size and is_attribute(text.text, text.size):
        tell(to, which, text.text, text.size)
    return 0


cdef int take_metadata(Message* m, Lifted* to, list kept, Fields* metadata, const char* room, Py_ssize_t size) except -1:
    """Marks become attributes; the rest is kept when it has a room."""
    cdef Field* field
    cdef int i
    for i in range(metadata.count):
        field = &metadata.items[i]
        if take_mark(to, &m.rpc.s, field, "a2a", kept) or is_named(field, b"io.agentfabric/fabkind", 22):
            continue
        if is_named(field, b"io.agentfabric/datacontenttype", 30) or room == NULL:
            continue
        keep(to, room, size, &m.rpc.s, field)
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
    if said is None:
        put(&to.block, b"ce-fabkind: request\r\n", 21)
        tell(to, TYPE, <const unsigned char*><const char*>b"io.agentfabric.request", 22)
        tell(to, FABVER, <const unsigned char*>(new_version if is_new else old_version), 3)
        tell(to, FABMETHOD, m.rpc.s.base + m.rpc.method.start + 1, m.rpc.method.end - m.rpc.method.start - 2)
    else:
        tell_text(m, to, kept, FABMETHOD, m.rpc.method)
        kind(to, said, "1.0" if is_new else "0.3", None)
        m.rpc.id = NULL  # the event's own id, there because SendMessage needs one
    return data


cdef str carried_kind(Message* m):
    """What `lower` says of a message that it made of something else."""
    cdef Field* field = find(&m.metadata, b"io.agentfabric/fabkind", 22)
    if field == NULL or field.first != c'"':
        return None
    said = raw_of(m, field).strip(b'"').decode()
    return said if said in CARRIED else None


# ---- Messages


cdef bytes read_message(Message* m, Lifted* to, list kept, bint is_new, bytes usual_role):
    """The content of the one part when that says it all, else the message as it is; its attributes."""
    cdef Field* id = find(&m.message, b"messageId", 9)
    cdef Field* context = find(&m.message, b"contextId", 9)
    cdef Value text
    cdef bytes data
    if id == NULL or id.first != c'"' or id.end - id.start == 2:
        raise invalid("messageId is missing or empty", m.message.start, "A2A 1.0.1, 4.1.4")
    if find(&m.message, b"parts", 5) == NULL or find(&m.message, b"parts", 5).first != c"[" or m.parts.count == 0:
        raise invalid("parts is missing or empty", m.message.start, "A2A 1.0.1, 4.1.4")
    take_id(m, to, kept, id)
    data = content(m, to, kept, is_new)
    take_metadata(m, to, kept, &m.metadata, NULL if data is None else metadata_room, 9)
    if context != NULL and context.first == c'"' and not to.seen >> CORRELATIONID & 1:
        text_of(&m.rpc.s, context, &text, kept)
        if text.size and is_attribute(text.text, text.size):
            tell(to, CORRELATIONID, text.text, text.size)
            context = NULL
    if data is None:
        tell_str(to, DATACONTENTTYPE, WHOLE)
        return raw_object(m, &m.message)
    keep_members(m, to, usual_role, context)
    return data


cdef int take_id(Message* m, Lifted* to, list kept, const Field* id) except -1:
    cdef Value text
    text_of(&m.rpc.s, id, &text, kept)
    chars = len((<const char*>text.text)[:text.size].decode()) if text.size > ID_CHARS_MAX else 0
    if chars > ID_CHARS_MAX:
        raise invalid(f"messageId has {chars} characters, allowed are {ID_CHARS_MAX}", id.start, "A2A 1.0.1, 4.1.4")
    if not is_attribute(text.text, text.size):
        raise invalid("messageId holds a control character", id.start, "CloudEvents 1.0.2")
    return tell(to, ID, text.text, text.size)


cdef int keep_members(Message* m, Lifted* to, bytes usual_role, const Field* context) except -1:
    """Members of the message that neither an attribute nor the data carries."""
    cdef Field* field
    cdef int i
    for i in range(m.message.count):
        field = &m.message.items[i]
        if is_named(field, b"messageId", 9) or is_named(field, b"parts", 5) or is_named(field, b"kind", 4):
            continue
        if is_named(field, b"metadata", 8) and field.first == c"{":
            continue
        if is_named(field, b"contextId", 9) and field != context:
            continue
        if is_named(field, b"role", 4) and is_string(&m.rpc.s, field, usual_role, len(usual_role)):
            continue
        keep(to, b"message/", 8, &m.rpc.s, field)
    return 0


cdef bytes content(Message* m, Lifted* to, list kept, bint is_new):
    """What the one part holds; None when there are more, or when it has a name, metadata or a URL. Tells the content type."""
    cdef Field* said = find(&m.metadata, b"io.agentfabric/datacontenttype", 30)
    cdef Field* media = find(&m.part, b"mediaType", 9) if is_new else NULL
    cdef Field* field
    cdef int expected = 1 + (media != NULL)
    if not m.part.there or m.parts.count != 1:
        return None
    if not is_new:
        if find(&m.part, b"kind", 4) == NULL:
            return None
        expected += 1
        if m.file.there:
            media = find(&m.file, b"mimeType", 8)
            field = find(&m.file, b"bytes", 5)
            if m.part.count != 2 or m.file.count != 1 + (media != NULL) or field == NULL:
                return None
            return decoded(m, to, kept, said, media, field)
    if m.part.count != expected:
        return None
    field = find(&m.part, b"data", 4)
    if field != NULL:
        tell_text(m, to, kept, DATACONTENTTYPE, said)
        tell_text(m, to, kept, DATACONTENTTYPE, media)
        tell(to, DATACONTENTTYPE, <const unsigned char*><const char*>b"application/json", 16)
        return raw_of(m, field)
    field = find(&m.part, b"text", 4)
    if field != NULL and field.first == c'"':
        tell_text(m, to, kept, DATACONTENTTYPE, said)
        tell_text(m, to, kept, DATACONTENTTYPE, media)
        tell(to, DATACONTENTTYPE, <const unsigned char*><const char*>b"text/plain", 10)
        return undone(m, field)
    field = find(&m.part, b"raw", 3)
    return None if field == NULL or not is_new else decoded(m, to, kept, said, media, field)


cdef bytes decoded(Message* m, Lifted* to, list kept, const Field* said, const Field* media, const Field* field):
    if field.first != c'"':
        return None
    try:
        data = b64decode(undone(m, field), validate=True)
    except ValueError:
        raise invalid("a raw part is no base64", field.start, "RFC 4648 4") from None
    tell_text(m, to, kept, DATACONTENTTYPE, said)
    tell_text(m, to, kept, DATACONTENTTYPE, media)
    tell(to, DATACONTENTTYPE, <const unsigned char*><const char*>b"application/octet-stream", 24)
    return data


cdef bytes undone(Message* m, const Field* field):
    """The text of a string member, as UTF-8."""
    cdef Writer w
    writer_init(&w)
    try:
        put_unescaped_string(&w, m.rpc.s.base + field.start + 1, field.end - field.start - 2)
        return writer_bytes(&w) if w.size else b""
    finally:
        writer_free(&w)


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
            return event(m, to, kept, raw_of(m, field), name.decode(), "1.0")
    field = find(&m.result, b"kind", 4)
    if field != NULL and field.first == c'"':
        return old_answer(m, to, kept, undone(m, field).decode())
    field = find(&m.result, b"status", 6)
    if field != NULL and field.first == c"{" and find(&m.result, b"id", 2) != NULL:
        return event(m, to, kept, raw_of(m, m.rpc.result), "result", "1.0")
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
        return event(m, to, kept, raw_of(m, m.rpc.result), names[said], "0.3")
    tell_str(to, DATACONTENTTYPE, WHOLE)
    tell_text(m, to, kept, CORRELATIONID, find(&m.result, b"contextId", 9))
    if said == "message":
        tell_text(m, to, kept, ID, find(&m.result, b"messageId", 9))
    kind(to, "response", "0.3", "message" if said == "message" else "result")
    return raw_of(m, m.rpc.result)


cdef bytes event(Message* m, Lifted* to, list kept, bytes raw, str name, str version):
    """A task or an update, whole; a failed one as a failure with it inside, a progress of ours as what it was."""
    body = scan(raw, protocol="a2a")
    subject = body.text("id" if name in ("task", "result") else "taskId")
    context = body.text("contextId")
    metadata = body.object("metadata") if body.kind("metadata") == "object" else None
    if subject and subject.isprintable():
        tell_str(to, SUBJECT, subject)
    conversation = metadata.get("io.agentfabric/conversation") if metadata is not None else None
    if conversation is not None and metadata.kind("io.agentfabric/conversation") == "string":
        context = metadata.text("io.agentfabric/conversation")
    if context and context.isprintable():
        tell_str(to, CORRELATIONID, context)
    if name == "artifactUpdate":
        tell_str(to, DATACONTENTTYPE, WHOLE)
        kind(to, "artifact", version, name)
        return raw
    status = body.object("status")
    state = status.text("state") if status is not None and status.kind("state") == "string" else ""
    if metadata is not None and metadata.kind("io.agentfabric/progress") == "number":
        tell_str(to, DATACONTENTTYPE, "application/json")
        kind(to, "progress", version, name)
        return step(metadata, status)
    if state in ENDED_BADLY:
        tell_str(to, DATACONTENTTYPE, "application/json")
        kind(to, "error", version, name)
        return failed(ENDED_BADLY[state], raw, status, metadata)
    tell_str(to, DATACONTENTTYPE, WHOLE)
    kind(to, "response" if state in ("TASK_STATE_COMPLETED", "completed") else "status", version, name)
    return raw


cdef bytes step(object metadata, object status):
    members = [("progress", metadata.get("io.agentfabric/progress"))]
    if metadata.kind("io.agentfabric/total") == "number":
        members.append(("total", metadata.get("io.agentfabric/total")))
    if (words := first_text(status)) is not None:
        members.append(("message", words))
    return compose(members)


cdef bytes failed(str code, bytes raw, object status, object metadata):
    """The failure that the agent reports: its own code where it told one of ours, its words where it had some."""
    said = metadata.get("io.agentfabric/code") if metadata is not None and metadata.kind("io.agentfabric/code") == "string" else None
    again = metadata.get("io.agentfabric/retriable") if metadata is not None and metadata.kind("io.agentfabric/retriable") == "boolean" else None
    words = first_text(status)
    return compose([
        ("code", said or f'"{code}"'.encode()), ("message", words or f'"the task is {code}"'.encode()),
        ("retriable", again or b"false"), ("data", raw),
    ])


cdef object first_text(object status):
    """The first part's text of a status message, as a JSON string."""
    if status is None or status.kind("message") != "object":
        return None
    parts = status.object("message").get("parts")
    if parts is None or not parts.startswith(b"["):
        return None
    first = elements(parts, protocol="a2a")
    if not first or not first[0].startswith(b"{"):
        return None
    part = scan(first[0], protocol="a2a")
    return part.get("text") if part.kind("text") == "string" else None


cdef bytes rpc_failure(Message* m, Lifted* to):
    """A JSON-RPC error, named, with itself inside; or the failure of ours that it carries."""
    error = scan(raw_of(m, m.rpc.error), protocol="a2a")
    if error.kind("code") != "number" or error.kind("message") != "string":
        raise invalid("an error needs a number code and a string message", m.rpc.error.start, "JSON-RPC 2.0 5.1", INVALID_REQUEST)
    tell_str(to, DATACONTENTTYPE, "application/json")
    kind(to, "error", "1.0", None)
    ours = carried_failure(error)
    if ours is not None:
        return ours
    name = ERRORS.get(error.get("code"), "error")
    return compose([
        ("code", f'"{name}"'.encode()), ("message", error.get("message")), ("retriable", b"false"), ("data", error.raw),
    ])


cdef object carried_failure(object error):
    """The detail in which `lower` put a failure of ours: a google.protobuf.Struct behind an ErrorInfo of our domain."""
    if error.kind("data") != "array" or b'"io.agentfabric"' not in error.get("data"):
        return None
    for raw in elements(error.get("data"), protocol="a2a"):
        detail = scan(raw, protocol="a2a") if raw.startswith(b"{") else None
        if detail is not None and detail.kind("value") == "object" and detail.get("@type") == b'"type.googleapis.com/google.protobuf.Struct"':
            return detail.get("value")
    return None
