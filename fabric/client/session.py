"""A session: one connection, and all that shares it. `Fabric` is a session seen under one name.

Above: `fabric.connect`, the node's edges (`on_behalf_of`), agents. Below: `fabric.jetstream`, `fabric.rules`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path

from fabric.client.agents.agent import Agent
from fabric.client.agents.cards import AgentCard, Skill
from fabric.client.agents.crew import Crew
from fabric.client.agents.enrolment import Enrolment
from fabric.client.agents.lease import LEASE_REFRESH_S, LEASE_TTL_S, Lease
from fabric.client.agents.registry import Registry, Watch
from fabric.client.audit import Finding, audit
from fabric.client.calls.call import NO_TERMS, Invocation, Progress, Reply, Terms, call
from fabric.client.calls.desk import CallDesk
from fabric.client.calls.parts import Parts
from fabric.client.calls.reception import DEFAULT_LIMITS, AgentLimits
from fabric.client.channels.channel import Channel
from fabric.client.dead import DeadLetters
from fabric.client.gate import Gate
from fabric.client.identity import Identity
from fabric.client.inboxes.inbox import Inbox
from fabric.client.link import Link
from fabric.client.queues.queue import Queue
from fabric.client.story import Crossing, read_story
from fabric.clock import monotonic
from fabric.errors import InvalidName
from fabric.rules.calls.budget import Budget
from fabric.rules.calls.flow import WINDOW
from fabric_codecs.envelope import Envelope
from fabric_codecs.names import encode_level

__all__ = ["Fabric", "Session"]

log = logging.getLogger("fabric.session")

TICK_S = 0.5
CLOSE_TIMEOUT_S = 5.0


class Session(Link):
    """A link with the calls, the registry and the members on it."""

    def __init__(
        self,
        servers: list[str],
        *,
        name: str,
        credentials: Path | str | None = None,
        lease_ttl_s: int = LEASE_TTL_S,
        lease_refresh_s: float = LEASE_REFRESH_S,
    ) -> None:
        super().__init__(servers, name=name, credentials=credentials)
        self.calls = CallDesk(self)
        self.registry = Registry(self, grace_s=2 * lease_refresh_s)
        self.lease = lease = Lease(self, lease_ttl_s, lease_refresh_s)
        self.enrolment = Enrolment(self, lease)
        self._opened = False

    async def open(self, timeout_s: float = 10.0) -> None:
        """Connect. Raises Unreachable, Unauthenticated, ServerTooOld."""
        await self.connection.open(timeout_s)
        self._opened = True
        self.connection.on_up.append(self._reconnected)
        self.spawn(self._tick(), "fabric-session-tick")

    async def close(self) -> None:
        """Settle what was published, leave, disconnect: within seconds. Safe to call twice."""
        if not self._opened:
            return
        self._opened = False
        for member in list(self.members):
            await member.close()
        if self.connection.is_up:
            await self.journal.flush(CLOSE_TIMEOUT_S)
        await self.registry.close()
        await self.enrolment.close()
        await self.end_tasks()
        await self.publisher.close()
        self.reader.close()
        await self.connection.close()

    def _reconnected(self) -> None:
        self.enrolment.reconnected()
        self.registry.reconnected()
        for member in list(self.members):
            member.reconnected()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                self.registry.tick(monotonic())
                if self.connection.is_up:
                    for member in list(self.members):
                        await member.probe(monotonic())
            except Exception:  # one member's trouble must not end the probing of all others
                log.exception("a turn of the session's clock raised")


class Fabric(Identity):
    """The fabric under one name, on a session that somebody else opens and closes (`fabric.connect` does
    both)."""

    def __init__(
        self, session: Session, name: str, *, protocol: str = "nats", gate: Gate | None = None
    ) -> None:
        super().__init__(session, name, protocol, gate)
        self.session = session

    def on_behalf_of(self, name: str, *, protocol: str = "nats") -> "Fabric":
        """The same connection under another name, which the credential must allow: for edges, which vouch
        for their peers."""
        return Fabric(self.session, name, protocol=protocol, gate=self.gate)

    # Channels

    def channel(self, name: str) -> Channel:
        """A channel, or a pattern to join. Nothing has to exist. Raises InvalidName."""
        return Channel(self, name)

    # Inboxes

    def inbox(self, agent: str) -> Inbox:
        """The inbox of an agent, to leave letters in: it may be there, away, or not have been yet. Raises
        InvalidName. The agent itself takes them with `Agent.inbox`."""
        return Inbox(self, agent)

    def queue(self, name: str) -> Queue:
        """A queue: work shared by competing workers. Nothing has to exist. Raises InvalidName."""
        return Queue(self, name)

    # Agents and calls

    def agent(
        self,
        name: str,
        *,
        skills: Sequence[Skill | str] = (),
        description: str = "",
        version: str = "",
        take_over: bool = False,
        limits: AgentLimits = DEFAULT_LIMITS,
    ) -> Agent:
        """An agent of that name, live inside its `async with`. `take_over` replaces another live process
        that holds the name. `limits` are what it takes at once and a second: beyond, callers are refused."""
        if "." in name:
            raise InvalidName("agent", name, "the dot separates an agent from its tool in `agent.tool`")
        return Agent(
            Identity(self.session, name),
            self.session.calls,
            self.session.enrolment,
            skills=skills,
            description=description,
            version=version,
            take_over=take_over,
            limits=limits,
        )

    def crew(self, agents: Iterable[Agent]) -> Crew:
        """Many agents of this process that join and leave together: `async with fab.crew(fab.agent(name) for
        name in names)`."""
        return Crew(agents, self.session.enrolment)

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
        """Call `agent.tool` and await its answer. A deadline inside a handler is cut to what its own caller
        still waits.

        `idempotency_key` (1 to 256 characters) has the agent keep the answer for an hour: a repeat by the
        same caller with the same key and arguments gets it, whatever became of the first try, and waits for
        it while it runs; the tool goes on when its caller leaves. `budget` is what the call and all that it
        sets off may spend; `reply.left` is what came back. Inside a handler that has a budget the call's is
        part of it: a share, or the sum given here.

        Raises NoSuchAgent at once when nobody is there, NoSuchTool, DeadlineExceeded (the agent is told to
        stop), CallFailed with the agent's own code, CallCancelled when the agent left, Refused when it is
        full (`full`, `rate`), when the chain of calls is too long (`loop`) or the budget is spent (`budget`);
        with a key IdempotencyConflict for other arguments, OutcomeUnknown when the first try never ended and
        may not be run again. Cancelling the awaiting task cancels the call.
        """
        plain = idempotency_key is None and budget is None
        terms = NO_TERMS if plain else Terms(idempotency_key, budget)
        return await call(self.session.calls, self, target, arguments, deadline_s, on_progress, terms)

    def stream(
        self,
        target: str,
        arguments: object = None,
        *,
        deadline_s: float = 30.0,
        window: int = WINDOW,
        budget: Budget | None = None,
    ) -> Parts:
        """The answer of a tool that yields, part by part: `async with fab.stream("a.tool", {...}) as parts:
        async for part in parts: part.json()`.

        The tool is at most `window` parts (and 4 MiB) ahead of whoever reads here, then it waits. Leaving
        cancels it. A part that got lost raises StreamBroken after those before it: no hole is handed out.
        `deadline_s` is for the whole stream; raises as `call` does.
        """
        terms = Terms(None, budget)
        return Parts(self.session.calls, self, target, arguments, deadline_s, window, terms)

    def invoke(self, request: Envelope, *, deadline_s: float) -> Invocation:
        """A call made of an envelope, its answers as envelopes; see `Invocation`."""
        return Invocation(self.session.calls, self, request, deadline_s)

    async def find(self, *, skill: str | None = None, name: str | None = None) -> AsyncIterator[AgentCard]:
        """Live agents, by skill (id or tag) or name, in the order in which they joined."""
        for card in await self.session.registry.find(skill, name):
            yield card

    async def agent_card(self, name: str) -> AgentCard | None:
        """The card of a live agent, or None."""
        await self.session.registry.synced()
        return self.session.registry.named(name)

    def watch(self) -> Watch:
        """Joins and leaves of agents as they happen; see `Watch`."""
        return self.session.registry.watch()

    @property
    def dead(self) -> DeadLetters:
        """What queues, inboxes and durable members gave up; see `DeadLetters`."""
        return DeadLetters(self)

    async def audit(self, owner: str | None = None) -> list[Finding]:
        """The account of every durable member, inbox and queue worker, or of one owner's, checked against the
        logs; see `Finding`. Raises PermissionDenied without the right to history."""
        return await audit(self, None if owner is None else encode_level(owner))

    async def story(self, conversation: str) -> list[Crossing]:
        """What the journal holds of a conversation, record by record; `fabric.client.tree_of` makes a tree
        of it."""
        return await read_story(self.session, conversation)
