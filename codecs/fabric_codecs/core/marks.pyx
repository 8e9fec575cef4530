# Marks: what a JSON message says for the fabric, as members `io.agentfabric/<name>` of MCP's `_meta` and A2A's `metadata`.
# Both codecs lift (`jsonlift`) and lower (`jsonlower`) them with the names below, so that an attribute has one name in both.
#
#   io.agentfabric/<attribute>        an attribute of the envelope; correlationid is `conversation`, fabkey `idempotency-key`
#   io.agentfabric/ce-<attribute>     one of another vocabulary that is called like one of the members below
#   io.agentfabric/loss               the codes of what was lost so far
#   io.agentfabric/native             native headers of other protocols: [name, text], [name, null], [name, base64, "base64"]

from libc.string cimport memcmp

cdef tuple NAMES = (
    b"id", b"type", b"time", b"source", b"fabver", b"fabseq", b"fabkey", b"subject", b"fabkind", b"fabcorr", b"fablive", b"fabhops",
    b"fabnull", b"fabloss", b"fabproto", b"fabreply", b"fabfinal", b"fabepoch", b"fabchain", b"fabmethod", b"fabbudget", b"fabwindow", b"dataschema",
    b"tracestate", b"expirytime", b"traceparent", b"causationid", b"fabpriority", b"partitionkey", b"correlationid",
    b"datacontenttype",
)
cdef enum:
    NAME_BYTES_MAX = 15

cdef Lead lead[ATTRIBUTES_COUNT]
cdef int of_length[NAME_BYTES_MAX + 2]  # the first name of that length
cdef list spelled = []  # keeps what `lead` points to


def _index():
    cdef int which, length, at = 0
    for which in range(ATTRIBUTES_COUNT):
        name = NAMES[which]
        mark = b"conversation" if which == CORRELATIONID else b"idempotency-key" if which == FABKEY else name
        spelled.append((b"ce-" + name + b": ", b',"io.agentfabric/' + mark + b'":"'))
        lead[which].name = <bytes>name
        lead[which].name_size = len(name)
        lead[which].line = <bytes>spelled[which][0]
        lead[which].line_size = len(spelled[which][0])
        lead[which].mark = <bytes>spelled[which][1]
        lead[which].mark_size = len(spelled[which][1])
    for length in range(NAME_BYTES_MAX + 2):
        while at < ATTRIBUTES_COUNT and lead[at].name_size < length:
            at += 1
        of_length[length] = at


_index()


cdef const Lead* leads() noexcept nogil:
    return lead


cdef int attribute_of(const unsigned char* name, Py_ssize_t size) noexcept nogil:
    """Which attribute the name is; -1 for none of the fabric's own."""
    cdef int which
    if size > NAME_BYTES_MAX:
        return -1
    for which in range(of_length[size], of_length[size + 1]):
        if memcmp(name, lead[which].name, size) == 0:
            return which
    return -1


cdef bint is_reserved(const unsigned char* name, Py_ssize_t size):
    """Whether `io.agentfabric/<name>` means something of its own."""
    return (<const char*>name)[:size] in RESERVED


cdef frozenset RESERVED = frozenset((
    b"loss", b"native", b"data", b"text", b"error", b"tool", b"contract", b"conversation", b"progress", b"total", b"code",
    b"retriable", b"reason", b"argument",
))
