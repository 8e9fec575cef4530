"""Causality without being asked for: what a handler publishes or calls was caused by the message it
handles."""

from contextvars import ContextVar
from typing import NamedTuple

__all__ = ["Cause", "current_cause"]


class Cause(NamedTuple):
    """The message being handled: its conversation, its id, and until when an answer is of use (microseconds
    since 1970, 0: no end)."""

    correlationid: str
    causationid: str
    deadline_us: int = 0


current_cause: ContextVar[Cause | None] = ContextVar("fabric_cause", default=None)
