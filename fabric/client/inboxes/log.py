"""How the letters of an inbox come: by the republished feed, and from the log wherever the feed had a gap.

| letter                              | then |
|-------------------------------------|------|
| the feed has it, and all before it of its source | to the owner |
| the feed has it and lost one before | the log is read from where everything is known |
| the owner has no room               | the log is read when there is room again |
| nothing comes for a while           | the log's count is compared with ours (`rules/channels/repair`) |
| its sequence is settled by a record older than the letter | the log has begun anew: the record is void |

Above: `inbox_owner`. Below: `catchup`, `rules/channels/repair`. Cost: as a channel's member, and one read for
each time that an inbox is opened with letters in it.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Protocol

from fabric import subjects
from fabric.client.channels.catchup import Reading
from fabric.client.inboxes.custody import Custody
from fabric.client.inboxes.keeper import InboxKeeper
from fabric.client.inboxes.letter_queue import LetterQueue
from fabric.clock import monotonic
from fabric.errors import FabricError, InternalError, PermissionDenied
from fabric.jetstream.connection import Subscription
from fabric.jetstream.read import Stored
from fabric.rules.channels.repair import Track, Verdict
from fabric_codecs.nats.headers import positions, server_value_in

__all__ = ["InboxLog", "Receiver"]

log = logging.getLogger("fabric.inbox")

LOOK_TIMEOUT_S = 2.0
DELIVER, LATER = Verdict.DELIVER, Verdict.LATER


class Receiver(Protocol):
    """Whose letters they are."""

    def receive(self, subject: bytes, source: bytes, sequence: int, header: bytes, data: bytes) -> None:
        """A letter, once, in its source's order."""

    def read_whole(self, position: int) -> None:
        """Everything that was in the log up to there has been received."""

    def fail(self, error: FabricError) -> None:
        """Letters do not come any more."""


class InboxLog:
    """One inbox's feed and log, between `await start()` and `await stop()`."""

    def __init__(self, custody: Custody, keeper: InboxKeeper, queue: LetterQueue, receiver: Receiver) -> None:
        self._custody = custody
        self._keeper = keeper
        self._queue = queue
        self._receiver = receiver
        self._link = custody.identity.link
        self._track = Track(monotonic())
        self._passed = 0  # the highest sequence that found no room
        self._whole = False
        self._stopped = False
        self._subscription: Subscription | None = None
        self._reading: asyncio.Task[None] | None = None
        self._failure: FabricError | None = None

    @property
    def is_behind(self) -> bool:
        """Whether letters wait in the log that were not received."""
        return self._track.behind

    async def start(self) -> None:
        """Letters come from now on. Raises PermissionDenied, Refused, Unreachable."""
        custody, connection = self._custody, self._link.connection
        connection.on_denied.append(self._denied)
        feed = subjects.inbox_feed(custody.identity.token)
        self._subscription = connection.subscribe(feed, self._arrived)
        # After subscribing: what is stored while we ask comes by the feed, and has the log read.
        newest = await self._link.reader.last(custody.stream, custody.filter)
        if self._failure is not None:
            raise self._failure
        self._track.start(0)
        if newest is not None or not self._caught_up(0, gone=False):
            self._read()

    def halt(self) -> None:
        """Take no more letters; `stop` all the same. Safe to call twice."""
        self._stopped = True
        connection = self._link.connection
        if self._subscription is not None:
            connection.unsubscribe(self._subscription)
        with suppress(ValueError):  # stopped before, or never started
            connection.on_denied.remove(self._denied)

    async def stop(self) -> None:
        """No letter comes any more. Safe to call twice."""
        self.halt()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    # The feed

    def _arrived(self, subject: bytes, _reply: bytes, header: bytes, data: bytes) -> None:
        sequence, previous = positions(header)
        if not self._queue.has_room(len(data)):
            self._passed = max(self._passed, sequence)
            self._track.reset()
            self._read()
            return
        source = subject.rpartition(b".")[2]
        verdict = self._track.live(source, sequence, previous, monotonic())
        if verdict is DELIVER:
            self._receiver.receive(subject, source, sequence, header, data)
        elif verdict is LATER:
            self._read()

    def _denied(self, verb: str, subject: str) -> None:
        if verb == "subscribe" and self._subscription and subject == self._subscription.subject:
            self._failure = PermissionDenied(f"owning {subject}", "see the names of FABRIC_CREDS")
            self._receiver.fail(self._failure)

    # The log

    def take(self, subject: bytes, message: Stored) -> None:
        """Called by the reading for each letter of the log."""
        source, sequence, letters = subject.rpartition(b".")[2], message.sequence, self._custody.letters
        if self._track.stored(source, sequence) is not DELIVER:
            return
        if not self._whole and letters.was_settled(source.decode(), sequence):
            stored_at = server_value_in(message.header, b"Nats-Time-Stamp").decode().rstrip("Z")
            if stored_at > self._custody.former_at:
                log.warning("inbox %s: its log has begun anew", self._custody.identity.name)
                letters.begin_anew()
        self._receiver.receive(subject, source, sequence, message.header, message.data)

    def has_room(self, _data: bytes) -> bool:
        """Called by the reading: a page is small enough to be taken whole."""
        return True

    async def room(self) -> int:
        """Called by the reading: room was waited for before its turn came."""
        return await self._queue.room()

    def _read(self) -> None:
        if self._reading is None and not self._stopped:
            self._reading = asyncio.create_task(self._read_back(), name="fabric-inbox-read")
            self._reading.add_done_callback(self._read_ended)

    def _read_ended(self, task: "asyncio.Task[None]") -> None:
        self._reading = None
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            if not isinstance(error, FabricError):
                error = InternalError(f"reading an inbox: {error!r}")
            self._receiver.fail(error)
        elif self._track.behind:
            self._read()

    async def _read_back(self) -> None:
        custody = self._custody
        start = self._track.verified
        reading = Reading(self._link.reader, custody.stream, custody.filter, start, self)
        while not self._stopped:  # a cancellation can be lost in a wait that has just ended
            await self._queue.room()  # before the turn to read, which others wait for
            async with self._keeper.reads:
                at_end = await reading.page()
            if at_end and self._caught_up(reading.position, gone=reading.has_waited):
                return
            if at_end:
                await reading.wait()

    def _caught_up(self, position: int, *, gone: bool) -> bool:
        if self._passed > position and not gone:
            return False
        if not self._track.caught_up(position, monotonic(), gone=gone):
            return False
        self._passed = 0
        runs, self._track.truncated = self._track.truncated, []
        for source, first, last in runs:
            name = self._custody.identity.name
            log.warning("inbox %s: its log let go of %d to %d of %s", name, first, last, source.decode())
        self._custody.letters.let_go(len(runs))
        if not self._whole:
            self._whole = True
            self._custody.letters.read_whole()
            self._receiver.read_whole(position)
        return True

    # Asked by the keeper

    def look_due(self, now: float) -> bool:
        """Whether to compare with the log."""
        return self._track.behind or self._track.read_back_due(now) or self._track.probe_due(now)

    async def look(self, now: float) -> None:
        """Compare the log's count with what came, and read where they differ."""
        track, custody = self._track, self._custody
        if track.read_back_due(now):
            track.reset()
        elif track.probe_due(now):
            if custody.purged_to > track.verified:
                track.reset()  # a count could not tell what was taken out from what was lost: read it
            else:
                await self._count()
        if track.behind:
            self._read()

    async def _count(self) -> None:
        track, custody = self._track, self._custody
        stand, start = track.stand, track.verified + 1
        with suppress(FabricError):  # asked again at the next turn
            page = await self._link.reader.page(
                custody.stream, custody.filter, start, batch=1, timeout_s=LOOK_TIMEOUT_S
            )
            if custody.purged_to < start:
                track.counted(len(page.messages) + page.pending, stand, monotonic())

    async def depth(self) -> int:
        """Letters in the log that are not settled. Raises Refused, Unreachable."""
        page = await self._link.reader.page(
            self._custody.stream, self._custody.filter, 1, batch=1, timeout_s=LOOK_TIMEOUT_S
        )
        return len(page.messages) + page.pending - self._custody.letters.spent

    def interrupted(self) -> None:
        """The feed was: look at the log before believing in it again."""
        self._track.reset()
        self._read()
