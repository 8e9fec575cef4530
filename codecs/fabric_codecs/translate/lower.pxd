# Lowering, without the way through Python; see lower.pyx.

from fabric_codecs.envelope cimport Envelope

cdef object lowered_of(Envelope envelope, str protocol, long long now_us, str topic, bint structured)
