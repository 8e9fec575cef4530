"""Lower: the canonical Envelope -> one message of any protocol, as bytes.

In: the envelope. Out: `Translation[bytes]`, in the forms that `lift` takes. Above: `message`. Below: the
codecs of the protocols, `names`.
"""

from cpython.unicode cimport PyUnicode_AsUTF8AndSize

from fabric_codecs.a2a.lower cimport message_of as a2a_of
from fabric_codecs.core.canonical cimport Canonical, Place, close_canonical, has, open_canonical
from fabric_codecs.core.enveloped cimport envelope_of, read_envelope
from fabric_codecs.core.marks cimport SUBJECT
from fabric_codecs.envelope cimport Envelope
from fabric_codecs.kafka.lower cimport batch_of
from fabric_codecs.losses cimport Translation, translation_of
from fabric_codecs.mcp.lower cimport message_of as mcp_of
from fabric_codecs.mqtt.entries cimport is_retained
from fabric_codecs.mqtt.lower cimport packet_of
from fabric_codecs.translate.lift cimport A2A, MCP, MQTT5, MQTT311, Wire, wire_of

from fabric_codecs.bounds import CHANNEL_LEVELS_MAX, KAFKA_TOPIC_CHARS_MAX
from fabric_codecs.cloudevents.structured import write_event
from fabric_codecs.mqtt.encode import encode
from fabric_codecs.mqtt.packets import Publish
from fabric_codecs.names import channel_name, channel_to_kafka_topic, channel_to_topic

cdef Py_ssize_t TOPIC_CHARS = KAFKA_TOPIC_CHARS_MAX
cdef int LEVELS = CHANNEL_LEVELS_MAX


def lower(Envelope envelope not None, str protocol not None, *, long long now_us, str topic=None, bint structured=False):
    cdef Canonical c
    open_canonical(&c)
    try:
        read_envelope(&c, envelope, NULL)
        return written(&c, wire_of(protocol), now_us, topic, structured)
    finally:
        close_canonical(&c)


cdef Translation written(Canonical* c, Wire wire, long long now_us, str topic, bint structured):
    """The message, and what it could not keep. Raises CodecError."""
    if wire == MCP:
        return mcp_of(c, "2026-07-28", None, None, None, None, ())
    if wire == A2A:
        return a2a_of(c, "1.0", None, None, None, ())
    if wire == MQTT5:
        return packet_of(c, topic, 5, now_us)
    if wire == MQTT311 and structured:
        return event_of(c, topic)
    if wire == MQTT311:
        return packet_of(c, topic, 4, now_us)
    check_topic(c, topic)
    return batch_of(c, floor_ms(now_us))


cdef inline long long floor_ms(long long us) noexcept:
    return us // 1000 - (1 if us % 1000 < 0 else 0)  # C rounds towards zero


cdef str subject_of(const Canonical* c):
    return (<const char*>c.known[SUBJECT].text)[:c.known[SUBJECT].size].decode() if has(c, SUBJECT) else ""


cdef int check_topic(const Canonical* c, str topic) except -1:
    """That the name fits. Raises CodecError with the limit."""
    cdef Place name
    if topic:
        name.text = <const unsigned char*>PyUnicode_AsUTF8AndSize(topic, &name.size)
    elif has(c, SUBJECT):
        name = c.known[SUBJECT]
    else:
        name.size = 0
    if not is_simple(&name):
        channel_to_kafka_topic(channel_name(topic or subject_of(c)))
    return 0


cdef bint is_simple(const Place* name) noexcept nogil:
    """Whether a channel is a Kafka topic beyond doubt; of every other `names` says what is wrong with it."""
    cdef Py_ssize_t at
    cdef int levels = 1
    cdef unsigned char c, before = c"."
    for at in range(name.size):
        c = name.text[at]
        if not (c"a" <= (c | 0x20) <= c"z" or c"0" <= c <= c"9" or c == c"_" or c == c"-" or (c == c"." and before != c".")):
            return False
        levels += c == c"."
        before = c
    return before != c"." and name.size <= TOPIC_CHARS and levels <= LEVELS


cdef Translation event_of(Canonical* c, str topic):
    """MQTT 3.1.1 with a CloudEvent in JSON for its payload, which keeps everything."""
    cdef Envelope envelope = envelope_of(c, "mqtt")
    name = channel_to_topic(channel_name(topic or subject_of(c)))
    return translation_of(encode(Publish(name, write_event(envelope), 0, is_retained(c)), 4), ())


def name_for(Envelope envelope not None, str protocol not None, str topic=None):
    name = topic or envelope.subject or ""
    if protocol == "kafka":
        return channel_to_kafka_topic(channel_name(name))
    if protocol == "mqtt5" or protocol == "mqtt311":
        return channel_to_topic(channel_name(name))
    return name
