"""The registry as a client sees it: who is live, and every join and leave.

Records and leases are messages of one stream, all republished: a watcher needs no consumer. A hole in the
stream's sequence, or a reconnect, makes it read what has changed since; after more than `CHANGES_KEPT_S`, or
when the stream begins anew, all of it. `rules/agents/directory` decides who is live, `enrolment` writes.
"""

import asyncio
import logging
import math
from collections import deque
from typing import Self

import msgspec

from fabric import subjects
from fabric.client.agents.cards import AgentCard
from fabric.client.agents.lease import is_held
from fabric.client.link import Link
from fabric.clock import monotonic
from fabric.errors import FabricError, Refused, Unreachable
from fabric.jetstream.connection import Subscription
from fabric.jetstream.layout import REGISTRY_STREAM
from fabric.rules.agents.directory import Change, Directory
from fabric_codecs.errors import CodecError
from fabric_codecs.names import encode_level
from fabric_codecs.nats.headers import number_in

__all__ = ["AgentEvent", "Registry", "Watch"]

log = logging.getLogger("fabric.registry")

AgentEvent = Change[AgentCard]

WATCH_EVENTS_MAX = 65_536
SYNC_RETRY_S = 0.5
REGISTRATION, LEASE = "fab.rego.reg.", "fab.rego.lease."
CHANGES_KEPT_S = 45.0  # the marker of a record or lease that ended goes after 60 s


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
    from then on. `grace_s`: how long after a server's recovery a lease that ended may be taken again before
    that counts."""

    def __init__(self, link: Link, *, grace_s: float) -> None:
        self.watches: set[Watch] = set()
        self.snapshots = 0  # times the whole was read
        self._grace_s = grace_s
        self._link = link
        self._directory: Directory[AgentCard] = Directory()
        self._feed: Subscription | None = None
        self._held_back: list[tuple[int, bytes, bytes, bytes]] | None = None
        self._sequence = 0  # everything up to it is in the directory
        self._heard_at = -math.inf  # when that was known last
        self._sync: asyncio.Task[None] | None = None
        self._synced = asyncio.Event()

    def reconnected(self) -> None:
        """The server was away: give others the time to refresh their leases, and see what changed."""
        self._directory.recovering(monotonic() + self._grace_s)
        if self._feed is not None:
            self._resync()

    async def close(self) -> None:
        """Stop watching; whoever still watches sees the end."""
        for watch in list(self.watches):
            watch.end()
        if self._sync is not None:
            self._sync.cancel()
            await asyncio.gather(self._sync, return_exceptions=True)

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
            async with asyncio.timeout(timeout_s):
                await self._synced.wait()
        except TimeoutError:
            raise Unreachable(
                ", ".join(self._link.connection.servers), "the registry could not be read"
            ) from None

    def named(self, name: str) -> AgentCard | None:
        """The live agent of that name; nobody has one that is none."""
        try:
            return self.live.get(encode_level(name))
        except CodecError:
            return None

    async def find(self, skill: str | None, name: str | None) -> list[AgentCard]:
        """Live agents that have the skill (its id or a tag), the name, or both; in the order in which they
        joined."""
        await self.synced()
        if name is not None:
            card = self.named(name)
            named = [] if card is None else [card]
            return named if skill is None else [card for card in named if skill in card.keys]
        return list(self.live.values()) if skill is None else self._directory.found(skill)

    def watch(self) -> Watch:
        """See `Watch`."""
        return Watch(self)

    def tick(self, now: float) -> None:
        """Called twice a second: graces end."""
        self._tell(self._directory.tick(now))

    def _resync(self) -> None:
        if self._held_back is None:
            self._held_back = []
            self._sync = self._link.spawn(self._read(), "fabric-registry-sync")

    async def _read(self) -> None:
        while True:
            reconnects = self._link.connection.reconnects
            try:
                await (self._read_changes() if await self._changes_are_kept() else self._read_all())
                if reconnects == self._link.connection.reconnects:
                    break  # else the feed was interrupted while we read: what it lost may lie behind us
            except FabricError as error:
                log.warning("the registry could not be read: %s", error)
                await asyncio.sleep(SYNC_RETRY_S)
        waiting, self._held_back = self._held_back or [], None
        self._heard_at = monotonic()
        self._synced.set()
        for message in waiting:
            self._next(*message)

    async def _changes_are_kept(self) -> bool:
        if monotonic() - self._heard_at > CHANGES_KEPT_S:
            return False
        newest = await self._link.reader.last(REGISTRY_STREAM, ">")
        return newest is not None and newest.sequence >= self._sequence  # else it is another stream

    async def _read_changes(self) -> None:
        async for page in self._link.reader.pages(REGISTRY_STREAM, ">", self._sequence + 1):
            for stored in page:
                self._sequence = stored.sequence
                self._apply(b"fab.rego." + stored.subject[4:], stored.header, stored.data)

    async def _read_all(self) -> None:
        cards: dict[str, AgentCard] = {}
        held: set[str] = set()
        last = 0
        async for page in self._link.reader.pages(REGISTRY_STREAM, ">", 1):
            for stored in page:
                last = stored.sequence
                token = (b"fab.rego." + stored.subject[4:]).decode()
                if token.startswith(REGISTRATION):
                    token = token[len(REGISTRATION) :]
                    card = _card(stored.data, token)
                    if card is not None:
                        cards[token] = card
                elif is_held(stored.header, stored.data):
                    held.add(token[len(LEASE) :])
        self._tell(self._directory.snapshot(cards, held, monotonic()))
        self._sequence = last
        self.snapshots += 1

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
        self._sequence, self._heard_at = sequence, monotonic()
        self._apply(subject, header, data)

    def _apply(self, subject: bytes, header: bytes, data: bytes) -> None:
        address = subject.decode()
        if address.startswith(REGISTRATION):
            token = address[len(REGISTRATION) :]
            self._tell(self._directory.record(token, _card(data, token)))
        elif address.startswith(LEASE):
            held = is_held(header, data)
            self._tell(self._directory.lease(address[len(LEASE) :], held, monotonic()))

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
