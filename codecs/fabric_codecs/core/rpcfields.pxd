# A JSON-RPC message found in place; see rpcfields.pyx.

from fabric_codecs.core.canonical cimport Canonical
from fabric_codecs.core.jsontext cimport Scan
from fabric_codecs.core.jsonvalues cimport Field, Fields

cdef enum:  # what a message is
    REQUEST = 1
    NOTIFICATION
    RESULT
    ERROR


cdef struct RpcFields:
    Scan s
    Fields top
    int kind
    Field* id  # NULL when there is none, and for an error that knows none
    Field* method
    Field* params
    Field* result
    Field* error


cdef void rpc_init(RpcFields* rpc) noexcept nogil  # then `look_into` its `top`
cdef int read_rpc_fields(RpcFields* rpc, bytes message, str protocol, Canonical* to) except -1
cdef bint is_string(const Scan* s, const Field* field, const char* text, Py_ssize_t size) noexcept nogil
cdef bint is_rpc_id(const Scan* s, const Field* id) noexcept nogil
