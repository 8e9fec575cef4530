# The answers of MCP: what a tool's result says, when one thing says it all, and what an error is called. The table is `lift`'s.

from fabric_codecs.core.canonical cimport tell_held, tell_str, tell_usual, tell_word
from fabric_codecs.core.jsonlift cimport give, give_base64, give_failure, is_number, keep_member, raw_of, undone
from fabric_codecs.core.jsonvalues cimport Field, find, is_named
from fabric_codecs.core.marks cimport DATACONTENTTYPE, FABMETHOD
from fabric_codecs.core.rpcfields cimport is_string
from fabric_codecs.mcp.message cimport Message, give_whole, take_meta, tell_content

from fabric_codecs.bounds import MCP_META_BYTES_MAX
from fabric_codecs.core.jsonscan import scan
from fabric_codecs.errors import CodecError

cdef Py_ssize_t NATIVE_BYTES = MCP_META_BYTES_MAX
cdef dict RPC_ERRORS = {
    -32700: b"parse_error", -32600: b"invalid_request", -32601: b"method_not_found", -32602: b"invalid_params", -32603: b"internal",
}


cdef int answer(Message* m, str method) except -1:
    cdef Field* kind_of_result = find(&m.result, b"resultType", 10)
    cdef Field* content = find(&m.result, b"content", 7)
    cdef Field* structured = find(&m.result, b"structuredContent", 17)
    cdef Field* failed = find(&m.result, b"isError", 7)
    if m.rpc.result.first != c"{":
        raise CodecError("the result is no object", protocol="mcp", offset=m.rpc.result.start, clause="MCP basic, Responses", reason=-32600)
    if kind_of_result != NULL and not is_string(&m.rpc.s, kind_of_result, b"complete", 8):
        tell_str(m.to, FABMETHOD, method or "result")
        give_whole(m, m.rpc.result)
        tell_usual(m.to, b"io.agentfabric.status", 21)
        return 0
    if (content == NULL and structured == NULL) or (method is not None and method != "tools/call"):
        tell_str(m.to, FABMETHOD, method or "result")
        return whole_response(m)
    tell_word(m.to, FABMETHOD, b"tools/call", 10)
    if failed != NULL and failed.first == c"t":
        return tool_failure(m)
    if not give_exact(m, structured) and not give_one(m, content, structured):
        return whole_response(m)
    take_meta(m, True)
    tell_usual(m.to, b"io.agentfabric.response", 23)
    return 0


cdef int whole_response(Message* m) except -1:
    give_whole(m, m.rpc.result)
    tell_usual(m.to, b"io.agentfabric.response", 23)
    return 0


cdef bint give_exact(Message* m, const Field* structured) except -1:
    """What `lower` says for clients to whom only objects are structured."""
    cdef Field* exact = find(&m.meta, b"io.agentfabric/data", 19)
    if exact == NULL or structured != NULL:
        return False
    tell_content(m, find(&m.meta, b"io.agentfabric/datacontenttype", 30))
    tell_word(m.to, DATACONTENTTYPE, b"application/json", 16)
    give(m.to, &m.rpc.s, exact)
    return True


cdef bint give_one(Message* m, const Field* content, const Field* structured) except -1:
    """What the result says, when one thing says it all and headers can hold the rest; else False."""
    cdef Field* said = find(&m.meta, b"io.agentfabric/datacontenttype", 30)
    cdef bint derivable = True  # `lower` makes the content of the data again
    cdef int i
    if structured != NULL:
        derivable = content == NULL or (
            content.first == c"[" and (m.contents.count == 0 or text_block(m) == told_text(raw_of(&m.rpc.s, structured)))
        )
    elif content.first != c"[":
        return False
    if rest_bytes(m) + (0 if derivable else content.end - content.start) > NATIVE_BYTES // 2:
        return False
    if structured != NULL:
        tell_content(m, said)
        tell_word(m.to, DATACONTENTTYPE, b"application/json", 16)
        give(m.to, &m.rpc.s, structured)
    elif m.contents.count == 0:
        tell_content(m, said)
    elif not give_only_block(m, said):
        return False
    for i in range(m.result.count):
        if is_rest(&m.result.items[i]) or (not derivable and &m.result.items[i] == content):
            keep_member(m.to, b"result/", 7, &m.rpc.s, &m.result.items[i])
    return True


cdef Py_ssize_t rest_bytes(Message* m) noexcept nogil:
    """The size of what is kept beside the data."""
    cdef Py_ssize_t size = 0
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
    return undone(&m.rpc.s, text) if is_string(&m.rpc.s, kind_of_block, b"text", 4) else None


cdef bytes told_text(bytes structured):
    """What `lower` writes as text beside a structured result."""
    if structured.startswith(b'"'):
        return scan(b'{"text":' + structured + b"}").text("text").encode()
    return structured


cdef bint give_only_block(Message* m, const Field* said) except -1:
    """The one block's content: text, or the bytes of an image, a sound or a resource of ours. False for anything else."""
    cdef Field* media
    cdef Field* blob
    cdef Field* uri
    cdef bytes data = text_block(m)
    if data is not None:
        tell_content(m, said)
        tell_word(m.to, DATACONTENTTYPE, b"text/plain", 10)
        tell_held(m.to, data)
        return True
    if m.contents.count != 1:
        return False
    if m.content.count == 3 and find(&m.content, b"data", 4) != NULL:
        blob = find(&m.content, b"data", 4)
        media = find(&m.content, b"mimeType", 8)
    else:
        blob = find(&m.resource, b"blob", 4)
        media = find(&m.resource, b"mimeType", 8)
        uri = find(&m.resource, b"uri", 3)
        if m.content.count != 2 or m.resource.count != 3 or uri == NULL or not undone(&m.rpc.s, uri).startswith(b"fab://message/"):
            return False
    if blob == NULL or media == NULL or media.first != c'"' or not give_base64(m.to, &m.rpc.s, blob):
        return False
    tell_content(m, said)
    tell_content(m, media)
    return True


# ---- Errors


cdef int tool_failure(Message* m) except -1:
    """A tool that failed: what the fabric said of it, else its words and all that it said."""
    cdef Field* told = find(&m.meta, b"io.agentfabric/error", 20)
    cdef Field* text = find(&m.content, b"text", 4)
    cdef bytes words = b'"the tool failed"'
    take_meta(m, told != NULL)
    tell_word(m.to, DATACONTENTTYPE, b"application/json", 16)
    tell_usual(m.to, b"io.agentfabric.error", 20)
    if told != NULL and told.first == c"{":
        give(m.to, &m.rpc.s, told)
        return 0
    if text != NULL and text.first == c'"':
        words = raw_of(&m.rpc.s, text)
    return give_failure(m.to, &m.rpc.s, b'"tool_error"', words, False, m.rpc.result)


cdef int failure(Message* m) except -1:
    """A JSON-RPC error, named, with itself inside."""
    cdef Field* code = find(&m.error, b"code", 4)
    cdef Field* words = find(&m.error, b"message", 7)
    if not is_number(code) or words == NULL or words.first != c'"':
        raise CodecError("an error needs a number code and a string message", protocol="mcp", offset=m.rpc.error.start, clause="JSON-RPC 2.0 5.1", reason=-32600)
    tell_usual(m.to, b"io.agentfabric.error", 20)
    number = raw_of(&m.rpc.s, code)
    name = RPC_ERRORS.get(int(number), b"error") if len(number) < 8 and number.lstrip(b"-").isdigit() else b"error"
    return give_failure(m.to, &m.rpc.s, b'"' + name + b'"', raw_of(&m.rpc.s, words), False, m.rpc.error)
