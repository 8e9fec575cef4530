# Data as the content of a tool's result; see content.pyx.

from fabric_codecs.core.forms cimport Form
from fabric_codecs.core.told cimport Told
from fabric_codecs.core.writer cimport Writer
from fabric_codecs.envelope cimport Envelope

cdef int put_content(Writer* w, Told* told, Form* form, Envelope envelope, bint is_modern, bint has_content) except -1
cdef int put_text(Writer* w, bytes text) except -1
