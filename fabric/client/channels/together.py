"""One sequential reader of a log for all members of this connection that are late in it.

`rules/channels/together` decides. A ride takes everybody who waits, starts at the lowest position among them,
reads the log in a row and hands each message to those who want its channel. Who is ahead of the ride may
board it on the way; who has no room, or sees the end, gets off and goes on alone. Trouble ends a ride: each
one alone knows what to do about it. Above: `seat`. Below: `fabric.jetstream.read`.
"""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import aclosing
from typing import Protocol

from fabric.client.channels.catchup import as_fed
from fabric.client.link import Link
from fabric.clock import monotonic
from fabric.errors import FabricError, Refused, Unreachable
from fabric.jetstream.read import Stored
from fabric.rules.channels.together import Paces
from fabric.rules.log.paging import PageSize
from fabric_codecs.names import is_pattern, pattern_matches

__all__ = ["Rider", "Shelf", "shelf_of"]

log = logging.getLogger("fabric.member")

GATHER_S = 0.01  # others come to the end of their page meanwhile
END_KNOWN_S = 1.0  # for how long the log's end, once asked for, is good enough to decide with
CHANNELS_MAX = 10_000  # whose riders by pattern are remembered


class Rider(Protocol):
    """Who is late."""

    def __hash__(self) -> int:
        """It is one and no other."""

    @property
    def wants(self) -> str:
        """The channels, as the server understands a filter (`>`: at least one level)."""

    @property
    def position(self) -> int:
        """Up to where it has read."""

    def has_room(self, data: bytes) -> bool:
        """Whether this message can be taken now."""

    def take(self, subject: bytes, message: Stored) -> object:
        """A message that it wants; it may have had it."""

    def read_to(self, position: int) -> None:
        """All it wants up to there was handed to it."""


class Shelf:
    """One log, and who reads it. Made by `shelf_of`."""

    def __init__(self, link: Link, stream: str) -> None:
        self.stream = stream
        self.rides = 0
        self._link = link
        self._reader = link.reader
        self._everything = f"fab.ch.{stream.rpartition('_')[2]}.>"
        self._paces = Paces()
        self._end = (0, -END_KNOWN_S)
        self._waiting: dict[Rider, asyncio.Future[bool]] = {}
        self._riding: dict[Rider, asyncio.Future[bool]] = {}
        self._position: int | None = None  # of the ride
        self._by_channel: dict[bytes, dict[Rider, None]] = {}
        self._by_pattern: dict[Rider, None] = {}
        self._matched: dict[bytes, tuple[Rider, ...]] = {}  # of a channel, those by pattern
        self._driving: asyncio.Task[None] | None = None

    def has_read(self, rider: Rider, left: int, each_s: float) -> None:
        """It read a page alone, and lacks `left` more messages."""
        self._paces.read(rider, left, each_s)

    async def is_better(self, rider: Rider) -> bool:
        """Whether to ride from here, rather than to read another page alone."""
        self._paces.late(rider, rider.position)
        if not self._paces.worth_asking():
            return False
        try:
            if monotonic() - self._end[1] > END_KNOWN_S:
                newest = await self._reader.last(self.stream, ">")
                self._end = newest.sequence if newest else 0, monotonic()
        except FabricError:
            return False  # alone it will meet the same trouble, and knows what to do about it
        return self._paces.together(self._end[0])

    def not_late(self, rider: Rider) -> None:
        """It has caught up, or left."""
        self._paces.gone(rider)

    async def ride(self, rider: Rider) -> bool:
        """Returns when it got off: False if that was for want of room."""
        self._paces.gone(rider)
        off: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self._position is not None and rider.position >= self._position:
            self._get_on(rider, off)
        else:
            self._waiting[rider] = off
        if self._driving is None:
            self._driving = self._link.spawn(self._drive(), f"fabric-read-together-{self.stream}")
            self._driving.add_done_callback(self._parked)
        try:
            return await off
        finally:
            self._waiting.pop(rider, None)
            self._get_off(rider, had_room=True)

    def _get_on(self, rider: Rider, off: "asyncio.Future[bool]") -> None:
        self._riding[rider] = off
        if is_pattern(rider.wants):
            self._by_pattern[rider] = None
            self._matched.clear()
        else:
            self._by_channel.setdefault(rider.wants.encode(), {})[rider] = None

    def _get_off(self, rider: Rider, *, had_room: bool) -> None:
        off = self._riding.pop(rider, None)
        if off is None:
            return
        if is_pattern(rider.wants):
            del self._by_pattern[rider]
            self._matched.clear()
        else:
            self._by_channel[rider.wants.encode()].pop(rider)
        if not off.done():
            off.set_result(had_room)

    async def _drive(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHER_S)
            boarding, self._waiting = self._waiting, {}
            for rider, off in boarding.items():
                self._get_on(rider, off)
            try:
                if self._riding:
                    await self._ride(min(rider.position for rider in self._riding))
            except (Refused, Unreachable) as error:
                log.info("reading %s together ended: %s", self.stream, error)
            finally:
                self._position = None
                for rider in list(self._riding):
                    self._get_off(rider, had_room=True)

    def _parked(self, _task: "asyncio.Task[None]") -> None:
        self._driving = None
        for off in self._waiting.values():  # it failed, or the session ends
            if not off.done():
                off.set_result(True)

    async def _ride(self, position: int) -> None:
        self.rides += 1
        size = PageSize()
        pending = 1
        while pending and self._riding:
            self._position, asked, before = position, monotonic(), position
            pieces = self._reader.pieces(self.stream, self._everything, position + 1, batch=size.size)
            async with aclosing(pieces):
                async for piece in pieces:
                    for stored in piece.messages:
                        self._hand(stored)
                    if piece.messages:
                        self._position = position = piece.messages[-1].sequence
                    pending = piece.pending
            for rider in self._riding:
                rider.read_to(position)
            took = monotonic() - asked
            size.took(took)
            self._paces.read_in_a_row(position - before, took)

    def _hand(self, stored: Stored) -> None:
        channel = stored.subject.split(b".", 4)[4]
        riders: Iterable[Rider] = self._by_channel.get(channel, ())
        if self._by_pattern:
            riders = (*riders, *self._who_matches(channel))
        for rider in tuple(riders):
            if rider.has_room(stored.data):
                rider.take(as_fed(stored.subject), stored)
            else:
                self._get_off(rider, had_room=False)

    def _who_matches(self, channel: bytes) -> tuple[Rider, ...]:
        riders = self._matched.get(channel)
        if riders is None:
            if len(self._matched) >= CHANNELS_MAX:
                self._matched.clear()
            name = channel.decode()
            riders = tuple(rider for rider in self._by_pattern if _matches(rider.wants, name))
            self._matched[channel] = riders
        return riders


def _matches(wanted: str, channel: str) -> bool:
    # The fabric's final `>` includes the level above it, the server's does not.
    above = wanted.endswith(".>") and channel.count(".") < wanted.count(".")
    return not above and pattern_matches(wanted, channel)


def shelf_of(link: Link, stream: str) -> Shelf:
    """The reader of this log on this connection."""
    shelf = link.shelves.get(stream)
    if not isinstance(shelf, Shelf):
        shelf = link.shelves[stream] = Shelf(link, stream)
    return shelf
