"""Channels: named logs that exist as soon as somebody uses them. Publish one message and await its Receipt,
or open a publisher and keep thousands in flight; who joins is in `member` and `durable`."""

import asyncio
from collections.abc import Callable
from typing import get_args, overload

from fabric import subjects
from fabric.client.channels.catchup import Since
from fabric.client.channels.durable import DurableMember
from fabric.client.channels.member import Member
from fabric.client.channels.publisher import ChannelPublisher, Delivery
from fabric.client.context import current_handling
from fabric.client.identity import Identity
from fabric.client.outbox import cause_attributes, completed, encoded, template
from fabric.client.receipt import Receipt
from fabric.errors import InvalidName, PermissionDenied, Refused
from fabric.jetstream.layout import channel_stream
from fabric.jetstream.publish import Event, Outcome, Settle, too_large
from fabric.rules.once import once_line
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.names import is_pattern, pattern_name
from fabric_codecs.nats.wire import Template

__all__ = ["Channel"]


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
        self.stream = channel_stream(subjects.shard(self.name))  # of a pattern's channels: any
        self._templates: dict[tuple[str, str], Template] = {}

    async def publish(
        self, data: object, *, delivery: Delivery = "durable", id: str | None = None, **attributes: str
    ) -> Receipt:
        """Publish one message and wait until the fabric has it: a round trip. For many, use `publisher`.

        `data` is bytes, str, anything msgspec can make JSON of, or an Envelope, which goes out as it is.
        `attributes` are CloudEvents attributes (`partitionkey=...`). `id` names the message (at most 64
        characters, unique per source); without one it gets a new name.

        `once`: what is published again under the same `id`, to the same channel and by the same source, is
        stored once, and the second Receipt says `duplicate`: for 2 minutes after the first was stored,
        whatever became of the publisher meanwhile. Give the `id` yourself when a crashed process may try
        again, or derive it from what the message answers (`f"{envelope.id}:result"`); while a durable member
        is handling a message, an `id` that derives from that message is given by itself.

        Raises Refused (with `retry_after_ms`), LimitExceeded, InvalidName for a pattern, PermissionDenied
        for an Envelope of another source.
        """
        self._concrete()
        self.identity.admit(self.place)
        if id is None and delivery == "once" and (handling := current_handling.get()) is not None:
            id = handling.next_id(self.subject(delivery)) if not isinstance(data, Envelope) else None
        if id is not None:
            attributes["id"] = id
        if isinstance(data, Envelope):
            envelope = self._vouched(data.replace(None, **attributes) if attributes else data)
        else:
            envelope = self.envelope(data, attributes)
        if delivery == "live":
            await self.identity.link.publisher.admit()
            self.send_live(envelope)
            return Receipt(envelope.id)
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        event = self.event(envelope, lambda _, outcome: _resolve(done, outcome), delivery)
        await self.identity.link.publisher.admit()
        self.identity.link.publisher.offer(event)
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

        False, and nothing is taken, while the publish window has no room: await `room` then. `once` goes by
        the envelope's id. Raises LimitExceeded, InvalidName for a pattern, PermissionDenied for an envelope
        of another source, Refused("rate") where the node limits it.
        """
        self._concrete()
        envelope = self._vouched(envelope)
        if not self.identity.link.publisher.is_open:
            return False
        self.identity.admit(self.place)
        if delivery == "live":
            self.send_live(envelope)
            on_outcome(Receipt(envelope.id))
            return True

        def settle(_: int, outcome: Outcome) -> None:
            on_outcome(outcome if isinstance(outcome, Refused) else self._receipt(envelope, outcome))

        self.identity.link.publisher.offer(self.event(envelope, settle, delivery))
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

    @overload
    def join(
        self,
        handler: Callable[[Envelope], object] | None = None,
        *,
        since: Since = "now",
    ) -> Member: ...

    @overload
    def join(
        self, *, durable: str, since: Since = "now", take_over: bool = False, anew: bool = False
    ) -> DurableMember: ...

    def join(
        self,
        handler: Callable[[Envelope], object] | None = None,
        *,
        since: Since = "now",
        durable: str | None = None,
        take_over: bool = False,
        anew: bool = False,
    ) -> Member | DurableMember:
        """Become a member, for as long as `async with` lasts: `async with channel.join() as member: async
        for envelope in member`.

        With a `handler` each message is handed to it as it comes, without a task and without a queue; it
        must not wait; `await member.ended()` waits for its end. `since`: "now", "beginning", a sequence (of
        one channel's log; CursorAhead when that has not come so far), or a time. History holds durable
        messages only. All members of a name or pattern in this process share one feed; each waits for none.

        `durable` names a cursor that survives this process: the next that joins under the same name, here or
        elsewhere, goes on where this one ended; `since` says where the first begins. One process at a time
        has it: `take_over` replaces a live one. `anew` begins at `since` again. See `DurableMember`; it is
        iterated and takes no handler.
        """
        if durable is None:
            return Member(self.identity.link, self.name, handler, since)
        if handler is not None:
            raise InvalidName("durable member", durable, "it is iterated; it takes no handler")
        return DurableMember(self.identity, self.name, durable, since, take_over=take_over, anew=anew)

    # For publishers

    @property
    def place(self) -> str:
        """Under which name `[limits]` counts it."""
        return self.name

    def template(self, media_type: str, delivery: Delivery) -> Template:
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

    def envelope(self, data: object, attributes: dict[str, str]) -> Envelope:
        """A message of this channel, caused by what is being handled. Raises InvalidName for an id or an
        attribute that cannot be one."""
        payload, media_type = encoded(data)
        fields = {"subject": self.name, "datacontenttype": media_type} | cause_attributes() | attributes
        return self.identity.envelope(payload, kind="event", **fields)

    def event(self, envelope: Envelope, settle: Settle, delivery: Delivery, number: int = 0) -> Event:
        """What the publish window writes, and writes again: for `once` with the log's own name for it."""
        subject, header = self.subject(delivery), self._header(envelope)
        if delivery == "once":
            header = header[:10] + once_line(subject, envelope.source, envelope.id) + header[10:]
        return Event(subject, None, header, b"", number, 0, envelope.data, settle)

    def send_live(self, envelope: Envelope) -> None:
        """Hand a live message to the connection. Raises LimitExceeded."""
        connection = self.identity.link.connection
        subject, header = self.subject("live"), self._header(envelope)
        first = self.identity.link.live_line(subject)
        try:
            connection.writer.publish(subject, b"", header[:10] + first + header[10:], envelope.data)
        except CodecError as error:
            raise too_large(connection, len(envelope.data), error) from None
        connection.wake()

    def subject(self, delivery: Delivery) -> bytes:
        """Where messages of that delivery class go. Raises InvalidName for a class that there is not."""
        if delivery not in get_args(Delivery):
            raise InvalidName("delivery", delivery, f"it is one of {', '.join(get_args(Delivery))}")
        build = subjects.live if delivery == "live" else subjects.durable
        return build(self.identity.token, self.name).encode()

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

    def _receipt(self, envelope: Envelope, outcome: int) -> Receipt:
        return Receipt(envelope.id, self.stream, abs(outcome), outcome < 0)

    def _concrete(self) -> None:
        if self.is_pattern:
            raise InvalidName(
                "channel", self.name, "it is a pattern, which can be joined but not published to"
            )


def _resolve(done: "asyncio.Future[Outcome]", outcome: Outcome) -> None:
    if not done.done():
        done.set_result(outcome)
