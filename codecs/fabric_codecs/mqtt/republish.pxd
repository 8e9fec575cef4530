from fabric_codecs.losses cimport Translation

cpdef Translation republish(bytes packet, int version)
