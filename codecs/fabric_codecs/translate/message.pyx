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

from typing import Literal

from fabric_codecs.mqtt.properties cimport NOTHING
from fabric_codecs.mqtt.publish cimport Publish
from fabric_codecs.translate.lift cimport lifted_of, publish_of
from fabric_codecs.translate.lower cimport lowered_of

from fabric_codecs.errors import CodecError
from fabric_codecs.mqtt.encode import encode
from fabric_codecs.translate.losses import Loss, LossCode, Translation, loss_codes
from fabric_codecs.translate.passing import pass_on

Policy = Literal["strict", "report"]

cdef tuple PROPERTIES_LOST = (Loss(LossCode.NO_METADATA, "properties", "MQTT 3.1.1 has none"),)


class LossRefused(CodecError):
    def __init__(self, source, target, losses):
        self.source, self.target, self.losses = source, target, losses
        told = "; ".join([f"{loss.code} of {loss.field}" for loss in losses])
        super().__init__(f"from {source} to {target} would lose {told}", protocol="translate")

    @property
    def codes(self):
        return loss_codes(self.losses)

    def __reduce__(self):
        return LossRefused, (self.source, self.target, self.losses)


def translate(
    bytes message not None, str source not None, str target not None, str policy not None="report", *, str origin not None,
    long long now_us, str fresh_id=None, str topic=None, partition=None, str to=None, bint trusted=False, bint structured=False,
    traceparent=None, waited_s=0,
):
    cdef tuple before, losses
    if source == target:
        return Translation(pass_on(message, source, traceparent=traceparent, waited_s=waited_s))
    if not structured and is_mqtt(source) and is_mqtt(target):
        translated = between_versions(message, source)
        losses = translated.losses
    else:
        lifted = lifted_of(message, source, origin, now_us, fresh_id, topic, partition, trusted, structured)
        translated = lowered_of(lifted.message, target, now_us, to, structured)
        before, losses = lifted.losses, translated.losses
        if before:
            losses = before + losses
            translated = Translation(translated.message, losses)
    if losses and policy == "strict":
        raise LossRefused(source, target, losses)
    return translated


cdef inline bint is_mqtt(str protocol):
    return protocol == "mqtt5" or protocol == "mqtt311"


cdef object between_versions(bytes message, str source):
    cdef Publish packet
    if source == "mqtt311":
        return Translation(encode(publish_of(message, 4), 5))
    packet = publish_of(message, 5)
    if packet.properties is NOTHING:
        return Translation(encode(packet, 4))
    bare = Publish(packet.topic, packet.payload, packet.qos, packet.retain, packet.dup, packet.packet_id)
    return Translation(encode(bare, 4), PROPERTIES_LOST)
