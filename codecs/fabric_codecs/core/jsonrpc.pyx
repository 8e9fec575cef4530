# JSON-RPC 2.0, seen shallowly: what kind of message the bytes are, its id with its type, and its parts as raw bytes.
#
#   request       {"jsonrpc":"2.0", "id":1, "method":"m", "params":{..}}     params are optional
#   notification  {"jsonrpc":"2.0", "method":"m", "params":{..}}             no id: nobody answers
#   result        {"jsonrpc":"2.0", "id":1, "result":..}
#   error         {"jsonrpc":"2.0", "id":1, "error":{"code":-32602, "message":"..", "data":..}}     id null: unknown
#
# Shared by MCP and A2A, which narrow it the same way: params by name only, no batches, an id is a string or an integer.
# An id keeps its type all the way ("7" is not 7): raw here, `i:7` or `s:7` in base64 as the attribute `fabcorr`.

from base64 import b64decode, b64encode

from fabric_codecs.bounds import JSON_BYTES_MAX, JSON_DEPTH_MAX, JSONRPC_ID_BYTES_MAX
from fabric_codecs.core.jsonscan import check, kind_of, quote, scan
from fabric_codecs.errors import CodecError

__all__ = [
    "INVALID_PARAMS", "INVALID_REQUEST", "PARSE_ERROR", "Rpc", "corr_of_id", "id_of_corr",
    "peek_id", "read_rpc", "write_error", "write_request", "write_result",
]

PARSE_ERROR = -32700  # JSON-RPC 2.0, section 5.1
INVALID_REQUEST = -32600
INVALID_PARAMS = -32602

cdef str CLAUSE = "JSON-RPC 2.0 4"  # Request object
cdef str ANSWER = "JSON-RPC 2.0 5"  # Response object


cdef class Rpc:
    cdef readonly str kind
    cdef readonly bytes id
    cdef readonly str method
    cdef readonly bytes params
    cdef readonly bytes result
    cdef readonly bytes error
    cdef readonly object body

    def __init__(self):
        raise TypeError("use read_rpc()")

    def __repr__(self):
        return f"Rpc({self.kind}, id={self.id}, method={self.method})"


cdef object invalid(str what, object body, str member, int reason=INVALID_REQUEST, str clause=CLAUSE):
    offset = body.offset(member) if member in body else 0
    return CodecError(what, protocol="json-rpc", offset=offset, clause=clause, reason=reason)


cdef bint is_id(bytes raw):
    """A string or an integer, short enough to become an attribute."""
    kind = kind_of(raw)
    if len(raw) > JSONRPC_ID_BYTES_MAX:
        return False
    return kind == "string" or (kind == "number" and raw.lstrip(b"-").isdigit())


cdef object open_body(bytes data, Py_ssize_t bytes_max, int depth_max):
    """The document's object. What is no JSON is a parse error; JSON that is no message is an invalid request."""
    try:
        return scan(data, protocol="json-rpc", bytes_max=bytes_max, depth_max=depth_max)
    except CodecError as fault:
        what, offset, clause = fault.what, fault.offset, fault.clause
    try:
        kind = check(data, protocol="json-rpc", bytes_max=bytes_max, depth_max=depth_max)
    except CodecError:
        raise CodecError(what, protocol="json-rpc", offset=offset, clause=clause, reason=PARSE_ERROR)
    if kind == "array":
        what = "a batch; send one message at a time"
    raise CodecError(what, protocol="json-rpc", offset=offset, clause=CLAUSE, reason=INVALID_REQUEST)


cdef int read_call(Rpc rpc, object body) except -1:
    if body.kind("method") != "string":
        raise invalid("the method is no string", body, "method")
    rpc.method = body.text("method")
    rpc.params = body.get("params")
    if rpc.params is not None and kind_of(rpc.params) != "object":
        raise invalid("params are no object", body, "params", INVALID_PARAMS, "JSON-RPC 2.0 4.2")
    rpc.kind = "notification" if rpc.id is None else "request"
    if rpc.id is not None and not is_id(rpc.id):
        raise invalid(f"the id is neither a string nor an integer of at most {JSONRPC_ID_BYTES_MAX} bytes", body, "id")
    return 0


cdef int read_answer(Rpc rpc, object body) except -1:
    rpc.result = body.get("result")
    rpc.error = body.get("error")
    if (rpc.result is None) == (rpc.error is None):
        raise invalid("neither a method, nor one of result and error", body, "error", INVALID_REQUEST, ANSWER)
    rpc.kind = "result" if rpc.error is None else "error"
    if rpc.error is not None:
        if kind_of(rpc.error) != "object":
            raise invalid("the error is no object", body, "error", INVALID_REQUEST, ANSWER)
        if rpc.id is None or rpc.id == b"null":
            rpc.id = None
            return 0
    if rpc.id is None or not is_id(rpc.id):
        raise invalid("the answer has no id that is a string or an integer", body, "id", INVALID_REQUEST, ANSWER)
    return 0


def read_rpc(bytes data not None, *, Py_ssize_t bytes_max=JSON_BYTES_MAX, int depth_max=JSON_DEPTH_MAX):
    cdef Rpc rpc = Rpc.__new__(Rpc)
    body = open_body(data, bytes_max, depth_max)
    if body.kind("jsonrpc") != "string" or body.text("jsonrpc") != "2.0":
        raise invalid('the member "jsonrpc" is not "2.0"', body, "jsonrpc")
    rpc.body = body
    rpc.id = body.get("id")
    if "method" in body:
        read_call(rpc, body)
    else:
        read_answer(rpc, body)
    return rpc


def peek_id(bytes data not None):
    """The raw id of a message that may be refused for something else, else None: an error answer names it when it can."""
    try:
        raw = scan(data).get("id")
    except CodecError:
        return None
    return raw if raw is not None and is_id(raw) else None


def corr_of_id(bytes raw not None):
    if kind_of(raw) == "string":
        typed = b"s:" + scan(b'{"id":' + raw + b"}").text("id").encode()
    else:
        typed = b"i:" + raw
    return b64encode(typed).decode()


def id_of_corr(str corr not None):
    try:
        typed = b64decode(corr, validate=True)
        if typed.startswith(b"s:"):
            return quote(typed[2:].decode())
    except ValueError as broken:  # not base64, or not UTF-8
        raise CodecError("fabcorr is no base64 of a typed id", protocol="json-rpc", clause=CLAUSE) from broken
    if typed.startswith(b"i:") and check(typed[2:], protocol="json-rpc") == "number" and is_id(typed[2:]):
        return typed[2:]
    raise CodecError("fabcorr holds no JSON-RPC id", protocol="json-rpc", clause=CLAUSE)


def write_request(bytes id, str method not None, bytes params=None):
    """A request, or a notification when `id` is None."""
    parts = [b'{"jsonrpc":"2.0"']
    if id is not None:
        parts += (b',"id":', id)
    parts += (b',"method":', quote(method))
    if params is not None:
        parts += (b',"params":', params)
    parts.append(b"}")
    return b"".join(parts)


def write_result(bytes id not None, bytes result not None):
    return b'{"jsonrpc":"2.0","id":' + id + b',"result":' + result + b"}"


def write_error(bytes id, int code, str message not None, bytes data=None):
    """An error answer; `id` is None when the request's could not be read."""
    tail = b"" if data is None else b',"data":' + data
    return b'{"jsonrpc":"2.0","id":%b,"error":{"code":%d,"message":%b%b}}' % (id or b"null", code, quote(message), tail)
