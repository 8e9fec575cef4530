# Data as the content of a tool's result (MCP tools, "Tool Result"): structured with the same as text beside it, text, or an
# embedded resource. Below `lower`; the way back is `results`.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcmp

from fabric_codecs.core.base64 cimport put_base64
from fabric_codecs.core.forms cimport BINARY, JSON, OBJECT, Form
from fabric_codecs.core.jsonwrite cimport put_string
from fabric_codecs.core.marks cimport DATACONTENTTYPE, ID, Value
from fabric_codecs.core.told cimport Told, is_text, put_value_inner, put_value_string
from fabric_codecs.core.writer cimport Writer, put, put_u8
from fabric_codecs.envelope cimport Envelope

from fabric_codecs.core.jsonscan import scan


cdef int put_content(Writer* w, Told* told, Form* form, Envelope envelope, bint is_modern, bint has_content) except -1:
    """`content` and `structuredContent`. Before 2026-07-28 only an object may be structured."""
    cdef const unsigned char* data = <const unsigned char*>PyBytes_AS_STRING(envelope.data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(envelope.data)
    cdef bytes text = envelope.data
    if form.form == JSON and data[0] == c'"':
        text = scan(b'{"text":' + envelope.data + b"}").text("text").encode()
    if form.form == OBJECT or (form.form == JSON and is_modern):
        if not has_content:
            put_text(w, text)
            put_u8(w, c",")
        put(w, b'"structuredContent":', 20)
        return put(w, data, size)
    if size == 0:
        return put(w, b'"content":[]', 12)
    if form.form == BINARY:
        form.tells_content = False
        return put_binary(w, told, envelope)
    if is_text(&told.known[DATACONTENTTYPE], b"text/plain", 10):
        form.tells_content = False
    return put_text(w, text)


cdef int put_text(Writer* w, bytes text) except -1:
    put(w, b'"content":[{"type":"text","text":', 33)
    put_string(w, <const unsigned char*>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    return put(w, b"}]", 2)


cdef int put_binary(Writer* w, Told* told, Envelope envelope) except -1:
    """An image or a sound as what it is, other bytes as an embedded resource."""
    cdef Value* said = &told.known[DATACONTENTTYPE]
    if begins(said, b"image/", 6):
        put(w, b'"content":[{"type":"image","data":"', 35)
    elif begins(said, b"audio/", 6):
        put(w, b'"content":[{"type":"audio","data":"', 35)
    else:
        return put_resource(w, told, envelope)
    put_base64(w, <const unsigned char*>PyBytes_AS_STRING(envelope.data), PyBytes_GET_SIZE(envelope.data))
    put(w, b'","mimeType":', 13)
    put_value_string(w, said)
    return put(w, b"}]", 2)


cdef inline bint begins(const Value* value, const char* text, Py_ssize_t size) noexcept nogil:
    return value.text != NULL and value.size > size and memcmp(value.text, text, size) == 0


cdef int put_resource(Writer* w, Told* told, Envelope envelope) except -1:
    cdef Value* said = &told.known[DATACONTENTTYPE]
    put(w, b'"content":[{"type":"resource","resource":{"uri":"fab://message/', 63)
    put_value_inner(w, &told.known[ID])
    put(w, b'","mimeType":', 13)
    if said.text != NULL:
        put_value_string(w, said)
    else:
        put(w, b'"application/octet-stream"', 26)
    put(w, b',"blob":"', 9)
    put_base64(w, <const unsigned char*>PyBytes_AS_STRING(envelope.data), PyBytes_GET_SIZE(envelope.data))
    return put(w, b'"}}]', 4)
