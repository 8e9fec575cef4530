"""The feed of a pattern: one for all its members in this process, however many they are.

It subscribes once, keeps one `Track` for each log (a shard, and a filter in it), repairs each gap once, makes
each envelope once and hands it to everybody. It waits for nobody: who has no room leaves it and reads the log
alone. It opens with the first member and closes with the last.

    subscription -> Lane (track, ledger) -> plain: handlers, called and nothing else
                                            busy:  queues, and members that have just come from the log
                                            away:  members that read the log; they learn what they owe
Above: `seat`, `member`. Below: `rules.repair`, `catchup`, `link`.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

from fabric import subjects
from fabric.client.catchup import Reading
from fabric.client.link import Link
from fabric.clock import monotonic
from fabric.errors import FabricError, InternalError, PermissionDenied
from fabric.jetstream.connection import Subscription
from fabric.jetstream.layout import channel_stream
from fabric.jetstream.read import Stored
from fabric.rules.ledger import Ledger
from fabric.rules.missed import MissedCounter
from fabric.rules.paging import SIZE_MAX
from fabric.rules.repair import Track, Truncated, Verdict
from fabric_codecs.envelope import Envelope
from fabric_codecs.nats.headers import mark_of, positions, source_agrees, value_in

__all__ = ["Feed", "Group", "Guest", "Lane", "Place", "Tally", "feed_of"]

log = logging.getLogger("fabric.member")

PROBE_TIMEOUT_S = 2.0
DELIVER, LATER = Verdict.DELIVER, Verdict.LATER


class Group(IntEnum):
    """How a lane serves a place."""

    PLAIN = 0
    BUSY = 1
    AWAY = 2


PLAIN, BUSY = Group.PLAIN, Group.BUSY


class Tally(NamedTuple):
    """What a lane has met besides messages that it delivered."""

    forged: int = 0
    duplicates: int = 0
    repaired: int = 0

    def since(self, before: "Tally") -> "Tally":
        """What came since."""
        return Tally(*(now - then for now, then in zip(self, before, strict=True)))

    def plus(self, other: "Tally") -> "Tally":
        """Both together."""
        return Tally(*(one + more for one, more in zip(self, other, strict=True)))


class Hearer(Protocol):
    """Somebody with a handler."""

    handler: Callable[[Envelope], object]

    def raised(self, envelope: Envelope) -> None:
        """The handler raised, and is being handled."""


class Place(Hearer, Protocol):
    """A member in one lane."""

    group: Group | None

    def fed(self, subject: bytes, sequence: int, envelope: Envelope, key: bytes, retried: bool) -> None:
        """Busy: a message. `key` is its id, `retried` whether a copy of it may have been stored before."""

    def owes(self, subject: bytes, sequence: int) -> None:
        """Away: others have had this message."""

    def moved(self) -> None:
        """Busy: the lane's verified position moved."""

    def lost(self, gone: Truncated) -> None:
        """Following: the log let go of what the feed had not delivered."""


class Guest(Hearer, Protocol):
    """A member, as its feed sees it."""

    queues: bool  # instead of a handler

    def take_live(self, envelope: Envelope) -> None:
        """A live message, for who queues."""

    def fail(self, error: FabricError) -> None:
        """Nothing more will come."""

    async def close(self) -> None:
        """Leave."""


def hand_to_all(hearers: Sequence[Hearer], envelope: Envelope) -> None:
    """Call every handler; one that raises takes nobody along."""
    for hearer in hearers:
        try:
            hearer.handler(envelope)
        except Exception:
            hearer.raised(envelope)


class Lane:
    """One filter in one log. Positions are sequences of that log."""

    def __init__(self, feed: "Feed", shard: int, pattern: str, now: float) -> None:
        self.feed = feed
        self.stream = channel_stream(shard)
        self.filter = pattern
        self.track = Track(now)
        self.ledger = Ledger()
        self.delivered = 0
        self.forged = 0
        self.started_at = 0
        # Each is replaced when it changes: a handler may make members join and leave while it is called.
        self.groups: list[tuple[Place, ...]] = [(), (), ()]
        self._repair: asyncio.Task[None] | None = None

    @property
    def tally(self) -> Tally:
        """What was met so far."""
        return Tally(self.forged, self.ledger.duplicates, self.track.gaps)

    def put(self, place: Place, group: Group | None) -> None:
        """Serve this place so from now on; None: no more."""
        if place.group is group:
            return
        if place.group is not None:
            self.groups[place.group] = tuple(one for one in self.groups[place.group] if one is not place)
        if group is not None:
            self.groups[group] = (*self.groups[group], place)
        place.group = group

    async def start(self) -> None:
        """Begin at the end of the log. It is asked first: what is stored meanwhile lies after that."""
        newest = await self.feed.link.reader.last(self.stream, self.filter)
        self.started_at = newest.sequence if newest else 0
        self.track.start(self.started_at)
        if not self.track.caught_up(self.started_at, monotonic()):
            self.repair()

    def live(self, subject: bytes, header: bytes, data: bytes) -> None:
        """A message of the subscription."""
        sequence, previous = positions(header)
        verdict = self.track.live(subject, sequence, previous, monotonic())
        if verdict is DELIVER:
            self._hand_on(subject, sequence, header, data)
        elif verdict is LATER:
            self.repair()

    def _hand_on(self, subject: bytes, sequence: int, header: bytes, data: bytes) -> None:
        plain, busy, away = self.groups
        for place in away:
            place.owes(subject, sequence)
        if not source_agrees(subject, header):
            self.forged += 1
            return
        if self.feed.hides(subject):
            return
        key, retried = value_in(header, b"ce-id"), b"\r\nFab-Retry: " in header
        if not self.ledger.admit(subject, key, retried):
            return
        self.delivered += 1
        if plain or busy:
            envelope = Envelope.from_nats(subject, header, data)
            hand_to_all(plain, envelope)
            for place in busy:
                place.fed(subject, sequence, envelope, key, retried)

    # Repair, once for all who follow

    def repair(self) -> None:
        """Read the log back from the verified position."""
        if self._repair is None and not self.feed.is_over:
            self._repair = asyncio.create_task(self._read_back(), name=f"fabric-repair-{self.filter}")
            self._repair.add_done_callback(self._repaired)

    def _repaired(self, task: "asyncio.Task[None]") -> None:
        self._repair = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            if self.track.behind:
                self.repair()
            return
        log.error("channel %s: reading back %s ended", self.feed.pattern, self.stream, exc_info=error)
        self.feed.fail(error if isinstance(error, FabricError) else InternalError(f"reading back: {error!r}"))

    async def _read_back(self) -> None:
        reading = Reading(self.feed.link.reader, self.stream, self.filter, self.track.verified, self)
        while not self.feed.is_over:  # a cancellation can be lost in a wait that has just ended
            at_end = await reading.page()
            caught_up = at_end and self.track.caught_up(
                reading.position, monotonic(), gone=reading.has_waited
            )
            self._tell()
            if caught_up:
                self._settled()
                return
            await reading.wait()

    def take(self, subject: bytes, message: Stored) -> None:
        """A message read back."""
        if self.track.stored(subject, message.sequence) is DELIVER:
            self._hand_on(subject, message.sequence, message.header, message.data)

    def has_room(self, data: bytes) -> bool:
        """Always: who follows and has none leaves."""
        return True

    async def room(self) -> int:
        """As many as a page holds."""
        return SIZE_MAX

    def _tell(self) -> None:
        ranges, self.track.truncated = self.track.truncated, []
        for gone in ranges:
            for place in (*self.groups[PLAIN], *self.groups[BUSY]):
                place.lost(gone)

    def _settled(self) -> None:
        for place in self.groups[BUSY]:
            place.moved()

    def probe(self, now: float) -> Coroutine[Any, Any, None] | None:
        """What is to be asked of the log now, if anything."""
        track = self.track
        for place in self.groups[BUSY]:
            place.moved()
        if track.read_back_due(now):
            track.reset()
        if track.behind:
            self.repair()
        elif track.probe_due(now):
            return self._count()
        return None

    async def _count(self) -> None:
        track, before = self.track, self.track.delivered_above
        with suppress(FabricError):  # asked again at the next turn
            page = await self.feed.link.reader.page(
                self.stream, self.filter, track.verified + 1, batch=1, timeout_s=PROBE_TIMEOUT_S
            )
            if track.probed(len(page.messages) + page.pending, before, monotonic()):
                self._settled()
            else:
                self.repair()

    def interrupted(self) -> None:
        """The connection was replaced: believe the log only."""
        self.track.reset()
        self.repair()

    async def stop(self) -> None:
        """Repair no more."""
        if self._repair is not None:
            self._repair.cancel()
            await asyncio.gather(self._repair, return_exceptions=True)


class Feed:
    """Made by `feed_of`. Members `enter` and `leave`; the session tells of reconnects and of time."""

    def __init__(self, link: Link, pattern: str) -> None:
        self.link = link
        self.pattern = pattern
        self.live_counter = MissedCounter()
        self.live_delivered = 0
        self.live_forged = 0
        self.is_over = False
        self.failure: FabricError | None = None
        self._hides_system = pattern[0] in "*>"  # `$`-topics never match a root wildcard
        now = monotonic()
        self.lanes = {
            (shard, index): Lane(self, shard, one, now)
            for shard in subjects.shards_of_pattern(pattern)
            for index, one in enumerate(subjects.stored_filters(pattern, shard))
        }
        self._guests: dict[Guest, None] = {}
        self._handlers: tuple[Guest, ...] = ()
        self._queues: tuple[Guest, ...] = ()
        self._subscriptions: list[Subscription] = []
        self._opening: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether it opened, or is about to."""
        return self._opening is not None

    @property
    def live_tally(self) -> tuple[int, int, int]:
        """Live messages missed, forged and delivered so far."""
        return self.live_counter.missed, self.live_forged, self.live_delivered

    # Members

    async def enter(self, guest: Guest) -> None:
        """Returns when the feed is open. Raises PermissionDenied for a pattern that the credential may not
        hear, or whose history it may not read."""
        self._guests[guest] = None
        if guest.queues:
            self._queues = (*self._queues, guest)
        else:
            self._handlers = (*self._handlers, guest)
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(), name=f"fabric-feed-{self.pattern}")
        await asyncio.shield(self._opening)

    async def leave(self, guest: Guest) -> None:
        """The last one closes the feed."""
        self._guests.pop(guest, None)
        self._queues = tuple(one for one in self._queues if one is not guest)
        self._handlers = tuple(one for one in self._handlers if one is not guest)
        if not self._guests and not self.is_over:
            await self._close()

    def fail(self, error: FabricError) -> None:
        """Nothing more will come, for anybody."""
        self.failure = self.failure or error
        for guest in list(self._guests):
            guest.fail(error)

    # Life

    async def _open(self) -> None:
        connection = self.link.connection
        connection.on_denied.append(self._denied)
        for index, subject in enumerate(subjects.durable_feeds(self.pattern)):
            self._subscriptions.append(connection.subscribe(subject, self._durable_handler(index)))
        for subject in subjects.live_feeds(self.pattern):
            self._subscriptions.append(connection.subscribe(subject, self._on_live))
        self.link.members.add(self)
        starts = (lane.start() for lane in self.lanes.values())
        ends = await asyncio.gather(*starts, return_exceptions=True)
        for failure in (self.failure, *ends):
            if failure is not None:
                raise failure

    async def _close(self) -> None:
        self.is_over = True
        if self.link.feeds.get(self.pattern) is self:
            del self.link.feeds[self.pattern]
        self.link.members.discard(self)
        connection = self.link.connection
        with suppress(ValueError):  # never opened
            connection.on_denied.remove(self._denied)
        for subscription in self._subscriptions:
            connection.unsubscribe(subscription)
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        await asyncio.gather(*(lane.stop() for lane in self.lanes.values()))

    def _denied(self, verb: str, subject: str) -> None:
        if verb == "subscribe" and any(subject == mine.subject for mine in self._subscriptions):
            self.fail(PermissionDenied(f"joining {self.pattern}", "see the channels of FABRIC_CREDS"))

    # The subscriptions

    def _durable_handler(self, index: int) -> Callable[[bytes, bytes, bytes, bytes], object]:
        # fab.cho.<shard>.<source>.<channel>: the shard is one digit, SHARDS is 8
        lanes = {shard: lane for (shard, at), lane in self.lanes.items() if at == index}

        def on_durable(subject: bytes, _reply: bytes, header: bytes, data: bytes) -> None:
            lanes[subject[8] - 48].live(subject, header, data)

        return on_durable

    def _on_live(self, subject: bytes, _reply: bytes, header: bytes, data: bytes) -> None:
        self.live_counter.observe(subject, *mark_of(header))
        if not source_agrees(subject, header):
            self.live_forged += 1
        elif not self.hides(subject):
            self.live_delivered += 1
            envelope = Envelope.from_nats(subject, header, data)
            hand_to_all(self._handlers, envelope)
            for guest in self._queues:
                guest.take_live(envelope)

    def hides(self, subject: bytes) -> bool:
        """Whether this is a `$`-channel that the pattern does not mean."""
        return self._hides_system and subjects.channel_of(subject.decode()).startswith("$")

    # Asked by the session

    async def probe(self, now: float) -> None:
        """Compare the log with what was delivered where that is due."""
        asked = [lane.probe(now) for lane in self.lanes.values()]
        await asyncio.gather(*(one for one in asked if one is not None))

    def reconnected(self) -> None:
        """The feed was interrupted: read every log back from its verified position."""
        for lane in self.lanes.values():
            lane.interrupted()

    async def close(self) -> None:
        """The connection ends, and every member with it."""
        for guest in list(self._guests):
            await guest.close()


def feed_of(link: Link, pattern: str) -> Feed:
    """The feed of this canonical name or pattern on this connection; new when nobody is in one."""
    feed = link.feeds.get(pattern)
    if not isinstance(feed, Feed) or feed.failure is not None:
        feed = link.feeds[pattern] = Feed(link, pattern)
    return feed
