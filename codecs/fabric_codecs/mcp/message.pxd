# An MCP message found in place, and what its kinds share; see message.pyx.

from fabric_codecs.core.canonical cimport Canonical
from fabric_codecs.core.jsonvalues cimport Field, Fields, Inner
from fabric_codecs.core.rpcfields cimport RpcFields


cdef struct Message:
    Canonical* to  # whom it is told
    RpcFields rpc
    Fields params
    Fields meta  # of the params or of the result
    Fields result
    Fields error
    Fields content  # the first block
    Fields resource
    Inner* contents


cdef int read_message(Message* m, Canonical* to, bytes message) except -1
cdef object invalid(str what, Py_ssize_t offset, str clause)
cdef bint give_carried(Message* m, const Field* field, const char* prefix, Py_ssize_t size) except -1
cdef int give_whole(Message* m, const Field* field) except -1
cdef int tell_content(Message* m, const Field* content) except -1
cdef int take_meta(Message* m, bint keep_rest) except -1
