"""An agent: a card in the registry, tools that answer calls, and a clean leave.

| call     | input                              | act |
|----------|------------------------------------|-----|
| -        | request, room for it               | run the tool in a task, record it in the journal |
| -        | request, `calls_max` running       | error `refused` with retry_after_ms |
| -        | request for no tool of ours        | error `no_such_tool` with those there are |
| running  | the tool returns or raises         | response or error, once |
| running  | its deadline (`expirytime`)        | cancel the tool, error `deadline_exceeded` |
| running  | cancel from the same caller        | cancel the tool, no answer: nobody waits |
| running  | the agent leaves                   | cancel the tool after the grace, error `cancelled` |
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar, overload

import msgspec

from fabric import subjects
from fabric.client.call import CALLER_LEFT, PAST_DEADLINE, Failure, Progress, Reply, call
from fabric.client.cards import AgentCard, SideEffects, Skill, ToolContract, ToolSpec
from fabric.client.channel import Channel
from fabric.client.context import Cause, current_cause
from fabric.client.desk import CallDesk
from fabric.client.enrolment import Enrolment
from fabric.client.identity import Identity
from fabric.client.running import Answers, Call
from fabric.client.tool import Tool, ToolError
from fabric.clock import now_us
from fabric.errors import (
    CallCancelled,
    ConfigInvalid,
    DeadlineExceeded,
    FabricError,
    LimitExceeded,
    NoSuchTool,
    Refused,
)
from fabric.jetstream.connection import Subscription
from fabric_codecs.envelope import Envelope

__all__ = ["Agent"]

log = logging.getLogger("fabric.agent")

F = TypeVar("F", bound=Callable[..., Any])

CALLS_MAX = 1024  # handlers at once: beyond, callers are refused rather than queued without a bound
BUSY_RETRY_MS = 100
LEAVE_GRACE_S = 2.0
MESSAGE_CHARS_MAX = 2000  # of a remote error's text


class Agent:
    """Made by `Fabric.agent`; live inside its `async with`. Tools are added before or while it is live."""

    def __init__(
        self,
        identity: Identity,
        desk: CallDesk,
        enrolment: Enrolment,
        *,
        skills: Sequence[Skill | str],
        description: str,
        version: str,
        take_over: bool,
        calls_max: int = CALLS_MAX,
    ) -> None:
        self.identity = identity
        self.name = identity.name
        self.token = identity.token
        self._desk = desk
        self._enrolment = enrolment
        self.calls_max = calls_max
        self.epoch = 0
        self._skills = tuple(Skill(skill) if isinstance(skill, str) else skill for skill in skills)
        self._description = description
        self._version = version
        self._take_over = take_over
        self._tools: dict[str, Tool] = {}
        self._running: dict[tuple[bytes, str], asyncio.Task[None]] = {}
        self._subscription: Subscription | None = None
        self._answers = Answers(identity, 0)
        self._update: asyncio.Task[None] | None = None
        self._stale = False  # the registry's card is not the present one
        self._entered = False

    # Tools

    @overload
    def tool(self, function: F) -> F: ...
    @overload
    def tool(
        self,
        *,
        name: str | None = None,
        side_effects: SideEffects = "writes",
        idempotent: bool = False,
        cost: float = 0.0,
        errors: Sequence[str] = (),
    ) -> Callable[[F], F]: ...
    def tool(
        self,
        function: F | None = None,
        *,
        name: str | None = None,
        side_effects: SideEffects = "writes",
        idempotent: bool = False,
        cost: float = 0.0,
        errors: Sequence[str] = (),
    ) -> F | Callable[[F], F]:
        """Offer a coroutine function as a tool: `@me.tool`, or `@me.tool(side_effects="none")` with its
        contract.

        Its arguments are checked against the annotations before it runs. A `ToolError` it raises is
        answered with its code; anything else as `internal`, its traceback logged here and not sent.
        """

        def add(function: F) -> F:
            made = Tool(function, ToolContract(side_effects, idempotent, cost, tuple(errors)), Call, name)
            if "." in made.name or not made.name:
                raise ConfigInvalid(f"tool {made.name!r}", "a tool's name is not empty and has no dot")
            self._tools[made.name] = made
            if self._subscription is not None:
                self._announce()
            return function

        return add if function is None else add(function)

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """What it offers."""
        return tuple(tool.spec for tool in self._tools.values())

    @property
    def is_busy(self) -> bool:
        """Whether a call runs."""
        return bool(self._running)

    def card(self) -> AgentCard:
        """Its card as the registry has it."""
        link = self.identity.link
        return AgentCard(
            self.name,
            self.epoch,
            link.process,
            link.token,
            self._version,
            self._description,
            self._skills,
            self.tools,
        )

    # What an agent does as itself

    def channel(self, name: str) -> Channel:
        """A channel to which this agent publishes under its own name."""
        return Channel(self.identity, name)

    async def call(
        self,
        target: str,
        arguments: object = None,
        *,
        deadline_s: float = 30.0,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> Reply:
        """Call another agent under its own name."""
        return await call(self._desk, self.identity, target, arguments, deadline_s, on_progress)

    # Life

    async def __aenter__(self) -> Self:
        """Registers; raises NameInUse when another live process holds the name."""
        self.begin(await self._enrolment.claim(self, take_over=self._take_over))
        try:
            await self._enrolment.announce(self)
        except BaseException:
            self.stop()
            self._enrolment.forget(self)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    def begin(self, epoch: int) -> None:
        """This life starts: take calls from now on. Its card is written next."""
        self.epoch = epoch
        self._answers = Answers(self.identity, epoch)
        self._entered = True
        self._subscription = self.identity.link.connection.subscribe(
            subjects.calls_to(self.identity.token), self._arrived
        )

    def stop(self) -> None:
        """Take no more calls; what runs goes on. The registry is told next."""
        self._entered = False
        self._take_no_more()

    async def leave(self, grace_s: float = LEAVE_GRACE_S) -> None:
        """Leave the registry, take no more calls, let running ones end within the grace. Safe to call
        twice."""
        if not self._entered:
            return
        self.stop()
        if self._update is not None:
            await asyncio.gather(self._update, return_exceptions=True)
        try:
            await self._enrolment.withdraw(self)
        except FabricError as error:
            log.warning(
                "agent %s left without telling the registry: %s; its lease will end", self.name, error
            )
        await self.drain(grace_s)

    async def drain(self, grace_s: float = LEAVE_GRACE_S) -> None:
        """Until no call runs; those that still do after the grace are cancelled."""
        tasks = list(self._running.values())
        if not tasks:
            return
        await asyncio.wait(tasks, timeout=grace_s)
        for task in tasks:
            task.cancel("leaving")
        await asyncio.gather(*tasks, return_exceptions=True)

    def notice(self) -> None:
        """Tell the former holder of the name, where it takes its calls, that it is ours now."""
        link, subject = self.identity.link, subjects.call(self.token, self.token)
        header = self.identity.envelope(b"", kind="presence", subject=self.name).nats_header()
        link.connection.writer.publish(subject.encode(), b"", header, b"")
        link.connection.wake()

    def fenced(self) -> None:
        """Another process took the name over: take no more calls; those that run may end."""
        log.warning("agent %s: another process took the name over", self.name)
        self._take_no_more()

    def _take_no_more(self) -> None:
        if self._subscription is not None:
            self.identity.link.connection.unsubscribe(self._subscription)
            self._subscription = None

    def _announce(self) -> None:
        self._stale = True
        if self._update is None or self._update.done():
            self._update = self.identity.link.spawn(self._keep_announced(), f"fabric-announce-{self.name}")

    async def _keep_announced(self) -> None:
        while self._stale and self._subscription is not None:
            self._stale = False  # before the card is made: a tool added meanwhile has it made again
            await self._enrolment.announce(self)

    # Calls

    def _arrived(self, subject: bytes, reply: bytes, header: bytes, data: bytes) -> None:
        request = Envelope.from_nats(subject, header, data)
        caller = subject.rpartition(b".")[2]
        if request.source.rpartition("/")[2].encode() != caller:
            log.warning(
                "agent %s: a call whose source %s is not its credential's (%s) was refused",
                self.name,
                request.source,
                caller.decode(),
            )
            self._refuse(request, reply, "denied", "the source attribute is not the credential's name")
            return
        if request.kind == "presence":  # somebody may have taken our name over; our own notice says so too
            self.identity.link.spawn(self._enrolment.check(self), f"fabric-check-{self.name}")
            return
        if request.kind == "cancel":
            task = self._running.get((caller, request.causationid or ""))
            if task is not None:
                task.cancel(CALLER_LEFT)
            return
        key = (caller, request.id)
        if len(self._running) >= self.calls_max:
            self._refuse(request, reply, "full", f"agent {self.name} has {self.calls_max} calls running")
            return
        if key in self._running:
            self._refuse(request, reply, "denied", f"call {request.id} is running already")
            return
        task = asyncio.get_running_loop().create_task(self._run(request, reply))
        self._running[key] = task
        task.add_done_callback(lambda _: self._running.pop(key, None))

    def _refuse(self, request: Envelope, reply: bytes, reason: str, message: str) -> None:
        retry_after_ms = BUSY_RETRY_MS if reason == "full" else 0
        data = {"reason": reason, "retry_after_ms": retry_after_ms, "depth": len(self._running)}
        failure = Failure(Refused.code, message, reason == "full", data)
        self._reply(Call(self._answers, request, reply), "error", msgspec.json.encode(failure))

    async def _run(self, request: Envelope, reply: bytes) -> None:
        call = Call(self._answers, request, reply)
        link = self.identity.link
        link.journal.record(request, "call", peer=self.name)
        left_s = call.time_left_s
        if left_s <= 0:  # worthless by now: it must not have effects
            self._reply(
                call, "error", _failure(DeadlineExceeded.code, "the deadline passed before the call came")
            )
            return
        current_cause.set(Cause(call.conversation, request.id, now_us() + round(left_s * 1e6)))
        task = asyncio.current_task()
        assert task is not None
        timer = asyncio.get_running_loop().call_later(left_s, task.cancel, PAST_DEADLINE)
        kind, data = "error", b""
        try:
            kind, data = "response", await self._answer(request, call)
        except asyncio.CancelledError as cancelled:
            if CALLER_LEFT in cancelled.args:
                return
            if PAST_DEADLINE in cancelled.args:
                data = _failure(DeadlineExceeded.code, str(DeadlineExceeded(request.subject or "", left_s)))
            else:
                data = _failure(CallCancelled.code, f"agent {self.name} is leaving")
        except NoSuchTool as error:
            data = _failure(error.code, str(error), data={"known": error.known})
        except ToolError as error:
            data = _failure(error.remote_code, str(error), error.remote_retriable, error.data)
        except FabricError as error:
            data = _failure(error.code, str(error), error.retriable)
        except Exception as error:
            log.exception("agent %s: %s raised", self.name, request.subject)
            data = _failure("internal", f"{type(error).__name__}: {error}")
        finally:
            timer.cancel()
        self._reply(call, kind, data)

    def _reply(self, call: Call, kind: str, data: bytes) -> None:
        try:
            call.send(kind, data)
        except ValueError as error:  # CodecError: the answer is larger than a message may be
            words = f"the answer cannot be sent: {error}"
            try:
                call.send("error", _failure(LimitExceeded.code, words))
            except ValueError:  # not even this: the caller's own attributes fill the header
                log.warning("agent %s: %s", self.name, words)

    async def _answer(self, request: Envelope, call: Call) -> bytes:
        name = (request.subject or "").partition(".")[2]
        tool = self._tools.get(name)
        if tool is None:
            raise NoSuchTool(self.name, name, tuple(self._tools))
        arguments = tool.arguments(request.data)
        if tool.context_parameter is not None:
            arguments[tool.context_parameter] = call
        return msgspec.json.encode(await tool.function(**arguments))


def _failure(code: str, message: str, retriable: bool = False, data: object = None) -> bytes:
    return msgspec.json.encode(Failure(code, message[:MESSAGE_CHARS_MAX], retriable, data))
