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

Calls are live: nothing is stored but the journal's records. Progress is bounded: the oldest unread is
dropped and counted.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import msgspec

from fabric.client.context import current_cause
from fabric.client.desk import CallDesk, Waiting, agent_of, deadline_within
from fabric.client.identity import Identity
from fabric.clock import now_us
from fabric.errors import CallCancelled, CallFailed, DeadlineExceeded, FabricError, NoSuchTool, Refused
from fabric_codecs.envelope import Envelope
from fabric_codecs.nats.wire import timestamp

__all__ = ["Failure", "Invocation", "Progress", "Reply", "call", "failure_of"]

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


class Failure(msgspec.Struct):
    """The data of an envelope of kind `error`."""

    code: str
    message: str
    retriable: bool = False
    data: Any = None


def failure_of(envelope: Envelope, target: str) -> FabricError:
    """The exception that an envelope of kind `error` stands for."""
    failure = msgspec.json.decode(envelope.data, type=Failure)
    detail = failure.data if isinstance(failure.data, dict) else {}
    match failure.code:
        case NoSuchTool.code:
            agent, _, tool = target.partition(".")
            return NoSuchTool(agent, tool, tuple(detail.get("known", ())))
        case CallCancelled.code:
            return CallCancelled(target, failure.message)
        case Refused.code:
            return Refused(
                detail.get("reason", "full"),
                retry_after_ms=detail.get("retry_after_ms", 0),
                depth=detail.get("depth"),
                detail=failure.message,
            )
    return CallFailed(
        target, failure.code, failure.message, remote_retriable=failure.retriable, data=failure.data
    )


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
        self._ended = False

    async def __aenter__(self) -> Self:
        await self._caller.link.connection.wait_up(self._deadline_s)
        self._ticket, self._waiting = self._desk.start_envelope(
            self._caller, self.request, self._deadline_s, self._on_progress
        )
        self._waiting.answer.add_done_callback(lambda _: self._changed.set())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        assert self._waiting is not None
        unanswered = self._desk.end(self._ticket)
        answer = self._waiting.answer
        timed_out = (
            answer.done() and not answer.cancelled() and isinstance(answer.exception(), DeadlineExceeded)
        )
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
) -> Reply:
    """One call without a stream; see `Fabric.call`."""
    if isinstance(arguments, bytes):
        data = arguments
    else:
        data = msgspec.json.encode({} if arguments is None else arguments)
    await caller.link.connection.wait_up(deadline_s)
    progress = None if on_progress is None else lambda envelope: on_progress(Progress(**envelope.json()))
    ticket, waiting = desk.start(caller, target, data, deadline_s, progress)
    try:
        envelope = await waiting.answer
    except DeadlineExceeded:
        desk.cancel(caller, waiting, PAST_DEADLINE)
        raise
    except asyncio.CancelledError:
        desk.cancel(caller, waiting, CALLER_LEFT)
        raise
    finally:
        desk.end(ticket)
    if envelope.kind == "error":
        raise failure_of(envelope, target)
    return Reply(envelope.data, envelope)


def as_request(caller: Identity, request: Envelope, deadline_s: float) -> Envelope:
    """A request with what it lacks: source, time, deadline, and what caused it. Raises InvalidName for a
    target that is none."""
    agent_of(request.subject or "")
    cause = current_cause.get()
    changes: dict[str, str] = {
        "source": caller.source,
        "fabkind": "request",
        "expirytime": deadline_within(deadline_s)[1],
    }
    if request.time is None:
        changes["time"] = timestamp(now_us())
    if request.correlationid is None:
        changes["correlationid"] = cause.correlationid if cause is not None else request.id
    if request.causationid is None and cause is not None:
        changes["causationid"] = cause.causationid
    return request.replace(None, **changes)
