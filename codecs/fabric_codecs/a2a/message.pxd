# An A2A message found in place, and its content; see message.pyx.

from fabric_codecs.core.canonical cimport Canonical
from fabric_codecs.core.jsonvalues cimport Field, Fields, Inner
from fabric_codecs.core.rpcfields cimport RpcFields


cdef struct Message:
    Canonical* to  # whom it is told
    RpcFields rpc
    Fields params
    Fields outer  # metadata of the params
    Fields result
    Fields message  # of the params or of the result
    Fields metadata  # of the message
    Fields part  # the first
    Fields file  # of a part of 0.3
    Inner* parts


cdef int read_message(Message* m, Canonical* to, bytes message) except -1
cdef Field* message_in(Message* m, Fields* holder) noexcept nogil
cdef object invalid(str what, Py_ssize_t offset, str clause, int reason=*)
cdef int give_whole(Message* m, const Field* field) noexcept
cdef int take_metadata(Message* m, Fields* metadata, const char* room, Py_ssize_t size) except -1
cdef const char* carried_type(Message* m) noexcept nogil
cdef int tell_message(Message* m, const Field* message, bint is_new, const char* usual_role, Py_ssize_t size) except -1
