"""Channels: named logs that exist as soon as somebody uses them. Publish one message and await its Receipt,
or open a publisher and keep thousands in flight; `join` is in `member`."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Literal, Self

import msgspec

from fabric import subjects
from fabric.client.context import current_cause
from fabric.client.identity import Identity
from fabric.client.member import Member
from fabric.client.outbox import cause_lines, completed, template
from fabric.client.receipt import Receipt
from fabric.clock import now_us
from fabric.errors import InvalidName, PermissionDenied, Refused
from fabric.jetstream.layout import channel_stream
from fabric.jetstream.publish import Event, Outcome, Settle, too_large
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.names import is_pattern, pattern_name
from fabric_codecs.nats.wire import Template

__all__ = ["Channel", "ChannelPublisher", "Delivery"]

Delivery = Literal["durable", "live"]
Since = Literal["now", "beginning"] | int | datetime
to_json = msgspec.json.Encoder().encode

OCTETS = "application/octet-stream"
REFUSALS_KEPT = 16  # of a publisher without a handler: enough to see what was wrong


def encoded(data: object) -> tuple[bytes, str]:
    """Payload and media type of what a user hands in."""
    if isinstance(data, bytes):
        return data, OCTETS
    if isinstance(data, str):
        return data.encode(), "text/plain"
    return to_json(data), "application/json"


class Channel:
    """A channel, or a pattern of channels (`*` one level, a final `>` this and all below) that can only be
    joined."""

    def __init__(self, identity: Identity, name: str) -> None:
        try:
            self.name = pattern_name(name)
        except CodecError as error:
            raise InvalidName("channel", name, error.what) from None
        self.identity = identity
        self.is_pattern = is_pattern(self.name)
        self._templates: dict[tuple[str, str], Template] = {}

    async def publish(self, data: object, *, delivery: Delivery = "durable", **attributes: str) -> Receipt:
        """Publish one message and wait until the fabric has it: a round trip. For many, use `publisher`.

        `data` is bytes, str, anything msgspec can make JSON of, or an Envelope, which goes out as it is.
        `attributes` are CloudEvents attributes (`partitionkey=...`). Raises Refused (with
        `retry_after_ms`), LimitExceeded, InvalidName for a pattern, PermissionDenied for an Envelope of
        another source.
        """
        self._concrete()
        if isinstance(data, Envelope):
            envelope = self._vouched(data.replace(None, **attributes) if attributes else data)
        else:
            envelope = self._envelope(data, attributes)
        if delivery == "live":
            await self.identity.link.publisher.admit()
            self._send_live_envelope(envelope)
            return Receipt(envelope.id)
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        await self.identity.link.publisher.admit()
        self.identity.link.publisher.offer(self._event(envelope, lambda _, outcome: _resolve(done, outcome)))
        outcome = await done
        if isinstance(outcome, Refused):
            raise outcome
        return self._receipt(envelope, outcome)

    def offer(
        self,
        envelope: Envelope,
        on_outcome: Callable[[Receipt | Refused], object],
        *,
        delivery: Delivery = "durable",
    ) -> bool:
        """Publish without waiting; `on_outcome` learns the Receipt or Refused, once. For edges.

        False, and nothing is taken, while the publish window has no room: await `room` then. Raises
        LimitExceeded, InvalidName for a pattern, PermissionDenied for an envelope of another source.
        """
        self._concrete()
        envelope = self._vouched(envelope)
        if not self.identity.link.publisher.is_open:
            return False
        if delivery == "live":
            self._send_live_envelope(envelope)
            on_outcome(Receipt(envelope.id))
            return True

        def settle(_: int, outcome: Outcome) -> None:
            on_outcome(outcome if isinstance(outcome, Refused) else self._receipt(envelope, outcome))

        self.identity.link.publisher.offer(self._event(envelope, settle))
        return True

    async def room(self) -> None:
        """Until `offer` takes a message. Raises Refused or Unreachable in time."""
        await self.identity.link.publisher.admit()

    def publisher(
        self,
        *,
        window: int = 4096,
        delivery: Delivery = "durable",
        on_outcome: Callable[[int, Receipt | Refused], object] | None = None,
    ) -> "ChannelPublisher":
        """A pipelined publisher: `async with channel.publisher() as out: await out.send(data)`. What it sends
        was caused by the message that is being handled where it is made."""
        self._concrete()
        return ChannelPublisher(self, window, delivery, on_outcome)

    def join(self, handler: Callable[[Envelope], object] | None = None, *, since: Since = "now") -> Member:
        """Become a member, for as long as `async with` lasts: `async with channel.join() as member: async
        for envelope in member`.

        With a `handler` each message is handed to it as it comes, without a task and without a queue; it
        must not wait. `since`: "now", "beginning", a sequence (of one channel's log), or a time. History
        holds durable messages only.
        """
        return Member(self.identity.link, self.name, handler, since)

    def template(self, media_type: str, delivery: str) -> Template:
        """The header lines that messages of this channel share."""
        key = (media_type, delivery)
        if key not in self._templates:
            self._templates[key] = template(
                source=self.identity.source,
                kind="event",
                subject=self.name,
                datacontenttype=media_type,
                fabproto=self.identity.protocol,
            )
        return self._templates[key]

    def _envelope(self, data: object, attributes: dict[str, str]) -> Envelope:
        payload, media_type = encoded(data)
        cause = current_cause.get()
        if cause is not None:
            attributes = {"correlationid": cause.correlationid, "causationid": cause.causationid} | attributes
        fields = {"subject": self.name, "datacontenttype": media_type} | attributes
        return self.identity.envelope(payload, kind="event", **fields)

    def _vouched(self, envelope: Envelope) -> Envelope:
        # Receivers drop what says another source than its subject; the publisher is told instead.
        if envelope.source.rpartition("/")[2] != self.identity.token:
            hint = "publish with `on_behalf_of` that name, or give the envelope your own source"
            raise PermissionDenied(f"{self.identity.name!r} publishing as {envelope.source!r}", hint)
        return completed(envelope)

    def _header(self, envelope: Envelope) -> bytes:
        try:
            return envelope.nats_header()
        except CodecError as error:
            raise too_large(self.identity.link.connection, len(envelope.data), error) from None

    def _event(self, envelope: Envelope, settle: Settle) -> Event:
        header = self._header(envelope)
        return Event(self._subject("durable"), None, header, b"", 0, 0, envelope.data, settle)

    def _receipt(self, envelope: Envelope, outcome: int) -> Receipt:
        stream = channel_stream(subjects.shard(self.name))
        return Receipt(envelope.id, stream, abs(outcome), outcome < 0)

    def _send_live_envelope(self, envelope: Envelope) -> None:
        connection = self.identity.link.connection
        subject, header = self._subject("live"), self._header(envelope)
        first = self.identity.link.live_line(subject)
        try:
            connection.writer.publish(subject, b"", header[:10] + first + header[10:], envelope.data)
        except CodecError as error:
            raise too_large(connection, len(envelope.data), error) from None
        connection.wake()

    def _subject(self, delivery: str) -> bytes:
        build = subjects.live if delivery == "live" else subjects.durable
        return build(self.identity.token, self.name).encode()

    def _concrete(self) -> None:
        if self.is_pattern:
            raise InvalidName(
                "channel", self.name, "it is a pattern, which can be joined but not published to"
            )


class ChannelPublisher:
    """Keeps up to `window` messages in flight. Every message ends in a Receipt or a Refused: told to
    `on_outcome(number, outcome)` when given, where `number` is what `send` returned; without it, leaving
    the block raises the first Refused, with the number of all in its note. Leaving the block waits until
    every message is settled."""

    def __init__(
        self,
        channel: Channel,
        window: int,
        delivery: Delivery,
        on_outcome: Callable[[int, Receipt | Refused], object] | None,
    ) -> None:
        self.channel = channel
        self.window = window
        self.delivery = delivery
        self.accepted = 0
        self.refused = 0
        self.refusals: list[Refused] = []
        self._on_outcome = on_outcome
        self._link = channel.identity.link
        self._publisher = self._link.publisher
        self._subject = channel._subject(delivery)
        self._stream = channel_stream(subjects.shard(channel.name))
        self._process = f"{self._link.process}-".encode()
        self._octets = channel.template(OCTETS, delivery)
        self._cause = cause_lines()
        self._in_flight = 0
        self._waiters = 0
        self._wake = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """Messages without an outcome yet."""
        return self._in_flight

    async def send(self, data: object) -> int:
        """Offer one message; returns its number at once unless the window is full. Raises LimitExceeded,
        Unreachable, Refused(closing)."""
        if type(data) is bytes:
            payload, lines = data, self._octets
        else:
            payload, media_type = encoded(data)
            lines = self.channel.template(media_type, self.delivery)
        if self._in_flight >= self.window or not self._publisher.is_open:
            await self._room()
        number = self._link.next_count()
        if self.delivery == "live":
            self._send_live(number, payload, lines)
        else:
            self._in_flight += 1
            try:
                self._publisher.offer(
                    Event(
                        self._subject,
                        lines,
                        self._cause,
                        self._process,
                        number,
                        now_us(),
                        payload,
                        self._settled,
                    )
                )
            except Exception:
                self._in_flight -= 1
                raise
        return number

    def _send_live(self, number: int, payload: bytes, lines: Template) -> None:
        link = self._link
        first = link.live_line(self._subject) + self._cause
        try:
            link.connection.writer.publish_event(
                self._subject, b"", -1, lines, first, self._process, number, now_us(), payload
            )
        except CodecError as error:
            raise too_large(link.connection, len(payload), error) from None
        link.connection.wake()
        self.accepted += 1
        if self._on_outcome is not None:
            self._on_outcome(number, Receipt(f"{link.process}-{number}"))

    def _settled(self, number: int, outcome: Outcome) -> None:
        self._in_flight -= 1
        # Woken at half: a publisher that is woken for every acknowledgement pays a loop turn for each
        # message. And before the callback, which may raise.
        if self._waiters and self._in_flight <= self.window // 2:
            self._wake.set()
        if isinstance(outcome, Refused):
            self.refused += 1
            if self._on_outcome is not None:
                self._on_outcome(number, outcome)
            elif len(self.refusals) < REFUSALS_KEPT:
                self.refusals.append(outcome)
        else:
            self.accepted += 1
            if self._on_outcome is not None:
                self._on_outcome(
                    number,
                    Receipt(f"{self._link.process}-{number}", self._stream, abs(outcome), outcome < 0),
                )

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


def _resolve(done: "asyncio.Future[Outcome]", outcome: Outcome) -> None:
    if not done.done():
        done.set_result(outcome)
