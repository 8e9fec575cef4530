# Lowering to a batch of one record, without the way through Python; see lower.pyx.

from fabric_codecs.core.canonical cimport Canonical

cdef object batch_of(Canonical* c, long long time_ms)
