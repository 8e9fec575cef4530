from fabric_codecs.envelope import Envelope
from fabric_codecs.losses import Translation
from fabric_codecs.mqtt.publish import Publish

def remaining_s(envelope: Envelope, now_us: int) -> int | None:
    """Whole seconds until the message is worthless, rounded up; 0 or less when it is; None without a
    (readable) expiry."""

def lower(
    envelope: Envelope,
    channel: str,
    *,
    version: int,
    qos: int,
    now_us: int,
    packet_id: int = 0,
    subscription_ids: tuple[int, ...] = (),
    as_published: bool = False,
) -> Translation[Publish]:
    """The PUBLISH of one envelope at the QoS of the subscription. With `as_published` it is retained when
    the original was (MQTT 5, 3.8.3.1, Retain As Published). Raises CodecError when no topic has the
    channel's name, or an attribute cannot be an MQTT string."""
