"""Queues: work shared by competing workers. Put one job and await its Receipt, or open a putter and keep
thousands in flight; `work` is in `worker`.

Putting needs nothing but the subject, `fab.q.<queue>.<partition>.<source>`: no queue has to be made, and
the server itself bounds what one source may leave in a partition (JOBS_PER_SOURCE). Above: `Fabric.queue`.
Below: `publisher`, the publish window; `rules/queues/partitions` says which partition.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

from fabric import subjects
from fabric.client.channels.publisher import ChannelPublisher, Delivery
from fabric.client.identity import Identity
from fabric.client.outbox import attribute_line, cause_attributes, cause_lines, encoded, template
from fabric.client.queues.job import Job
from fabric.client.queues.worker import Worker
from fabric.client.receipt import Receipt
from fabric.clock import monotonic, now_us, timestamp
from fabric.errors import FabricError, InvalidName, LimitExceeded, Refused
from fabric.jetstream.layout import DUE_STREAM, JOBS_PER_SOURCE, QUEUE_STREAM
from fabric.jetstream.publish import Event, Outcome, Settle, too_large
from fabric.rules.letters import ADDED_BYTES_MAX
from fabric.rules.once import once_line
from fabric.rules.queues.partitions import PRIORITY_DEFAULT, PRIORITY_MAX, partition_of, queue_problem
from fabric.rules.queues.retry import MAX_ATTEMPTS
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.names import encode_level
from fabric_codecs.nats.wire import Template

__all__ = ["Putter", "Queue"]

LOOK_EVERY_S = 1.0
LOOK_TIMEOUT_S = 1.0
HEADER_BYTES = 4096  # what the header lines of a pipelined job take at most


class Queue:
    """Made by `Fabric.queue`. Nothing has to exist."""

    def __init__(self, identity: Identity, name: str) -> None:
        try:
            self.token = encode_level(name)
        except CodecError as error:
            raise InvalidName("queue", name, error.what) from None
        if problem := queue_problem(name, self.token):
            raise InvalidName("queue", name, problem)
        self.identity = identity
        self.name = name
        self._looked_at = -LOOK_EVERY_S
        self._looking: asyncio.Task[None] | None = None
        self._depth: tuple[int | None, float | None] = None, None
        self._templates: dict[str, Template] = {}

    async def put(
        self,
        data: object,
        *,
        priority: int = PRIORITY_DEFAULT,
        key: str | None = None,
        delay_s: float | None = None,
        expires_s: float | None = None,
        id: str | None = None,
        once: bool = False,
        **attributes: str,
    ) -> Receipt:
        """Put one job and wait until it is stored: a round trip. For many, use `putter`.

        `priority` 0 to 9: three classes (0-2, 3-6, 7-9), the higher served more often, none starved. Jobs
        with the same `key` are worked one after another, in the order in which they were put; their
        priority only says what else is served first. `delay_s`: not before that long from now. `expires_s`:
        not after it; it is counted as expired then. `once`: a job put again under the same `id` within 2
        minutes is stored once.

        Raises Refused ("full" with `retry_after_ms`, `depth`: jobs of the queue, and `share`: this source's
        part of them), LimitExceeded, InvalidName.
        """
        slot = self.slot(priority, key, expires_s)
        self.identity.admit(slot.place)
        if id is not None:
            attributes["id"] = id
        delivery: Delivery = "once" if once else "durable"
        envelope = slot.envelope(data, attributes)
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def settle(_: int, outcome: Outcome) -> None:
            if not done.done():
                done.set_result(outcome)

        event = slot.event(envelope, settle, delivery)
        if delay_s is not None:
            event = self._later(event, slot, delay_s)
        await self.identity.link.publisher.admit()
        self.identity.link.publisher.offer(event)
        outcome = await done
        if isinstance(outcome, Refused):
            raise await self._explained(outcome)
        stream = QUEUE_STREAM if delay_s is None else DUE_STREAM
        return Receipt(envelope.id, stream, abs(outcome), outcome < 0)

    def putter(
        self,
        *,
        window: int = JOBS_PER_SOURCE,
        once: bool = False,
        on_outcome: Callable[[int, Receipt | Refused], object] | None = None,
    ) -> "Putter":
        """A pipelined putter: `async with queue.putter() as out: await out.send(data)`. Jobs in flight are
        among those that the server lets a source leave, so a `window` above 64 is refused in part while no
        worker keeps up."""
        return Putter(self, window, "once" if once else "durable", on_outcome)

    def work(
        self,
        handler: Callable[[Job], object] | None = None,
        *,
        concurrency: int = 8,
        max_attempts: int = MAX_ATTEMPTS,
    ) -> Worker:
        """Work the queue: `async for job in queue.work(): ...; await job.ack()`, or `await
        queue.work(handler)`.

        At most `concurrency` jobs are in the caller's or the handler's hands. A handler's job is
        acknowledged when the handler returns and tried again when it raises; see `Worker`. Needs a node and
        a credential for the queue.
        """
        return Worker(self.identity, self.token, self.name, handler, concurrency, max_attempts)

    def slot(
        self, priority: int = PRIORITY_DEFAULT, key: str | None = None, expires_s: float | None = None
    ) -> "Slot":
        """Where jobs of this priority and key go, and what they say of themselves. Raises InvalidName."""
        if not 0 <= priority <= PRIORITY_MAX:
            raise InvalidName("priority", str(priority), f"it is 0 to {PRIORITY_MAX}")
        partition = partition_of(self.identity.token, priority, encode_level(key) if key else "")
        attributes = {"fabpriority": str(priority)} if priority != PRIORITY_DEFAULT else {}
        if key:
            attributes["partitionkey"] = key
        if expires_s is not None:
            attributes["expirytime"] = timestamp(now_us() + round(expires_s * 1_000_000))
        return Slot(self, partition, attributes)

    def template(self, media_type: str) -> Template:
        """The header lines that its jobs share."""
        if media_type not in self._templates:
            self._templates[media_type] = template(
                source=self.identity.source,
                kind="event",
                subject=self.name,
                datacontenttype=media_type,
                fabproto=self.identity.protocol,
            )
        return self._templates[media_type]

    def check_size(self, size: int) -> None:
        """Raises LimitExceeded for a job that would not fit into a dead letter."""
        allowed = self.identity.link.connection.writer.payload_max - ADDED_BYTES_MAX
        if size > allowed:
            hint = "a job must leave room for what its dead letter says"
            raise LimitExceeded("bytes of headers and payload", allowed=allowed, actual=size, hint=hint)

    def refusal(self, outcome: Refused) -> Refused:
        """A refusal with what is known of the queue: as of a second ago, or nothing yet. Looks again."""
        if outcome.reason != "full":
            return outcome
        if self._looking is None and monotonic() - self._looked_at >= LOOK_EVERY_S:
            self._looking = self.identity.link.spawn(self._look(), f"fabric-depth-{self.name}")
        depth, share = self._depth
        detail = outcome.detail
        if "per subject" in detail:
            detail = f"this source has {JOBS_PER_SOURCE} jobs waiting in a partition of queue {self.name!r}"
        return Refused("full", retry_after_ms=outcome.retry_after_ms, depth=depth, share=share, detail=detail)

    async def _explained(self, outcome: Refused) -> Refused:
        # Who waits for one outcome gets a fresh count; who sends thousands, the last one.
        self.refusal(outcome)
        if self._looking is not None:
            await asyncio.wait([self._looking], timeout=LOOK_TIMEOUT_S)
        return self.refusal(outcome)

    async def _look(self) -> None:
        try:
            total, own = await asyncio.gather(
                self._count(subjects.jobs_in(self.token)),
                self._count(subjects.job(self.token, "*", self.identity.token)),
            )
            self._depth = total, own / total if total else 0.0
        except FabricError:  # no right to look, or no answer: a refusal without a number is still one
            self._depth = None, None
        finally:
            self._looked_at, self._looking = monotonic(), None

    async def _count(self, pattern: str) -> int:
        page = await self.identity.link.reader.page(
            QUEUE_STREAM, pattern, 1, batch=1, timeout_s=LOOK_TIMEOUT_S
        )
        return len(page.messages) + page.pending

    def _later(self, event: Event, slot: "Slot", delay_s: float) -> Event:
        # The server writes it to the target when its time has come; a node moves it into the queue.
        source, identity = self.identity.token, self.identity.new_id()
        when = datetime.now(UTC) + timedelta(seconds=delay_s)
        lines = (
            f"Nats-Schedule: @at {when.isoformat(timespec='milliseconds').replace('+00:00', 'Z')}\r\n"
            f"Nats-Schedule-Target: {subjects.due(source, identity)}\r\n"
            f"Fab-Queue: {self.token}\r\nFab-Partition: {slot.partition}\r\n"
        ).encode()
        header = event.first[:10] + lines + event.first[10:]
        subject = subjects.schedule(source, identity).encode()
        return Event(subject, None, header, b"", event.number, 0, event.payload, event.settle)


@dataclass(frozen=True)
class Slot:
    """A place in a queue, as `publisher.Target` wants it: a partition, and the attributes of jobs there."""

    queue: Queue
    partition: str
    attributes: dict[str, str]

    @property
    def identity(self) -> Identity:
        """Who puts."""
        return self.queue.identity

    @property
    def stream(self) -> str:
        """The log of all queues."""
        return QUEUE_STREAM

    @property
    def place(self) -> str:
        """Under which name `[limits]` counts it."""
        return f"queue {self.queue.name}"

    @cached_property
    def lines(self) -> bytes:
        """The attributes as header lines."""
        return b"".join(attribute_line(name, value) for name, value in self.attributes.items())

    def subject(self, delivery: Delivery) -> bytes:
        """Where its jobs go. Raises InvalidName for `live`: a job is stored."""
        if delivery == "live":
            raise InvalidName("delivery", delivery, "a job is stored: it is durable or once")
        return subjects.job(self.queue.token, self.partition, self.identity.token).encode()

    def template(self, media_type: str, _delivery: Delivery) -> Template:
        """The header lines that its jobs share."""
        return self.queue.template(media_type)

    def envelope(self, data: object, attributes: dict[str, str]) -> Envelope:
        """A job, caused by what is being handled. Raises InvalidName."""
        payload, media_type = encoded(data)
        fields = {"subject": self.queue.name, "datacontenttype": media_type}
        return self.identity.envelope(
            payload, kind="event", **fields | cause_attributes() | self.attributes | attributes
        )

    def event(self, envelope: Envelope, settle: Settle, delivery: Delivery, number: int = 0) -> Event:
        """What the publish window writes. Raises LimitExceeded."""
        subject = self.subject(delivery)
        try:
            header = envelope.nats_header()
        except CodecError as error:
            raise too_large(self.identity.link.connection, len(envelope.data), error) from None
        if delivery == "once":
            header = header[:10] + once_line(subject, envelope.source, envelope.id) + header[10:]
        self.queue.check_size(len(header) + len(envelope.data))
        return Event(subject, None, header, b"", number, 0, envelope.data, settle)

    def send_live(self, envelope: Envelope) -> None:
        """Nothing: `subject` has said so."""
        raise AssertionError("a job is stored")


class Putter(ChannelPublisher):
    """As a channel's publisher, each job with its own priority and key. Refusals carry depth and share as
    of a second ago."""

    def __init__(
        self,
        queue: Queue,
        window: int,
        delivery: Delivery,
        on_outcome: Callable[[int, Receipt | Refused], object] | None,
    ) -> None:
        super().__init__(queue.slot(), window, delivery, on_outcome)
        self._queue = queue
        self._caused = cause_lines()
        self._is_special = False  # what the last job said of itself is to be taken back

    async def send(
        self,
        data: object,
        *,
        id: str | None = None,
        priority: int = PRIORITY_DEFAULT,
        key: str | None = None,
        expires_s: float | None = None,
    ) -> int:
        """Offer one job; returns its number at once unless the window is full. Raises as `Queue.put`, except
        Refused, which is the outcome."""
        if isinstance(data, bytes):
            self._queue.check_size(len(data) + HEADER_BYTES)
        if self._in_flight >= self.window or not self._publisher.is_open:
            await self._room()
        if self._is_special or priority != PRIORITY_DEFAULT or key is not None or expires_s is not None:
            self._turn_to(self._queue.slot(priority, key, expires_s))
        return await super().send(
            data, id=id
        )  # there is room, so it does not wait between here and its offer

    def _turn_to(self, slot: Slot) -> None:
        self._is_special = bool(slot.attributes)
        self.channel = slot
        self._subject = slot.subject(self.delivery)
        self._cause = self._caused + slot.lines

    def _settled(self, number: int, outcome: Outcome) -> None:
        super()._settled(number, self._queue.refusal(outcome) if isinstance(outcome, Refused) else outcome)
