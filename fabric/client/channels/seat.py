"""A member's place in one lane of its feed: reading, splicing, or following; `rules/channels/splice` decides.

Above: `member` has a seat in each lane of its pattern. Below: `lane` hands on what the feed delivers,
`catchup` reads the log. A member with a handler that follows undisturbed is called by the lane itself; its
seat rests.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from fabric.client.channels.catchup import Reading
from fabric.client.channels.lane import Group, Lane, Tally
from fabric.client.channels.together import shelf_of
from fabric.errors import FabricError, InternalError
from fabric.jetstream.read import Stored
from fabric.rules.channels.position import Position, Progress
from fabric.rules.channels.repair import Truncated
from fabric.rules.channels.splice import Strand, StrandState
from fabric.rules.ledger import Ledger
from fabric.subjects import channel_of
from fabric_codecs.envelope import Envelope
from fabric_codecs.nats.headers import source_agrees, value_in

__all__ = ["Host", "Seat"]

log = logging.getLogger("fabric.member")

READING, SPLICING, FOLLOWING = StrandState.READING, StrandState.SPLICING, StrandState.FOLLOWING


class Host(Protocol):
    """The member, as its seats see it."""

    pattern: str
    handler: Callable[[Envelope], object]
    queues: bool
    progress: Progress | None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come to it."""

    def has_room(self, data: bytes) -> bool:
        """Whether this message can be delivered now."""

    async def room(self) -> int:
        """Until there is room; for how many messages."""

    def deliver(self, envelope: Envelope, log: str, subject: bytes, sequence: int) -> None:
        """One message, for which there is room."""

    def raised(self, envelope: Envelope) -> None:
        """The handler raised, and is being handled."""

    def lost(self, stream: str, gone: Truncated) -> None:
        """The log let go of what this member was to have."""

    def fail(self, error: FabricError) -> None:
        """Nothing more will come."""


class Seat:
    """One member in one lane."""

    __slots__ = (
        "_entered",
        "_ledger",
        "_marked",
        "_shelf",
        "_tally",
        "_task",
        "_took",
        "group",
        "handler",
        "has_room",
        "host",
        "lane",
        "room",
        "strand",
    )

    def __init__(self, host: Host, lane: Lane) -> None:
        self.host = host
        self.lane = lane
        self.handler = host.handler
        self.has_room = host.has_room
        self.room = host.room
        self.group: Group | None = None
        self._shelf = shelf_of(lane.feed.link, lane.stream)
        self.strand = Strand(Position())
        self._ledger: Ledger | None = None  # of what was read alone, while a second copy of it may come
        self._task: asyncio.Task[None] | None = None
        self._tally = Tally()  # of what it met alone and in former turns at the feed
        self._entered = (0, Tally())  # what the lane had delivered and met when this member began to follow
        self._took = 0  # from the lane's own hand
        self._marked = -1

    # Where it begins

    def attend(self) -> None:
        """Keep what the feed delivers from now on."""
        self.strand.attach(self.lane.track.highest)
        self.lane.put(self, Group.BUSY)

    def begin_now(self, last: int) -> None:
        """After `attend`: with what was stored after `last`."""
        if self.strand.state is READING:  # more came meanwhile than could be kept
            self.begin_at(Position(last))
            return
        self.strand.read_to(last)
        if not self._splice(gone=True):
            self._read()

    def begin_at(self, position: Position) -> None:
        """With what the log holds after a position."""
        self.strand = Strand(position)
        self._ledger = Ledger()
        self.lane.put(self, Group.AWAY)
        self._read()

    # What the lane says

    def fed(self, subject: bytes, sequence: int, envelope: Envelope, key: bytes, retried: bool) -> None:
        """The feed delivers a message; `key` and `retried` are for a ledger."""
        strand, host = self.strand, self.host
        if strand.state is SPLICING:
            if not strand.keep(subject, sequence, (envelope, key, retried), len(envelope.data)):
                self.lane.put(self, Group.AWAY)
        elif sequence <= strand.position:
            return
        elif not host.has_room(envelope.data):
            self._detach(subject, sequence, key)
        elif not retried or self._ledger is None or self._ledger.admit(subject, key, retried):
            host.deliver(envelope, self.lane.filter, subject, sequence)

    def owes(self, subject: bytes, sequence: int) -> None:
        """Others have had this message."""
        self.strand.fed(subject, sequence)

    def moved(self) -> None:
        """The lane's verified position may have moved: what this member settled may count, and what it had to
        look out for may be behind it."""
        strand, lane = self.strand, self.lane
        if strand.state is not FOLLOWING:
            return
        self._mark(lane.track.verified)
        if self._ledger is not None:
            if lane.delivered - self._entered[0] < self._ledger.capacity:
                return
            self._drop_ledger()
        plain = not self.host.queues and self.host.progress is None
        if plain and lane.track.verified >= strand.position and self.group is Group.BUSY:
            self._took -= lane.delivered
            lane.put(self, Group.PLAIN)

    def lost(self, gone: Truncated) -> None:
        """The feed could not repair a gap: the log had let go of it."""
        if self.strand.state is not READING and gone.last > self.strand.position:
            self.host.lost(self.lane.stream, gone)

    def raised(self, envelope: Envelope) -> None:
        """The handler raised, and is being handled."""
        self.host.raised(envelope)

    # What it has met

    @property
    def tally(self) -> Tally:
        """Forged messages, second copies and gaps of the feed, as far as they concern this member."""
        met = self._tally
        if self.strand.state is FOLLOWING and self.group is not None:
            met = met.plus(self.lane.tally.since(self._entered[1]))
        if self._ledger is not None:
            met = met.plus(Tally(duplicates=self._ledger.duplicates))
        return met

    @property
    def took(self) -> int:
        """Messages that the lane handed to this member's handler itself."""
        return self._took + (self.lane.delivered if self.group is Group.PLAIN else 0)

    # Reading

    @property
    def wants(self) -> str:
        """The channels of its filter."""
        return channel_of(self.lane.filter)

    @property
    def position(self) -> int:
        """Up to where it has read."""
        return self.strand.position

    def read_to(self, position: int) -> None:
        """All that it wants up to there was handed to it."""
        self.strand.read_to(position)
        self._tell()
        self._mark(self.strand.position)

    def take(self, subject: bytes, message: Stored) -> None:
        """A message of the log."""
        if not self.strand.stored(subject, message.sequence):
            return
        header = message.header
        if not source_agrees(subject, header):
            self._tally = self._tally.plus(Tally(forged=1))
        elif self.lane.feed.hides_system and self.lane.feed.is_system(subject):
            pass
        elif self._ledger is None or self._ledger.admit(
            subject, value_in(header, b"ce-id"), b"\r\nFab-Retry: " in header
        ):
            envelope = Envelope.from_nats(subject, header, message.data)
            self.host.deliver(envelope, self.lane.filter, subject, message.sequence)

    def _read(self) -> None:
        if self._task is None and not self.host.is_over:
            self._task = asyncio.create_task(self._catch_up(), name=f"fabric-read-{self.lane.filter}")
            self._task.add_done_callback(self._read_ended)

    def _read_ended(self, task: "asyncio.Task[None]") -> None:
        self._task = None
        self._shelf.not_late(self)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            if self.strand.state is READING:
                self._read()
            return
        log.error("channel %s: reading %s ended", self.host.pattern, self.lane.stream, exc_info=error)
        self.host.fail(error if isinstance(error, FabricError) else InternalError(f"reading: {error!r}"))

    async def _catch_up(self) -> None:
        strand, lane, shelf = self.strand, self.lane, self._shelf
        reading = Reading(lane.feed.link.reader, lane.stream, lane.filter, strand.position, self)
        may_ride, rides = True, False
        while not self.host.is_over:  # a cancellation can be lost in a wait that has just ended
            limit = await self.room()  # first: who waits for room must not take a place from others
            async with lane.feed.link.pages:
                rides = may_ride and not rides and await shelf.is_better(self)
                at_end = not rides and await reading.page(limit)
            if rides:
                # Who had no room reads alone until it follows again: a slow reader needs little at a time.
                may_ride = await shelf.ride(self)
                reading.go_on_from(strand.position)
                continue
            self.read_to(reading.position)
            if may_ride:
                shelf.has_read(self, reading.left, reading.each_s)
            if at_end and strand.state is READING:
                self.attend()
            gone = at_end and reading.has_waited
            if strand.meets or (gone and strand.state is SPLICING):
                if self._splice(gone=gone):
                    return
                reading.go_on_from(strand.position)
            elif at_end:
                await reading.wait()

    def _splice(self, *, gone: bool) -> bool:
        """Whether this member follows now. It has no room for all that came meanwhile otherwise."""
        strand, lane, host = self.strand, self.lane, self.host
        pending = strand.splice(gone=gone)
        self._tell()
        self._mark(strand.position)
        for at, (subject, sequence, item) in enumerate(pending):
            envelope, key, retried = item
            if not host.has_room(envelope.data):
                strand.put_back(pending[:at], pending[at:])
                lane.put(self, Group.AWAY)
                return False
            if self._ledger is None or self._ledger.admit(subject, key, retried):
                host.deliver(envelope, lane.filter, subject, sequence)
        self._entered = lane.delivered, lane.tally
        self.moved()
        return True

    def _detach(self, subject: bytes, sequence: int, key: bytes) -> None:
        lane = self.lane
        self._tally = self._tally.plus(lane.tally.since(self._entered[1]))
        ledger = lane.ledger.copy(self._ledger)
        ledger.forget(subject, key)
        self._drop_ledger()
        self._ledger = ledger
        self.strand.detach(lane.track.position_before(subject, sequence))
        self.strand.fed(subject, sequence)
        lane.put(self, Group.AWAY)
        self._read()

    def _drop_ledger(self) -> None:
        if self._ledger is not None:
            self._tally = self._tally.plus(Tally(duplicates=self._ledger.duplicates))
            self._ledger = None

    def _mark(self, verified: int) -> None:
        progress = self.host.progress
        if progress is not None and verified > self._marked:
            self._marked = verified
            progress.verified(self.lane.filter, verified)

    def _tell(self) -> None:
        ranges, self.strand.truncated = self.strand.truncated, []
        for gone in ranges:
            self.host.lost(self.lane.stream, gone)

    # The end

    def leave(self) -> "asyncio.Task[None] | None":
        """No more of anything; the task to await, if one was at work."""
        if self.strand.state is FOLLOWING and self.group is not None:
            self._tally = self._tally.plus(self.lane.tally.since(self._entered[1]))
        if self.group is Group.PLAIN:
            self._took += self.lane.delivered
        self.handler = ignore
        self.lane.put(self, None)
        if self._task is not None:
            self._task.cancel()
        return self._task


def ignore(_envelope: Envelope) -> None:
    """What a member that has left does with a message."""
