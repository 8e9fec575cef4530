"""Lift: one message of any protocol, as bytes -> the canonical Envelope.

In: the bytes, and what they cannot say themselves. Out: `Translation[Envelope]`. Above: `message`. Below: the
codecs of the protocols.

| protocol       | the bytes                                                                               |
|----------------|-----------------------------------------------------------------------------------------|
| mcp, a2a       | one JSON-RPC message                                                                    |
| mqtt5, mqtt311 | one PUBLISH packet                                                                      |
| kafka          | one record batch of one record; its topic is not in it, and is told with `topic`        |
"""

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from fabric_codecs.a2a.lift import lift as lift_a2a
from fabric_codecs.cloudevents.structured import read_event
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.kafka.lift import WITHHELD
from fabric_codecs.kafka.lift import lift as lift_kafka
from fabric_codecs.kafka.records import only_record
from fabric_codecs.mcp.lift import lift as lift_mcp
from fabric_codecs.mqtt.lift import lift as lift_mqtt
from fabric_codecs.mqtt.packets import Publish
from fabric_codecs.mqtt.wire import decode
from fabric_codecs.translate.losses import Translation

__all__ = ["LIFTS", "PROTOCOLS", "Protocol", "lift", "nameless", "publish_of"]

Protocol: TypeAlias = Literal["mcp", "a2a", "mqtt5", "mqtt311", "kafka"]
# A message, its origin, when it came, a fresh id, the topic, the partition, trusted, structured: see `lift`.
Lift: TypeAlias = Callable[
    [bytes, str, int, str | None, str | None, int | None, bool, bool], Translation[Envelope]
]

PROTOCOLS: Final[tuple[Protocol, ...]] = ("mcp", "a2a", "mqtt5", "mqtt311", "kafka")
NOTHING_WITHHELD: Final[frozenset[str]] = frozenset()


def lift(
    message: bytes,
    protocol: Protocol,
    *,
    origin: str,
    now_us: int,
    fresh_id: str | None = None,
    topic: str | None = None,
    partition: int | None = None,
    trusted: bool = False,
    structured: bool = False,
) -> Translation[Envelope]:
    """The envelope of one message.

    `origin` is its CloudEvents source, `now_us` when it came. `fresh_id` is used where the message has no id
    of its own: a codec invents none. `topic` says what a Kafka batch cannot, and names the subject of a
    request where the protocol leaves it open; with `partition` too, the record's place in its log is its id.
    `trusted` takes from MQTT and Kafka also what only the fabric may say (the source): for messages that the
    fabric wrote. `structured`: an MQTT 3.1.1 payload is a CloudEvent in JSON.

    Raises CodecError for bytes that are no such message, or a message without any id.
    """
    lifted = LIFTS[protocol](message, origin, now_us, fresh_id, topic, partition, trusted, structured)
    if fresh_id is None and not lifted.message.id:
        raise nameless(protocol)
    return lifted


def nameless(protocol: Protocol) -> CodecError:
    """The error for a message that nobody gave an id, to be raised: two readings of 21.5 are two messages."""
    return CodecError("the message has no id of its own, and none was given", protocol=protocol)


def publish_of(message: bytes, version: int) -> Publish:
    """The PUBLISH that the bytes are, with a topic of its own. Raises CodecError."""
    packet = decode(message, version)
    if not isinstance(packet, Publish):
        raise CodecError(
            f"{type(packet).__name__.upper()} carries no message: PUBLISH does", protocol="mqtt", clause="3.3"
        )
    if not packet.topic:
        raise CodecError(
            "the Topic Alias means something on its connection only", protocol="mqtt", clause="3.3.2.3.4"
        )
    return packet


def _lift_mcp(
    message: bytes, origin: str, now_us: int, fresh_id: str | None, topic: str | None, *_: object
) -> Translation[Envelope]:
    return lift_mcp(message, source=origin, fresh_id=fresh_id or "", now_us=now_us, target=topic)


def _lift_a2a(
    message: bytes, origin: str, now_us: int, fresh_id: str | None, topic: str | None, *_: object
) -> Translation[Envelope]:
    return lift_a2a(message, source=origin, fresh_id=fresh_id or "", now_us=now_us, target=topic)


def _lift_mqtt5(
    message: bytes,
    origin: str,
    now_us: int,
    fresh_id: str | None,
    topic: str | None,
    partition: int | None,
    trusted: bool,
    structured: bool,
) -> Translation[Envelope]:
    return lift_mqtt(
        publish_of(message, 5),
        version=5,
        fresh_id=fresh_id or "",
        source=origin,
        now_us=now_us,
        trusted=trusted,
    )


def _lift_mqtt311(
    message: bytes,
    origin: str,
    now_us: int,
    fresh_id: str | None,
    topic: str | None,
    partition: int | None,
    trusted: bool,
    structured: bool,
) -> Translation[Envelope]:
    publish = publish_of(message, 4)
    if structured:
        return Translation(read_event(publish.payload))
    return lift_mqtt(publish, version=4, fresh_id=fresh_id or "", source=origin, now_us=now_us)


def _lift_kafka(
    message: bytes,
    origin: str,
    now_us: int,
    fresh_id: str | None,
    topic: str | None,
    partition: int | None,
    trusted: bool,
    structured: bool,
) -> Translation[Envelope]:
    if topic is None:
        raise CodecError("a record batch does not say its topic: it has to be told", protocol="kafka")
    record = only_record(message)
    return lift_kafka(
        record,
        topic=topic,
        partition=-1 if partition is None else partition,
        offset=None if partition is None else record.offset,
        source=origin,
        fresh_id=fresh_id,
        withheld=NOTHING_WITHHELD if trusted else WITHHELD,
    )


LIFTS: Final[dict[Protocol, Lift]] = {
    "mcp": _lift_mcp,
    "a2a": _lift_a2a,
    "mqtt5": _lift_mqtt5,
    "mqtt311": _lift_mqtt311,
    "kafka": _lift_kafka,
}
