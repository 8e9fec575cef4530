"""Keeps a durable member's cursor written: every 100 ms, every 1,000 settled messages, and when it must be.

| a write's answer                 | then |
|----------------------------------|------|
| written                          | those ends stand |
| none                             | the same again, every half second; the member goes on while it may |
| another process has the record   | `on_failed(Fenced)`: this life is over |

A record names each channel and source heard since its log was last verified. Above 100 KiB it is written less
often (1 MiB/s); one that is too large waits for the next verification, about 30 s. Above: `durable`. Below:
`tenure`, `rules/channels/cursor`. Cost: one write for each commit.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from fabric.client.link import Link
from fabric.client.tenure import Tenure
from fabric.clock import monotonic
from fabric.errors import FabricError, InternalError, LimitExceeded, Refused, Unreachable
from fabric.rules.channels.cursor import COMMIT_MESSAGES, Cursor, CursorRecord

__all__ = ["CursorKeeper"]

log = logging.getLogger("fabric.durable")

COMMIT_EVERY_S = 0.1
LOOK_EVERY_S = 1.0  # positions move a little even when nothing is settled
SAY_AGAIN_S = 3600.0  # a record's age says for how long nobody was there: `overtaken`
RETRY_S = 0.5
CLOSE_TIMEOUT_S = 5.0
RECORD_BYTES_PER_S = 1 << 20

Result = TypeVar("Result")


class CursorKeeper:
    """One life of a cursor: `await begin()`, `settled()` after each message, `await end()`."""

    def __init__(
        self,
        link: Link,
        tenure: Tenure[CursorRecord],
        cursor: Cursor,
        on_failed: Callable[[FabricError], object],
    ) -> None:
        self.cursor = cursor
        self._link = link
        self._tenure = tenure
        self._on_failed = on_failed
        self._failure: FabricError | None = None
        self._turn = asyncio.Lock()
        self._settled, self._urgent, self._room = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._pause_s = COMMIT_EVERY_S
        self._too_large = False
        self._written_at = monotonic()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Write the first record. Raises Fenced when another process was first; Refused, Unreachable."""
        await self._commit(first=True)
        self._task = asyncio.create_task(self._keep(), name="fabric-cursor")

    async def end(self, name: str) -> None:
        """Commit for the last time, within seconds. What could not be written comes again, and is told."""
        self._stopping = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._tenure.fenced is not None:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self.persistently(lambda: self._commit(closing=True))
        except (TimeoutError, FabricError) as error:
            again = self.cursor.uncommitted
            log.warning("durable member %s: %d messages come again: %r", name, again, error)

    def settled(self) -> None:
        """Something has ended: to be written soon."""
        self._settled.set()
        if self.cursor.uncommitted >= COMMIT_MESSAGES or self.cursor.must_commit:
            self._urgent.set()

    async def room(self) -> None:
        """Until one more message may be handed out beyond the last commit. Raises what ended this life."""
        while self._failure is None and self.cursor.must_commit and not self._too_large:
            self._urgent.set()
            self._settled.set()
            self._room.clear()
            await self._room.wait()  # ends with a commit or a failure
        if self._failure is not None:
            raise self._failure

    @property
    def is_confirmed(self) -> bool:
        """Whether this life is known to go on; else await `confirmed`."""
        return self._failure is None and self._tenure.is_confirmed

    async def confirmed(self) -> None:
        """Until it is known that this life goes on. Raises what ended it."""
        if self._failure is not None:
            raise self._failure
        await self.persistently(self._tenure.confirm)

    async def written(self) -> None:
        """Until everything that is settled or noted is written. Raises Fenced."""
        await self.persistently(self._commit)

    async def persistently(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """`work` until it is not refused for now; raises what does not pass, and Fenced."""
        while True:
            try:
                return await work()
            except (Refused, Unreachable) as error:
                self._must_pass(error)
                await asyncio.sleep(RETRY_S)

    def _must_pass(self, error: FabricError) -> None:
        never = isinstance(error, Refused) and error.reason in ("denied", "too_large")
        if never or not error.retriable or self._link.connection.is_closed:
            raise error
        log.warning("durable member: %s; again in %g s", error, RETRY_S)

    async def _keep(self) -> None:
        while not self._stopping:  # a cancellation can be lost in a wait that has just ended
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._settled.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s):
                    await self._urgent.wait()
            self._settled.clear()
            self._urgent.clear()
            try:
                await self._commit_now()
            except Exception as error:
                failure = error if isinstance(error, FabricError) else InternalError(f"a commit: {error!r}")
                self._failure = failure
                self._on_failed(failure)
                return
            finally:
                self._room.set()

    async def _commit_now(self) -> None:
        try:
            await self._commit()
        except (Refused, Unreachable) as error:
            self._must_pass(error)
            await asyncio.sleep(RETRY_S)
            self._settled.set()
            self._urgent.set()

    async def _commit(self, *, first: bool = False, closing: bool = False) -> None:
        async with self._turn:
            commit = self.cursor.commit(closing=closing)
            stale = monotonic() - self._written_at > SAY_AGAIN_S
            if not (first or closing or stale or self.cursor.is_news(commit)):
                return
            try:
                size = await self._tenure.write(commit.record)
            except LimitExceeded as error:
                self._too_large = True
                log.warning("%s; it waits until its log is verified", error)
                return
            self._too_large, self._written_at = False, monotonic()
            self._pause_s = max(COMMIT_EVERY_S, size / RECORD_BYTES_PER_S)
            self.cursor.committed(commit)
