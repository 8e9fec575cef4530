"""Lower: the canonical Envelope -> one message of any protocol, as bytes.

In: the envelope. Out: `Translation[bytes]`, in the forms that `lift` takes. Above: `message`. Below: the
codecs of the protocols, `names`.
"""

from collections.abc import Callable
from typing import Final

from fabric_codecs.a2a.lower import lower as lower_a2a
from fabric_codecs.cloudevents.structured import write_event
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.kafka.lower import lower_batch
from fabric_codecs.mcp.lower import lower as lower_mcp
from fabric_codecs.mqtt.encode import encode
from fabric_codecs.mqtt.lower import lower as lower_mqtt
from fabric_codecs.mqtt.packets import Publish
from fabric_codecs.names import channel_name, channel_to_kafka_topic, channel_to_topic
from fabric_codecs.translate.lift import Protocol
from fabric_codecs.translate.losses import Translation

__all__ = ["LOWERS", "lower", "name_for"]

MQTT_VERSION: Final = {"mqtt5": 5, "mqtt311": 4}
NAMES_KEPT: Final = 1024  # channels whose Kafka topic is remembered

_topics: dict[str, str] = {}


def lower(
    envelope: Envelope,
    protocol: Protocol,
    *,
    now_us: int,
    topic: str | None = None,
    structured: bool = False,
) -> Translation[bytes]:
    """The message of an envelope, and what it could not keep.

    `topic` is the channel that it goes to where the protocol names one, the envelope's subject by default.
    `structured`: in MQTT 3.1.1 the payload is a CloudEvent in JSON, which carries everything. Raises
    CodecError when the protocol has no such message, or the name does not fit.
    """
    return LOWERS[protocol](envelope, now_us, topic, structured)


def name_for(envelope: Envelope, protocol: Protocol, topic: str | None = None) -> str:
    """What the message goes to, in the protocol's own spelling: an MQTT topic, a Kafka topic, a tool or agent
    of MCP and A2A; empty where there is none. Raises CodecError with the limit when the name does not fit."""
    name = topic or envelope.subject or ""
    if protocol == "kafka":
        return _kafka_topic(name)
    if protocol in MQTT_VERSION:
        return channel_to_topic(channel_name(name))
    return name


def _kafka_topic(channel: str) -> str:
    found = _topics.get(channel)
    if found is None:
        found = channel_to_kafka_topic(channel_name(channel))
        if len(_topics) < NAMES_KEPT:
            _topics[channel] = found
    return found


def _lower_mcp(envelope: Envelope, now_us: int, topic: str | None, structured: bool) -> Translation[bytes]:
    return lower_mcp(envelope)


def _lower_a2a(envelope: Envelope, now_us: int, topic: str | None, structured: bool) -> Translation[bytes]:
    return lower_a2a(envelope)


def _publish(envelope: Envelope, now_us: int, topic: str | None, version: int) -> Translation[Publish]:
    channel = topic or envelope.subject or ""
    try:
        return lower_mqtt(envelope, channel, version=version, qos=0, now_us=now_us, as_published=True)
    except CodecError:  # a subject in its own spelling, or one that no topic has: this tells which
        channel = channel_name(channel)
    return lower_mqtt(envelope, channel, version=version, qos=0, now_us=now_us, as_published=True)


def _lower_mqtt5(envelope: Envelope, now_us: int, topic: str | None, structured: bool) -> Translation[bytes]:
    lowered = _publish(envelope, now_us, topic, 5)
    return Translation(encode(lowered.message, 5), lowered.losses)


def _lower_mqtt311(
    envelope: Envelope, now_us: int, topic: str | None, structured: bool
) -> Translation[bytes]:
    lowered = _publish(envelope, now_us, topic, 4)
    if structured:
        publish = lowered.message
        event = Publish(publish.topic, write_event(envelope), 0, publish.retain)
        return Translation(encode(event, 4))
    return Translation(encode(lowered.message, 4), lowered.losses)


def _lower_kafka(envelope: Envelope, now_us: int, topic: str | None, structured: bool) -> Translation[bytes]:
    _kafka_topic(topic or envelope.subject or "")
    return lower_batch(envelope, now_us // 1000)


LOWERS: Final[dict[Protocol, Callable[[Envelope, int, str | None, bool], Translation[bytes]]]] = {
    "mcp": _lower_mcp,
    "a2a": _lower_a2a,
    "mqtt5": _lower_mqtt5,
    "mqtt311": _lower_mqtt311,
    "kafka": _lower_kafka,
}
