# What form an envelope's data takes in a JSON message; see forms.pyx.

from fabric_codecs.core.marks cimport Value
from fabric_codecs.core.told cimport Told
from fabric_codecs.core.writer cimport Writer
from fabric_codecs.envelope cimport Envelope

cdef enum:  # forms of data
    OBJECT
    JSON  # any other value
    TEXT
    BINARY


cdef struct Form:
    int form
    bint is_whole  # a message of the protocol's own, as it came
    bint tells_content  # the form does not say the content type
    bint is_guessed  # said to be JSON, and is none
    bint long_numbers  # a number in it may have more digits than a double


cdef int judge(Form* form, Envelope envelope, const Told* told, str whole) except -1
cdef int put_data(Writer* w, int form, bytes data, const char* prefix, Py_ssize_t size) except -1
cdef bint put_typed_id(Writer* w, const Value* corr) except -1
cdef bint is_usual_type(const Told* told) noexcept nogil
