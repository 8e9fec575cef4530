"""A member of a channel: the shared live feed, and the log wherever it is not there yet.

It has no subscription of its own and no consumer on the server; thousands in a process share one feed per
pattern. Its queue is bounded: who reads slowly leaves the feed for the log, loses nothing of a durable
channel and slows nobody; live messages that find the queue full are counted in `missed`, as are those whose
running number shows that they never came. Above: `channel`, `durable`. Below: `seat`, `feed`.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple, Self

from fabric import subjects
from fabric.client.channels.catchup import Since, beginning
from fabric.client.channels.feed import Feed, feed_of
from fabric.client.channels.lane import Tally
from fabric.client.channels.seat import Seat, ignore
from fabric.client.link import Link
from fabric.errors import CursorAhead, FabricError
from fabric.rules.channels.position import Position, Progress
from fabric.rules.channels.repair import Truncated
from fabric.rules.log.paging import SIZE_MAX
from fabric_codecs.envelope import Envelope

__all__ = ["Member", "Since", "Truncation"]

log = logging.getLogger("fabric.member")

QUEUE_MESSAGES_MAX = 1024
QUEUE_BYTES_MAX = 4 << 20
TRUNCATIONS_KEPT = 64


class Truncation(NamedTuple):
    """Messages of `channel` that `stream` let go of before a member read them: some, or all, of the sequences
    `first` to `last`."""

    channel: str
    stream: str
    first: int
    last: int


class Member:
    """Made by `Channel.join`. Order: per channel and source live, per channel in history; none across
    channels of a pattern.

    Counters: `delivered`, `missed` (live messages that never came or found the queue full), `forged` (source
    attribute and credential disagreed: not delivered), `repaired` (gaps of the feed read back from the log),
    `duplicates` (second copies withheld), `truncated` (runs of messages that the log let go of before this
    member read them; `truncations` has the last 64), `handler_errors`. `failure` is what ended this member
    for good, if anything did: iterating raises it, and so do `ended` and, with a handler, the end of the
    `async with` block.

    For durable members: `positions` (by filter, see `fabric.subjects.stored_filters`) to begin at instead of
    `since`, and a `Progress` that is told of every message handed out and of every verified position. Its
    `settle` is the caller's to call, once for each message, in order; live messages count too.
    """

    def __init__(
        self,
        link: Link,
        pattern: str,
        handler: Callable[[Envelope], object] | None,
        since: Since,
        *,
        positions: Mapping[str, Position] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.pattern = pattern
        self.handler = handler or ignore
        self.queues = handler is None
        self.progress = progress
        self.handler_errors = 0
        self.truncated = 0
        self.truncations: deque[Truncation] = deque(maxlen=TRUNCATIONS_KEPT)
        self.failure: FabricError | None = None
        self._link = link
        self._since = since
        self._positions = positions
        self._feed: Feed | None = None  # from when it is entered
        self._seats: dict[str, Seat] = {}
        self._delivered = 0
        self._overflowed = 0
        self._live_before = (0, 0, 0)  # what the feed had missed, met as forged and delivered when we came
        self._live_after: tuple[int, int, int] | None = None  # and when we left
        self._queue: deque[Envelope] = deque()
        self._queued_bytes = 0
        self._arrival = asyncio.Event()
        self._space = asyncio.Event()
        self._end = asyncio.Event()
        self._closed = False

    # Counters

    @property
    def delivered(self) -> int:
        """Messages queued or handed to the handler."""
        mine = self._delivered + sum(seat.took for seat in self._seats.values())
        return mine if self.queues else mine + self._live()[2]

    @property
    def missed(self) -> int:
        """Live messages that were published to this channel and not delivered here."""
        return self._live()[0] + self._overflowed

    @property
    def forged(self) -> int:
        """Messages whose source attribute is not that of their credential."""
        return self._live()[1] + self._tally().forged

    @property
    def repaired(self) -> int:
        """Gaps of the live feed that were found while following it."""
        return self._tally().repaired

    @property
    def duplicates(self) -> int:
        """Second copies withheld."""
        return self._tally().duplicates

    def counts(self) -> dict[str, int]:
        """Counters by name, for the metrics of a process."""
        return {
            "delivered": self.delivered,
            "missed": self.missed,
            "truncated": self.truncated,
            **self._tally()._asdict(),
            "forged": self.forged,
        }

    def _tally(self) -> Tally:
        total = Tally()
        for seat in self._seats.values():
            total = total.plus(seat.tally)
        return total

    def _live(self) -> tuple[int, int, int]:
        missed, forged, delivered = self._live_after or (self._feed.live_tally if self._feed else (0, 0, 0))
        before = self._live_before
        return missed - before[0], forged - before[1], delivered - before[2]

    # Life

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self._closed or self.failure is not None

    async def __aenter__(self) -> Self:
        """Returns when the feed is open and the starting point is known. Raises PermissionDenied for a
        channel that the credential may not hear, or whose history it may not read, and CursorAhead for a
        position that the log has not reached."""
        self._feed = feed = feed_of(self._link, self.pattern)
        self._live_before = feed.live_tally
        first = not feed.is_open
        self._seats = {lane.filter: Seat(self, lane) for lane in feed.lanes.values()}
        now = self._since == "now" and self._positions is None
        try:
            if now:
                for seat in self._seats.values():
                    seat.attend()
            await feed.enter(self)
            begin = self._begin_now if now else self._begin_in_the_past
            ends = await asyncio.gather(
                *(begin(seat, first) for seat in self._seats.values()), return_exceptions=True
            )
            for failure in (self.failure, *ends):
                if failure is not None:
                    raise failure
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self.close()
        if kind is None and self.failure is not None and not self.queues:
            raise self.failure

    async def close(self) -> None:
        """Leave. What is queued is discarded. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self.handler = ignore
        self._space.set()
        tasks = [task for seat in self._seats.values() if (task := seat.leave()) is not None]
        if self._feed is not None:
            self._live_after = self._feed.live_tally
            await self._feed.leave(self)
        await asyncio.gather(*tasks, return_exceptions=True)
        self._queue.clear()
        self._arrival.set()
        self._end.set()

    async def ended(self) -> None:
        """Until this member was closed. Raises what ended it, if anything did: for a member with a handler,
        what iterating is for one without."""
        await self._end.wait()
        if self.failure is not None:
            raise self.failure

    def fail(self, error: FabricError) -> None:
        """Nothing more will come: reading again would fail again. Called by its feed and seats."""
        self.failure = self.failure or error
        self._space.set()
        self._arrival.set()
        self._end.set()

    # Where it begins

    async def _begin_now(self, seat: Seat, first: bool) -> None:
        lane = seat.lane
        if first:  # the feed has just begun here, too
            seat.begin_now(lane.started_at)
        else:
            async with self._link.pages:
                newest = await self._link.reader.last(lane.stream, lane.filter)
            seat.begin_now(newest.sequence if newest else 0)

    async def _begin_in_the_past(self, seat: Seat, _first: bool) -> None:
        lane, reader = seat.lane, self._link.reader
        if self._positions is not None:
            position = self._positions.get(lane.filter, Position())
        else:
            position = Position(await beginning(reader, lane.stream, lane.filter, self._since))
        if position.verified > lane.track.highest:
            end = (await reader.bounds(lane.stream)).last
            if position.verified > end:
                raise CursorAhead(lane.stream, position.verified, end)
        seat.begin_at(position)

    # Messages

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Envelope:
        """The next message. Raises what ended the reading of the log, after what was queued before it."""
        while not self._queue:
            if self._closed:
                raise StopAsyncIteration
            if self.failure is not None:
                raise self.failure
            self._arrival.clear()
            await self._arrival.wait()
        envelope = self._queue.popleft()
        self._queued_bytes -= len(envelope.data)
        if not self._is_half_full:
            self._space.set()
        return envelope

    def has_room(self, data: bytes) -> bool:
        """Whether this message can be delivered now; a handler always takes it."""
        queued = len(self._queue)
        return not queued or (
            queued < QUEUE_MESSAGES_MAX and self._queued_bytes + len(data) <= QUEUE_BYTES_MAX
        )

    async def room(self) -> int:
        """Until the queue is half empty, or all is over; for how many messages it has room."""
        if not self.queues:
            return SIZE_MAX
        while not self.is_over and self._is_half_full:
            self._space.clear()
            await self._space.wait()  # ends with the reader's next step, or with this member
        return max(QUEUE_MESSAGES_MAX - len(self._queue), 1)

    @property
    def _is_half_full(self) -> bool:
        return len(self._queue) > QUEUE_MESSAGES_MAX // 2 or self._queued_bytes > QUEUE_BYTES_MAX // 2

    def deliver(self, envelope: Envelope, log: str, subject: bytes, sequence: int) -> None:
        """One message, for which there is room. Called by its seats."""
        self._delivered += 1
        if self.progress is not None:
            self.progress.handed(log, subject, sequence)
        if self.queues:
            self._queue.append(envelope)
            self._queued_bytes += len(envelope.data)
            self._arrival.set()
            return
        try:
            self.handler(envelope)
        except Exception:
            self.raised(envelope)

    def take_live(self, envelope: Envelope) -> None:
        """A live message, for who queues. Called by its feed."""
        if self.has_room(envelope.data):
            self.deliver(envelope, "", b"", 0)
        else:
            self._overflowed += 1

    def raised(self, envelope: Envelope) -> None:
        """The handler raised, and is being handled."""
        self.handler_errors += 1
        log.exception("a handler of channel %s raised on %s", self.pattern, envelope.id)

    def lost(self, stream: str, gone: Truncated) -> None:
        """The log let go of what this member was to have."""
        channel = subjects.channel_of(gone.subject.decode())
        self.truncated += 1
        self.truncations.append(Truncation(channel, stream, gone.first, gone.last))
        log.warning(
            "channel %s: %s let go of %d to %d before they were read", channel, stream, gone.first, gone.last
        )
