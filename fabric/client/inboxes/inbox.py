"""An inbox as others see it: leave letters for an agent, whether it is there, away, or never was.

| the server's answer                       | the sender's |
|-------------------------------------------|--------------|
| stored                                    | Receipt |
| this source has 256 letters there         | Refused("full", depth=256, share=1.0) |
| the owner, or its node, shut the inbox    | Refused("full") |
| another sender is looking at the same gate (replicated streams) | Refused("full"), a short time |

The first bound is the server's, whatever the sender does. The second is a look at the inbox's gate, which the
server compares as it stores: with the first letter to an inbox and then once in GATE_LOOK_S, or with every
letter while it was shut. Above: `Fabric.inbox`, `OwnedInbox.reply`. Below: `publisher`, the publish window.
"""

import asyncio
from collections.abc import Callable

import msgspec

from fabric import subjects
from fabric.client.channels.publisher import ChannelPublisher, Delivery
from fabric.client.identity import Identity
from fabric.client.inboxes.keeper import keeper_of
from fabric.client.outbox import attribute_line, cause_attributes, encoded, template
from fabric.client.receipt import Receipt
from fabric.clock import monotonic, now_us, timestamp
from fabric.errors import InvalidName, PermissionDenied, Refused
from fabric.jetstream.layout import INBOX_LETTERS_PER_SOURCE, inbox_stream
from fabric.jetstream.publish import Event, Outcome, Settle, too_large
from fabric.rules.once import once_line
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.names import decode_level, encode_level
from fabric_codecs.nats.wire import Template

__all__ = ["Inbox", "InboxPublisher"]

FULL_RETRY_MS, BUSY_RETRY_MS = 1000, 100
WINDOW = 128  # half of what the server lets one source leave


class Inbox:
    """Made by `Fabric.inbox`. Nothing has to exist: letters wait for the agent, at most 7 days."""

    def __init__(self, identity: Identity, agent: str) -> None:
        try:
            self.token = encode_level(agent)
        except CodecError as error:
            raise InvalidName("agent", agent, error.what) from None
        if not agent:
            raise InvalidName("agent", agent, "it is empty")
        self.identity = identity
        self.name = agent
        self.stream = inbox_stream(subjects.shard(self.token))
        self._subject = subjects.inbox(self.token, identity.token).encode()
        gate = subjects.inbox_gate(self.token)
        self._gate = (
            "Nats-Expected-Last-Subject-Sequence: 0\r\n"
            f"Nats-Expected-Last-Subject-Sequence-Subject: {gate}\r\n"
        ).encode()
        self._templates: dict[str, Template] = {}

    async def send(
        self,
        data: object,
        *,
        delivery: Delivery = "durable",
        id: str | None = None,
        expires_s: float | None = None,
        **attributes: str,
    ) -> Receipt:
        """Leave one letter and wait until it is stored: a round trip. For many, use `publisher`.

        `expires_s`: after that long it is worth nothing, and is not handed out any more. `delivery` "once":
        a letter that is sent again under the same `id` within 2 minutes is stored once. Raises Refused
        ("full" with `retry_after_ms`, `depth` and `share` where this source's own letters fill its part),
        LimitExceeded, InvalidName.
        """
        if id is not None:
            attributes["id"] = id
        if expires_s is not None:
            attributes["expirytime"] = expiry(expires_s)
        return await self.leave(self.envelope(data, attributes), delivery)

    async def leave(self, envelope: Envelope, delivery: Delivery = "durable") -> Receipt:
        """Leave a letter that was made elsewhere. Raises as `send`, and PermissionDenied for one of another
        source."""
        if envelope.source.rpartition("/")[2] != self.identity.token:
            hint = "leave it with `on_behalf_of` that name, or give the envelope your own source"
            raise PermissionDenied(f"{self.identity.name!r} leaving a letter as {envelope.source!r}", hint)
        self.identity.admit(self.place)
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        event = self.event(envelope, lambda _, outcome: _resolve(done, outcome), delivery)
        await self.identity.link.publisher.admit()
        self.identity.link.publisher.offer(event)
        outcome = await done
        if isinstance(outcome, Refused):
            raise self.refusal(outcome)
        return Receipt(envelope.id, self.stream, abs(outcome), outcome < 0)

    def publisher(
        self,
        *,
        window: int = WINDOW,
        delivery: Delivery = "durable",
        expires_s: float | None = None,
        on_outcome: Callable[[int, Receipt | Refused], object] | None = None,
    ) -> "InboxPublisher":
        """A pipelined sender: `async with inbox.publisher() as out: await out.send(data)`. A `window` above
        256 is refused in part when the owner is away."""
        return InboxPublisher(self, window, delivery, expires_s, on_outcome)

    # For publishers, as a channel

    @property
    def place(self) -> str:
        """Under which name `[limits]` counts it."""
        return f"inbox {self.name}"

    def subject(self, delivery: Delivery) -> bytes:
        """Where its letters go. Raises InvalidName for `live`: a letter is stored."""
        if delivery not in ("durable", "once"):
            raise InvalidName("delivery", delivery, "a letter is stored: it is durable or once")
        return self._subject

    def template(self, media_type: str, _delivery: Delivery) -> Template:
        """The header lines that letters share."""
        if media_type not in self._templates:
            self._templates[media_type] = template(
                source=self.identity.source,
                kind="event",
                subject=decode_level(self.token),
                datacontenttype=media_type,
                fabproto=self.identity.protocol,
            )
        return self._templates[media_type]

    def envelope(self, data: object, attributes: dict[str, str]) -> Envelope:
        """A letter, caused by what is being handled. Raises InvalidName."""
        payload, media_type = encoded(data)
        fields = {"subject": self.name, "datacontenttype": media_type} | cause_attributes() | attributes
        return self.identity.envelope(payload, kind="event", **fields)

    def event(self, envelope: Envelope, settle: Settle, delivery: Delivery, number: int = 0) -> Event:
        """What the publish window writes. Raises LimitExceeded."""
        subject = self.subject(delivery)
        try:
            header = envelope.nats_header()
        except CodecError as error:
            raise too_large(self.identity.link.connection, len(envelope.data), error) from None
        first = self.gate_lines()
        if delivery == "once":
            first += once_line(subject, envelope.source, envelope.id)
        return Event(subject, None, header[:10] + first + header[10:], b"", number, 0, envelope.data, settle)

    def send_live(self, envelope: Envelope) -> None:
        """There are no live letters. Raises InvalidName."""
        self.subject("live")

    def gate_lines(self) -> bytes:
        """What has the server look whether the inbox is open; nothing when it looked a moment ago."""
        return self._gate if keeper_of(self.identity.link).looks(self.token, monotonic()) else b""

    def refusal(self, refused: Refused) -> Refused:
        """The publish window's words as a sender of letters understands them."""
        if refused.reason == "conflict":
            if refused.detail.rpartition(" ")[2].isdecimal():  # the sequence of what it found
                keeper_of(self.identity.link).look_again(self.token)
                words = f"inbox {self.name} is shut: as many letters wait there as its owner allows"
                return Refused("full", retry_after_ms=FULL_RETRY_MS, detail=words)
            words = f"another letter to {self.name} is being stored"
            return Refused("full", retry_after_ms=BUSY_RETRY_MS, detail=words)
        if refused.reason == "full" and "per subject" in refused.detail:
            depth = INBOX_LETTERS_PER_SOURCE
            words = f"{depth} letters of {self.identity.name} wait in inbox {self.name}"
            return Refused("full", retry_after_ms=FULL_RETRY_MS, depth=depth, share=1.0, detail=words)
        return refused


class InboxPublisher(ChannelPublisher):
    """As `ChannelPublisher`, for letters."""

    def __init__(
        self,
        inbox: Inbox,
        window: int,
        delivery: Delivery,
        expires_s: float | None,
        on_outcome: Callable[[int, Receipt | Refused], object] | None,
    ) -> None:
        super().__init__(inbox, window, delivery, on_outcome)
        self._inbox = inbox
        self._expires_s = expires_s

    def _numbered(self, number: int, data: object) -> Event:
        event = super()._numbered(number, data)
        lines = self._inbox.gate_lines()
        if self._expires_s is not None:
            lines += attribute_line("expirytime", expiry(self._expires_s))
        return msgspec.structs.replace(event, first=event.first + lines) if lines else event

    def _settled(self, number: int, outcome: Outcome) -> None:
        if isinstance(outcome, Refused):
            outcome = self._inbox.refusal(outcome)
        super()._settled(number, outcome)


def expiry(seconds: float) -> str:
    """The time in so many seconds, as `expirytime` has it."""
    return timestamp(now_us() + round(seconds * 1e6))


def _resolve(done: "asyncio.Future[Outcome]", outcome: Outcome) -> None:
    if not done.done():
        done.set_result(outcome)
