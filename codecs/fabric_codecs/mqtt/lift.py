"""Lift: a device's PUBLISH -> the canonical Envelope.

In: the packet, and what only the edge knows (a fresh id, the source, the time). Out: `Translation[Envelope]`.
Above: the edge's session. Below: `packets`, `names`.

    subject          the channel that the Topic Name is
    datacontenttype  Content Type; in 3.1.1 guessed from the payload (CONTENT_TYPE_GUESSED)
    expirytime       now + Message Expiry Interval
    fabreply         the channel that the Response Topic is
    fabcorr          Correlation Data, base64
    fabkind          `request` with a Response Topic, `response` with Correlation Data alone, else `event`
    <attribute>      the first user property of that name, when it is one that a device may set (`TAKEN`)
    fabloss          user property `fab-loss`
    native entries   every other user property, in order, with duplicates; `mqtt.payload_format`
"""

from base64 import b64decode, b64encode
from datetime import datetime
from typing import Final

from fabric_codecs.bounds import ID_CHARS_MAX
from fabric_codecs.envelope import ATTRIBUTES, Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.mqtt.packets import Publish, Reason
from fabric_codecs.names import topic_to_channel
from fabric_codecs.nats.wire import timestamp
from fabric_codecs.translate.losses import Loss, LossCode, Translation
from fabric_codecs.translate.media import guess

__all__ = ["FAB_LOSS", "FAB_NATIVE", "PAYLOAD_FORMAT", "lift"]

FAB_LOSS: Final = "fab-loss"  # user property: the losses so far
FAB_NATIVE: Final = "fab-native"  # user property `<base64>:<name>` or `-:<name>`: an entry that is no text
PAYLOAD_FORMAT: Final = "mqtt.payload_format"  # native entry: the Payload Format Indicator

# What a device may not say of itself: the edge knows it, or a property of MQTT carries it.
WITHHELD: Final = frozenset((
    "source", "subject", "datacontenttype", "fabproto", "fabver", "fabmethod", "fabreply", "fabcorr",
    "fablive", "fabepoch", "fabloss",
))  # fmt: skip
TAKEN: Final = ATTRIBUTES - WITHHELD
KINDS: Final = frozenset((
    "event", "request", "response", "error", "progress", "status", "artifact", "cancel", "presence",
))  # fmt: skip

GUESSED: Final = (
    Loss(LossCode.CONTENT_TYPE_GUESSED, "datacontenttype", "guessed from the payload; MQTT 3.1.1 has none"),
)


def lift(publish: Publish, *, version: int, fresh_id: str, source: str, now_us: int) -> Translation[Envelope]:
    """The envelope of one PUBLISH; `fresh_id` is used unless the device set `id`.

    Raises CodecError with the reason code for the PUBACK: 0x90 for a topic no channel can have, 0x99 for a
    payload that is not the UTF-8 that its Payload Format Indicator promises.
    """
    attributes: dict[str, str] = {
        "id": fresh_id,
        "source": source,
        "subject": _channel(publish.topic, "Topic Name"),
        "time": timestamp(now_us),
        "fabproto": "mqtt",
        "fabver": "5" if version == 5 else "3.1.1",
        "fabmethod": "PUBLISH",
        "fabkind": "event",
    }
    native: list[tuple[str, bytes | None]] = []
    losses: tuple[Loss, ...] = ()
    if version == 5:
        _properties(publish, attributes, native, now_us)
    elif publish.payload:
        losses = GUESSED
        attributes |= {"datacontenttype": guess(publish.payload), "fabloss": GUESSED[0].code.value}
    attributes.setdefault("type", f"io.agentfabric.{attributes['fabkind']}")
    envelope = Envelope(publish.payload, **attributes)
    return Translation(envelope.with_native(native) if native else envelope, losses)


def _channel(topic: str, what: str) -> str:
    try:
        return topic_to_channel(topic)
    except CodecError as error:
        raise CodecError(
            f"{what}: {error.what}", protocol="mqtt", clause="4.7.3", reason=Reason.TOPIC_NAME_INVALID
        ) from None


def _properties(
    publish: Publish, attributes: dict[str, str], native: list[tuple[str, bytes | None]], now_us: int
) -> None:
    said = publish.properties
    if said.user:
        _user_properties(said.user, attributes, native)
    if said.content_type is not None:
        _text("datacontenttype", said.content_type, attributes, native)
    if said.message_expiry_s is not None:
        attributes["expirytime"] = timestamp(now_us + said.message_expiry_s * 1_000_000)
    if said.correlation_data is not None:
        attributes["fabcorr"] = b64encode(said.correlation_data).decode()
    if said.response_topic is not None:
        attributes["fabreply"] = _channel(said.response_topic, "Response Topic")
    if said.payload_format is not None:
        native.append((PAYLOAD_FORMAT, b"%d" % said.payload_format))
        if said.payload_format:
            _check_utf8(publish.payload)
    if attributes["fabkind"] == "event" and (said.response_topic or said.correlation_data is not None):
        attributes["fabkind"] = "request" if said.response_topic else "response"


def _user_properties(
    user: tuple[tuple[str, str], ...], attributes: dict[str, str], native: list[tuple[str, bytes | None]]
) -> None:
    seen: set[str] = set()
    for name, value in user:
        if name == FAB_NATIVE and (entry := _native_entry(value)) is not None:
            native.append(entry)
        elif name == FAB_LOSS and name not in seen and value.isprintable():
            attributes["fabloss"] = value
        elif name in TAKEN and name not in seen and _is_legal(name, value):
            attributes[name] = value
        elif not (name == "specversion" and value == "1.0"):
            native.append((name, value.encode()))
        seen.add(name)


def _text(
    attribute: str, value: str, attributes: dict[str, str], native: list[tuple[str, bytes | None]]
) -> None:
    if value.isprintable():
        attributes[attribute] = value
    else:  # CloudEvents forbids control characters in attributes; MQTT only advises against them (1.5.4)
        native.append((attribute, value.encode()))


def _is_legal(name: str, value: str) -> bool:
    """Whether an attribute may have the value; if not, the user property stays a native entry."""
    if not value.isprintable():
        return False
    if name == "id":
        return 0 < len(value) <= ID_CHARS_MAX
    if name == "fabkind":
        return value in KINDS
    if name == "type":
        return bool(value)
    if name in ("time", "expirytime"):
        try:
            return datetime.fromisoformat(value).tzinfo is not None
        except ValueError:
            return False
    return True


def _native_entry(value: str) -> tuple[str, bytes | None] | None:
    """What `lower` folded into `fab-native`, or None when somebody else wrote it."""
    packed, separator, name = value.partition(":")
    if not separator:
        return None
    if packed == "-":
        return name, None
    try:
        return name, b64decode(packed, validate=True)
    except ValueError:  # not base64; of characters that are not even ASCII
        return None


def _check_utf8(payload: bytes) -> None:
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        raise CodecError(
            "the payload is not the UTF-8 that its Payload Format Indicator promises",
            protocol="mqtt",
            offset=error.start,
            clause="3.3.2.3.2",
            reason=Reason.PAYLOAD_FORMAT_INVALID,
        ) from None
