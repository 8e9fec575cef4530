# Losses seen from Cython; see losses.pyi.


cdef class Loss:
    cdef readonly object code
    cdef readonly str field
    cdef readonly str outcome

    cdef tuple _fields(self)


cdef class Translation:
    cdef readonly object message
    cdef readonly tuple losses


cdef Translation translation_of(object message, tuple losses)
