"""The feed of a pattern: one for all its members in this process, however many they are.

It subscribes once, follows each log once (`lane`), makes each envelope once and hands it to everybody. It
waits for nobody: who has no room leaves it and reads the log alone (`seat`). It opens with the first member
and closes with the last. Above: `member`. Below: `lane`, `link`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Protocol

from fabric import subjects
from fabric.client.channels.lane import Hearer, Lane, hand_to_all
from fabric.client.link import Link
from fabric.clock import monotonic
from fabric.errors import FabricError, PermissionDenied
from fabric.jetstream.connection import Subscription
from fabric.rules.channels.missed import MissedCounter
from fabric_codecs.envelope import Envelope
from fabric_codecs.nats.headers import mark_of, source_agrees

__all__ = ["Feed", "Guest", "feed_of", "heard_on"]


class Guest(Hearer, Protocol):
    """A member, as its feed sees it."""

    queues: bool  # instead of a handler

    def take_live(self, envelope: Envelope) -> None:
        """A live message, for who queues."""

    def fail(self, error: FabricError) -> None:
        """Nothing more will come."""

    def counts(self) -> Mapping[str, int]:
        """Its counters, by name."""

    async def close(self) -> None:
        """Leave."""


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
        self.hides_system = pattern[0] in "*>"  # `$`-channels never match a root wildcard
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
    def guests(self) -> Collection[Guest]:
        """Its members now."""
        return self._guests.keys()

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
        if guest in self._guests:
            del self._guests[guest]
            self.link.heard.update(guest.counts())
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
        elif not (self.hides_system and self.is_system(subject)):
            self.live_delivered += 1
            envelope = Envelope.from_nats(subject, header, data)
            hand_to_all(self._handlers, envelope)
            for guest in self._queues:
                guest.take_live(envelope)

    def is_system(self, subject: bytes) -> bool:
        """Whether this is a `$`-channel."""
        return subjects.channel_of(subject.decode()).startswith("$")

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


def heard_on(link: Link) -> tuple[Counter[str], int]:
    """What all members of this connection have counted, also those that have left; and how many there
    are."""
    total, members = Counter(link.heard), 0
    for feed in link.members:
        if isinstance(feed, Feed):
            members += len(feed.guests)
            for guest in feed.guests:
                total.update(guest.counts())
    return total, members


def feed_of(link: Link, pattern: str) -> Feed:
    """The feed of this canonical name or pattern on this connection; new when nobody is in one."""
    feed = link.feeds.get(pattern)
    if not isinstance(feed, Feed) or feed.failure is not None:
        feed = link.feeds[pattern] = Feed(link, pattern)
    return feed
