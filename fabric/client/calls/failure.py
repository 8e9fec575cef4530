"""Errors on their way from an agent to a caller: an exception here, the data of an envelope of kind `error`
between, an exception there.

Above: `call`, `parts`, `reception`, edges. Below: `errors`.
"""

from typing import Any

import msgspec

from fabric.client.calls.tool import ToolError
from fabric.errors import (
    CallCancelled,
    CallFailed,
    FabricError,
    IdempotencyConflict,
    NoSuchTool,
    OutcomeUnknown,
    Refused,
)
from fabric_codecs.envelope import Envelope

__all__ = ["Failure", "failed", "failure", "failure_of"]

MESSAGE_CHARS_MAX = 2000  # of a remote error's text


class Failure(msgspec.Struct):
    """The data of an envelope of kind `error`."""

    code: str
    message: str
    retriable: bool = False
    data: Any = None


def failure(code: str, message: str, retriable: bool = False, data: object = None) -> bytes:
    """What an agent says in its own words."""
    return msgspec.json.encode(Failure(code, message[:MESSAGE_CHARS_MAX], retriable, data))


def failed(error: Exception) -> bytes:
    """What an agent says when its tool raised."""
    match error:
        case ToolError():
            return failure(error.remote_code, str(error), error.remote_retriable, error.data)
        case NoSuchTool():
            return failure(error.code, str(error), data={"known": error.known})
        case IdempotencyConflict() | OutcomeUnknown():
            return failure(error.code, str(error), data={"key": error.key})
        case Refused():
            retriable = error.reason in ("full", "rate", "timeout", "closing", "unreachable")
            facts = {
                "reason": error.reason,
                "retry_after_ms": error.retry_after_ms,
                "depth": error.depth,
                "share": error.share,
                "unknown": error.unknown,
                "chain": error.chain,
            }
            return failure(error.code, error.detail, retriable, facts)
        case FabricError():
            return failure(error.code, str(error), error.retriable)
    return failure("internal", f"{type(error).__name__}: {error}")


def failure_of(envelope: Envelope, target: str) -> FabricError:
    """The exception that an envelope of kind `error` stands for."""
    said = msgspec.json.decode(envelope.data, type=Failure)
    facts = said.data if isinstance(said.data, dict) else {}
    match said.code:
        case NoSuchTool.code:
            agent, _, tool = target.partition(".")
            return NoSuchTool(agent, tool, tuple(facts.get("known", ())))
        case CallCancelled.code:
            return CallCancelled(target, said.message)
        case IdempotencyConflict.code:
            return IdempotencyConflict(target, str(facts.get("key", "")))
        case OutcomeUnknown.code:
            return OutcomeUnknown(target, str(facts.get("key", "")))
        case Refused.code:
            return _refused(said.message, facts)
    return CallFailed(target, said.code, said.message, remote_retriable=said.retriable, data=said.data)


def _refused(message: str, facts: dict[str, Any]) -> Refused:
    return Refused(
        str(facts.get("reason", "full")),
        retry_after_ms=facts.get("retry_after_ms", 0),
        depth=facts.get("depth"),
        share=facts.get("share"),
        unknown=bool(facts.get("unknown", False)),
        detail=message,
        chain=tuple(facts.get("chain") or ()),
    )
