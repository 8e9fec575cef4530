"""A session: one connection, and all that shares it. `Fabric` is a session seen under one name.

Above: `fabric.connect`, the node's edges (`on_behalf_of`), agents. Below: `fabric.jetstream`, `fabric.rules`.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fabric.client.agent import Agent
from fabric.client.call import Invocation, Progress, Reply, call
from fabric.client.cards import AgentCard, Skill
from fabric.client.channel import Channel
from fabric.client.context import current_cause
from fabric.client.desk import CallDesk, agent_of, deadline_within
from fabric.client.journal import JournalWriter
from fabric.client.registry import LEASE_REFRESH_S, LEASE_TTL_S, Registry, Watch
from fabric.client.story import Crossing, read_story
from fabric.clock import monotonic, now_us
from fabric.errors import InvalidName
from fabric.jetstream.connection import Connection
from fabric.jetstream.publish import Publisher
from fabric.jetstream.read import LogReader
from fabric.subjects import inbox_prefix
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.names import encode_level
from fabric_codecs.nats.wire import timestamp

if TYPE_CHECKING:
    from fabric.client.member import Member

__all__ = ["Fabric", "Session"]

log = logging.getLogger("fabric.session")

TICK_S = 0.5
CLOSE_TIMEOUT_S = 5.0


class Session:
    """What all names on one connection share: publish window, log reader, members, calls, registry,
    journal."""

    def __init__(
        self,
        servers: list[str],
        *,
        name: str,
        credentials: Path | str | None = None,
        lease_ttl_s: int = LEASE_TTL_S,
        lease_refresh_s: float = LEASE_REFRESH_S,
    ) -> None:
        self.token = encode_level(name)
        self.process = secrets.token_hex(5)  # new in each life, so ids and running numbers never repeat
        # Acknowledgements and pages come to a subject that only the server learns of; everybody whom we call
        # learns where answers to calls go.
        self.inbox = f"{inbox_prefix(self.token)}.{secrets.token_hex(8)}"
        self.call_inbox = f"{inbox_prefix(self.token)}.{self.process}"
        self.connection = Connection(servers, name=name, inbox=self.inbox, credentials=credentials)
        self.publisher = Publisher(self.connection, inbox=self.inbox)
        self.reader = LogReader(self.connection, inbox=self.inbox)
        self.journal = JournalWriter(self.publisher, self.token)
        self.calls = CallDesk(self)
        self.registry = Registry(self, lease_ttl_s=lease_ttl_s, refresh_s=lease_refresh_s)
        self.members: set[Member] = set()
        self._count = 0
        self._live_counts: dict[bytes, int] = {}
        self._live_lead = f"ce-fablive: {self.process}:".encode()
        self._tasks: set[asyncio.Task[Any]] = set()
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
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.publisher.close()
        self.reader.close()
        await self.connection.close()

    def next_count(self) -> int:
        """The running number of the next message of this process; with the process's name it is an id."""
        self._count += 1
        return self._count

    def new_id(self) -> str:
        """An id that no other message has."""
        return f"{self.process}-{self.next_count()}"

    def live_line(self, subject: bytes) -> bytes:
        """The header line that numbers a live message on its channel."""
        number = self._live_counts.get(subject, 0) + 1
        self._live_counts[subject] = number
        return b"%s%d\r\n" % (self._live_lead, number)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """Run something in the background until the session closes; what it raises is logged."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s ended", task.get_name(), exc_info=error)

    def _reconnected(self) -> None:
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


class Fabric:
    """The fabric under one name. `async with` opens and closes the connection when this object owns it (as
    `fabric.connect` makes it)."""

    def __init__(
        self, session: Session, name: str, *, protocol: str = "nats", owns_session: bool = False
    ) -> None:
        try:
            self.token = encode_level(name)
        except CodecError as error:
            raise InvalidName("name", name, error.what) from None
        if not name:
            raise InvalidName("name", name, "it is empty")
        self.name = name
        self.protocol = protocol
        self.session = session
        self.source = f"/{protocol}/{self.token}"
        self._owns_session = owns_session

    async def __aenter__(self) -> Self:
        if self._owns_session:
            await self.session.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection if this object owns it."""
        if self._owns_session:
            await self.session.close()

    def on_behalf_of(self, name: str, *, protocol: str = "nats") -> "Fabric":
        """The same connection under another name, which the credential must allow: for edges, which vouch
        for their peers."""
        return Fabric(self.session, name, protocol=protocol)

    # Channels

    def channel(self, name: str) -> Channel:
        """A channel, or a pattern to join. Nothing has to exist. Raises InvalidName."""
        return Channel(self, name)

    # Agents and calls

    def agent(
        self,
        name: str,
        *,
        skills: Sequence[Skill | str] = (),
        description: str = "",
        version: str = "",
        take_over: bool = False,
    ) -> Agent:
        """An agent of that name, live inside its `async with`. `take_over` replaces another live process
        that holds the name."""
        if "." in name:
            raise InvalidName("agent", name, "the dot separates an agent from its tool in `agent.tool`")
        return Agent(
            self.on_behalf_of(name),
            skills=skills,
            description=description,
            version=version,
            take_over=take_over,
        )

    async def call(
        self,
        target: str,
        arguments: object = None,
        *,
        deadline_s: float = 30.0,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> Reply:
        """Call `agent.tool` and await its answer. A deadline inside a handler is cut to what its own caller
        still waits.

        Raises NoSuchAgent at once when nobody is there, NoSuchTool, DeadlineExceeded (the agent is told to
        stop), CallFailed with the
        agent's own code, CallCancelled when the agent left, Refused when it is full. Cancelling the awaiting
        task cancels the call.
        """
        return await call(self, target, arguments, deadline_s, on_progress)

    def invoke(self, request: Envelope, *, deadline_s: float) -> Invocation:
        """A call made of an envelope, its answers as envelopes; see `Invocation`."""
        return Invocation(self, request, deadline_s)

    async def find(self, *, skill: str | None = None, name: str | None = None) -> AsyncIterator[AgentCard]:
        """Live agents, by skill (id or tag) or name."""
        async for card in self.session.registry.find(skill, name):
            yield card

    async def agent_card(self, name: str) -> AgentCard | None:
        """The card of a live agent, or None."""
        await self.session.registry.synced()
        return self.session.registry.live.get(encode_level(name))

    def watch(self) -> Watch:
        """Joins and leaves of agents as they happen; see `Watch`."""
        return self.session.registry.watch()

    async def story(self, conversation: str) -> list[Crossing]:
        """What the journal holds of a conversation, record by record; `fabric.client.tree_of` makes a tree
        of it."""
        return await read_story(self.session, conversation)

    # Messages

    def new_id(self) -> str:
        """An id that no other message of this fabric has."""
        return self.session.new_id()

    def envelope(self, data: bytes, *, kind: str, **attributes: str | None) -> Envelope:
        """An envelope from this source, with id and time."""
        return Envelope(
            data,
            id=self.new_id(),
            source=self.source,
            type=f"io.agentfabric.{kind}",
            time=timestamp(now_us()),
            fabkind=kind,
            **{"fabproto": self.protocol} | attributes,
        )

    def as_request(self, request: Envelope, deadline_s: float) -> Envelope:
        """A request with what it lacks: source, time, deadline, and what caused it. Raises InvalidName for a
        target that is none."""
        agent_of(request.subject or "")
        cause = current_cause.get()
        changes: dict[str, str] = {
            "source": self.source,
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
