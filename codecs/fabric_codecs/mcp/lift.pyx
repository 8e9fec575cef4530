"""Lift: an MCP message -> the canonical Envelope. Raw stays raw: the message is scanned once, and `data` is a slice of it.

In: the JSON-RPC message, and what only the edge knows (a fresh id, the source, the time). Out: `Translation[Envelope]`.
Above: the edge, `translate`. Below: `message`, `results`. HTTP headers never come here, so neither do credentials.

| message                                 | fabkind  | data                                                              |
|-----------------------------------------|----------|-------------------------------------------------------------------|
| tools/call                              | request  | `arguments`; what `lower` wrapped is unwrapped                    |
| result of a tool                        | response | `structuredContent`, else the one text, image, audio or resource  |
| the same with `isError`                 | error    | `_meta["io.agentfabric/error"]`, else one with the result inside  |
| JSON-RPC error                          | error    | `{"code","message","retriable","data"}`, the error itself inside  |
| notifications/progress                  | progress | `progress`, `total`, `message`                                    |
| notifications/cancelled                 | cancel   | `{"reason"}`                                                      |
| tasks/cancel                            | cancel   | whole                                                             |
| notifications/resources/updated of ours | event .. | `_meta["io.agentfabric/data"]`, `/text` or `/data_base64`         |
| notifications/tasks; `resultType` task  | status   | whole                                                             |
| any other request, notification, result | request, event, response | whole                                             |

Whole is `params` or `result` as it came, of type application/mcp+json. Of `_meta`, marks become attributes (`core.marks`)
and traceparent, tracestate too when they are what W3C says; the rest of it, and every member not named here, is kept raw as
native entries `_meta/<key>`, `params/<name>`, `result/<name>`, `rpc/<name>`. What describes one hop only (protocol version,
client, capabilities, progress token, server) ends here.
"""

from base64 import b64decode

from libc.string cimport memcmp, strlen

from fabric_codecs.core.block cimport put_unescaped
from fabric_codecs.core.canonical cimport (
    Canonical, Place, close_canonical, hold, is_attribute, open_canonical, tell, tell_held, tell_str, tell_time, tell_usual,
    tell_word,
)
from fabric_codecs.core.enveloped cimport envelope_of
from fabric_codecs.core.jsonlift cimport (
    check_natives, give, is_number, keep_member, raw_of, tell_rpc_id, tell_text, text_of, type_said, undone,
)
from fabric_codecs.core.jsonvalues cimport Field, find, is_named
from fabric_codecs.core.marks cimport DATACONTENTTYPE, FABMETHOD, FABPROTO, FABVER, ID, SOURCE, SUBJECT, TIME
from fabric_codecs.core.rpcfields cimport NOTIFICATION, REQUEST, RESULT, is_rpc_id, is_string
from fabric_codecs.core.utf8 cimport utf8_fault
from fabric_codecs.core.writer cimport Writer, writer_bytes, writer_free, writer_init
from fabric_codecs.losses cimport translation_of
from fabric_codecs.mcp.message cimport Message, give_carried, give_whole, invalid, read_message, take_meta, tell_content
from fabric_codecs.mcp.results cimport answer, failure

from fabric_codecs.core.jsonscan import scan
from fabric_codecs.errors import CodecError

__all__ = ["WHOLE", "lift"]

WHOLE = "application/mcp+json"  # `data` is a message's params, result or error as it came


def lift(
    bytes message not None, *, str source not None, str fresh_id not None, long long now_us,
    str target=None, str revision=None, str method=None,
):
    cdef Canonical c
    open_canonical(&c)
    try:
        take_message(&c, message, source, fresh_id, now_us, target, revision, method)
        return translation_of(envelope_of(&c, "mcp"), ())
    finally:
        close_canonical(&c)


cdef int take_message(
    Canonical* to, bytes message, str source, str fresh_id, long long now_us, str target, str revision, str method
) except -1:
    """`lift`, for `translate`."""
    cdef Message m
    read_message(&m, to, message)
    if m.rpc.kind == REQUEST:
        request(&m, target)
    elif m.rpc.kind == NOTIFICATION:
        notification(&m, target)
    elif m.rpc.kind == RESULT:
        answer(&m, method)
    else:
        failure(&m)
    origin(&m, revision)
    tell_str(to, ID, fresh_id)
    tell_str(to, SOURCE, source)
    tell_time(to, TIME, now_us)
    return check_natives(to, "mcp")


cdef int origin(Message* m, str revision) except -1:
    """Who speaks what, the correlation, and members beside those of JSON-RPC."""
    cdef Field* stated
    cdef Field* field
    cdef Place text
    cdef int i
    tell_word(m.to, FABPROTO, b"mcp", 3)
    stated = find(&m.meta, b"io.modelcontextprotocol/protocolVersion", 39)
    if revision is not None:
        tell_str(m.to, FABVER, revision)
    elif stated != NULL and stated.first == c'"':
        text_of(m.to, &m.rpc.s, stated, &text)
        if is_attribute(text.text, text.size) and text.size <= 64:
            tell(m.to, FABVER, text.text, text.size)
    if m.rpc.id != NULL:
        tell_rpc_id(m.to, &m.rpc.s, m.rpc.id)
    for i in range(m.rpc.top.count):
        field = &m.rpc.top.items[i]
        if field != m.rpc.id and field != m.rpc.method and field != m.rpc.params and field != m.rpc.result and field != m.rpc.error:
            if not is_named(field, b"jsonrpc", 7):
                keep_member(m.to, b"rpc/", 4, &m.rpc.s, field)
    return 0


cdef int method_line(Message* m) except -1:
    cdef Place text
    text_of(m.to, &m.rpc.s, m.rpc.method, &text)
    if not is_attribute(text.text, text.size):
        raise CodecError("the method holds a control character", protocol="mcp", offset=m.rpc.method.start, clause="CloudEvents 1.0.2", reason=-32600)
    tell(m.to, FABMETHOD, text.text, text.size)
    return 0


cdef int name_subject(Message* m, str target) except -1:
    """What a message is about: a tool or prompt, a resource, a task."""
    cdef Field* field
    cdef Place text
    if target is not None:
        return tell_str(m.to, SUBJECT, target)
    field = find(&m.params, b"name", 4)
    if field == NULL:
        field = find(&m.params, b"uri", 3)
    if field == NULL:
        field = find(&m.params, b"taskId", 6)
    if field == NULL or field.first != c'"':
        return 0
    text_of(m.to, &m.rpc.s, field, &text)
    if is_attribute(text.text, text.size):
        tell(m.to, SUBJECT, text.text, text.size)
    return 0


# ---- Requests


cdef int request(Message* m, str target) except -1:
    if is_string(&m.rpc.s, m.rpc.method, b"tools/call", 10):
        return tool_call(m, target)
    method_line(m)
    name_subject(m, target)
    give_whole(m, m.rpc.params)
    if is_string(&m.rpc.s, m.rpc.method, b"tasks/cancel", 12):
        tell_usual(m.to, b"io.agentfabric.cancel", 21)
    else:
        tell_usual(m.to, b"io.agentfabric.request", 22)
    return 0


cdef int tool_call(Message* m, str target) except -1:
    cdef Field* name = find(&m.params, b"name", 4)
    cdef Field* arguments = find(&m.params, b"arguments", 9)
    cdef Field* meta = find(&m.params, b"_meta", 5)
    cdef Field* field
    cdef int i
    if name == NULL or name.first != c'"':
        raise invalid("params.name is missing: it says which tool to call", place(m, name), "MCP tools")
    if arguments != NULL and arguments.first != c"{":
        raise invalid("params.arguments is no object", arguments.start, "MCP tools")
    if meta != NULL and meta.first != c"{":
        raise invalid("params._meta is no object", meta.start, "MCP basic, _meta")
    for i in range(m.params.count):
        field = &m.params.items[i]
        if field != name and field != arguments and field != meta:
            keep_member(m.to, b"params/", 7, &m.rpc.s, field)
    name_tool(m, name, target)
    give_arguments(m, arguments)
    take_meta(m, True)
    tell_content(m, find(&m.meta, b"io.agentfabric/datacontenttype", 30))
    tell_word(m.to, DATACONTENTTYPE, b"application/json", 16)
    tell_word(m.to, FABMETHOD, b"tools/call", 10)
    tell_usual(m.to, b"io.agentfabric.request", 22)
    return 0


cdef inline Py_ssize_t place(const Message* m, const Field* member) noexcept nogil:
    """Where a member of the params is wrong; one that is missing, in the params."""
    return member.start if member != NULL else m.params.start if m.params.there else 0


cdef int name_tool(Message* m, const Field* name, str target) except -1:
    cdef Place text
    if target is not None:
        return tell_str(m.to, SUBJECT, target)
    text_of(m.to, &m.rpc.s, name, &text)
    if not is_attribute(text.text, text.size):
        raise invalid("params.name holds a control character", name.start, "MCP tools, Tool Names")
    tell(m.to, SUBJECT, text.text, text.size)
    return 0


cdef int give_arguments(Message* m, const Field* arguments) except -1:
    """The arguments, or what `lower` wrapped in them: data that is no JSON object."""
    cdef Field* wrapped = find(&m.meta, b"io.agentfabric/argument", 23)
    cdef bytes data
    if arguments == NULL:
        return tell_held(m.to, b"{}")
    give(m.to, &m.rpc.s, arguments)
    if wrapped != NULL and wrapped.first == c'"':
        name = undone(&m.rpc.s, wrapped).decode()
        data = carried_in(scan(raw_of(&m.rpc.s, arguments), protocol="mcp"), name)
        if data is not None:
            tell_held(m.to, data)
    return 0


cdef bytes carried_in(object arguments, str name):
    """The argument `data` (JSON), `text` or `data_base64`; None for anything else."""
    raw = arguments.get(name)
    if raw is None or name == "data":
        return raw
    if arguments.kind(name) != "string" or name not in ("text", "data_base64"):
        return None
    try:
        return arguments.text(name).encode() if name == "text" else b64decode(arguments.text(name), validate=True)
    except ValueError:
        return None


# ---- Notifications


cdef int notification(Message* m, str target) except -1:
    if is_string(&m.rpc.s, m.rpc.method, b"notifications/progress", 22):
        return progress(m)
    if is_string(&m.rpc.s, m.rpc.method, b"notifications/cancelled", 23):
        return cancelled(m)
    if is_string(&m.rpc.s, m.rpc.method, b"notifications/resources/updated", 31) and carried(m):
        return 0
    method_line(m)
    name_subject(m, target)
    give_whole(m, m.rpc.params)
    if is_string(&m.rpc.s, m.rpc.method, b"notifications/tasks", 19):
        tell_usual(m.to, b"io.agentfabric.status", 21)
    else:
        tell_usual(m.to, b"io.agentfabric.event", 20)
    return 0


cdef int progress(Message* m) except -1:
    cdef Field* token = find(&m.params, b"progressToken", 13)
    cdef Field* value = find(&m.params, b"progress", 8)
    cdef Field* field
    cdef int i
    cdef list parts = []
    if token == NULL or not (is_rpc_id(&m.rpc.s, token) or is_number(token)):
        raise invalid("params.progressToken is neither a string nor a number", place(m, token), "MCP progress")
    if value == NULL or not is_number(value):
        raise invalid("params.progress is no number", place(m, value), "MCP progress")
    if not tell_rpc_id(m.to, &m.rpc.s, token):
        raise invalid("params.progressToken is no integer", token.start, "MCP progress")
    for i in range(m.params.count):
        field = &m.params.items[i]
        if field == value or is_named(field, b"total", 5) or is_named(field, b"message", 7):
            parts.append(b'"' + (<const char*>field.name)[:field.name_size] + b'":' + raw_of(&m.rpc.s, field))
        elif field != token and not is_named(field, b"_meta", 5):
            keep_member(m.to, b"params/", 7, &m.rpc.s, field)
    take_meta(m, True)
    tell_word(m.to, FABMETHOD, b"notifications/progress", 22)
    tell_word(m.to, DATACONTENTTYPE, b"application/json", 16)
    tell_usual(m.to, b"io.agentfabric.progress", 23)
    return tell_held(m.to, b"{" + b",".join(parts) + b"}")


cdef int cancelled(Message* m) except -1:
    cdef Field* given_up = find(&m.params, b"requestId", 9)
    cdef Field* reason = find(&m.params, b"reason", 6)
    cdef Field* field
    cdef int i
    if given_up == NULL or not is_rpc_id(&m.rpc.s, given_up):
        raise invalid("params.requestId is missing: it says which request is given up", place(m, given_up), "MCP cancellation")
    if reason != NULL and reason.first != c'"':
        raise invalid("params.reason is no string", reason.start, "MCP cancellation")
    tell_rpc_id(m.to, &m.rpc.s, given_up)
    for i in range(m.params.count):
        field = &m.params.items[i]
        if field != given_up and field != reason and not is_named(field, b"_meta", 5):
            keep_member(m.to, b"params/", 7, &m.rpc.s, field)
    take_meta(m, True)
    tell_word(m.to, FABMETHOD, b"notifications/cancelled", 23)
    tell_word(m.to, DATACONTENTTYPE, b"application/json", 16)
    tell_usual(m.to, b"io.agentfabric.cancel", 21)
    return tell_held(m.to, b"{}" if reason == NULL else b'{"reason":' + raw_of(&m.rpc.s, reason) + b"}")


cdef bint carried(Message* m) except -1:
    """What `lower` made of an envelope that MCP has no message for; False when it is a server's own notification."""
    cdef Field* field
    cdef Field* uri = find(&m.params, b"uri", 3)
    cdef int i, found = -1
    for i in range(m.meta.count):
        if give_carried(m, &m.meta.items[i], b"io.agentfabric/", 15):
            found = i
            break
    if found < 0:
        return False
    field = &m.meta.items[found]
    for i in range(m.params.count):
        if not is_named(&m.params.items[i], b"_meta", 5) and &m.params.items[i] != uri:
            keep_member(m.to, b"params/", 7, &m.rpc.s, &m.params.items[i])
    uri_subject(m, uri)
    take_meta(m, True)
    tell_content(m, find(&m.meta, b"io.agentfabric/datacontenttype", 30))
    if is_named(field, b"io.agentfabric/data", 19):
        tell_word(m.to, DATACONTENTTYPE, b"application/json", 16)
    elif is_named(field, b"io.agentfabric/text", 19):
        tell_word(m.to, DATACONTENTTYPE, b"text/plain", 10)
    tell_word(m.to, FABMETHOD, b"notifications/resources/updated", 31)
    return carried_kind(m)


cdef bint carried_kind(Message* m) except -1:
    cdef const char* type = type_said(&m.rpc.s, find(&m.meta, b"io.agentfabric/fabkind", 22))
    if type == NULL:
        tell_usual(m.to, b"io.agentfabric.event", 20)
    else:
        tell_usual(m.to, type, strlen(type))
    return True


cdef int uri_subject(Message* m, const Field* uri) except -1:
    """The subject that `lower` made a URI of; else the URI itself."""
    cdef Place text
    cdef Writer path
    cdef bytes subject
    if uri == NULL or uri.first != c'"':
        return 0
    text_of(m.to, &m.rpc.s, uri, &text)
    if text.size < 14 or memcmp(text.text, b"fab://channel/", 14) != 0:
        return tell_text(m.to, SUBJECT, &m.rpc.s, uri)
    writer_init(&path)
    try:
        put_unescaped(&path, text.text + 14, text.size - 14)
        if path.size and utf8_fault(path.data, path.size) < 0 and is_attribute(path.data, path.size):
            subject = writer_bytes(&path)
            tell(m.to, SUBJECT, hold(m.to, subject), len(subject))
    finally:
        writer_free(&path)
    return 0
