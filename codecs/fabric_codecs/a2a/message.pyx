# An A2A message found in place: its attributes, and what its one part holds when that says it all. Below `lift`.

from base64 import b64decode

from cpython.bytes cimport PyBytes_FromStringAndSize

from fabric_codecs.core.jsonvalues cimport Field, Fields, Inner, find, is_named, look_into
from fabric_codecs.core.jsonwrite cimport put_unescaped_string
from fabric_codecs.core.lifted cimport Lifted, is_attribute, keep, take_mark, tell, tell_str, text_of
from fabric_codecs.core.marks cimport CORRELATIONID, DATACONTENTTYPE, ID, Value
from fabric_codecs.core.rpcfields cimport is_string, rpc_init
from fabric_codecs.core.writer cimport Writer, writer_bytes, writer_free, writer_init

from fabric_codecs.bounds import ID_CHARS_MAX
from fabric_codecs.errors import CodecError

cdef str WHOLE = "application/a2a+json"
cdef frozenset CARRIED = frozenset(("event", "status", "artifact", "presence", "response", "error", "progress", "cancel"))
cdef const char* metadata_room = b"metadata/"

cdef enum:
    INVALID_PARAMS = -32602


cdef object invalid(str what, Py_ssize_t offset, str clause, int reason=-32602):
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
    look_into(&m.event, b"metadata", 8, &m.metadata, False)
    look_into(&m.result, b"metadata", 8, &m.metadata, False)
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


cdef str carried_kind(Message* m):
    """What `lower` says of a message that it made of something else."""
    cdef Field* field = find(&m.metadata, b"io.agentfabric/fabkind", 22)
    if field == NULL or field.first != c'"':
        return None
    said = raw_of(m, field).strip(b'"').decode()
    return said if said in CARRIED else None


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
    if field != NULL and media != NULL and not is_json(m, media):
        return None  # JSON that is said to be none: for others to judge
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


cdef bint is_json(Message* m, const Field* media):
    """Whether a media type is one of JSON (RFC 6839, 3.1)."""
    if is_string(&m.rpc.s, media, b"application/json", 16):
        return True
    said = undone(m, media).partition(b";")[0].strip().lower() if media.first == c'"' else b""
    return said == b"application/json" or said.endswith(b"+json")


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
