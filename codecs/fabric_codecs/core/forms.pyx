# What form an envelope's data takes in a JSON message: an object or another JSON value, spliced in as it is; text; or base64.
# By its content type, looked at once: data that is said to be JSON, and is none, is text or bytes, and the caller says so.
#
# Also the JSON-RPC id that `fabcorr` carries. Below both JSON codecs' `lower`.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcmp

from fabric_codecs.core.base64 cimport put_base64, put_unbase64
from fabric_codecs.core.jsontext cimport Scan, peek, skip_space
from fabric_codecs.core.jsonvalues cimport open_document, skip_value
from fabric_codecs.core.jsonwrite cimport put_string
from fabric_codecs.core.marks cimport DATACONTENTTYPE, FABKIND, TYPE, Value
from fabric_codecs.core.told cimport Told, is_text
from fabric_codecs.core.utf8 cimport utf8_fault
from fabric_codecs.core.writer cimport Writer, put, put_u8, writer_free, writer_init
from fabric_codecs.envelope cimport Envelope

from fabric_codecs.bounds import JSON_DEPTH_MAX

cdef int DEPTH_MAX = JSON_DEPTH_MAX


cdef int judge(Form* form, Envelope envelope, const Told* told, str whole) except -1:
    """`whole` is the media type of the protocol's own messages."""
    cdef const Value* said = &told.known[DATACONTENTTYPE]
    cdef str media = "application/json"
    cdef bint json = said.text == NULL or is_text(said, b"application/json", 16)
    form.is_whole = False
    form.is_guessed = False
    form.long_numbers = False
    form.tells_content = not json
    if not json:
        media = (<const char*>said.text)[:said.size].decode("latin-1").partition(";")[0].strip().lower()
        json = media == "application/json" or media.endswith("+json")
    if not json:
        form.form = text_form(envelope.data) if media.startswith("text/") else BINARY
        return 0
    form.form = json_form(envelope.data, &form.long_numbers)
    if form.form >= 0:
        form.is_whole = form.form == OBJECT and media == whole
        return 0
    form.tells_content = True
    form.is_guessed = PyBytes_GET_SIZE(envelope.data) > 0
    form.form = text_form(envelope.data)
    return 0


cdef int text_form(bytes data) noexcept:
    return TEXT if utf8_fault(<const unsigned char*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)) < 0 else BINARY


cdef int json_form(bytes data, bint* long_numbers) except -2:
    """OBJECT or JSON; -1 for what is neither."""
    cdef Scan s
    cdef unsigned char first
    open_document(&s, data, "json", PyBytes_GET_SIZE(data), DEPTH_MAX)
    first = peek(&s)
    if not skip_value(&s):
        return -1
    skip_space(&s)
    long_numbers[0] = s.long_numbers
    return -1 if s.at < s.end else OBJECT if first == c"{" else JSON


cdef int put_data(Writer* w, int form, bytes data, const char* prefix, Py_ssize_t size) except -1:
    """`"<prefix>data":...`, `"<prefix>text":...` or `"<prefix>data_base64":...`."""
    cdef const unsigned char* start = <const unsigned char*>PyBytes_AS_STRING(data)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(data)
    put_u8(w, c'"')
    put(w, prefix, size)
    if form <= JSON:
        put(w, b'data":', 6)
        return put(w, start, length)
    if form == TEXT:
        put(w, b'text":', 6)
        return put_string(w, start, length)
    put(w, b'data_base64":"', 14)
    put_base64(w, start, length)
    return put_u8(w, c'"')


cdef bint put_typed_id(Writer* w, const Value* corr) except -1:
    """The JSON-RPC id that `fabcorr` holds, raw; False when it holds none."""
    cdef Writer typed
    cdef Py_ssize_t at
    cdef bint found = False
    if corr.text == NULL:
        return False
    writer_init(&typed)
    try:
        if not put_unbase64(&typed, corr.text, corr.size) or typed.size < 2 or typed.data[1] != c":":
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


cdef bint is_usual_type(const Told* told) noexcept nogil:
    """`io.agentfabric.<fabkind>`, which the way back puts there by itself."""
    cdef const Value* type = &told.known[TYPE]
    cdef const Value* kind = &told.known[FABKIND]
    return (
        type.text != NULL and kind.text != NULL and type.size == kind.size + 15
        and memcmp(type.text, b"io.agentfabric.", 15) == 0 and memcmp(type.text + 15, kind.text, kind.size) == 0
    )
