# The answers of MCP; see results.pyx.

from fabric_codecs.mcp.message cimport Message

cdef int answer(Message* m, str method) except -1
cdef int failure(Message* m) except -1
