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
| notifications/resources/updated of ours | event .. | `_meta["io.agentfabric/data"]`, `/text` or `/data_base64`         |
| notifications/tasks; `resultType` task  | status   | whole                                                             |
| any other request, notification, result | request, event, response | whole                                             |

Whole is `params` or `result` as it came, of type application/mcp+json. Of `_meta`, marks become attributes (`core.marks`)
and traceparent, tracestate too when they are what W3C says; the rest of it, and every member not named here, is kept raw as
native entries `_meta/<key>`, `params/<name>`, `result/<name>`, `rpc/<name>`. What describes one hop only (protocol version,
client, capabilities, progress token, server) ends here.
"""

from base64 import b64decode

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp

from fabric_codecs.core.block cimport put_unescaped
from fabric_codecs.core.jsonvalues cimport Field, Fields, Inner, find, is_named, look_into
from fabric_codecs.core.jsonwrite cimport put_unescaped_string
from fabric_codecs.core.lifted cimport (
    Lifted, is_attribute, is_trace, keep, lifted_envelope, lifted_free, lifted_init, take_mark, tell, tell_rpc_id, tell_str,
    tell_time, text_of,
)
from fabric_codecs.core.marks cimport (
    DATACONTENTTYPE, FABKIND, FABMETHOD, FABVER, ID, SOURCE, SUBJECT, TRACEPARENT, TRACESTATE, TYPE, Value,
)
from fabric_codecs.core.rpcfields cimport (
    ERROR, NOTIFICATION, REQUEST, RESULT, RpcFields, is_rpc_id, is_string, read_rpc_fields, rpc_init,
)
from fabric_codecs.core.utf8 cimport utf8_fault
from fabric_codecs.core.writer cimport Writer, put, writer_bytes, writer_free, writer_init

from fabric_codecs.bounds import MCP_META_BYTES_MAX
from fabric_codecs.core.jsonscan import scan
from fabric_codecs.errors import CodecError
from fabric_codecs.translate.losses import Translation

__all__ = ["WHOLE", "lift"]

WHOLE = "application/mcp+json"  # `data` is a message's params, result or error as it came

cdef enum:
    INVALID_PARAMS = -32602

cdef Py_ssize_t NATIVE_BYTES = MCP_META_BYTES_MAX
cdef frozenset CARRIED = frozenset(("event", "status", "artifact", "presence", "request", "response", "error", "progress", "cancel"))
cdef dict RPC_ERRORS = {
    -32700: b"parse_error", -32600: b"invalid_request", -32601: b"method_not_found", -32602: b"invalid_params", -32603: b"internal",
}


cdef struct Message:
    RpcFields rpc
    Fields params
    Fields meta  # of the params or of the result
    Fields result
    Fields error
    Fields content  # the first block
    Fields resource
    Inner* contents


cdef object invalid(str what, Py_ssize_t offset, str clause):
    return CodecError(what, protocol="mcp", offset=offset, clause=clause, reason=INVALID_PARAMS)


cdef bytes raw_of(Message* m, const Field* field):
    return PyBytes_FromStringAndSize(<const char*>m.rpc.s.base + field.start, field.end - field.start)


def lift(
    bytes message not None, *, str source not None, str fresh_id not None, long long now_us,
    str target=None, str revision=None, str method=None,
):
    cdef Message m
    cdef Lifted to
    cdef list kept = []
    cdef bytes data
    rpc_init(&m.rpc)
    look_into(&m.rpc.top, b"params", 6, &m.params, False)
    look_into(&m.rpc.top, b"result", 6, &m.result, False)
    look_into(&m.rpc.top, b"error", 5, &m.error, False)
    look_into(&m.params, b"_meta", 5, &m.meta, False)
    m.contents = look_into(&m.result, b"content", 7, &m.content, True)
    look_into(&m.content, b"resource", 8, &m.resource, False)
    look_into(&m.result, b"_meta", 5, &m.meta, False)
    read_rpc_fields(&m.rpc, message, "mcp", kept)
    if m.rpc.method != NULL and m.rpc.result != NULL:
        raise CodecError("a method and a result in one message", protocol="mcp", offset=m.rpc.result.start, clause="JSON-RPC 2.0 5", reason=-32600)
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


# ---- Kinds


cdef int kind(Lifted* to, str name) except -1:
    """`fabkind`, and the type that goes with it unless the message has its own."""
    tell_str(to, FABKIND, name)
    return tell_str(to, TYPE, f"io.agentfabric.{name}")


cdef int json_kind(Lifted* to, const char* lines, Py_ssize_t size, const char* type, Py_ssize_t type_size) except -1:
    """The lines that all messages of a kind share, and the type."""
    put(&to.block, lines, size)
    to.seen |= 1ULL << FABKIND | 1ULL << DATACONTENTTYPE
    return tell(to, TYPE, <const unsigned char*>type, type_size)


cdef bytes whole(Message* m, Lifted* to, list kept, str name, const Field* value):
    """The params or the result as it is; of its `_meta` only what are attributes."""
    take_meta(m, to, kept, False)
    kind(to, name)
    tell_str(to, DATACONTENTTYPE, WHOLE)
    return b"" if value == NULL else raw_of(m, value)


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
    return whole(m, to, kept, "request", m.rpc.params)


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
    if content != NULL and content.first == c'"' and arguments != NULL:
        return unwrapped(m, to, kept, content, arguments)
    take_meta(m, to, kept, True)
    json_kind(
        to, b"ce-fabkind: request\r\nce-fabmethod: tools/call\r\nce-datacontenttype: application/json\r\n", 85,
        b"io.agentfabric.request", 22,
    )
    return b"{}" if arguments == NULL else raw_of(m, arguments)


cdef bytes unwrapped(Message* m, Lifted* to, list kept, const Field* content, const Field* arguments):
    """Arguments that `lower` made of data that is no JSON object, by the one member that they have."""
    found = scan(raw_of(m, arguments), protocol="mcp")
    name = found.names()[0] if len(found) == 1 else ""
    data = carried_value(name, found.get(name), "")
    take_meta(m, to, kept, True)
    if data is None:
        tell_str(to, DATACONTENTTYPE, "application/json")
        data = found.raw
    else:
        tell_content(m, to, kept, content)
    kind(to, "request")
    tell_str(to, FABMETHOD, "tools/call")
    return data


cdef int tell_content(Message* m, Lifted* to, list kept, const Field* content) except -1:
    cdef Value text
    if content != NULL and content.first == c'"':
        text_of(&m.rpc.s, content, &text, kept)
        if is_attribute(text.text, text.size):
            tell(to, DATACONTENTTYPE, text.text, text.size)
    return 0


cdef object carried_value(str name, bytes raw, str prefix):
    """Data that stands as a member `data` (JSON), `text`, or `data_base64`; None for anything else."""
    if raw is None or not name.startswith(prefix):
        return None
    name = name[len(prefix):]
    if name == "data":
        return raw
    if name == "text" and raw.startswith(b'"'):
        return scan(b'{"text":' + raw + b"}").text("text").encode()
    if name == "data_base64" and raw.startswith(b'"'):
        try:
            return b64decode(raw.strip(b'"'), validate=True)
        except ValueError:
            return None
    return None


# ---- `_meta`


cdef bint is_of_this_hop(const Field* field) noexcept nogil:
    if field.name_size == 13:
        return memcmp(field.name, b"progressToken", 13) == 0
    if field.name_size < 24 or memcmp(field.name, b"io.modelcontextprotocol/", 24) != 0:
        return False
    return (
        is_named(field, b"io.modelcontextprotocol/protocolVersion", 39)
        or is_named(field, b"io.modelcontextprotocol/clientCapabilities", 42)
        or is_named(field, b"io.modelcontextprotocol/clientInfo", 34)
        or is_named(field, b"io.modelcontextprotocol/serverInfo", 34)
        or is_named(field, b"io.modelcontextprotocol/logLevel", 32)
    )


cdef bint is_content(const Field* field) noexcept nogil:
    """The members that carry data or say what it is, which their readers have taken."""
    return (
        is_named(field, b"io.agentfabric/datacontenttype", 30) or is_named(field, b"io.agentfabric/data", 19)
        or is_named(field, b"io.agentfabric/text", 19) or is_named(field, b"io.agentfabric/data_base64", 26)
        or is_named(field, b"io.agentfabric/fabkind", 22) or is_named(field, b"io.agentfabric/error", 20)
    )


cdef int take_meta(Message* m, Lifted* to, list kept, bint keep_rest) except -1:
    """What `_meta` says: attributes, and what is kept. A trace that is none is kept as it came: W3C says to go on without."""
    cdef Field* field
    cdef Value text
    cdef int i, which
    for i in range(m.meta.count):
        field = &m.meta.items[i]
        if is_of_this_hop(field):
            if field.name_size == 13 and not is_rpc_id(&m.rpc.s, field) and not is_number(field):
                raise invalid("_meta.progressToken is neither a string nor a number", field.start, "MCP progress")
            continue
        which = -1
        if field.first == c'"':
            which = TRACEPARENT if is_named(field, b"traceparent", 11) else TRACESTATE if is_named(field, b"tracestate", 10) else -1
        if which >= 0:
            text_of(&m.rpc.s, field, &text, kept)
            if is_trace(text.text, text.size) if which == TRACEPARENT else is_tracestate(&text):
                tell(to, which, text.text, text.size)
                continue
        if take_mark(to, &m.rpc.s, field, "mcp", kept) or not keep_rest or is_content(field):
            continue
        keep(to, b"_meta/", 6, &m.rpc.s, field)
    return 0


cdef bint is_number(const Field* field) noexcept nogil:
    return field.first == c"-" or c"0" <= field.first <= c"9"


cdef bint is_tracestate(const Value* text) noexcept nogil:
    cdef Py_ssize_t at
    for at in range(text.size):
        if not 32 <= text.text[at] <= 126:
            return False
    return 0 < text.size <= 512


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


# ---- Answers


cdef bytes answer(Message* m, Lifted* to, list kept, str method):
    cdef Field* kind_of_result = find(&m.result, b"resultType", 10)
    cdef Field* content = find(&m.result, b"content", 7)
    cdef Field* structured = find(&m.result, b"structuredContent", 17)
    cdef Field* failed = find(&m.result, b"isError", 7)
    cdef bytes data
    if m.rpc.result.first != c"{":
        raise CodecError("the result is no object", protocol="mcp", offset=m.rpc.result.start, clause="MCP basic, Responses", reason=-32600)
    if kind_of_result != NULL and not is_string(&m.rpc.s, kind_of_result, b"complete", 8):
        tell_str(to, FABMETHOD, method or "result")
        return whole(m, to, kept, "status", m.rpc.result)
    if (content == NULL and structured == NULL) or (method is not None and method != "tools/call"):
        tell_str(to, FABMETHOD, method or "result")
        return whole(m, to, kept, "response", m.rpc.result)
    tell_str(to, FABMETHOD, "tools/call")
    if failed != NULL and failed.first == c"t":
        return tool_failure(m, to, kept)
    data = extracted(m, to, kept, content, structured)
    if data is None:
        return whole(m, to, kept, "response", m.rpc.result)
    take_meta(m, to, kept, True)
    kind(to, "response")
    return data


cdef bytes extracted(Message* m, Lifted* to, list kept, const Field* content, const Field* structured):
    """What the result says, when one thing says it all; else None. Tells the content type."""
    cdef Field* field
    cdef Field* said = find(&m.meta, b"io.agentfabric/datacontenttype", 30)
    cdef Py_ssize_t rest = 0
    cdef bint derivable = False
    cdef bytes data
    cdef int i
    if structured != NULL:
        data = raw_of(m, structured)
        derivable = content != NULL and (m.contents.count == 0 or text_block(m) == told_text(data))
        tell_content(m, to, kept, said)
        tell_str(to, DATACONTENTTYPE, "application/json")
    elif content.first != c"[":
        return None
    elif m.contents.count == 0:
        data = b""
        derivable = True
        tell_content(m, to, kept, said)
    else:
        data = only_block(m, to, kept, said)
        if data is None:
            return None
        derivable = True
    for i in range(m.result.count):
        field = &m.result.items[i]
        if is_rest(field) or (field == content and not derivable):
            rest += field.name_size + field.end - field.start
    if rest > NATIVE_BYTES // 2:
        to.seen &= ~(1ULL << DATACONTENTTYPE)
        return None
    for i in range(m.result.count):
        field = &m.result.items[i]
        if is_rest(field) or (field == content and not derivable):
            keep(to, b"result/", 7, &m.rpc.s, field)
    return data


cdef bint is_rest(const Field* field) noexcept nogil:
    return not (
        is_named(field, b"content", 7) or is_named(field, b"structuredContent", 17) or is_named(field, b"isError", 7)
        or is_named(field, b"resultType", 10) or is_named(field, b"_meta", 5)
    )


cdef bytes undone(Message* m, const Field* field):
    """The text of a string member, as UTF-8."""
    cdef Writer w
    writer_init(&w)
    try:
        put_unescaped_string(&w, m.rpc.s.base + field.start + 1, field.end - field.start - 2)
        return writer_bytes(&w) if w.size else b""
    finally:
        writer_free(&w)


cdef bytes text_block(Message* m):
    """The text, when the content is one text block and nothing but; else None."""
    cdef Field* kind_of_block = find(&m.content, b"type", 4)
    cdef Field* text = find(&m.content, b"text", 4)
    if m.contents.count != 1 or m.content.count != 2 or kind_of_block == NULL or text == NULL or text.first != c'"':
        return None
    return undone(m, text) if is_string(&m.rpc.s, kind_of_block, b"text", 4) else None


cdef bytes told_text(bytes structured):
    """What `lower` writes as text beside a structured result."""
    if structured.startswith(b'"'):
        return scan(b'{"text":' + structured + b"}").text("text").encode()
    return structured


cdef bytes only_block(Message* m, Lifted* to, list kept, const Field* said):
    """The one block's content: text, or the bytes of an image, a sound or a resource of ours. None for anything else."""
    cdef Field* media
    cdef Field* blob
    cdef Field* uri
    cdef bytes data = text_block(m)
    if data is not None:
        tell_content(m, to, kept, said)
        tell_str(to, DATACONTENTTYPE, "text/plain")
        return data
    if m.contents.count != 1:
        return None
    if m.content.count == 3 and find(&m.content, b"data", 4) != NULL:
        blob = find(&m.content, b"data", 4)
        media = find(&m.content, b"mimeType", 8)
    else:
        blob = find(&m.resource, b"blob", 4)
        media = find(&m.resource, b"mimeType", 8)
        uri = find(&m.resource, b"uri", 3)
        if m.content.count != 2 or m.resource.count != 3 or uri == NULL or not undone(m, uri).startswith(b"fab://message/"):
            return None
    if blob == NULL or media == NULL or blob.first != c'"' or media.first != c'"':
        return None
    try:
        data = b64decode(undone(m, blob), validate=True)
    except ValueError:
        return None
    tell_content(m, to, kept, said)
    tell_content(m, to, kept, media)
    return data


# ---- Errors


cdef bytes tool_failure(Message* m, Lifted* to, list kept):
    """A tool that failed: what the fabric said of it, else its words and all that it said."""
    cdef Field* told = find(&m.meta, b"io.agentfabric/error", 20)
    cdef Field* text = find(&m.content, b"text", 4)
    cdef bytes words = b'"the tool failed"'
    take_meta(m, to, kept, told != NULL)
    json_kind(to, b"ce-fabkind: error\r\nce-datacontenttype: application/json\r\n", 57, b"io.agentfabric.error", 20)
    if told != NULL and told.first == c"{":
        return raw_of(m, told)
    if text != NULL and text.first == c'"':
        words = raw_of(m, text)
    return b'{"code":"tool_error","message":' + words + b',"retriable":false,"data":' + raw_of(m, m.rpc.result) + b"}"


cdef bytes failure(Message* m, Lifted* to):
    """A JSON-RPC error, named, with itself inside."""
    cdef Field* code = find(&m.error, b"code", 4)
    cdef Field* words = find(&m.error, b"message", 7)
    if code == NULL or not is_number(code) or words == NULL or words.first != c'"':
        raise CodecError("an error needs a number code and a string message", protocol="mcp", offset=m.rpc.error.start, clause="JSON-RPC 2.0 5.1", reason=-32600)
    json_kind(to, b"ce-fabkind: error\r\nce-datacontenttype: application/json\r\n", 57, b"io.agentfabric.error", 20)
    number = raw_of(m, code)
    name = RPC_ERRORS.get(int(number), b"error") if len(number) < 8 and number.lstrip(b"-").isdigit() else b"error"
    return b'{"code":"' + name + b'","message":' + raw_of(m, words) + b',"retriable":false,"data":' + raw_of(m, m.rpc.error) + b"}"
