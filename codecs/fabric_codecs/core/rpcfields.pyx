# A JSON-RPC message found in place, for codecs that lift it: one pass checks the message whole and finds its members. The
# rules are those of `jsonrpc`, which hands the same messages to Python; both narrow JSON-RPC 2.0 as MCP and A2A do.
#
# In: the bytes. Out: places in them, or a CodecError whose `reason` is the code to answer.

from libc.string cimport memcmp

from fabric_codecs.core.canonical cimport Canonical
from fabric_codecs.core.jsontext cimport Scan, fault, is_digit, peek
from fabric_codecs.core.jsonvalues cimport (
    Field, Fields, close_document, fields_init, find, open_document, read_fields, refusal, skip_value,
)

from fabric_codecs.bounds import JSON_BYTES_MAX, JSON_DEPTH_MAX, JSONRPC_ID_BYTES_MAX
from fabric_codecs.core.jsonscan import check
from fabric_codecs.errors import CodecError

cdef str CALL = "JSON-RPC 2.0 4"  # Request object
cdef str ANSWER = "JSON-RPC 2.0 5"  # Response object

cdef enum:
    PARSE_ERROR = -32700  # JSON-RPC 2.0, 5.1
    INVALID_REQUEST = -32600
    INVALID_PARAMS = -32602

cdef Py_ssize_t BYTES_MAX = JSON_BYTES_MAX
cdef int DEPTH_MAX = JSON_DEPTH_MAX
cdef Py_ssize_t ID_BYTES_MAX = JSONRPC_ID_BYTES_MAX


cdef void rpc_init(RpcFields* rpc) noexcept nogil:
    fields_init(&rpc.top)


cdef bint is_string(const Scan* s, const Field* field, const char* text, Py_ssize_t size) noexcept nogil:
    """Whether the member is the string `text`, written without escapes (as all words of these protocols are)."""
    return field.first == c'"' and field.end - field.start == size + 2 and memcmp(s.base + field.start + 1, text, size) == 0


cdef bint is_rpc_id(const Scan* s, const Field* id) noexcept nogil:
    """A string or an integer, short enough to become an attribute."""
    cdef Py_ssize_t at
    if id.end - id.start > ID_BYTES_MAX:
        return False
    if id.first == c'"':
        return True
    if not (is_digit(id.first) or id.first == c"-"):
        return False
    for at in range(id.start + 1, id.end):
        if not is_digit(s.base[at]):
            return False
    return True


cdef object invalid(str what, const Field* field, str protocol, int reason, str clause=CALL):
    return CodecError(what, protocol=protocol, offset=0 if field == NULL else field.start, clause=clause, reason=reason)


cdef object no_message(Scan* s, bytes message, str protocol):
    """What is no JSON is a parse error; JSON that is no message is an invalid request."""
    cdef object broken = refusal(s, protocol)
    try:
        check(message)
    except CodecError:
        broken.reason = PARSE_ERROR
    else:
        broken.reason = INVALID_REQUEST
    return broken


cdef int open_message(Scan* s, bytes message, str protocol) except -1:
    try:
        return open_document(s, message, protocol, BYTES_MAX, DEPTH_MAX)
    except CodecError as large:
        large.reason = PARSE_ERROR
        raise


cdef int read_rpc_fields(RpcFields* rpc, bytes message, str protocol, Canonical* to) except -1:
    cdef Scan* s = &rpc.s
    cdef Py_ssize_t start
    open_message(s, message, protocol)
    if peek(s) != c"{":
        if peek(s) == c"[":
            fault(s, b"a batch; send one message at a time", b"JSON-RPC 2.0 6")
        else:
            start = s.at
            if skip_value(s):
                s.at = start
                fault(s, b"the document is no object", b"JSON-RPC 2.0 4")
        raise no_message(s, message, protocol)
    if read_fields(s, &rpc.top, to) < 0:
        raise no_message(s, message, protocol)
    try:
        close_document(s, protocol)
    except CodecError as longer:
        longer.reason = PARSE_ERROR
        raise
    rpc.id = find(&rpc.top, b"id", 2)
    rpc.method = find(&rpc.top, b"method", 6)
    rpc.params = find(&rpc.top, b"params", 6)
    rpc.result = find(&rpc.top, b"result", 6)
    rpc.error = find(&rpc.top, b"error", 5)
    cdef Field* version = find(&rpc.top, b"jsonrpc", 7)
    if version == NULL or not is_string(s, version, b"2.0", 3):
        raise invalid('the member "jsonrpc" is not "2.0"', version, protocol, INVALID_REQUEST)
    return check_call(rpc, protocol) if rpc.method != NULL else check_answer(rpc, protocol)


cdef int check_call(RpcFields* rpc, str protocol) except -1:
    if rpc.method.first != c'"':
        raise invalid("the method is no string", rpc.method, protocol, INVALID_REQUEST)
    if rpc.params != NULL and rpc.params.first != c"{":
        raise invalid("params are no object", rpc.params, protocol, INVALID_PARAMS, "JSON-RPC 2.0 4.2")
    rpc.kind = NOTIFICATION if rpc.id == NULL else REQUEST
    if rpc.id != NULL and not is_rpc_id(&rpc.s, rpc.id):
        raise wrong_id(rpc, protocol)
    return 0


cdef int check_answer(RpcFields* rpc, str protocol) except -1:
    if (rpc.result == NULL) == (rpc.error == NULL):
        raise invalid("neither a method, nor one of result and error", rpc.error, protocol, INVALID_REQUEST, ANSWER)
    rpc.kind = RESULT if rpc.error == NULL else ERROR
    if rpc.error != NULL:
        if rpc.error.first != c"{":
            raise invalid("the error is no object", rpc.error, protocol, INVALID_REQUEST, ANSWER)
        if rpc.id == NULL or rpc.id.first == c"n":
            rpc.id = NULL
            return 0
    if rpc.id == NULL or not is_rpc_id(&rpc.s, rpc.id):
        raise wrong_id(rpc, protocol)
    return 0


cdef object wrong_id(RpcFields* rpc, str protocol):
    what = f"the id is neither a string nor an integer of at most {ID_BYTES_MAX} bytes"
    clause = ANSWER if rpc.method == NULL else CALL
    return invalid(what, rpc.id, protocol, INVALID_REQUEST, clause)
