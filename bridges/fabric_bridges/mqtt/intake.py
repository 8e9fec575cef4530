"""Intake: a device's PUBLISH -> the fabric, and the outcome back to its session.

In: messages the session lets through. Out: envelopes on channels, a record in the journal, and for each
message one call of `settled` once the fabric has it or has refused it: the PUBACK waits for that. No task
and no coroutine for a message while the publish window has room. Above: `connection`. Below: the codec's
`lift`, `replies`.
"""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from fabric.client import Channel, Fabric, Receipt
from fabric.clock import now_us
from fabric.errors import FabricError, InvalidName, Refused
from fabric_bridges.mqtt.desk import Desk
from fabric_bridges.mqtt.replies import Asked
from fabric_bridges.mqtt.session import Session
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.losses import Loss, Translation
from fabric_codecs.mqtt.lift import lift
from fabric_codecs.mqtt.packets import Publish, Reason

__all__ = ["Intake", "Settled"]

CHANNELS_KEPT = 64  # channels a device publishes to; one with more pays a look at the name for each message

Settled = Callable[[Publish, FabricError | CodecError | None], None]
"""Told the outcome of each message, once: None when the fabric has it."""


class Intake:
    """The messages of one device."""

    def __init__(self, desk: Desk, fabric: Fabric, session: Session, settled: Settled) -> None:
        self._desk = desk
        self._fabric = fabric
        self._session = session
        self._settled = settled
        self._channels: dict[str, Channel] = {}

    def offer(self, publish: Publish) -> Coroutine[Any, Any, None] | None:
        """Publish a message. Returns what has to be awaited first when the publish window has no room."""
        try:
            translation = self._lift(publish)
            channel = self._channel(translation.message.subject or "")
        except (CodecError, InvalidName) as error:
            self._desk.refused("invalid_message")
            self._settled(publish, error)
            return None
        if self._try(publish, translation, channel):
            return None
        return self._offer_later(publish, translation, channel)

    async def _offer_later(
        self, publish: Publish, translation: Translation[Envelope], channel: Channel
    ) -> None:
        try:
            await channel.room()  # ends by itself: the publish window has a deadline
            while not self._try(publish, translation, channel):
                await channel.room()
        except FabricError as error:
            self._fail(publish, error)

    def _try(self, publish: Publish, translation: Translation[Envelope], channel: Channel) -> bool:
        delivery = "durable" if publish.qos else self._desk.settings.qos0_delivery
        outcome = partial(self._outcome, publish, translation.message, translation.losses)
        try:
            return channel.offer(translation.message, outcome, delivery=delivery)
        except FabricError as error:
            self._fail(publish, error)
            return True

    def _outcome(
        self, publish: Publish, envelope: Envelope, losses: tuple[Loss, ...], outcome: Receipt | Refused
    ) -> None:
        if isinstance(outcome, Refused):
            self._fail(publish, outcome)
            return
        position = f"{outcome.stream}:{outcome.sequence}" if outcome.stream else ""
        self._desk.crossings.came_in(envelope, self._session.client_id, losses, position=position)
        self._settled(publish, None)

    def _fail(self, publish: Publish, error: FabricError) -> None:
        self._desk.refused(error.reason if isinstance(error, Refused) else error.code)
        self._settled(publish, error)

    def _lift(self, publish: Publish) -> Translation[Envelope]:
        if publish.topic.startswith("$SYS/"):
            what = f"{publish.topic!r} is the server's own"
            raise CodecError(what, protocol="mqtt", clause="4.7.2", reason=Reason.TOPIC_NAME_INVALID)
        now = now_us()
        translation = lift(
            publish,
            version=self._session.version,
            fresh_id=self._fabric.new_id(),
            source=self._fabric.source,
            now_us=now,
        )
        envelope, correlation = translation.message, publish.properties.correlation_data
        channel = envelope.subject or ""
        asked = self._desk.replies.cause_of(self._session.client_id, channel, correlation, now)
        return translation if asked is None else Translation(_answer(envelope, asked), translation.losses)

    def _channel(self, name: str) -> Channel:
        channel = self._channels.get(name)
        if channel is None:
            channel = self._fabric.channel(name)
            if len(self._channels) < CHANNELS_KEPT:
                self._channels[name] = channel
        return channel


def _answer(envelope: Envelope, asked: Asked) -> Envelope:
    """The device's message as the answer to what it was asked."""
    changes = {"causationid": asked.id, "correlationid": asked.correlationid}
    if envelope.kind == "event":
        changes |= {"fabkind": "response"}
        if envelope.type == "io.agentfabric.event":
            changes |= {"type": "io.agentfabric.response"}
    if envelope.get("fabcorr") is None:
        changes["fabcorr"] = asked.fabcorr
    return envelope.replace(None, **changes)
