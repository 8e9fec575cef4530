"""Lift: one message of any protocol, as bytes -> the canonical Envelope.

In: the bytes, and what they cannot say themselves. Out: `Translation[Envelope]`. Above: `message`. Below: the
codecs of the protocols.

| protocol       | the bytes                                                                               |
|----------------|-----------------------------------------------------------------------------------------|
| mcp, a2a       | one JSON-RPC message                                                                    |
| mqtt5, mqtt311 | one PUBLISH packet                                                                      |
| kafka          | one record batch of one record; its topic is not in it, and is told with `topic`        |
"""

from typing import Literal

from fabric_codecs.envelope cimport Envelope
from fabric_codecs.kafka.lift cimport lift_record
from fabric_codecs.kafka.records cimport Record
from fabric_codecs.mqtt.lift cimport lift_publish
from fabric_codecs.mqtt.publish cimport Publish

from fabric_codecs.a2a.lift import lift as lift_a2a
from fabric_codecs.cloudevents.structured import read_event
from fabric_codecs.errors import CodecError
from fabric_codecs.kafka.lift import WITHHELD
from fabric_codecs.kafka.records import only_record
from fabric_codecs.mcp.lift import lift as lift_mcp
from fabric_codecs.mqtt.wire import decode
from fabric_codecs.translate.losses import Translation

Protocol = Literal["mcp", "a2a", "mqtt5", "mqtt311", "kafka"]
PROTOCOLS = ("mcp", "a2a", "mqtt5", "mqtt311", "kafka")

cdef frozenset NOTHING_WITHHELD = frozenset()


def lift(
    bytes message not None, str protocol not None, *, str origin not None, long long now_us, str fresh_id=None, str topic=None,
    partition=None, bint trusted=False, bint structured=False,
):
    return lifted_of(message, protocol, origin, now_us, fresh_id, topic, partition, trusted, structured)


cdef object lifted_of(
    bytes message, str protocol, str origin, long long now_us, str fresh_id, str topic, object partition, bint trusted,
    bint structured,
):
    """`lift`, for `message`."""
    cdef Envelope envelope
    lifted = by_protocol(message, protocol, origin, now_us, fresh_id, topic, partition, trusted, structured)
    if fresh_id is None:
        envelope = lifted.message
        if not envelope.id:
            raise nameless(protocol)
    return lifted


cdef object by_protocol(
    bytes message, str protocol, str origin, long long now_us, str fresh_id, str topic, object partition, bint trusted,
    bint structured,
):
    cdef str given = "" if fresh_id is None else fresh_id
    cdef Publish publish
    if protocol == "mcp":
        return lift_mcp(message, source=origin, fresh_id=given, now_us=now_us, target=topic)
    if protocol == "a2a":
        return lift_a2a(message, source=origin, fresh_id=given, now_us=now_us, target=topic)
    if protocol == "mqtt5":
        publish = publish_of(message, 5)
        return lift_publish(publish, 5, given, origin, now_us, trusted)
    if protocol == "mqtt311":
        publish = publish_of(message, 4)
        if structured:
            return Translation(read_event(publish.payload))
        return lift_publish(publish, 4, given, origin, now_us, False)
    if protocol == "kafka":
        return kafka(message, origin, fresh_id, topic, partition, trusted)
    raise KeyError(protocol)


cdef object kafka(bytes message, str origin, str fresh_id, str topic, object partition, bint trusted):
    if topic is None:
        raise CodecError("a record batch does not say its topic: it has to be told", protocol="kafka")
    cdef Record record = only_record(message)
    return lift_record(
        record,
        topic,
        -1 if partition is None else partition,
        None if partition is None else record.offset,
        origin,
        fresh_id,
        NOTHING_WITHHELD if trusted else WITHHELD,
    )


cdef object nameless(str protocol):
    """Two readings of 21.5 are two messages."""
    return CodecError("the message has no id of its own, and none was given", protocol=protocol)


cpdef Publish publish_of(bytes message, int version):
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
