# What form the data take in a JSON message: an object or another JSON value, spliced in as it is; text; or base64. By the content
# type, looked at once: data that is said to be JSON, and is none, is text or bytes, and the caller says so. Also the JSON-RPC id
# that `fabcorr` carries.
#
# In: a Canonical. Out: a Shape, bytes into a Writer. Above: the lowers of MCP and A2A. Below: `mediatype`, `jsonwrite`.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from fabric_codecs.core.base64 cimport put_base64, put_unbase64
from fabric_codecs.core.canonical cimport BINARY, JSON, OBJECT, TEXT, UNKNOWN, Canonical, Place, has, says
from fabric_codecs.core.jsonwrite cimport put_string
from fabric_codecs.core.marks cimport DATACONTENTTYPE, FABCORR
from fabric_codecs.core.mediatype cimport json_form, text_form
from fabric_codecs.core.utf8 cimport utf8_fault
from fabric_codecs.core.writer cimport Writer, put, put_u8, writer_free, writer_on


cdef int judge(Shape* shape, const Canonical* c, const char* whole, Py_ssize_t whole_size) except -1:
    """`whole` is the media type of the protocol's own messages."""
    cdef const Place* said = &c.known[DATACONTENTTYPE]
    cdef bint json = not has(c, DATACONTENTTYPE) or says(c, DATACONTENTTYPE, b"application/json", 16)
    cdef str media
    shape.is_whole = shape.is_guessed = shape.long_numbers = False
    shape.tells_content = not json
    if not json:
        media = (<const char*>said.text)[:said.size].decode().partition(";")[0].strip().lower()
        if media != "application/json" and not media.endswith("+json"):
            shape.form = text_or_bytes(c) if media.startswith("text/") else BINARY
            return 0
        shape.is_whole = media == (<const char*>whole)[:whole_size].decode()
    shape.form = c.form if c.form == OBJECT or c.form == JSON else json_form(c.data.text, c.data.size, &shape.long_numbers)
    if shape.form != UNKNOWN:
        shape.is_whole = shape.is_whole and shape.form == OBJECT
        return 0
    shape.is_whole = False
    shape.tells_content = True
    shape.is_guessed = c.data.size > 0
    shape.form = text_or_bytes(c)
    return 0


cdef int text_or_bytes(const Canonical* c) noexcept nogil:
    return c.form if c.form == TEXT or c.form == BINARY else text_form(c.data.text, c.data.size)


cdef bint is_json(const unsigned char* text, Py_ssize_t size) noexcept nogil:
    cdef bint long_numbers
    return json_form(text, size, &long_numbers) != UNKNOWN


cdef int put_data(Writer* w, int form, const Canonical* c, const char* prefix, Py_ssize_t size) except -1:
    """`"<prefix>data":...`, `"<prefix>text":...` or `"<prefix>data_base64":...`."""
    put_u8(w, c'"')
    put(w, prefix, size)
    if form == OBJECT or form == JSON:
        put(w, b'data":', 6)
        return put(w, c.data.text, c.data.size)
    if form == TEXT:
        put(w, b'text":', 6)
        return put_string(w, c.data.text, c.data.size)
    put(w, b'data_base64":"', 14)
    put_base64(w, c.data.text, c.data.size)
    return put_u8(w, c'"')


cdef int put_raw(Writer* w, bytes raw) except -1:
    return put(w, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))


cdef bint put_typed_id(Writer* w, const Canonical* c) except -1:
    """The JSON-RPC id that `fabcorr` holds, raw; False when it holds none."""
    cdef unsigned char memory[256]
    cdef Writer typed
    cdef Py_ssize_t at
    cdef bint found = False
    if not has(c, FABCORR):
        return False
    writer_on(&typed, memory, sizeof(memory))
    try:
        if not put_unbase64(&typed, c.known[FABCORR].text, c.known[FABCORR].size) or typed.size < 2 or typed.data[1] != c":":
            return False
        if typed.data[0] == c"s" and utf8_fault(typed.data + 2, typed.size - 2) < 0:
            put_string(w, typed.data + 2, typed.size - 2)
            found = True
        elif typed.data[0] == c"i" and typed.size > 2:
            at = 3 if typed.data[2] == c"-" else 2
            found = typed.size > at and (typed.data[at] != c"0" or typed.size == at + 1)
            while found and at < typed.size:
                found = c"0" <= typed.data[at] <= c"9"
                at += 1
            if found:
                put(w, typed.data + 2, typed.size - 2)
        return found
    finally:
        writer_free(&typed)


cdef bint has_typed_id(const Canonical* c) except -1:
    cdef unsigned char memory[256]
    cdef Writer w
    writer_on(&w, memory, sizeof(memory))
    try:
        return put_typed_id(&w, c)
    finally:
        writer_free(&w)
