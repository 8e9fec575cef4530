"""An agent: a card in the registry, tools that answer calls, and a clean leave.

In: tools, and a name. Out: a live agent; what it does with calls is in `reception`. Above: `session`,
`crew`. Below: `enrolment`, `reception`, `tool`.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar, overload

from fabric import subjects
from fabric.client.agents.cards import AgentCard, SideEffects, Skill, ToolContract, ToolSpec
from fabric.client.agents.enrolment import Enrolment
from fabric.client.calls.call import Progress, Reply, Terms, call
from fabric.client.calls.desk import CallDesk
from fabric.client.calls.parts import Parts
from fabric.client.calls.reception import AgentLimits, Reception
from fabric.client.calls.running import Call
from fabric.client.calls.tool import Tool
from fabric.client.channels.channel import Channel
from fabric.client.identity import Identity
from fabric.client.inboxes.letter import Letter
from fabric.client.inboxes.owner import ATTEMPTS_MAX, OwnedInbox, Settling
from fabric.errors import ConfigInvalid, FabricError, Refused
from fabric.jetstream.connection import Subscription
from fabric.rules.calls.budget import Budget
from fabric.rules.calls.call_account import CallAccount
from fabric.rules.calls.flow import WINDOW
from fabric.rules.inboxes.inbox import LETTERS_MAX
from fabric_codecs.envelope import Envelope

__all__ = ["Agent"]

log = logging.getLogger("fabric.agent")

F = TypeVar("F", bound=Callable[..., Any])

LEAVE_GRACE_S = 2.0


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
        limits: AgentLimits,
    ) -> None:
        self.identity = identity
        self.name = identity.name
        self.token = identity.token
        self._desk = desk
        self._enrolment = enrolment
        self.limits = limits
        self.epoch = 0
        self._skills = tuple(Skill(skill) if isinstance(skill, str) else skill for skill in skills)
        self._description = description
        self._version = version
        self._take_over = take_over
        self._tools: dict[str, Tool] = {}
        self._reception: Reception | None = None
        self._subscription: Subscription | None = None
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
        contract: what it may cost (`cost`, of a call's budget), whether it may run again (`idempotent`).

        An async generator function streams its answer: `async with fab.stream(...)` hands out each part as
        it is yielded, a plain call gets all of them as one list. Arguments are checked against the
        annotations before it runs. A `ToolError` it raises is answered with its code; anything else as
        `internal`, its traceback logged here and not sent.
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
        return self._reception is not None and bool(self._reception.tasks)

    @property
    def account(self) -> CallAccount:
        """Its calls so far: taken = answered + expired + cancelled + running."""
        return CallAccount() if self._reception is None else self._reception.account

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

    def inbox(
        self,
        handler: Callable[[Letter], object] | None = None,
        *,
        settling: Settling = "next",
        hold: int = 256,
        attempts_max: int = ATTEMPTS_MAX,
        letters_max: int = LETTERS_MAX,
    ) -> OwnedInbox:
        """The letters left for this agent, as long as `async with` lasts: `async with me.inbox() as inbox:
        async for letter in inbox`. See `OwnedInbox`; outside, letters wait.

        `hold`: letters out at once when settled by hand. After `attempts_max` a letter becomes a dead
        letter. With `letters_max` unsettled ones, of all sources together, senders are refused. Raises
        ConfigInvalid for an agent that is not live: its lease says whose the inbox is.
        """
        if not self._entered:
            raise ConfigInvalid(
                f"the inbox of agent {self.name!r}", "open it inside the agent's `async with`"
            )
        return OwnedInbox(
            self.identity,
            handler,
            settling=settling,
            hold=hold,
            attempts_max=attempts_max,
            letters_max=letters_max,
            take_over=self._take_over,
        )

    async def call(
        self,
        target: str,
        arguments: object = None,
        *,
        deadline_s: float = 30.0,
        on_progress: Callable[[Progress], object] | None = None,
        idempotency_key: str | None = None,
        budget: Budget | None = None,
    ) -> Reply:
        """Call another agent under its own name; see `Fabric.call`."""
        terms = Terms(idempotency_key, budget)
        return await call(self._desk, self.identity, target, arguments, deadline_s, on_progress, terms)

    def stream(
        self,
        target: str,
        arguments: object = None,
        *,
        deadline_s: float = 30.0,
        window: int = WINDOW,
        budget: Budget | None = None,
    ) -> Parts:
        """Another agent's streamed answer, asked for under its own name; see `Fabric.stream`."""
        terms = Terms(None, budget)
        return Parts(self._desk, self.identity, target, arguments, deadline_s, window, terms)

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
        if self._reception is not None:
            self._reception.begin(epoch)
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
        tasks = [] if self._reception is None else self._reception.tasks
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
            denied = Refused("denied", detail="the source attribute is not the credential's name")
            self._receive().refuse(request, reply, denied)
            return
        if request.kind == "presence":  # somebody may have taken our name over; our own notice says so too
            self.identity.link.spawn(self._enrolment.check(self), f"fabric-check-{self.name}")
            return
        (self._reception or self._receive()).arrived(request, caller, reply)

    def _receive(self) -> Reception:
        # Made with the first call: most of a hundred thousand agents in a process are not called.
        if self._reception is None:
            self._reception = Reception(self.identity, self._tools, self.limits, self.epoch)
        return self._reception
