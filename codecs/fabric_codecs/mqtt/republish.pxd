cpdef object republish(bytes packet, int version)
