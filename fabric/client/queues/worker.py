"""A worker: takes jobs of one queue by credit, serves their sources in turn, and sees to it that each ends.

In: jobs from the partitions' consumers. Out: jobs to whoever iterates, or to a handler. What decides is in
`rules`: `fairness` (who is next, how far to read ahead), `held` (what time does to a job), `retry` (how
often), `pulling` (when to ask). Above: `queue`. Below: `endings` (how jobs end), `jetstream.pull`, the
node's service `queue`.

Bounds: `concurrency` in hand; DEPTH_MAX a partition and WAITING_BYTES_MAX waiting, and what was asked for
by then.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Generator
from contextlib import suppress
from typing import Any, Self

from fabric.client.channels.handed import Handed, Handler
from fabric.client.identity import Identity
from fabric.client.queues.endings import Endings
from fabric.client.queues.job import Job
from fabric.clock import monotonic, now_us
from fabric.errors import FabricError, NotHeld, Refused, Unreachable
from fabric.jetstream.layout import QUEUE_STREAM
from fabric.jetstream.pull import PullConsumer, delivered
from fabric.rules.queues.fairness import Backlog, Line
from fabric.rules.queues.held import Held
from fabric.rules.queues.partitions import PARTITIONS, Partition
from fabric.subjects import queue_consumer
from fabric_codecs.envelope import Envelope

__all__ = ["Worker"]

log = logging.getLogger("fabric.queue")

TICK_S = 0.25
REOPEN_S = 1.0
GRACE_S = 5.0  # for handlers, and for acks under way, when a worker stops
WAITING_BYTES_MAX = 16 << 20
TURN = 64  # jobs given to a handler that does not wait, before others on the loop have their turn


class Worker:
    """Made by `Queue.work`. Iterate over it, or await it with a handler; leaving the loop, or cancelling,
    stops it: what waits in it is given back at once, handlers get GRACE_S to end.

    A handler is `handler(job)`, a coroutine function or a function that does not wait. When it returns, the
    job is acknowledged unless it settled it itself; when it raises, the attempt failed. `account` counts
    obligations, `unconfirmed` is those whose acknowledgement the server did not confirm. Raises
    PermissionDenied without a credential for the queue, Unreachable without a node, LimitExceeded when too
    many queues are worked.
    """

    def __init__(
        self,
        identity: Identity,
        token: str,
        name: str,
        handler: Handler | None,
        concurrency: int,
        max_attempts: int,
    ) -> None:
        self.name = name
        self.concurrency = concurrency
        self.running = 0
        self._identity = identity
        self._link = identity.link
        self._token = token
        self._handler = handler
        self._held: Held[Job] = Held()
        self._line: Line[Job] = Line()
        self._waiting_bytes = 0
        self._endings = Endings(identity, token, name, max_attempts)
        self._consumers: list[tuple[PullConsumer, Backlog]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._failure: FabricError | None = None
        self._open = False
        self._stopping = False
        self._stopped = asyncio.Event()
        self._reopening = False

    @property
    def account(self) -> Any:
        """What became of the jobs that this worker took; see `fabric.rules.accounts`."""
        return self._endings.account

    @property
    def waiting(self) -> int:
        """Jobs in this worker whose turn has not come."""
        return len(self._line)

    # For whoever works

    def __aiter__(self) -> AsyncGenerator[Job, None]:
        if self._handler is not None:
            raise TypeError("this worker has a handler: await it")
        return self._jobs()

    async def _jobs(self) -> AsyncGenerator[Job, None]:
        await self.start()
        try:
            while (job := await self._next()) is not None:
                yield job
        finally:
            await self.close()

    def __await__(self) -> Generator[Any, None, None]:
        if self._handler is None:
            raise TypeError("this worker has no handler: iterate over it")
        return self._serve(self._handler).__await__()

    async def _serve(self, handler: Handler) -> None:
        handed = Handed(handler, self, self._spawn)
        await self.start()
        try:
            while (job := await self._next()) is not None:
                handed.give(job)
                if handed.count % TURN == 0:
                    await asyncio.sleep(0)
        finally:
            await self.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # Life

    async def start(self) -> None:
        """Have the node make the consumers, then begin to take."""
        if self._open:
            return
        await self._ask_node()
        self._open = True
        for partition in PARTITIONS:
            self._consumers.append(self._consumer(partition))
        self._link.members.add(self)
        self._spawn(self._tick(), "tick")
        self._ask()

    def _consumer(self, partition: Partition) -> tuple[PullConsumer, Backlog]:
        backlog = Backlog(partition)
        consumer = PullConsumer(
            self._link.connection,
            QUEUE_STREAM,
            queue_consumer(self._token, partition.token),
            inbox=f"{self._link.inbox}.q{self._link.next_count()}",
            deliver=lambda *message: self._arrived(backlog, consumer, *message),
            on_gone=self._gone,
            on_settled=self._endings.settled,
        )
        return consumer, backlog

    async def close(self) -> None:
        """Stop, within two times GRACE_S. Safe to call twice."""
        if not self._open:
            return
        if self._stopping:
            await self._stopped.wait()
            return
        self._stopping = True
        try:
            await self._stop()
        finally:
            self._stopped.set()

    async def _stop(self) -> None:
        self._wake.set()
        for consumer, _ in self._consumers:
            consumer.stop()
        # Given back earlier, a job could be on its way to us again as the server learns that we stopped, and
        # would rest there for its ack wait.
        await self._endings.heard()
        while (job := self._line.take()) is not None:
            self._give_back(job)
        await self._end_tasks()
        for job in self._held.all():
            self._give_back(job)
        deadline = monotonic() + GRACE_S
        while any(consumer.acks.in_flight for consumer, _ in self._consumers) and monotonic() < deadline:
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._endings.news.wait()
            self._endings.news.clear()
        with suppress(Refused, Unreachable):  # no server: the account stays as it was a second ago
            await self._endings.flush(last=True)
        for job in self._held.all():  # what was still on its way
            self._give_back(job)
        for consumer, _ in self._consumers:
            consumer.close()
        self._link.members.discard(self)

    async def _end_tasks(self) -> None:
        tick = {task for task in self._tasks if task.get_name().endswith("tick")}
        running = self._tasks - tick - {asyncio.current_task()}
        if running:
            await asyncio.wait(running, timeout=GRACE_S)
        for task in [*running, *tick]:
            task.cancel()
        await asyncio.gather(*running, *tick, return_exceptions=True)

    async def _ask_node(self) -> None:
        await self._link.lease.keep()
        await self._link.ask("queue", self._identity.token, {"open": self._token})

    def reconnected(self) -> None:
        """The session's connection came back."""
        self._ask()

    async def probe(self, now: float) -> None:
        """The session's clock; a worker has its own."""

    def _gone(self, error: FabricError | None) -> None:
        if error is not None:
            self._failure = self._failure or error
            self._wake.set()
        elif not self._reopening and not self._stopping:
            self._reopening = True
            self._spawn(self._reopen(), "reopen")

    async def _reopen(self) -> None:
        # Somebody removed a consumer, or its leader is being elected: the node knows, or makes it anew.
        try:
            while not self._stopping:
                await asyncio.sleep(REOPEN_S)
                try:
                    await self._ask_node()
                    break
                except (Refused, Unreachable) as error:
                    log.warning("queue %s: %s; asking again in %g s", self.name, error, REOPEN_S)
                except FabricError as error:
                    self._gone(error)
                    break
        finally:
            self._reopening = False
            self._ask()

    # Jobs come

    def _arrived(
        self, backlog: Backlog, consumer: PullConsumer, subject: bytes, ack: bytes, header: bytes, data: bytes
    ) -> None:
        times, sequence = delivered(ack)
        source = subject[subject.rindex(b".") + 1 :].decode()
        envelope = Envelope.from_nats(subject, header, data)
        job = Job(envelope, header, source, backlog, consumer, ack, sequence, times, self)
        self._endings.taken_up()
        self._held.wait(job, monotonic())
        self._line.put(job)
        self._waiting_bytes += len(data)
        self._wake.set()

    def _ask(self) -> None:
        if self._stopping or self._failure is not None or self._waiting_bytes >= WAITING_BYTES_MAX:
            return
        for consumer, backlog in self._consumers:
            consumer.ask(backlog.room, backlog.window)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now = monotonic()
            for consumer, _ in self._consumers:
                consumer.tick(now)
            self._pass_time(now)
            self._ask()
            try:
                await self._endings.flush()
            except (Refused, Unreachable) as error:
                log.debug("queue %s: the account waits: %s", self.name, error)

    def _pass_time(self, now: float) -> None:
        due = self._held.due(now)
        for job in due.extend:
            job.consumer.say(job.ack_subject, b"+WPI")
        for job in due.give_back:
            if self._line.remove(job):
                self._waiting_bytes -= len(job.envelope.data)
                self._give_back(job)
        for job in due.lapsed:
            log.warning("queue %s: job %s ran out of its time", self.name, job.id)
            self._lapsed(job)

    def _lapsed(self, job: Job) -> None:
        if self._line.remove(job):
            self._waiting_bytes -= len(job.envelope.data)
        else:
            self._left()
        self._endings.given_back()

    def _give_back(self, job: Job, delay_s: float = 0.0) -> None:
        if self._held.end(job):
            job.consumer.give_back(job.ack_subject, delay_s)
            self._endings.given_back()

    # Jobs go

    async def _next(self) -> Job | None:
        while not self._stopping:
            if self._failure is not None:
                raise self._failure
            job = self._take()
            if job is None:
                self._wake.clear()
                await self._wake.wait()
            elif not source_agrees(job):
                cause = f"it says it is from {job.envelope.source}, and {job.source} put it"
                self._spawn(self.give_up(job, cause), job.id)
            elif job.deliveries == 1 or await self._may_start(job):
                return job
        return None

    def _take(self) -> Job | None:
        if self.running >= self.concurrency:
            return None
        while (job := self._line.take()) is not None:
            self._waiting_bytes -= len(job.envelope.data)
            job.consumer.ask(job.backlog.room, job.backlog.window)
            if self._endings.is_worth_nothing(job, now_us()):
                self._held.end(job)
                continue
            self.running += 1
            self._held.start(job, monotonic(), kept_alive=self._handler is not None)
            return job
        return None

    async def _may_start(self, job: Job) -> bool:
        if await self._endings.may_start(job):
            return True
        self._drop(job)
        return False

    # For jobs

    def holds(self, job: Job) -> bool:
        """Whether it is in hand here, and not settled."""
        return job in self._held

    def acknowledge(self, job: Job) -> "asyncio.Future[None]":
        """See `Job.ack`."""
        self._end(job)
        return self._endings.done(job)

    async def fail(self, job: Job, cause: str, delay_s: float | None) -> None:
        """See `Job.nak`."""
        self._end(job)
        await self._endings.failed(job, cause, delay_s)

    async def give_up(self, job: Job, cause: str) -> None:
        """See `Job.dead`."""
        self._end(job)
        await self._endings.buried(job, cause)

    def extend(self, job: Job) -> None:
        """See `Job.extend`."""
        if not self._held.extend(job, monotonic()):
            raise NotHeld(job.id)
        job.consumer.say(job.ack_subject, b"+WPI")

    def _end(self, job: Job) -> None:
        if not self._held.end(job):
            raise NotHeld(job.id)
        self._left()

    def _drop(self, job: Job) -> None:
        if self._held.end(job):
            self._left()

    def _left(self) -> None:
        self.running -= 1
        self._wake.set()

    def _spawn(self, work: Any, name: str) -> None:
        task = asyncio.create_task(work, name=f"fabric-queue-{self.name}-{name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s ended", task.get_name(), exc_info=error)


def source_agrees(job: Job) -> bool:
    """Whether a job says of itself what the server vouches for."""
    return job.envelope.source.rpartition("/")[2] == job.source
