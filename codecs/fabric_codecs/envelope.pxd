cdef class Envelope:
    cdef readonly bytes data
    cdef readonly bytes address
    cdef dict _attributes
    cdef bytes _block
    cdef bint _own  # the block is one of ours, whole: what `nats_header` would write

    cdef bytes _line(self, bytes lead)
    cdef str _find(self, bytes lead)


cdef Envelope envelope_from_nats(bytes subject, bytes header, bytes data)
cdef Envelope envelope_of_block(bytes block, bytes data)
