# An A2A message found in place, and its content; see message.pyx.

from fabric_codecs.core.jsonvalues cimport Field, Fields, Inner
from fabric_codecs.core.lifted cimport Lifted
from fabric_codecs.core.rpcfields cimport RpcFields


cdef struct Message:
    RpcFields rpc
    Fields params
    Fields metadata  # of the message
    Fields outer  # of the params
    Fields message
    Fields part  # the first
    Fields file  # of a part of 0.3
    Fields result
    Fields event  # a task or an update
    Fields error
    Inner* parts


cdef int prepare(Message* m) except -1
cdef object invalid(str what, Py_ssize_t offset, str clause, int reason=*)
cdef bytes raw_of(Message* m, const Field* field)
cdef bytes undone(Message* m, const Field* field)
cdef int tell_text(Message* m, Lifted* to, list kept, int which, const Field* field) except -1
cdef int take_metadata(Message* m, Lifted* to, list kept, Fields* metadata, const char* room, Py_ssize_t size) except -1
cdef str carried_kind(Message* m)
cdef bytes read_message(Message* m, Lifted* to, list kept, bint is_new, bytes usual_role)
