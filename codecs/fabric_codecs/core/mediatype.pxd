# What bytes look like; see mediatype.pyx.

from fabric_codecs.core.canonical cimport DataForm

cdef DataForm json_form(const unsigned char* data, Py_ssize_t size, bint* long_numbers) noexcept nogil
cdef DataForm text_form(const unsigned char* data, Py_ssize_t size) noexcept nogil
cdef DataForm looks_like(const unsigned char* data, Py_ssize_t size, bint* long_numbers) noexcept nogil
cdef bytes media_type(DataForm looks)
