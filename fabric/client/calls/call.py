"""Calls, the caller's side: one request, any number of progress messages, one answer.

| state   | input                               | becomes | caller sees |
|---------|-------------------------------------|---------|-------------|
| waiting | progress                            | waiting | `on_progress`, or an envelope of kind `progress` |
| waiting | response or error                   | ended   | the envelope |
| waiting | 503: nobody listens                 | ended   | NoSuchAgent |
| waiting | the deadline                        | ended   | DeadlineExceeded; the agent is told to cancel |
| waiting | the caller leaves (cancel, early exit) | ended | the agent is told to cancel |
| waiting | the connection is lost              | ended   | Refused(unreachable), outcome unknown |
| ended   | anything                            | ended   | nothing; late answers are counted |

Calls are live: nothing is stored but the journal's records, and the answer of one that is kept. Progress is
bounded: the oldest unread is dropped and counted. Streamed answers are in `parts`.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import msgspec

from fabric.client.calls.desk import CallDesk, Waiting, agent_of, deadline_within
from fabric.client.calls.failure import failure_of
from fabric.client.calls.spending import Grant, budget_of
from fabric.client.context import current_cause
from fabric.client.identity import Identity
from fabric.client.outbox import attribute_line, cause_attributes
from fabric.clock import now_us
from fabric.errors import CallCancelled, DeadlineExceeded, NoSuchAgent
from fabric.rules.calls.budget import Budget
from fabric_codecs.envelope import Envelope
from fabric_codecs.nats.wire import timestamp

__all__ = ["NO_TERMS", "Invocation", "Progress", "Reply", "Terms", "as_arguments", "call", "left_of"]

PROGRESS_KEPT = 1024
CALLER_LEFT, PAST_DEADLINE = "the caller left", "the deadline passed"


class Progress(NamedTuple):
    """How far a call has come; `total` is None when nobody knows."""

    progress: float
    total: float | None = None
    message: str | None = None


class Reply(NamedTuple):
    """The answer to a call: JSON bytes, and the envelope they came in."""

    data: bytes
    envelope: Envelope

    def json(self) -> Any:
        """The answer as Python values."""
        return self.envelope.json()

    @property
    def left(self) -> Budget | None:
        """What is left of the call's budget; None when it had none."""
        return budget_of(self.envelope)


class Terms(NamedTuple):
    """What a caller asks for beside the answer; see `Fabric.call`."""

    idempotency_key: str | None = None
    budget: Budget | None = None

    def lines(self, grant: Grant | None) -> bytes:
        """The header lines of it."""
        first = b""
        if self.idempotency_key is not None:
            first += attribute_line("fabkey", self.idempotency_key)
        if grant is not None:
            first += attribute_line("fabbudget", str(grant.amount))
        return first

    async def grant(self, target: str, deadline_s: float) -> Grant | None:
        """What the call may spend: of the handler's budget that makes it, or its own; None is no limit.
        Raises Refused("budget"), DeadlineExceeded."""
        cause = current_cause.get()
        if cause is not None and cause.spending is not None:
            return await cause.spending.ask(target, self.budget, deadline_s)
        return None if self.budget is None else Grant(None, 0, self.budget)


NO_TERMS = Terms()


class Invocation:
    """A call as a stream of envelopes: `async with fabric.invoke(request, deadline_s=5) as replies: async
    for envelope in replies`.

    Yields envelopes of kind `progress`, then exactly one `response` or `error`. Raises NoSuchAgent,
    DeadlineExceeded, Refused. Leaving early cancels the call at the agent. `skipped` counts progress
    dropped because nobody read it.
    """

    def __init__(self, desk: CallDesk, caller: Identity, request: Envelope, deadline_s: float) -> None:
        self.request = as_request(caller, request, deadline_s)
        self.skipped = 0
        self._desk = desk
        self._caller = caller
        self._deadline_s = deadline_s
        self._progress: deque[Envelope] = deque()
        self._changed = asyncio.Event()
        self._ticket = 0
        self._waiting: Waiting | None = None
        self._grant: Grant | None = None
        self._ended = False

    async def __aenter__(self) -> Self:
        await self._caller.link.connection.wait_up(self._deadline_s)
        self._grant = await NO_TERMS.grant(self.request.subject or "", self._deadline_s)
        if self._grant is not None:
            self.request = self.request.replace(None, fabbudget=str(self._grant.amount))
        try:
            self._ticket, self._waiting = self._desk.start_envelope(
                self._caller, self.request, self._deadline_s, self._on_progress
            )
        except BaseException:
            if self._grant is not None:
                self._grant.settle(self._grant.amount)
            raise
        self._waiting.answer.add_done_callback(lambda _: self._changed.set())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        assert self._waiting is not None
        unanswered = self._desk.end(self._ticket)
        answer = self._waiting.answer
        failure = answer.exception() if answer.done() and not answer.cancelled() else None
        timed_out = isinstance(failure, DeadlineExceeded)
        if self._grant is not None:
            self._grant.settle(left_of(self._grant, answer))
        if unanswered or timed_out:
            reason = PAST_DEADLINE if timed_out else CALLER_LEFT
            self._desk.cancel(self._caller, self._waiting, reason)
        answer.cancel()

    def cancel(self, reason: str) -> None:
        """Give the call up: iteration ends with CallCancelled and the agent is told."""
        assert self._waiting is not None
        if not self._waiting.answer.done():
            self._desk.cancel(self._caller, self._waiting, reason)
            self._waiting.answer.set_exception(CallCancelled(self._waiting.target, reason))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Envelope:
        assert self._waiting is not None, "enter the invocation first: async with"
        while True:
            if self._progress:
                return self._progress.popleft()
            if self._ended:
                raise StopAsyncIteration
            if self._waiting.answer.done():
                self._ended = True
                return self._waiting.answer.result()
            self._changed.clear()
            await self._changed.wait()  # ends by the deadline's timer at the latest

    def _on_progress(self, envelope: Envelope) -> None:
        if len(self._progress) >= PROGRESS_KEPT:
            self._progress.popleft()
            self.skipped += 1
        self._progress.append(envelope)
        self._changed.set()


async def call(
    desk: CallDesk,
    caller: Identity,
    target: str,
    arguments: object,
    deadline_s: float,
    on_progress: Callable[[Progress], object] | None,
    terms: Terms = NO_TERMS,
) -> Reply:
    """One call without a stream; see `Fabric.call`."""
    data = as_arguments(arguments)
    await caller.link.connection.wait_up(deadline_s)
    progress = None if on_progress is None else lambda envelope: on_progress(Progress(**envelope.json()))
    spends = terms.budget is not None or current_cause.get() is not None
    grant = await terms.grant(target, deadline_s) if spends else None
    lines = b"" if grant is None and terms is NO_TERMS else terms.lines(grant)
    waiting: Waiting | None = None
    try:
        ticket, waiting = desk.start(caller, target, data, deadline_s, progress, lines)
        envelope = await waiting.answer
    except DeadlineExceeded:
        if waiting is not None:
            desk.cancel(caller, waiting, PAST_DEADLINE)
        raise
    except asyncio.CancelledError:
        if waiting is not None:
            desk.cancel(caller, waiting, CALLER_LEFT)
        raise
    finally:
        if waiting is not None:
            desk.end(ticket)
        if grant is not None:
            grant.settle(left_of(grant, None if waiting is None else waiting.answer))
    if envelope.kind == "error":
        raise failure_of(envelope, target)
    return Reply(envelope.data, envelope)


def as_arguments(arguments: object) -> bytes:
    """A call's data: JSON of what the caller hands in; bytes are JSON already."""
    if isinstance(arguments, bytes):
        return arguments
    return msgspec.json.encode({} if arguments is None else arguments)


def left_of(grant: Grant, answer: "asyncio.Future[Envelope] | None") -> Budget | None:
    """What is left of a grant when its call has ended. None: nobody can say, so it counts as spent."""
    if answer is None:
        return grant.amount  # it was never sent
    if not answer.done() or answer.cancelled():
        return None
    if answer.exception() is not None:
        return grant.amount if isinstance(answer.exception(), NoSuchAgent) else None
    return budget_of(answer.result())


def as_request(caller: Identity, request: Envelope, deadline_s: float) -> Envelope:
    """A request with what it lacks: source, time, deadline, and what caused it. Raises InvalidName for a
    target that is none, Refused("loop")."""
    agent_of(request.subject or "")
    changes = cause_attributes()
    for own in ("correlationid", "causationid"):
        if request.get(own) is not None:
            changes.pop(own, None)
    if request.correlationid is None:
        changes.setdefault("correlationid", request.id)
    if request.time is None:
        changes["time"] = timestamp(now_us())
    expiry = deadline_within(deadline_s)[1]
    return request.replace(None, source=caller.source, fabkind="request", expirytime=expiry, **changes)
