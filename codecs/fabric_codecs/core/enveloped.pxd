# A canonical message made an Envelope, and an Envelope read as one; see enveloped.pyx.

from fabric_codecs.core.canonical cimport Canonical
from fabric_codecs.core.writer cimport Writer
from fabric_codecs.envelope cimport Envelope

cdef Envelope envelope_of(const Canonical* c, str protocol)
cdef int check_size(const Canonical* c, str protocol) except -1
cdef int read_envelope(Canonical* c, Envelope envelope, Writer* carried) except -1
