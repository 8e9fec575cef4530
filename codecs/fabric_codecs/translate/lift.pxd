# One message of any protocol, told a Canonical; see lift.pyx.

from fabric_codecs.core.canonical cimport Canonical

cdef enum Wire:  # in the order of PROTOCOLS
    MCP
    A2A
    MQTT5
    MQTT311
    KAFKA


cdef Wire wire_of(str protocol) except? MCP
cdef tuple take(
    Canonical* c, bytes message, Wire wire, str origin, long long now_us, str fresh_id, str topic, object partition,
    bint trusted, bint structured,
)
