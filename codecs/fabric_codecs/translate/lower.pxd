# A Canonical as one message of any protocol; see lower.pyx.

from fabric_codecs.core.canonical cimport Canonical
from fabric_codecs.losses cimport Translation
from fabric_codecs.translate.lift cimport Wire

cdef Translation written(Canonical* c, Wire wire, long long now_us, str topic, bint structured)
