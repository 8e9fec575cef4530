# Data as the content of a tool's result (MCP tools, "Tool Result"): structured with the same as text beside it, text, or an
# embedded resource. Below `lower`; the way back is `results`.

from libc.string cimport memcmp

from fabric_codecs.core.base64 cimport put_base64
from fabric_codecs.core.canonical cimport BINARY, JSON, OBJECT, Canonical, Place, has, says
from fabric_codecs.core.jsondata cimport Shape
from fabric_codecs.core.jsonlower cimport put_place
from fabric_codecs.core.jsonwrite cimport put_inner, put_string
from fabric_codecs.core.marks cimport DATACONTENTTYPE, ID
from fabric_codecs.core.writer cimport Writer, put, put_u8


cdef int put_content(Writer* w, const Canonical* c, Shape* shape, bint is_modern, bint has_content) except -1:
    """`content` and `structuredContent`. Before 2026-07-28 only an object may be structured."""
    if shape.form == OBJECT or (shape.form == JSON and is_modern):
        if not has_content:
            put_json_text(w, c, shape)
            put_u8(w, c",")
        put(w, b'"structuredContent":', 20)
        return put(w, c.data.text, c.data.size)
    if c.data.size == 0:
        return put(w, b'"content":[]', 12)
    if shape.form == BINARY:
        shape.tells_content = False
        return put_binary(w, c)
    if says(c, DATACONTENTTYPE, b"text/plain", 10):
        shape.tells_content = False
    return put_json_text(w, c, shape)


cdef int put_json_text(Writer* w, const Canonical* c, const Shape* shape) except -1:
    """The data for people; a JSON string is a text already, with its escapes."""
    if shape.form == JSON and c.data.text[0] == c'"':
        put(w, b'"content":[{"type":"text","text":', 33)
        put(w, c.data.text, c.data.size)
        return put(w, b"}]", 2)
    return put_text(w, c.data.text, c.data.size)


cdef int put_text(Writer* w, const unsigned char* text, Py_ssize_t size) except -1:
    put(w, b'"content":[{"type":"text","text":', 33)
    put_string(w, text, size)
    return put(w, b"}]", 2)


cdef int put_binary(Writer* w, const Canonical* c) except -1:
    """An image or a sound as what it is, other bytes as an embedded resource."""
    if begins(c, b"image/", 6):
        put(w, b'"content":[{"type":"image","data":"', 35)
    elif begins(c, b"audio/", 6):
        put(w, b'"content":[{"type":"audio","data":"', 35)
    else:
        return put_resource(w, c)
    put_base64(w, c.data.text, c.data.size)
    put(w, b'","mimeType":', 13)
    put_place(w, &c.known[DATACONTENTTYPE])
    return put(w, b"}]", 2)


cdef inline bint begins(const Canonical* c, const char* text, Py_ssize_t size) noexcept nogil:
    """Whether the content type does, and goes on."""
    cdef const Place* media = &c.known[DATACONTENTTYPE]
    return has(c, DATACONTENTTYPE) and media.size > size and memcmp(media.text, text, size) == 0


cdef int put_resource(Writer* w, const Canonical* c) except -1:
    put(w, b'"content":[{"type":"resource","resource":{"uri":"fab://message/', 63)
    if has(c, ID):
        put_inner(w, c.known[ID].text, c.known[ID].size)
    put(w, b'","mimeType":', 13)
    if has(c, DATACONTENTTYPE):
        put_place(w, &c.known[DATACONTENTTYPE])
    else:
        put(w, b'"application/octet-stream"', 26)
    put(w, b',"blob":"', 9)
    put_base64(w, c.data.text, c.data.size)
    return put(w, b'"}}]', 4)
