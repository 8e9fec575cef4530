"""One table: each error of the fabric in the words of every protocol.

In: a `FabricError`. Out: `Words`, from which an edge takes its own column; or an envelope that answers a
request with it, where no agent did. Adding an error adds a row here. Faults in the bytes themselves never
come here: a `CodecError` carries its protocol's code in `reason`. Whether a code may stand in a given
packet or response is the edge's business.
"""

from typing import NamedTuple

import msgspec

from fabric.client import Fabric
from fabric.errors import FabricError, Refused
from fabric_codecs.envelope import Envelope

__all__ = ["Words", "as_answer", "retry_after_s", "words"]


class Words(NamedTuple):
    """What one failure is called.

    `jsonrpc` serves MCP and A2A: -326xx where JSON-RPC has the notion, else our application code, which is
    the HTTP status, because both protocols keep -32768..-32000 for themselves. `mqtt311` is a CONNACK return
    code: 3.1.1 has no word for a refused PUBLISH (the connection closes), and only 0x80 for a SUBSCRIBE.
    """

    jsonrpc: int
    http: int
    mqtt5: int
    mqtt311: int
    kafka: int


# Keys are `FabricError.code`, a Refused is `refused.<reason>`. An error without a row is our own fault.
TABLE: dict[str, Words] = {
    #                            JSON-RPC HTTP MQTT5 3.1.1 Kafka
    "invalid_name":        Words(-32602, 400, 0x90, 2, 17),  # INVALID_TOPIC_EXCEPTION
    "limit_exceeded":      Words(-32602, 413, 0x97, 3, 10),  # MESSAGE_TOO_LARGE
    "no_such_agent":       Words(-32602, 404, 0x90, 3, 3),  # UNKNOWN_TOPIC_OR_PARTITION
    "no_such_tool":        Words(-32602, 404, 0x90, 3, 3),
    "no_such_topic":       Words(-32602, 404, 0x90, 3, 3),
    "cursor_ahead":        Words(-32602, 416, 0x83, 3, 1),  # OFFSET_OUT_OF_RANGE
    "no_such_letter":      Words(-32602, 404, 0x90, 3, 3),
    "not_held":            Words(409, 409, 0x83, 3, 42),
    "name_in_use":         Words(409, 409, 0x83, 2, 47),  # INVALID_PRODUCER_EPOCH
    "fenced":              Words(409, 409, 0x8E, 3, 47),  # the session was taken over
    "unauthenticated":     Words(401, 401, 0x86, 4, 58),  # SASL_AUTHENTICATION_FAILED
    "permission_denied":   Words(403, 403, 0x87, 5, 29),  # TOPIC_AUTHORIZATION_FAILED
    "refused.full":        Words(429, 429, 0x97, 3, 89),  # THROTTLING_QUOTA_EXCEEDED
    "refused.rate":        Words(429, 429, 0x97, 3, 89),
    "refused.timeout":     Words(504, 504, 0x83, 3, 7),  # REQUEST_TIMED_OUT
    "refused.too_large":   Words(-32602, 413, 0x97, 3, 10),
    "refused.denied":      Words(403, 403, 0x87, 5, 29),
    "refused.closing":     Words(503, 503, 0x8B, 3, 5),  # LEADER_NOT_AVAILABLE: clients retry it
    "refused.unreachable": Words(503, 503, 0x88, 3, 5),
    "refused.conflict":    Words(409, 409, 0x83, 3, 5),
    "refused.loop":        Words(508, 508, 0x83, 3, 44),  # POLICY_VIOLATION; HTTP: Loop Detected
    "refused.budget":      Words(403, 403, 0x97, 3, 44),
    "deadline_exceeded":   Words(504, 504, 0x83, 3, 7),
    "idempotency_conflict": Words(422, 422, 0x83, 3, 42),  # INVALID_REQUEST
    "outcome_unknown":     Words(409, 409, 0x83, 3, -1),
    "stream_broken":       Words(502, 502, 0x83, 3, -1),
    "call_failed":         Words(502, 502, 0x83, 3, -1),
    "cancelled":           Words(409, 409, 0x83, 3, -1),
    "unreachable":         Words(503, 503, 0x88, 3, 5),
    "server_too_old":      Words(503, 503, 0x88, 3, 35),  # UNSUPPORTED_VERSION
    "internal":            Words(-32603, 500, 0x80, 3, -1),  # UNKNOWN_SERVER_ERROR
}  # fmt: skip


def words(error: FabricError) -> Words:
    """How each protocol says `error`."""
    key = f"refused.{error.reason}" if isinstance(error, Refused) else error.code
    return TABLE.get(key, TABLE["internal"])


def retry_after_s(error: FabricError) -> int:
    """Whole seconds for a Retry-After header, rounded up, at least 1; 0 when waiting does not help."""
    if not error.retriable:
        return 0
    after_ms = error.retry_after_ms if isinstance(error, Refused) else 0
    return max(1, -(-after_ms // 1000))


def as_answer(error: FabricError, request: Envelope, speaker: Fabric) -> Envelope:
    """The answer of kind `error` to a request that no agent answered, so that its story has an end."""
    said = {"code": error.code, "message": str(error), "retriable": error.retriable}
    return speaker.envelope(
        msgspec.json.encode(said),
        kind="error",
        subject=request.subject,
        datacontenttype="application/json",
        causationid=request.id,
        correlationid=request.correlationid,
    )
