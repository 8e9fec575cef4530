# The answers of MCP as envelopes: what a tool's result says, when one thing says it all, and what an error is called.
# The table is `lift`'s.

from base64 import b64decode

from fabric_codecs.core.jsonvalues cimport Field, find, is_named
from fabric_codecs.core.lifted cimport Lifted, keep, tell_str
from fabric_codecs.core.marks cimport DATACONTENTTYPE, FABMETHOD
from fabric_codecs.core.rpcfields cimport is_string
from fabric_codecs.mcp.message cimport Message, is_number, json_kind, kind, raw_of, take_meta, tell_content, undone, whole

from fabric_codecs.bounds import MCP_META_BYTES_MAX
from fabric_codecs.core.jsonscan import scan
from fabric_codecs.errors import CodecError

cdef Py_ssize_t NATIVE_BYTES = MCP_META_BYTES_MAX
cdef dict RPC_ERRORS = {
    -32700: b"parse_error", -32600: b"invalid_request", -32601: b"method_not_found", -32602: b"invalid_params", -32603: b"internal",
}


cdef bytes answer(Message* m, Lifted* to, list kept, str method):
    cdef Field* kind_of_result = find(&m.result, b"resultType", 10)
    cdef Field* content = find(&m.result, b"content", 7)
    cdef Field* structured = find(&m.result, b"structuredContent", 17)
    cdef Field* exact
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
    exact = find(&m.meta, b"io.agentfabric/data", 19)
    if exact != NULL and structured == NULL:  # `lower` says so for clients to whom only objects are structured
        tell_content(m, to, kept, find(&m.meta, b"io.agentfabric/datacontenttype", 30))
        tell_str(to, DATACONTENTTYPE, "application/json")
        data = raw_of(m, exact)
    else:
        data = extracted(m, to, kept, content, structured)
    if data is None:
        return whole(m, to, kept, "response", m.rpc.result)
    take_meta(m, to, kept, True)
    kind(to, "response")
    return data


cdef bytes extracted(Message* m, Lifted* to, list kept, const Field* content, const Field* structured):
    """What the result says, when one thing says it all and headers can hold the rest; else None. Tells the content type."""
    cdef Field* said = find(&m.meta, b"io.agentfabric/datacontenttype", 30)
    cdef bint derivable = True  # `lower` makes the content of the data again
    cdef bytes data
    cdef int i
    if structured != NULL:
        data = raw_of(m, structured)
        derivable = content == NULL or (
            content.first == c"[" and (m.contents.count == 0 or text_block(m) == told_text(data))
        )
    elif content.first != c"[":
        return None
    if rest_bytes(m, NULL if derivable else content) > NATIVE_BYTES // 2:
        return None
    if structured != NULL:
        tell_content(m, to, kept, said)
        tell_str(to, DATACONTENTTYPE, "application/json")
    elif m.contents.count == 0:
        data = b""
        tell_content(m, to, kept, said)
    else:
        data = only_block(m, to, kept, said)
        if data is None:
            return None
    for i in range(m.result.count):
        if is_rest(&m.result.items[i]) or (not derivable and &m.result.items[i] == content):
            keep(to, b"result/", 7, &m.rpc.s, &m.result.items[i])
    return data


cdef Py_ssize_t rest_bytes(Message* m, const Field* content) noexcept nogil:
    """The size of what is kept beside the data."""
    cdef Py_ssize_t size = 0 if content == NULL else content.end - content.start
    cdef Field* field
    cdef int i
    for i in range(m.result.count):
        field = &m.result.items[i]
        if is_rest(field):
            size += field.name_size + field.end - field.start
    return size


cdef bint is_rest(const Field* field) noexcept nogil:
    return not (
        is_named(field, b"content", 7) or is_named(field, b"structuredContent", 17) or is_named(field, b"isError", 7)
        or is_named(field, b"resultType", 10) or is_named(field, b"_meta", 5)
    )


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
