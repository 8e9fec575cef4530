"""Causality without being asked for: what a handler publishes or calls was caused by the message it handles.

In: the message being handled. Out: what its consequences carry: conversation, cause, hops, chain, and the
budget that calls spend from. Set by agents, workers, inboxes and durable members; `handling` sets it for
anonymous members. Above: everything that sends. Below: `rules/hops`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from fabric.client.spending import Spending
from fabric.errors import Refused
from fabric.rules.hops import HOPS_MAX, hops_of, lengthened, steps
from fabric.rules.once import derived_id
from fabric_codecs.envelope import Envelope

__all__ = [
    "Cause",
    "Handling",
    "cause_now",
    "caused_by",
    "current_cause",
    "current_handling",
    "handling",
    "hops_after",
]


class Cause(NamedTuple):
    """The message being handled: its conversation, its id, and until when an answer is of use (microseconds
    since 1970, 0: no end); how long its chain may still become, the chain before it (as `fabchain` has it)
    and what it adds to the chain; the budget of what it sets off."""

    correlationid: str
    causationid: str
    deadline_us: int = 0
    hops: int = HOPS_MAX
    before: str | None = None
    step: str = ""
    spending: Spending | None = None

    @property
    def chain(self) -> str:
        """The messages so far, this one included."""
        return lengthened(self.before, self.step)


# The message itself, or what was made of it: most handlers send nothing, and for those it is never looked at.
current_cause: ContextVar[Cause | Envelope | None] = ContextVar("fabric_cause", default=None)


def cause_now() -> Cause | None:
    """The message that is being handled here; None when none is."""
    found = current_cause.get()
    return caused_by(found) if isinstance(found, Envelope) else found


class Handling:
    """A message in the hands of a durable member: what is published meanwhile gets ids that derive from it.
    `address` is the subject on which it came."""

    def __init__(self, holder: str, address: bytes, message_id: str) -> None:
        self._named = holder, address, message_id
        self._counts: dict[bytes, int] = {}

    def next_id(self, subject: bytes) -> str:
        """The id of the next message to that subject: the same when the message is handled again."""
        number = self._counts.get(subject, 0)
        self._counts[subject] = number + 1
        return derived_id(*self._named, number)


current_handling: ContextVar[Handling | None] = ContextVar("fabric_handling", default=None)


def caused_by(envelope: Envelope, deadline_us: int = 0, spending: Spending | None = None) -> Cause:
    """The cause that a received message is."""
    return Cause(
        envelope.correlationid or envelope.id,
        envelope.id,
        deadline_us,
        hops_of(envelope.get("fabhops")),
        envelope.get("fabchain"),
        envelope.subject or "",
        spending,
    )


@contextmanager
def handling(envelope: Envelope) -> Iterator[None]:
    """What is published or called inside, and by tasks made inside, was caused by `envelope`: `with
    handling(envelope): ...`. For anonymous members, in their handler or loop: to note it for each message
    would cost them a tenth of their rate, and most send nothing. Tools, workers, inboxes and durable members
    do it by themselves."""
    token = current_cause.set(envelope)
    try:
        yield
    finally:
        current_cause.reset(token)


def hops_after(cause: Cause) -> int:
    """The `fabhops` of what is sent because of it. Raises Refused("loop") with the chain when there would be
    none left: to spare the caller the way; the receiver would say the same."""
    if cause.hops <= 1:
        raise Refused("loop", chain=steps(cause.chain), detail=f"a chain of {HOPS_MAX} messages goes on")
    return cause.hops - 1
