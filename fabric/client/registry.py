"""The registry as a client sees it: its own process's lease and records, and a directory of everybody else.

Records and leases are messages of one stream, all republished: a watcher needs no consumer, and a hole in
the stream's
sequence tells it to read the whole anew. `rules/directory.py` decides who is live; this module reads and
writes.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Self

import msgspec

from fabric import subjects
from fabric.client.cards import AgentCard
from fabric.clock import monotonic
from fabric.errors import FabricError, InternalError, NameInUse, Refused, Unreachable
from fabric.jetstream.connection import Subscription
from fabric.jetstream.layout import REGISTRY_STREAM
from fabric.rules.directory import Change, Directory
from fabric_codecs.names import encode_level
from fabric_codecs.nats.headers import number_in, value_in

if TYPE_CHECKING:
    from fabric.client.agent import Agent
    from fabric.client.session import Session

__all__ = ["AgentEvent", "Registry", "Watch"]

log = logging.getLogger("fabric.registry")

AgentEvent = Change[AgentCard]

LEASE_TTL_S = 20
LEASE_REFRESH_S = 5.0  # four chances before the lease ends
RECOVERY_GRACE_S = 10.0  # after a reconnect: two refreshes of everybody else
LEFT_KEPT_S = 3600  # how long a former life's epoch is remembered
WATCH_EVENTS_MAX = 65_536
SYNC_RETRY_S = 0.5
REGISTRATION, LEASE = b"fab.rego.reg.", b"fab.rego.lease."


class Left(msgspec.Struct, tag_field="state", tag="left"):
    """The record of an agent that left: only its epoch is of use."""

    name: str
    epoch: int


class Watch:
    """A stream of joins, leaves and changes; starts with a join for everybody who is live. Each change is
    seen once, in
    the registry's order. `async with registry.watch() as events: async for event in events`."""

    def __init__(self, registry: "Registry") -> None:
        self._registry = registry
        self._events: deque[AgentEvent] = deque()
        self._changed = asyncio.Event()
        self._lagging = False

    async def __aenter__(self) -> Self:
        await self._registry.synced()
        self._events.extend(Change("join", card) for _, card in sorted(self._registry.live.items()))
        self._registry.watches.add(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._registry.watches.discard(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AgentEvent:
        """Raises Refused when more than 65,536 changes were left unread: watch again to start from what is
        live."""
        while not self._events:
            if self._lagging:
                raise Refused("full", depth=WATCH_EVENTS_MAX, detail="the watcher fell behind; watch again")
            self._changed.clear()
            await self._changed.wait()
        return self._events.popleft()

    def push(self, event: AgentEvent) -> None:
        """Called by the registry."""
        if len(self._events) >= WATCH_EVENTS_MAX:
            self._lagging = True
        if not self._lagging:
            self._events.append(event)
        self._changed.set()


class Registry:
    """One per session. The directory is read when somebody asks for it the first time, and kept up to date
    from then on."""

    def __init__(self, session: "Session") -> None:
        self.watches: set[Watch] = set()
        self._session = session
        self._directory: Directory[AgentCard] = Directory()
        self._mine: dict[
            str, tuple[Agent, int, Subscription]
        ] = {}  # token -> agent, sequence of its record, who takes it over
        self._keeper: asyncio.Task[None] | None = None
        self._feed: Subscription | None = None
        self._held_back: list[tuple[int, bytes, bytes, bytes]] | None = None
        self._sequence = 0
        self._sync: asyncio.Task[None] | None = None
        self._synced = asyncio.Event()

    # Our own agents

    async def claim(self, agent: "Agent", *, take_over: bool) -> int:
        """Take the name: returns the epoch of this life. Raises NameInUse when another live process holds
        it."""
        session, token = self._session, agent.fabric.token
        stored = await session.reader.last(REGISTRY_STREAM, subjects.registration(token))
        epoch, sequence = 1, 0
        if stored is not None and stored.data:
            former = msgspec.json.decode(stored.data, type=dict[str, Any])
            epoch, sequence = int(former["epoch"]) + 1, stored.sequence
            holder = f"{former.get('connection')}.{former.get('process')}"
            elsewhere = former.get("state") != "left" and former.get("process") != session.process
            if elsewhere and not take_over and await self._lease_held(holder):
                raise NameInUse(agent.name, holder)
            if token in self._mine:
                raise NameInUse(agent.name, f"{holder} (this one)")
        elif stored is not None:
            sequence = stored.sequence
        await self._keep_lease()
        feed = session.connection.subscribe(
            f"fab.rego.reg.{token}", lambda *message: self._watch_own(agent, *message)
        )
        self._mine[token] = (agent, sequence, feed)
        return epoch

    async def announce(self, agent: "Agent") -> None:
        """Write the agent's card; raises NameInUse when somebody else wrote its record meanwhile."""
        token = agent.fabric.token
        _, sequence, feed = self._mine[token]
        record = msgspec.json.encode(agent.card())
        self._mine[token] = (agent, await self._write(agent, record, sequence, ""), feed)

    async def withdraw(self, agent: "Agent") -> None:
        """The agent leaves; everybody sees it at once."""
        token = agent.fabric.token
        _, sequence, feed = self._mine.pop(token)
        self._session.connection.unsubscribe(feed)
        await self._write(
            agent,
            msgspec.json.encode(Left(agent.name, agent.epoch)),
            sequence,
            f"Nats-TTL: {LEFT_KEPT_S}s\r\n",
        )

    async def _write(self, agent: "Agent", record: bytes, expected: int, extra: str) -> int:
        header = f"NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: {expected}\r\n{extra}\r\n".encode()
        subject = subjects.registration(agent.fabric.token)
        reply = await self._session.connection.request(subject, record, header=header)
        answer = msgspec.json.decode(reply.data, type=dict[str, Any])
        error = answer.get("error")
        if error is None:
            return int(answer["seq"])
        stored = await self._session.reader.last(REGISTRY_STREAM, subject)
        if stored is not None and stored.data == record:
            return stored.sequence  # our own write, whose acknowledgement was lost
        if error.get("err_code") in (10071, 10164):
            raise NameInUse(agent.name, "another process (it wrote the record meanwhile)")
        raise InternalError(f"registering {agent.name}: {error.get('description')}")

    def _watch_own(self, agent: "Agent", _subject: bytes, _reply: bytes, _header: bytes, data: bytes) -> None:
        if not data:
            return
        record = msgspec.json.decode(data, type=dict[str, Any])
        if int(record["epoch"]) > agent.epoch:
            agent.fenced()

    async def _lease_held(self, holder: str) -> bool:
        stored = await self._session.reader.last(REGISTRY_STREAM, f"fab.lease.{holder}")
        return stored is not None and _is_held(stored.header, stored.data)

    # Our process's lease

    async def _keep_lease(self) -> None:
        if self._keeper is None:
            await self._refresh()
            self._keeper = asyncio.create_task(self._keep(), name="fabric-lease")

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(LEASE_REFRESH_S)
            try:
                await self._refresh()
            except FabricError as error:
                log.warning("the lease of %s was not refreshed: %s", self._session.process, error)

    async def _refresh(self) -> None:
        header = f"NATS/1.0\r\nNats-TTL: {LEASE_TTL_S}s\r\n\r\n".encode()
        await self._session.connection.request(
            self._lease_subject, b'{"state":"held"}', header=header, timeout_s=LEASE_REFRESH_S
        )

    @property
    def _lease_subject(self) -> str:
        return subjects.lease(self._session.token, self._session.process)

    def reconnected(self) -> None:
        """The server was away: refresh at once, and give others the time to."""
        self._directory.recovering(monotonic() + RECOVERY_GRACE_S)
        if self._keeper is not None:
            self._session.spawn(self._refresh(), "fabric-lease-refresh")
        if self._feed is not None:
            self._resync()

    async def close(self) -> None:
        """Release the lease, stop watching."""
        tasks = [task for task in (self._keeper, self._sync) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._keeper is not None and self._session.connection.is_up:
            header = b"NATS/1.0\r\nNats-TTL: 60s\r\n\r\n"
            with contextlib.suppress(FabricError):  # the lease ends by itself
                await self._session.connection.request(
                    self._lease_subject, b'{"state":"released"}', header=header, timeout_s=1.0
                )

    # Everybody

    @property
    def live(self) -> dict[str, AgentCard]:
        """Live agents by token, as far as known; `synced` first."""
        return self._directory.live

    async def synced(self, timeout_s: float = 10.0) -> None:
        """Until the directory has been read. Raises Unreachable in time."""
        if self._feed is None:
            self._feed = self._session.connection.subscribe(subjects.REGISTRY_FEED, self._arrived)
            self._resync()
        try:
            await asyncio.wait_for(self._synced.wait(), timeout_s)
        except TimeoutError:
            raise Unreachable(
                ", ".join(self._session.connection.servers), "the registry could not be read"
            ) from None

    async def find(self, skill: str | None, name: str | None) -> AsyncIterator[AgentCard]:
        """Live agents, sorted by name."""
        await self.synced()
        for _, card in sorted(self.live.items()):
            if (name is None or card.name == name) and (
                skill is None or any(skill in (one.id, *one.tags) for one in card.skills)
            ):
                yield card

    def watch(self) -> Watch:
        """See `Watch`."""
        return Watch(self)

    def tick(self, now: float) -> None:
        """Called twice a second: graces end."""
        self._tell(self._directory.tick(now))

    def _resync(self) -> None:
        if self._held_back is None:
            self._held_back = []
            self._sync = self._session.spawn(self._read_all(), "fabric-registry-sync")

    async def _read_all(self) -> None:
        while True:
            try:
                cards, held, positions = await self._snapshot()
                break
            except FabricError as error:
                log.warning("the registry could not be read: %s", error)
                await asyncio.sleep(SYNC_RETRY_S)
        self._tell(self._directory.snapshot(cards, held, monotonic()))
        waiting, self._held_back = self._held_back or [], None
        self._sequence = max(positions.values(), default=0)
        for sequence, subject, header, data in waiting:
            if sequence > positions.get(subject, 0):
                self._apply(subject, header, data)
                self._sequence = max(self._sequence, sequence)
        self._synced.set()

    async def _snapshot(self) -> tuple[dict[str, AgentCard], set[str], dict[bytes, int]]:
        cards: dict[str, AgentCard] = {}
        held: set[str] = set()
        positions: dict[bytes, int] = {}
        for pattern in (subjects.LEASES, subjects.REGISTRATIONS):
            async for page in self._session.reader.pages(REGISTRY_STREAM, pattern, 1):
                for stored in page:
                    subject = b"fab.rego." + stored.subject[4:]
                    positions[subject] = stored.sequence
                    if subject.startswith(REGISTRATION):
                        card = _card(stored.data)
                        if card is not None:
                            cards[encode_level(card.name)] = card
                    elif _is_held(stored.header, stored.data):
                        held.add(subject[len(LEASE) :].decode())
        return cards, held, positions

    def _arrived(self, subject: bytes, _reply: bytes, header: bytes, data: bytes) -> None:
        sequence = number_in(header, b"Nats-Sequence")
        if self._held_back is not None:
            self._held_back.append((sequence, subject, header, data))
            return
        if sequence <= self._sequence:
            return
        if sequence > self._sequence + 1 and self._synced.is_set():
            self._resync()  # something between never came
            assert self._held_back is not None
            self._held_back.append((sequence, subject, header, data))
            return
        self._sequence = sequence
        self._apply(subject, header, data)

    def _apply(self, subject: bytes, header: bytes, data: bytes) -> None:
        if subject.startswith(REGISTRATION):
            self._tell(self._directory.record(subject[len(REGISTRATION) :].decode(), _card(data)))
        elif subject.startswith(LEASE):
            self._tell(
                self._directory.lease(subject[len(LEASE) :].decode(), _is_held(header, data), monotonic())
            )

    def _tell(self, changes: list[AgentEvent]) -> None:
        for change in changes:
            for watch in self.watches:
                watch.push(change)


def _card(data: bytes) -> AgentCard | None:
    if not data or b'"state":"left"' in data:
        return None
    try:
        return msgspec.json.decode(data, type=AgentCard)
    except msgspec.DecodeError as error:
        log.warning("a record of the registry cannot be read: %s", error)
        return None


def _is_held(header: bytes, data: bytes) -> bool:
    return not value_in(header, b"Nats-Marker-Reason") and data == b'{"state":"held"}'
