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
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec

from fabric import subjects
from fabric.client.context import current_cause
from fabric.clock import now_us, parse_us
from fabric.errors import (
    CallCancelled,
    CallFailed,
    DeadlineExceeded,
    FabricError,
    InvalidName,
    LimitExceeded,
    NoSuchAgent,
    NoSuchTool,
    Refused,
)
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.names import encode_level
from fabric_codecs.nats.headers import status_of, ticket_of
from fabric_codecs.nats.wire import timestamp

if TYPE_CHECKING:
    from fabric.client.session import Fabric, Session

__all__ = ["CallDesk", "Invocation", "Progress", "Reply", "failure_of"]

PROGRESS_KEPT = 1024
FINAL = ("response", "error")


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


class _Waiting:
    """One call in flight. `progress` is called for each progress envelope."""

    __slots__ = ("answer", "progress", "request", "timer")

    def __init__(
        self,
        request: Envelope,
        answer: "asyncio.Future[Envelope]",
        progress: Callable[[Envelope], object] | None,
    ) -> None:
        self.request = request
        self.answer = answer
        self.progress = progress
        self.timer: asyncio.TimerHandle | None = None


class CallDesk:
    """All calls of a session. One per connection."""

    def __init__(self, session: "Session") -> None:
        self.late = 0
        self._session = session
        self._reply = f"{session.inbox}.c.".encode()
        self._waiting: dict[int, _Waiting] = {}
        self._last = 0
        session.connection.subscribe(f"{session.inbox}.c.*", self._arrived)
        session.connection.on_down.append(self._lost)

    def start(
        self,
        caller: "Fabric",
        request: Envelope,
        deadline_s: float,
        progress: Callable[[Envelope], object] | None,
    ) -> tuple[int, _Waiting]:
        """Send a request; its answer resolves the future. `end` it in any case."""
        agent = agent_of(request.subject or "")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(request, loop.create_future(), progress)
        connection = self._session.connection
        self._last += 1
        ticket = self._last
        subject = subjects.call(agent, caller.token).encode()
        try:
            connection.writer.publish(subject, self._reply, request.nats_header(), request.data, ticket)
        except CodecError as error:
            raise LimitExceeded(
                "bytes of a call",
                allowed=connection.writer.payload_max,
                actual=len(request.data),
                hint=error.what,
            ) from None
        connection.wake()
        self._waiting[ticket] = waiting
        waiting.timer = loop.call_later(deadline_s, self._expired, ticket, deadline_s)
        return ticket, waiting

    def end(self, ticket: int) -> bool:
        """Forget a call; whether it was still waiting for its answer."""
        waiting = self._waiting.pop(ticket, None)
        if waiting is None:
            return False
        if waiting.timer is not None:
            waiting.timer.cancel()
        return not waiting.answer.done()

    def cancel(self, caller: "Fabric", request: Envelope, reason: str) -> None:
        """Tell the agent that nobody waits any more."""
        envelope = caller.envelope(
            reason.encode(),
            kind="cancel",
            subject=request.subject,
            causationid=request.id,
            correlationid=request.correlationid,
        )
        subject = subjects.call(agent_of(request.subject or ""), caller.token).encode()
        self._session.connection.writer.publish(subject, b"", envelope.nats_header(), envelope.data)
        self._session.connection.wake()

    def _arrived(self, subject: bytes, _reply: bytes, header: bytes, data: bytes) -> None:
        waiting = self._waiting.get(ticket_of(subject))
        if waiting is None or waiting.answer.done():
            self.late += 1
            return
        if status_of(header) == 503:
            waiting.answer.set_exception(NoSuchAgent(agent_of(waiting.request.subject or "")))
            return
        envelope = Envelope.from_nats(subject, header, data)
        self._session.journal.record(envelope, "reply", peer=waiting.request.source_name)
        if envelope.kind in FINAL:
            waiting.answer.set_result(envelope)
        elif waiting.progress is not None:
            waiting.progress(envelope)

    def _expired(self, ticket: int, deadline_s: float) -> None:
        waiting = self._waiting.get(ticket)
        if waiting is not None and not waiting.answer.done():
            waiting.answer.set_exception(DeadlineExceeded(waiting.request.subject or "", deadline_s))

    def _lost(self) -> None:
        for waiting in self._waiting.values():
            if not waiting.answer.done():
                waiting.answer.set_exception(
                    Refused(
                        "unreachable",
                        retry_after_ms=1000,
                        unknown=True,
                        detail="the connection was lost during the call",
                    )
                )


class Invocation:
    """A call as a stream of envelopes: `async with fabric.invoke(request, deadline_s=5) as replies: async
    for envelope in replies`.

    Yields envelopes of kind `progress`, then exactly one `response` or `error`. Raises NoSuchAgent,
    DeadlineExceeded, Refused.
    Leaving early cancels the call at the agent. `skipped` counts progress dropped because nobody read it.
    """

    def __init__(self, caller: "Fabric", request: Envelope, deadline_s: float) -> None:
        self.request = caller.as_request(request, deadline_s)
        self.skipped = 0
        self._caller = caller
        self._deadline_s = deadline_s
        self._progress: deque[Envelope] = deque()
        self._changed = asyncio.Event()
        self._ticket = 0
        self._waiting: _Waiting | None = None
        self._ended = False

    async def __aenter__(self) -> Self:
        await self._caller.session.connection.wait_up(self._deadline_s)
        self._ticket, self._waiting = self._caller.session.calls.start(
            self._caller, self.request, self._deadline_s, self._on_progress
        )
        self._waiting.answer.add_done_callback(lambda _: self._changed.set())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        assert self._waiting is not None
        unanswered = self._caller.session.calls.end(self._ticket)
        answer = self._waiting.answer
        timed_out = (
            answer.done() and not answer.cancelled() and isinstance(answer.exception(), DeadlineExceeded)
        )
        if unanswered or timed_out:
            self._caller.session.calls.cancel(
                self._caller, self.request, "the deadline passed" if timed_out else "the caller left"
            )
        answer.cancel()

    def cancel(self, reason: str) -> None:
        """Give the call up: iteration ends with CallCancelled and the agent is told."""
        assert self._waiting is not None
        if not self._waiting.answer.done():
            self._caller.session.calls.cancel(self._caller, self.request, reason)
            self._waiting.answer.set_exception(CallCancelled(self.request.subject or "", reason))

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
    caller: "Fabric",
    target: str,
    arguments: object,
    deadline_s: float,
    on_progress: Callable[[Progress], object] | None,
) -> Reply:
    """One call without a stream; see `Fabric.call`."""
    data = (
        arguments
        if isinstance(arguments, bytes)
        else msgspec.json.encode({} if arguments is None else arguments)
    )
    request = caller.as_request(
        caller.envelope(data, kind="request", subject=target, datacontenttype="application/json"), deadline_s
    )
    await caller.session.connection.wait_up(deadline_s)
    progress = None if on_progress is None else lambda envelope: on_progress(Progress(**envelope.json()))
    calls = caller.session.calls
    ticket, waiting = calls.start(caller, request, deadline_s, progress)
    try:
        envelope = await waiting.answer
    except (asyncio.CancelledError, DeadlineExceeded) as error:
        calls.cancel(
            caller,
            request,
            "the deadline passed" if isinstance(error, DeadlineExceeded) else "the caller left",
        )
        raise
    finally:
        calls.end(ticket)
    if envelope.kind == "error":
        raise failure_of(envelope, target)
    return Reply(envelope.data, envelope)


def agent_of(target: str) -> str:
    """The agent's token in a target (`agent.tool`, or an agent's name alone)."""
    agent = target.partition(".")[0]
    if not agent:
        raise InvalidName("target", target, "write agent.tool")
    return encode_level(agent) if "%" not in agent else agent


def deadline_within(deadline_s: float) -> tuple[float, str]:
    """A deadline and its `expirytime`, cut to what the message being handled has left."""
    cause = current_cause.get()
    until = now_us() + round(deadline_s * 1e6)
    if cause is not None and cause.deadline_us:
        until = min(until, cause.deadline_us)
    return (until - now_us()) / 1e6, timestamp(until)


def seconds_left(envelope: Envelope, default: float) -> float:
    """How long an answer to this request is of use."""
    expiry = envelope.get("expirytime")
    return (parse_us(expiry) - now_us()) / 1e6 if expiry else default
