"""Waiting for a stream to grow: an ephemeral push consumer without payloads, for as long as somebody waits.

A poll would cost the server a request every few milliseconds for each idle reader; a republished feed would
cost every message, read or not. The consumer keeps nothing on disk and goes when nobody listens. What it
says is a hint: a dead one is found out by looking at the log now and then. Above: `views`. Below:
`connection`, `read`, `server`.
"""

import asyncio

from fabric.clock import monotonic
from fabric.jetstream.connection import Connection, Subscription
from fabric.jetstream.read import LogReader
from fabric.jetstream.server import api

__all__ = ["Tail"]

RECHECK_S = (
    1.0  # how late a waiter learns of growth when the consumer is gone (server restarted, leader moved)
)
LINGER_S = (
    5.0  # a tailing reader comes back at once: making a consumer for every wait would cost 0.5 ms each time
)
INACTIVE_NS = 10 * 1_000_000_000  # the server removes a consumer that nobody listens to


class Tail:
    """The end of one stream, watched on demand."""

    def __init__(self, connection: Connection, reader: LogReader, stream: str, *, inbox: str) -> None:
        self.stream = stream
        self.last = 0  # the newest sequence known
        self._connection = connection
        self._reader = reader
        self._inbox = inbox
        self._waiting: dict[asyncio.Future[None], int] = {}
        self._waiters = 0
        self._subscription: Subscription | None = None
        self._starting = asyncio.Lock()
        self._linger: asyncio.TimerHandle | None = None

    @property
    def is_watching(self) -> bool:
        """Whether a consumer tells of growth now."""
        return self._subscription is not None

    async def reaches(self, sequence: int, timeout_s: float) -> bool:
        """Until the stream has this sequence (True), or the time is up (False)."""
        deadline = monotonic() + timeout_s
        self._arrive()
        try:
            while self.last < sequence:
                await self._watch()
                remaining = deadline - monotonic()
                if remaining <= 0:
                    return self.last >= sequence
                told = await self._told(sequence, min(remaining, RECHECK_S))
                if not told and self.last < sequence and await self._look() >= sequence:
                    self._unwatch()  # it grew and we were not told: the consumer is gone
            return True
        finally:
            self._leave()

    def restarted(self, last: int) -> None:
        """The stream begins anew: what was known of its end is void."""
        self.last = last

    def close(self) -> None:
        """Stop watching; whoever waits still learns of growth, by looking."""
        if self._linger is not None:
            self._linger.cancel()
        self._unwatch()

    def _arrive(self) -> None:
        self._waiters += 1
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None

    def _leave(self) -> None:
        self._waiters -= 1
        if not self._waiters and self._subscription is not None:
            self._linger = asyncio.get_running_loop().call_later(LINGER_S, self._unwatch)

    async def _watch(self) -> None:
        async with self._starting:
            if self._subscription is not None:
                return
            self._subscription = self._connection.subscribe(self._inbox, self._grown)
            config = {
                "deliver_subject": self._inbox,
                "deliver_policy": "new",
                "ack_policy": "none",
                "headers_only": True,
                "mem_storage": True,
                "num_replicas": 1,
                "inactive_threshold": INACTIVE_NS,
            }
            create = f"CONSUMER.CREATE.{self.stream}"
            try:
                await api(self._connection, create, {"stream_name": self.stream, "config": config})
                await self._look()  # what came before the consumer did
            except BaseException:
                self._unwatch()
                raise

    async def _look(self) -> int:
        newest = await self._reader.last(self.stream, ">")
        if newest is not None:
            self._reached(newest.sequence)
        return self.last

    async def _told(self, sequence: int, timeout_s: float) -> bool:
        future = asyncio.get_running_loop().create_future()
        self._waiting[future] = sequence
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            return False
        finally:
            del self._waiting[future]
        return True

    def _unwatch(self) -> None:
        if self._subscription is not None:
            self._connection.unsubscribe(self._subscription)
            self._subscription = None

    def _grown(self, _subject: bytes, reply: bytes, _header: bytes, _data: bytes) -> None:
        # $JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>...; a later form has <domain>.<hash> in front
        tokens = reply.split(b".")
        if len(tokens) >= 9:
            self._reached(int(tokens[5] if len(tokens) == 9 else tokens[7]))

    def _reached(self, sequence: int) -> None:
        self.last = max(self.last, sequence)
        for future, wanted in self._waiting.items():
            if wanted <= self.last and not future.done():
                future.set_result(None)
