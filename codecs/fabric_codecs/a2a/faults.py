"""What an A2A server answers when it cannot: codes, reasons, and the `data` array they travel in.

| who   | codes               | where they come from                             |
|-------|---------------------|--------------------------------------------------|
| RPC   | -32700, -326xx      | JSON-RPC 2.0                                     |
| A2A   | -32001 ... -32009   | A2A 1.0.1, section 5.4                           |
| ours  | everything else     | a fault of the fabric; `reason` is its own code  |
"""

from collections.abc import Mapping
from enum import IntEnum

import msgspec

from fabric_codecs.errors import CodecError

__all__ = ["A2A_DOMAIN", "FABRIC_DOMAIN", "Fault", "error_data", "refuse"]

A2A_DOMAIN = "a2a-protocol.org"
FABRIC_DOMAIN = "io.agentfabric"


class Fault(IntEnum):
    """The errors of A2A and JSON-RPC that this codec knows; the name is the `reason`."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603
    TASK_NOT_FOUND = -32001
    TASK_NOT_CANCELABLE = -32002
    PUSH_NOTIFICATION_NOT_SUPPORTED = -32003
    UNSUPPORTED_OPERATION = -32004
    CONTENT_TYPE_NOT_SUPPORTED = -32005
    INVALID_AGENT_RESPONSE = -32006
    EXTENDED_AGENT_CARD_NOT_CONFIGURED = -32007
    EXTENSION_SUPPORT_REQUIRED = -32008
    VERSION_NOT_SUPPORTED = -32009


def error_data(
    reason: str,
    facts: Mapping[str, str] | None = None,
    *,
    domain: str = A2A_DOMAIN,
    retry_after_ms: int = 0,
    field: str = "",
    problem: str = "",
) -> bytes:
    """The `data` of an error: an array of google.rpc details (section 9.5). `field` adds a BadRequest that
    names it, `retry_after_ms` a RetryInfo."""
    details: list[dict[str, object]] = [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": reason,
            "domain": domain,
            "metadata": dict(facts or {}),
        }
    ]
    if field:
        violation = {"field": field, "description": problem}
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]})
    if retry_after_ms > 0:
        delay = f"{retry_after_ms / 1000:g}s"
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    return msgspec.json.encode(details)


def refuse(what: str, fault: Fault, clause: str = "A2A 1.0.1, 5.4") -> CodecError:
    """The error for a message that cannot be taken, to be raised."""
    return CodecError(what, protocol="a2a", clause=clause, reason=int(fault))
