"""A pipelined publisher on one channel or inbox: thousands in flight, each with its own outcome.

In: data. Out: a Receipt or Refused for each, told or raised. Above: `channel` and `inbox`, which make it.
Below: the publish window. Cost per message: a template and one command in the writer; `once` adds one hash.
"""

import asyncio
from collections.abc import Callable
from typing import Literal, Protocol, Self

from fabric.client.context import current_handling
from fabric.client.identity import Identity
from fabric.client.outbox import OCTETS, cause_lines, encoded
from fabric.client.receipt import Receipt
from fabric.clock import now_us
from fabric.errors import Refused
from fabric.jetstream.publish import Event, Outcome, Settle, too_large
from fabric.rules.once import once_line
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.nats.wire import Template

__all__ = ["ChannelPublisher", "Delivery", "Target"]

Delivery = Literal["live", "durable", "once"]

REFUSALS_KEPT = 16  # of a publisher without a handler: enough to see what was wrong


class Target(Protocol):
    """Where messages go: a channel, or an inbox."""

    @property
    def identity(self) -> Identity:
        """Who speaks."""

    @property
    def stream(self) -> str:
        """The log that keeps what is stored."""

    @property
    def place(self) -> str:
        """Under which name `[limits]` counts what goes there."""

    def subject(self, delivery: Delivery) -> bytes:
        """The subject of that delivery class."""

    def template(self, media_type: str, delivery: Delivery) -> Template:
        """The header lines that its messages share."""

    def envelope(self, data: object, attributes: dict[str, str]) -> Envelope:
        """One message of its own."""

    def event(self, envelope: Envelope, settle: Settle, delivery: Delivery, number: int = 0) -> Event:
        """That message as the publish window writes it."""

    def send_live(self, envelope: Envelope) -> None:
        """Write that message without storing it."""


class ChannelPublisher:
    """Keeps up to `window` messages in flight. Every message ends in a Receipt or a Refused: told to
    `on_outcome(number, outcome)` when given, where `number` is what `send` returned; without it, leaving
    the block raises the first Refused, with the number of all in its note. Leaving the block waits until
    every message is settled. `duplicates` counts what the log had already (`once` only)."""

    def __init__(
        self,
        channel: Target,
        window: int,
        delivery: Delivery,
        on_outcome: Callable[[int, Receipt | Refused], object] | None,
    ) -> None:
        self.channel = channel
        self.window = window
        self.delivery = delivery
        self.accepted = 0
        self.duplicates = 0
        self.refused = 0
        self.refusals: list[Refused] = []
        self._on_outcome = on_outcome
        self._link = channel.identity.link
        self._gate = channel.identity.gate
        self._publisher = self._link.publisher
        self._subject = channel.subject(delivery)
        self._stream = channel.stream
        self._process = f"{self._link.process}-".encode()
        self._octets = channel.template(OCTETS, delivery)
        self._cause = cause_lines()
        self._handling = current_handling.get()
        self._own_ids: dict[int, str] = {}  # of those in flight that are not called by their number
        self._in_flight = 0
        self._waiters = 0
        self._wake = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """Messages without an outcome yet."""
        return self._in_flight

    async def send(self, data: object, *, id: str | None = None) -> int:
        """Offer one message; returns its number at once unless the window is full. `id` is the message's
        own, see `Channel.publish`. Raises LimitExceeded, Unreachable, Refused(closing), and where the node
        limits it Refused(rate)."""
        if self._gate is not None:
            self._gate.message(self.channel.identity.token, self.channel.place)
        if self._in_flight >= self.window or not self._publisher.is_open:
            await self._room()
        number = self._link.next_count()
        if self.delivery == "live":
            self._send_live(number, data, id)
            return number
        if id is None and self.delivery == "once" and self._handling is not None:
            id = self._handling.next_id(self._subject)
        event = self._numbered(number, data) if id is None else self._called(number, data, id)
        self._in_flight += 1
        try:
            self._publisher.offer(event)
        except Exception:
            self._in_flight -= 1
            self._own_ids.pop(number, None)
            raise
        return number

    def _numbered(self, number: int, data: object) -> Event:
        payload, lines = self._encoded(data)
        first = self._cause
        if self.delivery == "once":
            message_id = f"{self._link.process}-{number}"
            first += once_line(self._subject, self.channel.identity.source, message_id)
        return Event(self._subject, lines, first, self._process, number, now_us(), payload, self._settled)

    def _called(self, number: int, data: object, id: str) -> Event:
        envelope = self.channel.envelope(data, {"id": id})
        event = self.channel.event(envelope, self._settled, self.delivery, number)
        self._own_ids[number] = id
        return event

    def _encoded(self, data: object) -> tuple[bytes, Template]:
        if type(data) is bytes:
            return data, self._octets
        payload, media_type = encoded(data)
        return payload, self.channel.template(media_type, self.delivery)

    def _send_live(self, number: int, data: object, id: str | None) -> None:
        if id is not None:
            self.channel.send_live(self.channel.envelope(data, {"id": id}))
            self._own_ids[number] = id
        else:
            self._write_live(number, data)
        self.accepted += 1
        message_id = self._id_of(number)
        if self._on_outcome is not None:
            self._on_outcome(number, Receipt(message_id))

    def _write_live(self, number: int, data: object) -> None:
        link = self._link
        payload, lines = self._encoded(data)
        first = link.live_line(self._subject) + self._cause
        try:
            link.connection.writer.publish_event(
                self._subject, b"", -1, lines, first, self._process, number, now_us(), payload
            )
        except CodecError as error:
            raise too_large(link.connection, len(payload), error) from None
        link.connection.wake()

    def _id_of(self, number: int) -> str:
        return self._own_ids.pop(number, "") or f"{self._link.process}-{number}"

    def _settled(self, number: int, outcome: Outcome) -> None:
        self._in_flight -= 1
        # Woken at half: a publisher that is woken for every acknowledgement pays a loop turn for each
        # message. And before the callback, which may raise.
        if self._waiters and self._in_flight <= self.window // 2:
            self._wake.set()
        if isinstance(outcome, Refused):
            self.refused += 1
            self._own_ids.pop(number, None)
            if self._on_outcome is not None:
                self._on_outcome(number, outcome)
            elif len(self.refusals) < REFUSALS_KEPT:
                self.refusals.append(outcome)
            return
        self.accepted += 1
        self.duplicates += outcome < 0
        if self._on_outcome is not None:
            receipt = Receipt(self._id_of(number), self._stream, abs(outcome), outcome < 0)
            self._on_outcome(number, receipt)
        elif self._own_ids:
            self._own_ids.pop(number, None)

    async def _room(self) -> None:
        while self._in_flight >= self.window or not self._publisher.is_open:
            if self._in_flight >= self.window:
                await self._until(self.window // 2)
            await self._publisher.admit()

    async def _until(self, in_flight: int) -> None:
        # Bounded: the publish window settles every message by its deadline.
        self._waiters += 1
        try:
            while self._in_flight > in_flight:
                self._wake.clear()
                await self._wake.wait()
        finally:
            self._waiters -= 1

    async def settle(self) -> None:
        """Until every message offered so far has its outcome; bounded by the publish deadline."""
        self._link.connection.flush()
        await self._until(0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self.settle()
        if kind is None and self.refusals:
            first = self.refusals[0]
            first.add_note(f"{self.refused:,} of {self.refused + self.accepted:,} messages were refused")
            raise first
