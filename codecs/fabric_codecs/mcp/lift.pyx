"""Lift: an MCP message -> the canonical Envelope. Raw stays raw: the message is scanned once, and `data` is a slice of it.

In: the JSON-RPC message, and what only the edge knows (a fresh id, the source, the time). Out: `Translation[Envelope]`.
Above: the edge, `translate`. Below: `core.rpcfields`, `core.lifted`. HTTP headers never come here, so neither do credentials.

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

from libc.string cimport memcmp

from fabric_codecs.core.block cimport put_unescaped
from fabric_codecs.core.jsonvalues cimport Field, find, is_named
from fabric_codecs.core.lifted cimport (
    Lifted, is_attribute, keep, lifted_envelope, lifted_free, lifted_init, tell, tell_rpc_id, tell_str, tell_time, text_of,
)
from fabric_codecs.core.marks cimport DATACONTENTTYPE, FABMETHOD, FABVER, ID, SOURCE, SUBJECT, Value
from fabric_codecs.core.rpcfields cimport NOTIFICATION, REQUEST, RESULT, is_rpc_id, is_string
from fabric_codecs.core.utf8 cimport utf8_fault
from fabric_codecs.core.writer cimport Writer, put, writer_free, writer_init
from fabric_codecs.mcp.message cimport (
    Message, carried_value, invalid, is_number, json_kind, kind, raw_of, read_message, take_meta, tell_content, undone, whole,
)
from fabric_codecs.mcp.results cimport answer, failure

from fabric_codecs.core.jsonscan import scan
from fabric_codecs.errors import CodecError
from fabric_codecs.translate.losses import Translation

__all__ = ["WHOLE", "lift"]

WHOLE = "application/mcp+json"  # `data` is a message's params, result or error as it came

cdef frozenset CARRIED = frozenset(("event", "status", "artifact", "presence", "request", "response", "error", "progress", "cancel"))


def lift(
    bytes message not None, *, str source not None, str fresh_id not None, long long now_us,
    str target=None, str revision=None, str method=None,
):
    cdef Message m
    cdef Lifted to
    cdef list kept = []
    cdef bytes data
    read_message(&m, message, kept)
    lifted_init(&to)
    try:
        if m.rpc.kind == REQUEST:
            data = request(&m, &to, kept, target)
        elif m.rpc.kind == NOTIFICATION:
            data = notification(&m, &to, kept, target)
        elif m.rpc.kind == RESULT:
            data = answer(&m, &to, kept, method)
        else:
            data = failure(&m, &to)
        origin(&m, &to, kept, revision)
        tell_str(&to, ID, fresh_id)
        tell_str(&to, SOURCE, source)
        tell_time(&to, now_us)
        return Translation(lifted_envelope(&to, data, "mcp"))
    finally:
        lifted_free(&to)


cdef int origin(Message* m, Lifted* to, list kept, str revision) except -1:
    """Who speaks what, the correlation, and members beside those of JSON-RPC."""
    cdef Field* stated
    cdef Field* field
    cdef Value text
    cdef int i
    put(&to.block, b"ce-fabproto: mcp\r\n", 18)
    stated = find(&m.meta, b"io.modelcontextprotocol/protocolVersion", 39)
    if revision is not None:
        tell_str(to, FABVER, revision)
    elif stated != NULL and stated.first == c'"':
        text_of(&m.rpc.s, stated, &text, kept)
        if is_attribute(text.text, text.size) and text.size <= 64:
            tell(to, FABVER, text.text, text.size)
    if m.rpc.id != NULL:
        tell_rpc_id(to, &m.rpc.s, m.rpc.id)
    for i in range(m.rpc.top.count):
        field = &m.rpc.top.items[i]
        if field != m.rpc.id and field != m.rpc.method and field != m.rpc.params and field != m.rpc.result and field != m.rpc.error:
            if not is_named(field, b"jsonrpc", 7):
                keep(to, b"rpc/", 4, &m.rpc.s, field)
    return 0


cdef int method_line(Message* m, Lifted* to, list kept) except -1:
    cdef Value text
    text_of(&m.rpc.s, m.rpc.method, &text, kept)
    if not is_attribute(text.text, text.size):
        raise CodecError("the method holds a control character", protocol="mcp", offset=m.rpc.method.start, clause="CloudEvents 1.0.2", reason=-32600)
    return tell(to, FABMETHOD, text.text, text.size)


cdef int name_subject(Message* m, Lifted* to, list kept, str target) except -1:
    """What a message is about: a tool or prompt, a resource, a task."""
    cdef Field* field
    cdef Value text
    if target is not None:
        return tell_str(to, SUBJECT, target)
    field = find(&m.params, b"name", 4)
    if field == NULL:
        field = find(&m.params, b"uri", 3)
    if field == NULL:
        field = find(&m.params, b"taskId", 6)
    if field == NULL or field.first != c'"':
        return 0
    text_of(&m.rpc.s, field, &text, kept)
    if is_attribute(text.text, text.size):
        tell(to, SUBJECT, text.text, text.size)
    return 0


# ---- Requests


cdef bytes request(Message* m, Lifted* to, list kept, str target):
    if is_string(&m.rpc.s, m.rpc.method, b"tools/call", 10):
        return tool_call(m, to, kept, target)
    method_line(m, to, kept)
    name_subject(m, to, kept, target)
    gives_up = is_string(&m.rpc.s, m.rpc.method, b"tasks/cancel", 12)
    return whole(m, to, kept, "cancel" if gives_up else "request", m.rpc.params)


cdef bytes tool_call(Message* m, Lifted* to, list kept, str target):
    cdef Field* name = find(&m.params, b"name", 4)
    cdef Field* arguments = find(&m.params, b"arguments", 9)
    cdef Field* meta = find(&m.params, b"_meta", 5)
    cdef Field* content
    cdef Field* field
    cdef Value text
    cdef int i
    if name == NULL or name.first != c'"':
        raise invalid("params.name is missing: it says which tool to call", 0 if name == NULL else name.start, "MCP tools")
    if arguments != NULL and arguments.first != c"{":
        raise invalid("params.arguments is no object", arguments.start, "MCP tools")
    if meta != NULL and meta.first != c"{":
        raise invalid("params._meta is no object", meta.start, "MCP basic, _meta")
    content = find(&m.meta, b"io.agentfabric/datacontenttype", 30)
    for i in range(m.params.count):
        field = &m.params.items[i]
        if field != name and field != arguments and field != meta:
            keep(to, b"params/", 7, &m.rpc.s, field)
    if target is not None:
        tell_str(to, SUBJECT, target)
    else:
        text_of(&m.rpc.s, name, &text, kept)
        if not is_attribute(text.text, text.size):
            raise invalid("params.name holds a control character", name.start, "MCP tools, Tool Names")
        tell(to, SUBJECT, text.text, text.size)
    if content != NULL or find(&m.meta, b"io.agentfabric/argument", 23) != NULL:
        return unwrapped(m, to, kept, content, arguments)
    take_meta(m, to, kept, True)
    json_kind(
        to, b"ce-fabkind: request\r\nce-fabmethod: tools/call\r\nce-datacontenttype: application/json\r\n", 85,
        b"io.agentfabric.request", 22,
    )
    return b"{}" if arguments == NULL else raw_of(m, arguments)


cdef bytes unwrapped(Message* m, Lifted* to, list kept, const Field* content, const Field* arguments):
    """Arguments of another content type, or those that `lower` made of data that is no JSON object."""
    cdef Field* wrapped = find(&m.meta, b"io.agentfabric/argument", 23)
    cdef bytes data = b"{}" if arguments == NULL else raw_of(m, arguments)
    if wrapped != NULL and wrapped.first == c'"':
        name = undone(m, wrapped).decode()
        held = carried_value(name, scan(data, protocol="mcp").get(name), "")
        data = data if held is None else held
    take_meta(m, to, kept, True)
    tell_content(m, to, kept, content)
    tell_str(to, DATACONTENTTYPE, "application/json")
    kind(to, "request")
    tell_str(to, FABMETHOD, "tools/call")
    return data


# ---- Notifications


cdef bytes notification(Message* m, Lifted* to, list kept, str target):
    if is_string(&m.rpc.s, m.rpc.method, b"notifications/progress", 22):
        return progress(m, to, kept)
    if is_string(&m.rpc.s, m.rpc.method, b"notifications/cancelled", 23):
        return cancelled(m, to, kept)
    if is_string(&m.rpc.s, m.rpc.method, b"notifications/resources/updated", 31):
        data = carried(m, to, kept)
        if data is not None:
            return data
    method_line(m, to, kept)
    name_subject(m, to, kept, target)
    is_task = is_string(&m.rpc.s, m.rpc.method, b"notifications/tasks", 19)
    return whole(m, to, kept, "status" if is_task else "event", m.rpc.params)


cdef bytes progress(Message* m, Lifted* to, list kept):
    cdef Field* token = find(&m.params, b"progressToken", 13)
    cdef Field* value = find(&m.params, b"progress", 8)
    cdef Field* field
    cdef int i
    cdef list parts = []
    if token == NULL or not (is_rpc_id(&m.rpc.s, token) or is_number(token)):
        raise invalid("params.progressToken is neither a string nor a number", 0 if token == NULL else token.start, "MCP progress")
    if value == NULL or not is_number(value):
        raise invalid("params.progress is no number", 0 if value == NULL else value.start, "MCP progress")
    if tell_rpc_id(to, &m.rpc.s, token):
        raise invalid("params.progressToken is no integer", token.start, "MCP progress")
    for i in range(m.params.count):
        field = &m.params.items[i]
        if field == value or is_named(field, b"total", 5) or is_named(field, b"message", 7):
            parts.append(b'"' + (<const char*>field.name)[:field.name_size] + b'":' + raw_of(m, field))
        elif field != token and not is_named(field, b"_meta", 5):
            keep(to, b"params/", 7, &m.rpc.s, field)
    take_meta(m, to, kept, True)
    json_kind(
        to, b"ce-fabkind: progress\r\nce-fabmethod: notifications/progress\r\nce-datacontenttype: application/json\r\n", 98,
        b"io.agentfabric.progress", 23,
    )
    return b"{" + b",".join(parts) + b"}"


cdef bytes cancelled(Message* m, Lifted* to, list kept):
    cdef Field* given_up = find(&m.params, b"requestId", 9)
    cdef Field* reason = find(&m.params, b"reason", 6)
    cdef Field* field
    cdef int i
    if given_up == NULL or not is_rpc_id(&m.rpc.s, given_up):
        raise invalid("params.requestId is missing: it says which request is given up", 0 if given_up == NULL else given_up.start, "MCP cancellation")
    if reason != NULL and reason.first != c'"':
        raise invalid("params.reason is no string", reason.start, "MCP cancellation")
    tell_rpc_id(to, &m.rpc.s, given_up)
    for i in range(m.params.count):
        field = &m.params.items[i]
        if field != given_up and field != reason and not is_named(field, b"_meta", 5):
            keep(to, b"params/", 7, &m.rpc.s, field)
    take_meta(m, to, kept, True)
    json_kind(
        to, b"ce-fabkind: cancel\r\nce-fabmethod: notifications/cancelled\r\nce-datacontenttype: application/json\r\n", 97,
        b"io.agentfabric.cancel", 21,
    )
    return b"{}" if reason == NULL else b'{"reason":' + raw_of(m, reason) + b"}"


cdef bytes carried(Message* m, Lifted* to, list kept):
    """What `lower` made of an envelope that MCP has no message for; None when it is a server's own notification."""
    cdef Field* field = NULL
    cdef Field* uri = find(&m.params, b"uri", 3)
    cdef Field* content = find(&m.meta, b"io.agentfabric/datacontenttype", 30)
    cdef Field* said = find(&m.meta, b"io.agentfabric/fabkind", 22)
    cdef Value text
    cdef bytes data
    cdef int i
    for i in range(m.meta.count):
        field = &m.meta.items[i]
        if is_named(field, b"io.agentfabric/data", 19) or is_named(field, b"io.agentfabric/text", 19) or is_named(field, b"io.agentfabric/data_base64", 26):
            break
    else:
        return None
    data = carried_value((<const char*>field.name)[:field.name_size].decode(), raw_of(m, field), "io.agentfabric/")
    if data is None:
        return None
    for i in range(m.params.count):
        if not is_named(&m.params.items[i], b"_meta", 5) and &m.params.items[i] != uri:
            keep(to, b"params/", 7, &m.rpc.s, &m.params.items[i])
    if uri != NULL and uri.first == c'"':
        text_of(&m.rpc.s, uri, &text, kept)
        uri_subject(to, &text)
    take_meta(m, to, kept, True)
    name = "event"
    if said != NULL and said.first == c'"' and undone(m, said).decode() in CARRIED:
        name = undone(m, said).decode()
    kind(to, name)
    tell_content(m, to, kept, content)
    if is_named(field, b"io.agentfabric/data", 19):
        tell_str(to, DATACONTENTTYPE, "application/json")
    elif is_named(field, b"io.agentfabric/text", 19):
        tell_str(to, DATACONTENTTYPE, "text/plain")
    tell_str(to, FABMETHOD, "notifications/resources/updated")
    return data


cdef int uri_subject(Lifted* to, Value* uri) except -1:
    """The subject that `lower` made a URI of; else the URI itself."""
    cdef Writer path
    if uri.size < 14 or memcmp(uri.text, b"fab://channel/", 14) != 0:
        return tell(to, SUBJECT, uri.text, uri.size) if is_attribute(uri.text, uri.size) else 0
    writer_init(&path)
    try:
        put_unescaped(&path, uri.text + 14, uri.size - 14)
        if path.size and utf8_fault(path.data, path.size) < 0 and is_attribute(path.data, path.size):
            tell(to, SUBJECT, path.data, path.size)
    finally:
        writer_free(&path)
    return 0
