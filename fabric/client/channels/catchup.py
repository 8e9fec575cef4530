"""Reading a log, page by page, for whoever is behind in it: a feed that lost something, a member that came
late or had no room.

In: a filter, a position, a taker. Out: the position up to which it was read. Trouble that passes is waited
out here; what does not pass is raised. Above: `feed`, `seat`. Below: `jetstream.read`, `rules/log/paging`.
"""

import asyncio
import logging
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Literal, Protocol

from fabric.clock import monotonic
from fabric.errors import Refused, Unreachable
from fabric.jetstream.read import LogReader, Stored
from fabric.rules.log.paging import SIZE_MAX, PageSize
from fabric.subjects import channel_of
from fabric_codecs.names import is_pattern

__all__ = ["Reading", "Since", "Taker", "as_fed", "beginning"]

Since = Literal["now", "beginning"] | int | datetime

log = logging.getLogger("fabric.member")

READ_RETRY_S = 0.5
EMPTY_READS_MAX = 10  # then what was announced has gone from the log: expired, evicted or purged


class Taker(Protocol):
    """Who is behind."""

    def take(self, subject: bytes, message: Stored) -> object:
        """A message of the log; its subject is spelled as the live feed does."""

    def has_room(self, data: bytes) -> bool:
        """Whether this message can be taken now."""


def as_fed(subject: bytes) -> bytes:
    """A stored subject (`fab.ch...`) as the live feed spells it (`fab.cho...`)."""
    return b"fab.cho" + subject[6:]


async def beginning(reader: LogReader, stream: str, pattern: str, since: Since) -> int:
    """The sequence after which a reader of `pattern` begins. Raises what reading the log does."""
    if since == "beginning":
        return 0
    if isinstance(since, int):
        return max(since - 1, 0)
    # The newest message first: what is stored while we ask where to begin lies after it.
    newest = await reader.last(stream, pattern)
    last = newest.sequence if newest else 0
    if isinstance(since, datetime):
        moment = since.astimezone(UTC).isoformat().replace("+00:00", "Z")
        page = await reader.since_time(stream, pattern, moment)
        return page.messages[0].sequence - 1 if page.messages else last
    return last


class Reading:
    """One filter of one log, from after `position`."""

    def __init__(self, reader: LogReader, stream: str, pattern: str, position: int, taker: Taker) -> None:
        self.position = position
        self.stream = stream
        self.pattern = pattern
        self._reader = reader
        self._taker = taker
        self._size = PageSize()
        self.left = 0  # messages after the last page
        self.each_s = 0.0  # what a message of it took
        self._empty = 0
        self._alone = not is_pattern(channel_of(pattern))
        self._literal: tuple[str, int] | None = None  # the only subject up to that sequence

    @property
    def has_waited(self) -> bool:
        """Whether it was looked at for long enough to say that what is not there will not come."""
        return self._empty > EMPTY_READS_MAX

    async def page(self, limit: int = SIZE_MAX) -> bool:
        """Another page, of at most so many messages; it ends where the taker has no room. True when nothing
        was after it. Raises what makes reading again useless."""
        try:
            if self._alone:
                # What a channel's only source has written so far is read by its literal subject: among 10,000
                # channels that is five times as fast as by a pattern.
                self._literal = await self._reader.only_subject(self.stream, self.pattern)
                self._alone = False
            before = self.position
            at_end = await self._read(min(self._size.size, limit))
        except (Refused, Unreachable) as error:
            if not error.retriable or (isinstance(error, Refused) and error.reason == "denied"):
                raise
            log.warning("%s: %s; reading again in %g s", self.pattern, error, READ_RETRY_S)
            await asyncio.sleep(READ_RETRY_S)
            return False
        self._empty = 0 if self.position > before else self._empty + 1
        return at_end

    def go_on_from(self, position: int) -> None:
        """Something else has read up to here."""
        self.position = position
        if self._literal is not None and position >= self._literal[1]:
            self._literal = None

    async def wait(self) -> None:
        """The log had less than was announced: let a replica that lags come nearer."""
        if self._empty:
            await asyncio.sleep(READ_RETRY_S)

    async def _read(self, batch: int) -> bool:
        pattern, up_to = self._literal or (self.pattern, 0)
        asked, last, count = monotonic(), 0, 0
        pieces = self._reader.pieces(self.stream, pattern, self.position + 1, batch=batch)
        async with aclosing(pieces):
            async for piece in pieces:
                count += len(piece.messages)
                for stored in piece.messages:
                    last = stored.sequence
                    if up_to and last > up_to:
                        break
                    if not self._taker.has_room(stored.data):
                        return False  # it is asked for again when there is
                    self.position = last
                    self._taker.take(as_fed(stored.subject), stored)
        took = monotonic() - asked
        self._size.took(took)
        self.left, self.each_s = piece.pending, took / max(count, 1)
        if not up_to:
            return not piece.pending
        if last >= up_to or not piece.pending:
            # Beyond it others may have written in between: from here on by the pattern.
            self.position, self._literal = up_to, None
        return False
