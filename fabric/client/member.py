"""A member of a channel: the live feed, and the log wherever the feed had a gap.

`rules/repair.py` decides; this module subscribes, reads back and hands on. A member has no consumer on the
server. Its queue is bounded: a durable channel's slow reader falls back to the log and loses nothing; live
messages that find the queue full are counted in `missed`, as are those whose running number shows that they
never came.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import Literal, Self

from fabric import subjects
from fabric.client.link import Link
from fabric.clock import monotonic
from fabric.errors import FabricError, InternalError, PermissionDenied, Refused, Unreachable
from fabric.jetstream.connection import Subscription
from fabric.jetstream.layout import channel_stream
from fabric.rules.ledger import Ledger
from fabric.rules.missed import MissedCounter
from fabric.rules.paging import PageSize
from fabric.rules.repair import Track, Verdict
from fabric_codecs.envelope import Envelope
from fabric_codecs.names import is_pattern
from fabric_codecs.nats.headers import mark_of, positions, source_agrees, value_in

__all__ = ["Member"]

log = logging.getLogger("fabric.member")

QUEUE_MESSAGES_MAX = 1024
QUEUE_BYTES_MAX = 4 << 20
READ_RETRY_S = 0.5
EMPTY_READS_MAX = 10  # then what was announced has gone from the log: expired, evicted or purged
PROBE_TIMEOUT_S = 2.0
DELIVER, LATER = Verdict.DELIVER, Verdict.LATER


class _Feed:
    """One filter in one shard: its track and what reads it back."""

    __slots__ = ("filter", "reading", "shard", "stream", "track")

    def __init__(self, shard: int, pattern: str, now: float) -> None:
        self.shard = shard
        self.stream = channel_stream(shard)
        self.filter = pattern
        self.track = Track(now)
        self.reading: asyncio.Task[None] | None = None


class Member:
    """Made by `Channel.join`. Order: per channel and source live, per channel in history; none across
    channels of a pattern.

    Counters: `delivered`, `missed` (live messages that never came or found the queue full), `forged` (source
    attribute and credential disagreed: not delivered), `repaired` (gaps read back from the log), `duplicates`
    (second copies withheld), `truncated` (runs of messages that the log let go before this member read them;
    the log says which). `failure` is what ended the reading of the log for good, if anything did.
    """

    def __init__(
        self,
        link: Link,
        pattern: str,
        handler: Callable[[Envelope], object] | None,
        since: Literal["now", "beginning"] | int | datetime,
    ) -> None:
        self.pattern = pattern
        self.delivered = 0
        self.forged = 0
        self.handler_errors = 0
        self.truncated = 0
        self.failure: FabricError | None = None
        self._overflowed = 0
        self._link = link
        self._handler = handler
        self._since = since
        self._ledger = Ledger()
        self._live = MissedCounter()
        self._queue: deque[Envelope] = deque()
        self._queued_bytes = 0
        self._arrival = asyncio.Event()
        self._space = asyncio.Event()
        self._closed = False
        self._subscriptions: list[Subscription] = []
        self._feeds: dict[int, tuple[_Feed, ...]] = {}
        self._hides_system = pattern[0] in "*>"  # `$`-topics never match a root wildcard

    @property
    def missed(self) -> int:
        """Live messages that were published to this channel and not delivered here."""
        return self._live.missed + self._overflowed

    @property
    def repaired(self) -> int:
        """Gaps of the live feed that were found."""
        return sum(feed.track.gaps for feed in self._all())

    @property
    def duplicates(self) -> int:
        """Second copies withheld."""
        return self._ledger.duplicates

    async def __aenter__(self) -> Self:
        """Returns when the subscription is active and the starting point is known. Raises PermissionDenied
        for a channel that the credential may not hear, or whose history it may not read."""
        link, now = self._link, monotonic()
        for shard in subjects.shards_of_pattern(self.pattern):
            self._feeds[shard] = tuple(
                _Feed(shard, one, now) for one in subjects.stored_filters(self.pattern, shard)
            )
        for index, subject in enumerate(subjects.durable_feeds(self.pattern)):
            self._subscriptions.append(link.connection.subscribe(subject, self._durable_handler(index)))
        for subject in subjects.live_feeds(self.pattern):
            self._subscriptions.append(link.connection.subscribe(subject, self._on_live))
        link.members.add(self)
        link.connection.on_denied.append(self._denied)
        try:
            ends = await asyncio.gather(*map(self._start, self._all()), return_exceptions=True)
            for failure in (self.failure, *ends):
                if failure is not None:
                    raise failure
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Leave. What is queued is discarded. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._link.members.discard(self)
        with suppress(ValueError):  # never entered
            self._link.connection.on_denied.remove(self._denied)
        for subscription in self._subscriptions:
            self._link.connection.unsubscribe(subscription)
        tasks = [feed.reading for feed in self._all() if feed.reading is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._queue.clear()
        self._arrival.set()

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
        if len(self._queue) <= QUEUE_MESSAGES_MAX // 2:
            self._space.set()
        return envelope

    async def _start(self, feed: _Feed) -> None:
        # The newest message first: what is stored while we ask where to begin lies after it.
        newest = await self._link.reader.last(feed.stream, feed.filter)
        last = newest.sequence if newest else 0
        verified = await self._before(feed, last)
        feed.track.start(verified)
        if verified < last or not feed.track.caught_up(verified, monotonic()):
            self._read(feed)

    async def _before(self, feed: _Feed, last: int) -> int:
        since = self._since
        if since == "now":
            return last
        if since == "beginning":
            return 0
        if isinstance(since, int):
            return max(since - 1, 0)
        moment = since.astimezone(UTC).isoformat().replace("+00:00", "Z")
        page = await self._link.reader.since_time(feed.stream, feed.filter, moment)
        return page.messages[0].sequence - 1 if page.messages else last

    # The live feeds

    def _durable_handler(self, index: int) -> Callable[[bytes, bytes, bytes, bytes], object]:
        # fab.cho.<shard>.<source>.<channel>: the shard is one digit, SHARDS is 8
        feeds = {shard: several[index] for shard, several in self._feeds.items()}

        def on_durable(subject: bytes, _reply: bytes, header: bytes, data: bytes) -> None:
            feed = feeds[subject[8] - 48]
            sequence, previous = positions(header)
            track = feed.track
            verdict = track.live(subject, sequence, previous, monotonic())
            if verdict is DELIVER:
                if self._handler is None and self._is_full(data):
                    track.undo(subject, sequence, previous)
                    self._read(feed)
                else:
                    self._hand_on(subject, header, data)
            elif verdict is LATER:
                self._read(feed)

        return on_durable

    def _on_live(self, subject: bytes, _reply: bytes, header: bytes, data: bytes) -> None:
        self._live.observe(subject, *mark_of(header))
        if self._handler is None and self._is_full(data):
            self._overflowed += 1
        elif not source_agrees(subject, header):
            self.forged += 1
        elif not (self._hides_system and self._is_system(subject)):
            self._deliver(Envelope.from_nats(subject, header, data))

    def _hand_on(self, subject: bytes, header: bytes, data: bytes) -> None:
        if not source_agrees(subject, header):
            self.forged += 1
        elif self._hides_system and self._is_system(subject):
            pass
        elif self._ledger.admit(subject, value_in(header, b"ce-id"), b"\r\nFab-Retry: " in header):
            self._deliver(Envelope.from_nats(subject, header, data))

    def _is_system(self, subject: bytes) -> bool:
        return subjects.channel_of(subject.decode()).startswith("$")

    def _is_full(self, data: bytes) -> bool:
        return len(self._queue) >= QUEUE_MESSAGES_MAX or (
            bool(self._queue) and self._queued_bytes + len(data) > QUEUE_BYTES_MAX
        )

    def _deliver(self, envelope: Envelope) -> None:
        self.delivered += 1
        if self._handler is None:
            self._queue.append(envelope)
            self._queued_bytes += len(envelope.data)
            self._arrival.set()
            return
        try:
            self._handler(envelope)
        except Exception:
            self.handler_errors += 1
            log.exception("a handler of channel %s raised on %s", self.pattern, envelope.id)

    # The log

    def _read(self, feed: _Feed) -> None:
        if feed.reading is None and not self._closed and self.failure is None:
            feed.reading = asyncio.create_task(self._read_back(feed), name=f"fabric-read-back-{self.pattern}")
            feed.reading.add_done_callback(lambda task: self._read_ended(feed, task))

    def _read_ended(self, feed: _Feed, task: "asyncio.Task[None]") -> None:
        feed.reading = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            if feed.track.behind:
                self._read(feed)
            return
        log.error("channel %s: reading back %s ended", self.pattern, feed.stream, exc_info=error)
        self._fail(error if isinstance(error, FabricError) else InternalError(f"reading back: {error!r}"))

    def _fail(self, error: FabricError) -> None:
        # Reading again would fail again: whoever iterates is told.
        self.failure = self.failure or error
        self._arrival.set()

    def _denied(self, verb: str, subject: str) -> None:
        if verb == "subscribe" and any(subject == mine.subject for mine in self._subscriptions):
            self._fail(PermissionDenied(f"joining {self.pattern}", "see the channels of FABRIC_CREDS"))

    async def _read_back(self, feed: _Feed) -> None:
        position, empty, batch = feed.track.verified, 0, PageSize()
        alone = not is_pattern(self.pattern)
        while not self._closed:  # a cancellation can be lost in a wait that has just ended
            try:
                if alone:
                    position, alone = await self._read_alone(feed, position, batch), False
                last, pending = await self._read_page(feed, feed.filter, position, batch)
            except (Refused, Unreachable) as error:
                if not error.retriable or (isinstance(error, Refused) and error.reason == "denied"):
                    raise
                log.warning("channel %s: %s; reading again in %g s", self.pattern, error, READ_RETRY_S)
                await asyncio.sleep(READ_RETRY_S)
                continue
            empty = 0 if last > position else empty + 1
            position = last
            caught_up = not pending and feed.track.caught_up(
                position, monotonic(), gone=empty > EMPTY_READS_MAX
            )
            self._tell_truncated(feed)
            if caught_up:
                return
            if empty:
                await asyncio.sleep(READ_RETRY_S)  # a replica that lags behind what was announced

    async def _read_alone(self, feed: _Feed, position: int, batch: PageSize) -> int:
        # What a channel's only source has written so far is read by its literal subject: among 10,000
        # channels
        # that is five times as fast as by a pattern. Answers up to where the channel has been read then.
        only = await self._link.reader.only_subject(feed.stream, feed.filter)
        if only is None:
            return position
        subject, up_to = only
        pending = 1
        while pending and position < up_to:
            position, pending = await self._read_page(feed, subject, position, batch)
        return up_to

    async def _read_page(self, feed: _Feed, pattern: str, position: int, batch: PageSize) -> tuple[int, int]:
        # The sequence of the last message read, or `position` when there was none, and how many are pending.
        asked, reader = monotonic(), self._link.reader
        async with aclosing(reader.pieces(feed.stream, pattern, position + 1, batch=batch.size)) as pieces:
            async for piece in pieces:
                for stored in piece.messages:
                    position = stored.sequence
                    subject = b"fab.cho" + stored.subject[6:]  # as the live feed spells it
                    if self._handler is None and self._is_full(stored.data):
                        await self._wait_for_space(stored.data)
                    if feed.track.stored(subject, stored.sequence) is DELIVER:
                        self._hand_on(subject, stored.header, stored.data)
        batch.took(monotonic() - asked)
        return position, piece.pending

    def _tell_truncated(self, feed: _Feed) -> None:
        ranges, feed.track.truncated = feed.track.truncated, []
        for subject, first, last in ranges:
            self.truncated += 1
            channel = subjects.channel_of(subject.decode())
            log.warning(
                "channel %s: %s let go of %d to %d before they were read", channel, feed.stream, first, last
            )

    async def _wait_for_space(self, data: bytes) -> None:
        while self._is_full(data) and not self._closed:
            self._space.clear()
            await (
                self._space.wait()
            )  # ends with the reader's next step or with close, which cancels this task

    # Asked by the session

    async def probe(self, now: float) -> None:
        """Compare the log with what was delivered where that is due."""
        await asyncio.gather(*(self._probe(feed, now) for feed in self._all()))

    async def _probe(self, feed: _Feed, now: float) -> None:
        track = feed.track
        if track.read_back_due(now):
            track.reset()
        elif track.probe_due(now):
            before = track.delivered_above
            with suppress(FabricError):  # asked again at the next turn
                page = await self._link.reader.page(
                    feed.stream, feed.filter, track.verified + 1, batch=1, timeout_s=PROBE_TIMEOUT_S
                )
                track.probed(len(page.messages) + page.pending, before, monotonic())
        if track.behind:
            self._read(feed)

    def reconnected(self) -> None:
        """The feed was interrupted: read every log back from its verified position."""
        for feed in self._all():
            feed.track.reset()
            self._read(feed)

    def _all(self) -> list[_Feed]:
        return [feed for several in self._feeds.values() for feed in several]
