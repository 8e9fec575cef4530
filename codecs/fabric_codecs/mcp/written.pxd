# Messages of MCP written; see written.pyx.

from fabric_codecs.core.canonical cimport Canonical, Place
from fabric_codecs.core.jsondata cimport Shape
from fabric_codecs.core.writer cimport Writer

cdef enum:  # where native entries go back to; a message that came whole holds its `_meta` itself
    RPC
    META
    MEMBERS  # of the params or the result


cdef struct Lowering:
    Canonical* c
    Writer out
    Shape shape
    bint is_modern


cdef int sort_rooms(Lowering* l, const char* members, Py_ssize_t size) except -1
cdef int put_meta(Lowering* l, tuple lost, unsigned long long skip, bytes more) except -1
cdef int put_meta_members(Lowering* l, tuple lost, unsigned long long skip) except -1
cdef tuple put_whole(Lowering* l, tuple lost)
cdef bytes request_meta(Lowering* l, bytes client_info)
cdef bytes server_meta(Lowering* l, bytes server_info)
cdef unsigned long long answered(Lowering* l) except? 0
cdef int put_uri_path(Writer* w, const Place* subject) except -1
