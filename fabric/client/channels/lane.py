"""One filter in one log, as the feed of a process follows it: tracked once, repaired once, handed to all.

    subscription -> Lane (track, ledger) -> plain: handlers, called and nothing else
                                            busy:  queues, and members that have just come from the log
                                            away:  members that read the log; they learn what they owe
Above: `feed` has a lane for each log of its pattern, `seat` is a member's place in one. Below: `catchup`,
`rules/channels/repair`.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

from fabric.client.channels.catchup import Reading
from fabric.client.link import Link
from fabric.clock import monotonic
from fabric.errors import FabricError, InternalError
from fabric.jetstream.layout import channel_stream
from fabric.jetstream.read import Stored
from fabric.rules.channels.repair import Track, Truncated, Verdict
from fabric.rules.ledger import Ledger
from fabric_codecs.envelope import Envelope
from fabric_codecs.nats.headers import positions, source_agrees, value_in

__all__ = ["Group", "Hearer", "Lane", "Owner", "Place", "Tally", "hand_to_all"]

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


class Owner(Protocol):
    """The feed, as its lanes see it."""

    link: Link
    pattern: str
    is_over: bool
    hides_system: bool

    def is_system(self, subject: bytes) -> bool:
        """Whether this is a channel that `hides_system` is about."""

    def fail(self, error: FabricError) -> None:
        """Nothing more will come, for anybody."""


def hand_to_all(hearers: Sequence[Hearer], envelope: Envelope) -> None:
    """Call every handler; one that raises takes nobody along."""
    for hearer in hearers:
        try:
            hearer.handler(envelope)
        except Exception:
            hearer.raised(envelope)


class Lane:
    """One filter in one log. Positions are sequences of that log."""

    def __init__(self, feed: Owner, shard: int, pattern: str, now: float) -> None:
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
        async with self.feed.link.pages:
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
        if self.feed.hides_system and self.feed.is_system(subject):
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
        track, stand = self.track, self.track.stand
        with suppress(FabricError):  # asked again at the next turn
            page = await self.feed.link.reader.page(
                self.stream, self.filter, track.verified + 1, batch=1, timeout_s=PROBE_TIMEOUT_S
            )
            if track.counted(len(page.messages) + page.pending, stand, monotonic()):
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
