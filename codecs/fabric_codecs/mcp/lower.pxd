# The lower of MCP, for `translate`; see lower.pyx.

from fabric_codecs.core.canonical cimport Canonical
from fabric_codecs.losses cimport Translation

cdef Translation message_of(
    Canonical* c, str revision, bytes request_id, bytes progress_token, bytes server_info, bytes client_info, tuple losses
)
