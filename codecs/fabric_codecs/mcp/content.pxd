# Data as the content of a tool's result; see content.pyx.

from fabric_codecs.core.canonical cimport Canonical
from fabric_codecs.core.jsondata cimport Shape
from fabric_codecs.core.writer cimport Writer

cdef int put_content(Writer* w, const Canonical* c, Shape* shape, bint is_modern, bint has_content) except -1
cdef int put_text(Writer* w, const unsigned char* text, Py_ssize_t size) except -1
