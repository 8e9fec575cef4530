"""Lower: the canonical Envelope -> one message of any protocol, as bytes.

In: the envelope. Out: `Translation[bytes]`, in the forms that `lift` takes. Above: `message`. Below: the
codecs of the protocols, `names`.
"""

from fabric_codecs.envelope cimport Envelope
from fabric_codecs.mqtt.lower cimport lower_publish
from fabric_codecs.mqtt.publish cimport Publish

from fabric_codecs.a2a.lower import lower as lower_a2a
from fabric_codecs.cloudevents.structured import write_event
from fabric_codecs.errors import CodecError
from fabric_codecs.kafka.lower import lower_batch
from fabric_codecs.mcp.lower import lower as lower_mcp
from fabric_codecs.mqtt.encode import encode
from fabric_codecs.names import channel_name, channel_to_kafka_topic, channel_to_topic
from fabric_codecs.translate.losses import Translation

cdef Py_ssize_t NAMES_KEPT = 1024  # channels whose Kafka topic is remembered
cdef dict topics = {}


def lower(Envelope envelope not None, str protocol not None, *, long long now_us, str topic=None, bint structured=False):
    return lowered_of(envelope, protocol, now_us, topic, structured)


cdef object lowered_of(Envelope envelope, str protocol, long long now_us, str topic, bint structured):
    """`lower`, for `message`."""
    if protocol == "mcp":
        return lower_mcp(envelope)
    if protocol == "a2a":
        return lower_a2a(envelope)
    if protocol == "mqtt5":
        return mqtt(envelope, now_us, topic, 5, False)
    if protocol == "mqtt311":
        return mqtt(envelope, now_us, topic, 4, structured)
    if protocol == "kafka":
        kafka_topic(topic or envelope.subject or "")
        return lower_batch(envelope, floor_ms(now_us))
    raise KeyError(protocol)


def name_for(Envelope envelope not None, str protocol not None, str topic=None):
    name = topic or envelope.subject or ""
    if protocol == "kafka":
        return kafka_topic(name)
    if protocol == "mqtt5" or protocol == "mqtt311":
        return channel_to_topic(channel_name(name))
    return name


cdef str kafka_topic(str channel):
    found = topics.get(channel)
    if found is None:
        found = channel_to_kafka_topic(channel_name(channel))
        if len(topics) < NAMES_KEPT:
            topics[channel] = found
    return <str>found


cdef inline long long floor_ms(long long us) noexcept:
    return us // 1000 - (1 if us % 1000 < 0 else 0)  # C rounds towards zero


cdef object mqtt(Envelope envelope, long long now_us, str topic, int version, bint structured):
    lowered = mqtt_packet(envelope, now_us, topic or envelope.subject or "", version)
    cdef Publish publish = lowered.message
    if structured:
        return Translation(encode(Publish(publish.topic, write_event(envelope), 0, publish.retain), version))
    return Translation(encode(publish, version), lowered.losses)


cdef object mqtt_packet(Envelope envelope, long long now_us, str channel, int version):
    try:
        return lower_publish(envelope, channel, version, 0, now_us, 0, (), True)
    except CodecError:  # a subject in its own spelling, or one that no topic has: this tells which
        channel = channel_name(channel)
    return lower_publish(envelope, channel, version, 0, now_us, 0, (), True)
