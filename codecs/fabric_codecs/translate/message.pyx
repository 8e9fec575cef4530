"""Translate: one message of any protocol -> the same message in any other, and what the way cost.

In: bytes, where they come from and go to, and what bytes cannot say. Out: `Translation[bytes]`. Above: edges,
`fabric translate`. Below: `lift`, `lower`, `routes`.

| from, to               | how                                                                              |
|------------------------|----------------------------------------------------------------------------------|
| the same protocol      | the very bytes (see `pass_on` for what a hop may add)                            |
| MQTT 3.1.1 and 5       | from packet to packet: topic, payload, QoS and the retained flag stay            |
| any other pair         | lifted and lowered again, with no more between than places in its bytes          |

| policy   | when something is lost                                                                         |
|----------|------------------------------------------------------------------------------------------------|
| `strict` | LossRefused, which lists the codes; nothing is delivered                                       |
| `report` | delivered, and told in the message itself: `_meta`, `metadata`, a user property, a header.     |
|          | A bare MQTT 3.1.1 payload has no place for it; there `losses` alone tell, to whoever delivers  |

There is no silent mode.
"""

from typing import Literal

from fabric_codecs.core.canonical cimport Canonical, close_canonical, open_canonical
from fabric_codecs.losses cimport Translation, translation_of
from fabric_codecs.mqtt.republish cimport republish
from fabric_codecs.translate.lift cimport MQTT5, MQTT311, Wire, take, wire_of
from fabric_codecs.translate.lower cimport written

from fabric_codecs.errors import CodecError
from fabric_codecs.losses import loss_codes
from fabric_codecs.translate.passing import pass_on

Policy = Literal["strict", "report"]


class LossRefused(CodecError):
    def __init__(self, source, target, losses):
        self.source, self.target, self.losses = source, target, losses
        told = "; ".join([f"{loss.code} of {loss.field}" for loss in losses])
        super().__init__(f"from {source} to {target} would lose {told}", protocol="translate")

    @property
    def codes(self):
        return loss_codes(self.losses)

    def __str__(self):
        return self.what  # no byte is at fault

    def __reduce__(self):
        return LossRefused, (self.source, self.target, self.losses)


def translate(
    bytes message not None, str source not None, str target not None, str policy not None="report", *, str origin not None,
    long long now_us, str fresh_id=None, str topic=None, partition=None, str to=None, bint trusted=False, bint structured=False,
    traceparent=None, waited_s=0,
):
    cdef Wire come, go
    cdef Translation translated
    if policy != "report" and policy != "strict":
        raise ValueError(f"no policy {policy!r}: there are strict and report")
    come, go = wire_of(source), wire_of(target)
    if come == go:
        return translation_of(pass_on(message, source, traceparent=traceparent, waited_s=waited_s), ())
    if not structured and is_mqtt(come) and is_mqtt(go):
        translated = republish(message, 5 if come == MQTT5 else 4)
    else:
        translated = converted(message, come, go, origin, now_us, fresh_id, topic, partition, to, trusted, structured)
    if translated.losses and policy == "strict":
        raise LossRefused(source, target, translated.losses)
    return translated


cdef inline bint is_mqtt(Wire wire) noexcept nogil:
    return wire == MQTT5 or wire == MQTT311


cdef Translation converted(
    bytes message, Wire come, Wire go, str origin, long long now_us, str fresh_id, str topic, object partition, str to,
    bint trusted, bint structured,
):
    cdef Canonical c
    cdef tuple before
    cdef Translation translated
    open_canonical(&c)
    try:
        before = take(&c, message, come, origin, now_us, fresh_id, topic, partition, trusted, structured)
        translated = written(&c, go, now_us, to, structured)
    finally:
        close_canonical(&c)
    return translation_of(translated.message, before + translated.losses) if before else translated
