"""Translate: one message of any protocol -> the same message in any other, and what the way cost.

In: bytes, where they come from and go to, and what bytes cannot say. Out: `Translation[bytes]`. Above: edges,
`fabric translate`. Below: `lift`, `lower`, `routes`.

| from, to               | how                                                                              |
|------------------------|----------------------------------------------------------------------------------|
| the same protocol      | the very bytes (see `pass_on` for what a hop may add)                            |
| MQTT 3.1.1 and 5       | from packet to packet: topic, payload, QoS and the retained flag stay            |
| any other pair         | lifted to an Envelope and lowered again                                          |

| policy   | when something is lost                                                                         |
|----------|------------------------------------------------------------------------------------------------|
| `strict` | LossRefused, which lists the codes; nothing is delivered                                       |
| `report` | delivered, and told in the message itself: `_meta`, `metadata`, a user property, a header.     |
|          | A bare MQTT 3.1.1 payload has no place for it; there `losses` alone tell, to whoever delivers  |

There is no silent mode.
"""

from typing import Final, Literal, TypeAlias

from fabric_codecs.errors import CodecError
from fabric_codecs.mqtt.encode import encode
from fabric_codecs.mqtt.packets import Publish
from fabric_codecs.mqtt.properties import NONE
from fabric_codecs.translate.lift import LIFTS, Protocol, nameless, publish_of
from fabric_codecs.translate.losses import Loss, LossCode, Translation, loss_codes
from fabric_codecs.translate.lower import LOWERS
from fabric_codecs.translate.passing import pass_on

__all__ = ["LossRefused", "Policy", "translate"]

Policy: TypeAlias = Literal["strict", "report"]

PROPERTIES_LOST: Final = (Loss(LossCode.NO_METADATA, "properties", "MQTT 3.1.1 has none"),)


class LossRefused(CodecError):
    """A translation that would lose something, where the policy is `strict`. `losses` say what; nothing was
    delivered."""

    def __init__(self, source: str, target: str, losses: tuple[Loss, ...]) -> None:
        self.source, self.target, self.losses = source, target, losses
        told = "; ".join(f"{loss.code} of {loss.field}" for loss in losses)
        super().__init__(f"from {source} to {target} would lose {told}", protocol="translate")

    @property
    def codes(self) -> str:
        """The loss codes, comma-separated, as `fabloss` has them."""
        return loss_codes(self.losses)

    def __reduce__(self) -> tuple[object, ...]:
        return LossRefused, (self.source, self.target, self.losses)


def translate(
    message: bytes,
    source: Protocol,
    target: Protocol,
    policy: Policy = "report",
    *,
    origin: str,
    now_us: int,
    fresh_id: str | None = None,
    topic: str | None = None,
    partition: int | None = None,
    to: str | None = None,
    trusted: bool = False,
    structured: bool = False,
    traceparent: str | None = None,
    waited_s: int = 0,
) -> Translation[bytes]:
    """`message` of protocol `source` as a message of `target`, in the forms that `lift` names.

    `origin`, `now_us`, `fresh_id`, `topic`, `partition` and `trusted` are what `lift` asks for, `to` is the
    channel that it goes to (the message's own subject by default). `structured` writes and reads MQTT 3.1.1
    payloads as CloudEvents in JSON. `traceparent` and `waited_s` are the hop's, for `pass_on`. Raises
    CodecError for a message that cannot be translated, LossRefused for one that would lose something under
    `strict`.
    """
    if source == target:
        return Translation(pass_on(message, source, traceparent=traceparent, waited_s=waited_s))
    if not structured and source in ("mqtt5", "mqtt311") and target in ("mqtt5", "mqtt311"):
        translated = _between_versions(message, source)
    else:
        lifted = LIFTS[source](message, origin, now_us, fresh_id, topic, partition, trusted, structured)
        if fresh_id is None and not lifted.message.id:
            raise nameless(source)
        translated = LOWERS[target](lifted.message, now_us, to, structured)
        if lifted.losses:
            translated = Translation(translated.message, (*lifted.losses, *translated.losses))
    if translated.losses and policy == "strict":
        raise LossRefused(source, target, translated.losses)
    return translated


def _between_versions(message: bytes, source: Protocol) -> Translation[bytes]:
    if source == "mqtt311":
        return Translation(encode(publish_of(message, 4), 5))
    packet = publish_of(message, 5)
    if packet.properties is NONE:
        return Translation(encode(packet, 4))
    bare = Publish(packet.topic, packet.payload, packet.qos, packet.retain, packet.dup, packet.packet_id)
    return Translation(encode(bare, 4), PROPERTIES_LOST)
