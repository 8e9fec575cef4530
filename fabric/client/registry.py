"""The registry as a client sees it: its own process's lease and records, and a directory of everybody else.

Records and leases are messages of one stream, all republished: a watcher needs no consumer, and a hole in
the stream's sequence tells it to read the whole anew. `rules/directory.py` decides who is live; this module
reads and writes.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Protocol, Self

import msgspec

from fabric import subjects
from fabric.client.cards import AgentCard
from fabric.client.lease import HELD, LEASE_REFRESH_S, LEASE_TTL_S, Lease
from fabric.client.link import Link
from fabric.clock import monotonic
from fabric.errors import FabricError, InternalError, NameInUse, Refused, Unreachable
from fabric.jetstream.connection import Subscription
from fabric.jetstream.layout import REGISTRY_STREAM
from fabric.rules.directory import Change, Directory
from fabric_codecs.errors import CodecError
from fabric_codecs.names import encode_level
from fabric_codecs.nats.headers import number_in, value_in

__all__ = ["AgentEvent", "Registry", "Watch"]

log = logging.getLogger("fabric.registry")

AgentEvent = Change[AgentCard]

LEFT_KEPT_S = 3600  # how long a former life's epoch is remembered
WATCH_EVENTS_MAX = 65_536
SYNC_RETRY_S = 0.5
REGISTRATION, LEASE = b"fab.rego.reg.", b"fab.rego.lease."


class Left(msgspec.Struct, tag_field="state", tag="left"):
    """The record of an agent that left: only its epoch is of use."""

    name: str
    epoch: int


class Registrant(Protocol):
    """An agent of this process, as far as its registration goes."""

    name: str
    token: str
    epoch: int

    def card(self) -> AgentCard:
        """What to write down."""
        ...

    def fenced(self) -> None:
        """Another process took the name over."""


class Watch:
    """A stream of joins, leaves and changes; starts with a join for everybody who is live. Each change is
    seen once, in the registry's order. `async with registry.watch() as events: async for event in
    events`."""

    def __init__(self, registry: "Registry") -> None:
        self._registry = registry
        self._events: deque[AgentEvent] = deque()
        self._changed = asyncio.Event()
        self._lagging = False
        self._ended = False

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
            if self._ended:
                raise StopAsyncIteration
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

    def end(self) -> None:
        """Called by the registry when it closes."""
        self._ended = True
        self._changed.set()


class Registry:
    """One per link. The directory is read when somebody asks for it the first time, and kept up to date
    from then on."""

    def __init__(
        self, link: Link, *, lease_ttl_s: int = LEASE_TTL_S, refresh_s: float = LEASE_REFRESH_S
    ) -> None:
        self.watches: set[Watch] = set()
        self._lease = Lease(link, lease_ttl_s, refresh_s)
        self._writing = asyncio.Lock()  # our own records and lease: each write expects the one before it
        self._link = link
        self._directory: Directory[AgentCard] = Directory()
        # token -> agent, sequence of its record, what tells that it was taken over
        self._mine: dict[str, tuple[Registrant, int, Subscription]] = {}
        self._feed: Subscription | None = None
        self._held_back: list[tuple[int, bytes, bytes, bytes]] | None = None
        self._sequence = 0
        self._sync: asyncio.Task[None] | None = None
        self._synced = asyncio.Event()

    # Our own agents

    async def claim(self, agent: Registrant, *, take_over: bool) -> int:
        """Take the name: returns the epoch of this life. Raises NameInUse when another live process holds
        it."""
        link, token = self._link, agent.token
        stored = await link.reader.last(REGISTRY_STREAM, subjects.registration(token))
        epoch, sequence = 1, 0
        if stored is not None and stored.data:
            former = msgspec.json.decode(stored.data, type=dict[str, Any])
            epoch, sequence = int(former["epoch"]) + 1, stored.sequence
            holder = f"{former.get('connection')}.{former.get('process')}"
            elsewhere = former.get("state") != "left" and former.get("process") != link.process
            if elsewhere and not take_over and await self._lease_held(holder):
                raise NameInUse(agent.name, holder)
            if token in self._mine:
                raise NameInUse(agent.name, f"{holder} (this one)")
        elif stored is not None:
            sequence = stored.sequence
        async with self._writing:
            await self._lease.keep()
        feed = link.connection.subscribe(
            f"fab.rego.reg.{token}", lambda *message: self._watch_own(agent, *message)
        )
        self._mine[token] = (agent, sequence, feed)
        return epoch

    async def announce(self, agent: Registrant) -> None:
        """Write the agent's card; raises NameInUse when somebody else wrote its record meanwhile."""
        token = agent.token
        async with self._writing:
            if token not in self._mine:
                raise NameInUse(agent.name, "another process, which took it over")
            _, sequence, feed = self._mine[token]
            record = msgspec.json.encode(agent.card())
            self._mine[token] = (agent, await self._write(agent, record, sequence, ""), feed)

    async def withdraw(self, agent: Registrant) -> None:
        """The agent leaves; everybody sees it at once. Nothing for one that was fenced."""
        async with self._writing:
            sequence = self.forget(agent)
            if sequence is not None:
                record = msgspec.json.encode(Left(agent.name, agent.epoch))
                await self._write(agent, record, sequence, f"Nats-TTL: {LEFT_KEPT_S}s\r\n")

    def forget(self, agent: Registrant) -> int | None:
        """Keep the agent's record no more; the sequence of it, None when it was not ours any more."""
        mine, sequence, feed = self._mine.get(agent.token, (None, 0, None))
        if mine is not agent or feed is None:
            return None
        del self._mine[agent.token]
        self._link.connection.unsubscribe(feed)
        return sequence

    async def _write(self, agent: Registrant, record: bytes, expected: int, extra: str) -> int:
        header = f"NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: {expected}\r\n{extra}\r\n".encode()
        subject = subjects.registration(agent.token)
        reply = await self._link.connection.request(subject, record, header=header)
        answer = msgspec.json.decode(reply.data, type=dict[str, Any])
        error = answer.get("error")
        if error is None:
            return int(answer["seq"])
        stored = await self._link.reader.last(REGISTRY_STREAM, subject)
        if stored is not None and stored.data == record:
            return stored.sequence  # our own write, whose acknowledgement was lost
        if error.get("err_code") in (10071, 10164):
            raise NameInUse(agent.name, "another process (it wrote the record meanwhile)")
        raise InternalError(f"registering {agent.name}: {error.get('description')}")

    def _watch_own(
        self, agent: Registrant, _subject: bytes, _reply: bytes, _header: bytes, data: bytes
    ) -> None:
        if data and int(msgspec.json.decode(data, type=dict[str, Any])["epoch"]) > agent.epoch:
            self.forget(agent)
            agent.fenced()

    async def _check_own(self) -> None:
        # What was written while we were away: somebody may have found our lease ended and taken a name.
        for agent, _, _ in list(self._mine.values()):
            subject = subjects.registration(agent.token)
            stored = await self._link.reader.last(REGISTRY_STREAM, subject)
            if stored is not None:
                self._watch_own(agent, b"", b"", b"", stored.data)

    async def _lease_held(self, holder: str) -> bool:
        stored = await self._link.reader.last(REGISTRY_STREAM, f"fab.lease.{holder}")
        return stored is not None and _is_held(stored.header, stored.data)

    def reconnected(self) -> None:
        """The server was away: refresh at once, and give others the time to."""
        self._directory.recovering(monotonic() + 2 * self._lease.refresh_s)
        self._lease.reconnected()
        if self._mine:
            self._link.spawn(self._check_own(), "fabric-registry-own")
        if self._feed is not None:
            self._resync()

    async def close(self) -> None:
        """Release the lease, stop watching; whoever still watches sees the end."""
        for watch in list(self.watches):
            watch.end()
        if self._sync is not None:
            self._sync.cancel()
            await asyncio.gather(self._sync, return_exceptions=True)
        await self._lease.close()

    # Everybody

    @property
    def live(self) -> dict[str, AgentCard]:
        """Live agents by token, as far as known; `synced` first."""
        return self._directory.live

    async def synced(self, timeout_s: float = 10.0) -> None:
        """Until the directory has been read. Raises Unreachable in time."""
        if self._feed is None:
            self._feed = self._link.connection.subscribe(subjects.REGISTRY_FEED, self._arrived)
            self._resync()
        try:
            await asyncio.wait_for(self._synced.wait(), timeout_s)
        except TimeoutError:
            raise Unreachable(
                ", ".join(self._link.connection.servers), "the registry could not be read"
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
            self._sync = self._link.spawn(self._read_all(), "fabric-registry-sync")

    async def _read_all(self) -> None:
        while True:
            reconnects = self._link.connection.reconnects
            try:
                cards, held, positions = await self._snapshot()
                if reconnects == self._link.connection.reconnects:
                    break  # else the feed was interrupted while we read: what it lost may lie behind us
            except FabricError as error:
                log.warning("the registry could not be read: %s", error)
                await asyncio.sleep(SYNC_RETRY_S)
        self._tell(self._directory.snapshot(cards, held, monotonic()))
        waiting, self._held_back = self._held_back or [], None
        self._sequence = max(positions.values(), default=0)
        self._synced.set()
        for message in waiting:
            self._next(*message)

    async def _snapshot(self) -> tuple[dict[str, AgentCard], set[str], dict[bytes, int]]:
        cards: dict[str, AgentCard] = {}
        held: set[str] = set()
        positions: dict[bytes, int] = {}
        for pattern in (subjects.LEASES, subjects.REGISTRATIONS):
            async for page in self._link.reader.pages(REGISTRY_STREAM, pattern, 1):
                for stored in page:
                    subject = b"fab.rego." + stored.subject[4:]
                    positions[subject] = stored.sequence
                    if subject.startswith(REGISTRATION):
                        token = subject[len(REGISTRATION) :].decode()
                        card = _card(stored.data, token)
                        if card is not None:
                            cards[token] = card
                    elif _is_held(stored.header, stored.data):
                        held.add(subject[len(LEASE) :].decode())
        return cards, held, positions

    def _arrived(self, subject: bytes, _reply: bytes, header: bytes, data: bytes) -> None:
        sequence = number_in(header, b"Nats-Sequence")
        if self._held_back is not None:
            self._held_back.append((sequence, subject, header, data))
        else:
            self._next(sequence, subject, header, data)

    def _next(self, sequence: int, subject: bytes, header: bytes, data: bytes) -> None:
        if self._held_back is not None:  # since a gap a moment ago
            self._held_back.append((sequence, subject, header, data))
            return
        if sequence <= self._sequence:
            return
        if sequence > self._sequence + 1:
            self._resync()  # something between never came
            assert self._held_back is not None
            self._held_back.append((sequence, subject, header, data))
            return
        self._sequence = sequence
        self._apply(subject, header, data)

    def _apply(self, subject: bytes, header: bytes, data: bytes) -> None:
        if subject.startswith(REGISTRATION):
            token = subject[len(REGISTRATION) :].decode()
            self._tell(self._directory.record(token, _card(data, token)))
        elif subject.startswith(LEASE):
            self._tell(
                self._directory.lease(subject[len(LEASE) :].decode(), _is_held(header, data), monotonic())
            )

    def _tell(self, changes: list[AgentEvent]) -> None:
        for change in changes:
            for watch in self.watches:
                watch.push(change)


def _card(data: bytes, token: str) -> AgentCard | None:
    # The server vouches for the token; a record that names somebody else is nobody's.
    if not data or data.startswith(b'{"state":"left"'):
        return None
    try:
        card = msgspec.json.decode(data, type=AgentCard)
        if encode_level(card.name) == token:
            return card
        log.warning("the record of %s names %r: ignored", token, card.name)
    except (msgspec.DecodeError, CodecError) as error:
        log.warning("the record of %s cannot be read: %s", token, error)
    return None


def _is_held(header: bytes, data: bytes) -> bool:
    return not value_in(header, b"Nats-Marker-Reason") and data == HELD
