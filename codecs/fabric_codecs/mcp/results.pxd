# The answers of MCP as envelopes; see results.pyx.

from fabric_codecs.core.lifted cimport Lifted
from fabric_codecs.mcp.message cimport Message

cdef bytes answer(Message* m, Lifted* to, list kept, str method)
cdef bytes failure(Message* m, Lifted* to)
