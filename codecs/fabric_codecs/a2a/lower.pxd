# The lower of A2A, for `translate`; see lower.pyx.

from fabric_codecs.core.canonical cimport Canonical
from fabric_codecs.losses cimport Translation

cdef Translation message_of(Canonical* c, str version, bytes request_id, str task_id, str context_id, tuple losses)
