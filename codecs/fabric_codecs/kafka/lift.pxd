# Lifting a batch of one record, without the way through Python; see lift.pyx.

from fabric_codecs.core.canonical cimport Canonical

cdef int take_batch(
    Canonical* c, bytes message, str topic, int partition, str source, str fresh_id, bint trusted
) except -1
