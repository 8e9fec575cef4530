# An MCP message found in place, and what its kinds share; see message.pyx.

from fabric_codecs.core.jsonvalues cimport Field, Fields, Inner
from fabric_codecs.core.lifted cimport Lifted
from fabric_codecs.core.rpcfields cimport RpcFields


cdef struct Message:
    RpcFields rpc
    Fields params
    Fields meta  # of the params or of the result
    Fields result
    Fields error
    Fields content  # the first block
    Fields resource
    Inner* contents


cdef int read_message(Message* m, bytes message, list kept) except -1
cdef object invalid(str what, Py_ssize_t offset, str clause)
cdef bytes raw_of(Message* m, const Field* field)
cdef bytes undone(Message* m, const Field* field)
cdef bint is_number(const Field* field) noexcept nogil
cdef int kind(Lifted* to, str name) except -1
cdef int json_kind(Lifted* to, const char* lines, Py_ssize_t size, const char* type, Py_ssize_t type_size) except -1
cdef bytes whole(Message* m, Lifted* to, list kept, str name, const Field* value)
cdef int tell_content(Message* m, Lifted* to, list kept, const Field* content) except -1
cdef object carried_value(str name, bytes raw, str prefix)
cdef int take_meta(Message* m, Lifted* to, list kept, bint keep_rest) except -1
