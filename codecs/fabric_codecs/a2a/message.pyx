# Everything here is for other Cython modules; see message.pxd.
# An A2A message found in place: its attributes, and what its one part holds when that says it all. Below `lift`.

from libc.string cimport strcmp

from fabric_codecs.core.canonical cimport OBJECT, Canonical, Place, has, is_attribute, tell, tell_data, tell_word
from fabric_codecs.core.jsonlift cimport (
    give, give_base64, give_text, keep_member, take_mark, tell_text, text_of, type_said, undone,
)
from fabric_codecs.core.jsonvalues cimport Field, Fields, find, is_named, look_into
from fabric_codecs.core.marks cimport CORRELATIONID, DATACONTENTTYPE, ID
from fabric_codecs.core.rpcfields cimport is_string, read_rpc_fields, rpc_init

from fabric_codecs.bounds import ID_CHARS_MAX
from fabric_codecs.errors import CodecError

cdef enum:
    INVALID_REQUEST = -32600
    INVALID_PARAMS = -32602
cdef Py_ssize_t ID_CHARS = ID_CHARS_MAX


cdef object invalid(str what, Py_ssize_t offset, str clause, int reason=INVALID_PARAMS):
    return CodecError(what, protocol="a2a", offset=offset, clause=clause, reason=reason)


cdef int read_message(Message* m, Canonical* to, bytes message) except -1:
    """A task or an update is looked into by `outcome`, when there is one."""
    m.to = to
    rpc_init(&m.rpc)
    look_into(&m.rpc.top, b"params", 6, &m.params, False)
    look_into(&m.rpc.top, b"result", 6, &m.result, False)
    look_into(&m.params, b"metadata", 8, &m.outer, False)
    look_into(&m.params, b"message", 7, &m.message, False)
    look_into(&m.result, b"message", 7, &m.message, False)
    look_into(&m.message, b"metadata", 8, &m.metadata, False)
    m.parts = look_into(&m.message, b"parts", 5, &m.part, True)
    look_into(&m.part, b"file", 4, &m.file, False)
    read_rpc_fields(&m.rpc, message, "a2a", to)
    if m.rpc.method != NULL and m.rpc.result != NULL:
        raise invalid("a method and a result in one message", m.rpc.result.start, "JSON-RPC 2.0 5", INVALID_REQUEST)
    return 0


cdef Field* message_in(Message* m, Fields* holder) noexcept nogil:
    """The message of the params, or that of the result; NULL when there is none."""
    cdef Field* field = find(holder, b"message", 7)
    return field if field != NULL and m.message.there and m.message.start == field.start else NULL


cdef int give_whole(Message* m, const Field* field) noexcept:
    """A message, a task, an event or params as they came; params that are left out are empty."""
    tell_word(m.to, DATACONTENTTYPE, b"application/a2a+json", 20)
    if field == NULL:
        tell_data(m.to, <const unsigned char*><const char*>b"{}", 2, OBJECT)
    else:
        give(m.to, &m.rpc.s, field)
    return 0


# ---- metadata


cdef int take_metadata(Message* m, Fields* metadata, const char* room, Py_ssize_t size) except -1:
    """Marks become attributes; the rest is kept when it has a room."""
    cdef Field* field
    cdef int i
    for i in range(metadata.count):
        field = &metadata.items[i]
        if take_mark(m.to, &m.rpc.s, field, "a2a") or room == NULL:
            continue
        if not is_named(field, b"io.agentfabric/fabkind", 22) and not is_named(field, b"io.agentfabric/datacontenttype", 30):
            keep_member(m.to, room, size, &m.rpc.s, field)
    return 0


cdef const char* carried_type(Message* m) noexcept nogil:
    """The type of what `lower` made the message of; NULL for a message of its own."""
    cdef const char* type = type_said(&m.rpc.s, find(&m.metadata, b"io.agentfabric/fabkind", 22))
    if type == NULL or strcmp(type, b"io.agentfabric.request") == 0:
        return NULL
    return type


# ---- the message


cdef int tell_message(Message* m, const Field* message, bint is_new, const char* usual_role, Py_ssize_t size) except -1:
    """Its attributes; the content of the one part when that says it all, else the message as it is."""
    cdef Field* id = find(&m.message, b"messageId", 9)
    cdef Field* context = find(&m.message, b"contextId", 9)
    cdef Field* parts = find(&m.message, b"parts", 5)
    if id == NULL or id.first != c'"' or id.end - id.start == 2:
        raise invalid("messageId is missing or empty", message.start, "A2A 1.0.1, 4.1.4")
    if parts == NULL or parts.first != c"[" or m.parts.count == 0:
        raise invalid("parts is missing or empty", message.start, "A2A 1.0.1, 4.1.4")
    take_id(m, id)
    if not give_content(m, is_new):
        take_metadata(m, &m.metadata, NULL, 0)
        take_context(m, context)
        return give_whole(m, message)
    take_metadata(m, &m.metadata, b"metadata/", 9)
    return keep_members(m, usual_role, size, NULL if take_context(m, context) else context)


cdef int take_id(Message* m, const Field* id) except -1:
    cdef Place text
    text_of(m.to, &m.rpc.s, id, &text)
    chars = len((<const char*>text.text)[:text.size].decode()) if text.size > ID_CHARS else 0
    if chars > ID_CHARS:
        raise invalid(f"messageId has {chars} characters, allowed are {ID_CHARS}", id.start, "A2A 1.0.1, 4.1.4")
    if not is_attribute(text.text, text.size):
        raise invalid("messageId holds a control character", id.start, "CloudEvents 1.0.2")
    tell(m.to, ID, text.text, text.size)
    return 0


cdef bint take_context(Message* m, const Field* context) except -1:
    """Whether the context became the conversation: unless a mark says another, or it is none."""
    if has(m.to, CORRELATIONID):
        return False
    tell_text(m.to, CORRELATIONID, &m.rpc.s, context)
    return has(m.to, CORRELATIONID)


cdef int keep_members(Message* m, const char* usual_role, Py_ssize_t size, const Field* context) except -1:
    """Members that neither an attribute nor the data carries; `context` is kept unless it is NULL."""
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
        if not is_named(field, b"role", 4) or not is_string(&m.rpc.s, field, usual_role, size):
            keep_member(m.to, b"message/", 8, &m.rpc.s, field)
    return 0


# ---- the one part


cdef bint give_content(Message* m, bint is_new) except -1:
    """What the one part holds, and its content type; False when there are more, or when it has a name, metadata or a URL."""
    cdef Field* media = find(&m.part, b"mediaType", 9) if is_new else NULL
    cdef Field* field
    if not m.part.there or m.parts.count != 1:
        return False
    if not is_new and find(&m.part, b"kind", 4) == NULL:
        return False
    if not is_new and m.file.there:
        return m.part.count == 2 and give_file(m)
    if m.part.count != 1 + (not is_new or media != NULL):
        return False
    field = find(&m.part, b"data", 4)
    if field != NULL and media != NULL and not is_json(m, media):
        return False  # JSON that is said to be none: for others to judge
    if field != NULL:
        tell_content(m, media, b"application/json", 16)
        give(m.to, &m.rpc.s, field)
        return True
    field = find(&m.part, b"text", 4)
    if field != NULL and field.first == c'"':
        tell_content(m, media, b"text/plain", 10)
        give_text(m.to, &m.rpc.s, field)
        return True
    field = find(&m.part, b"raw", 3)
    return field != NULL and is_new and give_bytes(m, field, media)


cdef bint give_file(Message* m) except -1:
    """A file of 0.3, unless it has a name or a URI."""
    cdef Field* media = find(&m.file, b"mimeType", 8)
    cdef Field* field = find(&m.file, b"bytes", 5)
    return field != NULL and m.file.count == 1 + (media != NULL) and give_bytes(m, field, media)


cdef bint give_bytes(Message* m, const Field* field, const Field* media) except -1:
    if field.first != c'"':
        return False
    if not give_base64(m.to, &m.rpc.s, field):
        raise invalid("a raw part is no base64", field.start, "RFC 4648 4")
    tell_content(m, media, b"application/octet-stream", 24)
    return True


cdef int tell_content(Message* m, const Field* media, const char* usual, Py_ssize_t size) except -1:
    """The content type: what a mark says of it, else the part, else the usual one."""
    tell_text(m.to, DATACONTENTTYPE, &m.rpc.s, find(&m.metadata, b"io.agentfabric/datacontenttype", 30))
    tell_text(m.to, DATACONTENTTYPE, &m.rpc.s, media)
    tell_word(m.to, DATACONTENTTYPE, usual, size)
    return 0


cdef bint is_json(Message* m, const Field* media) except -1:
    """Whether a media type is one of JSON (RFC 6839, 3.1)."""
    if is_string(&m.rpc.s, media, b"application/json", 16):
        return True
    said = undone(&m.rpc.s, media).partition(b";")[0].strip().lower() if media.first == c'"' else b""
    return said == b"application/json" or said.endswith(b"+json")
