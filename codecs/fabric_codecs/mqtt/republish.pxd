from fabric_codecs.translate.losses cimport Translation

cpdef Translation republish(bytes packet, int version)
