"""Lower: an Envelope -> the PUBLISH that a device receives, and what it could not keep.

In: an envelope and the channel it came from. Out: `Translation[Publish]`. Above: the edge's deliver. Below:
`lift`'s names, for the way back. Attributes become MQTT 5 properties as `lift` shows; the rest are user
properties of their own name, `specversion` first (CloudEvents, MQTT binding 3.1), then the native entries
in order.

MQTT 3.1.1 has a topic and a payload: everything else is NO_METADATA.
"""

from base64 import b64decode, b64encode
from datetime import datetime
from typing import Any, Final

from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.mqtt.lift import FAB_LOSS, FAB_NATIVE, PAYLOAD_FORMAT
from fabric_codecs.mqtt.packets import Publish
from fabric_codecs.mqtt.properties import NONE, Properties
from fabric_codecs.names import channel_to_topic
from fabric_codecs.translate.losses import Loss, LossCode, Translation, loss_codes

__all__ = ["lower", "remaining_s"]

SPECVERSION: Final = ("specversion", "1.0")
BINARY_BYTES_MAX: Final = 65_535  # MQTT 5, 1.5.6
EXPIRY_S_MAX: Final = 0xFFFFFFFF

NO_METADATA: Final = Loss(LossCode.NO_METADATA, "attributes", "MQTT 3.1.1 carries a topic and a payload")
QOS_DOWNGRADED: Final = Loss(
    LossCode.QOS_DOWNGRADED, "delivery", "stored durably, delivered at most once: the subscription is QoS 0"
)
NO_REPLY_TOPIC: Final = Loss(LossCode.NO_METADATA, "fabreply", "no MQTT topic; kept as a user property")
NO_CORRELATION: Final = Loss(LossCode.NO_METADATA, "fabcorr", "no Correlation Data; kept as a user property")
HEADER_BINARY: Final = Loss(LossCode.HEADER_BINARY, "native", f"not text; kept in user property {FAB_NATIVE}")


def remaining_s(envelope: Envelope, now_us: int) -> int | None:
    """Whole seconds until the message is worthless, rounded up; 0 or less when it is; None without a
    (readable) expiry."""
    expiry = envelope.get("expirytime")
    if expiry is None:
        return None
    try:
        moment = datetime.fromisoformat(expiry)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return min(-(-(round(moment.timestamp() * 1_000_000) - now_us) // 1_000_000), EXPIRY_S_MAX)


def lower(
    envelope: Envelope,
    channel: str,
    *,
    version: int,
    qos: int,
    now_us: int,
    packet_id: int = 0,
    subscription_ids: tuple[int, ...] = (),
) -> Translation[Publish]:
    """The PUBLISH of one envelope at the QoS of the subscription. Raises CodecError when no topic has the
    channel's name."""
    topic = channel_to_topic(channel)
    losses = [QOS_DOWNGRADED] if qos == 0 and envelope.stream is not None else []
    properties = NONE
    if version == 5:
        properties = _properties(envelope, channel, now_us, subscription_ids, losses)
    else:
        losses.insert(0, NO_METADATA)
    message = Publish(topic, envelope.data, qos, False, False, packet_id, properties)
    return Translation(message, tuple(losses))


def _properties(
    envelope: Envelope, channel: str, now_us: int, subscription_ids: tuple[int, ...], losses: list[Loss]
) -> Properties:
    attributes = envelope.attributes()
    said: dict[str, Any] = {"subscription_ids": subscription_ids}
    said["content_type"] = attributes.pop("datacontenttype", None)
    if (left := remaining_s(envelope, now_us)) is not None:
        del attributes["expirytime"]
        said["message_expiry_s"] = max(left, 1)
    _reply(attributes, said, losses)
    attributes.pop("fablive", None)  # numbers one hop inside the fabric
    if attributes.get("subject") == channel:
        del attributes["subject"]
    native = _native(envelope, said, losses)
    if codes := loss_codes(losses, attributes.pop("fabloss", "")):
        attributes[FAB_LOSS] = codes
    said["user"] = (SPECVERSION, *attributes.items(), *native)
    return Properties(**said)


def _reply(attributes: dict[str, str], said: dict[str, Any], losses: list[Loss]) -> None:
    """Response Topic and Correlation Data. An envelope that wants a reply and has no correlation is known
    by its id."""
    reply = attributes.get("fabreply")
    if reply is not None:
        try:
            said["response_topic"] = channel_to_topic(reply)
        except CodecError:
            losses.append(NO_REPLY_TOPIC)
        else:
            del attributes["fabreply"]
    correlation = attributes.get("fabcorr")
    if correlation is not None:
        try:
            data = b64decode(correlation, validate=True)
        except ValueError:
            data = None
        if data is None or len(data) > BINARY_BYTES_MAX:
            losses.append(NO_CORRELATION)
        else:
            said["correlation_data"] = data
            del attributes["fabcorr"]
    elif reply is not None and "id" in attributes:
        said["correlation_data"] = attributes["id"].encode()


def _native(envelope: Envelope, said: dict[str, Any], losses: list[Loss]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in envelope.native:
        if name == PAYLOAD_FORMAT:
            said["payload_format"] = 1 if value == b"1" else 0
            continue
        text = _as_text(value)
        if text is None:
            packed = "-" if value is None else b64encode(value).decode()
            found.append((FAB_NATIVE, f"{packed}:{name}"))
            if HEADER_BINARY not in losses:
                losses.append(HEADER_BINARY)
        else:
            found.append((name, text))
    return found


def _as_text(value: bytes | None) -> str | None:
    """The value as an MQTT string, or None when it cannot be one."""
    if value is None or b"\0" in value:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
