# The names of marks and of the attributes they carry; see marks.pyx.

cdef enum:  # attributes
    # In the order of NAMES, which is that of their lengths: a name is looked for among those of its length.
    ID, TYPE, TIME, SOURCE, FABVER, FABSEQ, FABKEY, SUBJECT, FABKIND, FABCORR, FABLIVE, FABHOPS, FABNULL, FABLOSS,
    FABPROTO, FABREPLY, FABFINAL, FABEPOCH, FABCHAIN, FABMETHOD, FABBUDGET, FABWINDOW, DATASCHEMA, TRACESTATE, EXPIRYTIME,
    TRACEPARENT, CAUSATIONID, FABPRIORITY, PARTITIONKEY, CORRELATIONID, DATACONTENTTYPE, ATTRIBUTES_COUNT


cdef struct Lead:  # how an attribute begins
    const char* name
    Py_ssize_t name_size
    const char* line  # `ce-<name>: `, in a header block
    Py_ssize_t line_size
    const char* mark  # `,"io.agentfabric/<name>":"`, in metadata
    Py_ssize_t mark_size


cdef int attribute_of(const unsigned char* name, Py_ssize_t size) noexcept nogil
cdef const Lead* leads() noexcept nogil  # one for each attribute
cdef bint is_reserved(const unsigned char* name, Py_ssize_t size)
