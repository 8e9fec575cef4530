"""Causality without being asked for: what a handler publishes or calls was caused by the message it handles.

In: the message being handled. Out: what its consequences carry: conversation, cause, hops, chain, and the
budget that calls spend from. Set by agents, workers, inboxes and durable members; `handling` sets it for
anonymous members. Above: everything that sends. Below: `rules/calls/hops`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from fabric.client.calls.spending import Spending
from fabric.errors import Refused
from fabric.rules.calls.hops import HOPS_MAX, hops_of, lengthened, steps
from fabric.rules.once import derived_id
from fabric_codecs.envelope import Envelope

__all__ = ["Cause", "Handling", "current_cause", "current_handling", "handling"]


class Cause:
    """The message being handled, as its consequences see it. `deadline_us`: until when an answer is of use
    (microseconds since 1970, 0: no end); `spending`: the budget of what it sets off. What it says is looked
    up when something is sent: most handlers send nothing."""

    __slots__ = ("_envelope", "deadline_us", "spending")

    def __init__(self, envelope: Envelope, deadline_us: int = 0, spending: Spending | None = None) -> None:
        self._envelope = envelope
        self.deadline_us = deadline_us
        self.spending = spending

    @property
    def correlationid(self) -> str:
        """Its conversation."""
        return self._envelope.correlationid or self._envelope.id

    @property
    def causationid(self) -> str:
        """Its id."""
        return self._envelope.id

    @property
    def chain(self) -> str:
        """The messages so far, this one included."""
        return lengthened(self._envelope.get("fabchain"), self._envelope.subject or "")

    def hops_after(self) -> int:
        """The `fabhops` of what is sent because of it. Raises Refused("loop") with the chain when there would
        be none left: to spare the caller the way; the receiver would say the same."""
        hops = hops_of(self._envelope.get("fabhops"))
        if hops <= 1:
            raise Refused("loop", chain=steps(self.chain), detail=f"a chain of {HOPS_MAX} messages goes on")
        return hops - 1


current_cause: ContextVar[Cause | None] = ContextVar("fabric_cause", default=None)


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


@contextmanager
def handling(envelope: Envelope) -> Iterator[None]:
    """What is published or called inside, and by tasks made inside, was caused by `envelope`: `with
    handling(envelope): ...`. For anonymous members, in their handler or loop: to note it for each message
    would cost them a tenth of their rate, and most send nothing. Tools, workers, inboxes and durable members
    do it by themselves."""
    token = current_cause.set(Cause(envelope))
    try:
        yield
    finally:
        current_cause.reset(token)
