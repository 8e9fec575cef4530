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

from cpython.bytes cimport PyBytes_FromStringAndSize

from fabric_codecs.a2a.lift cimport take_message as take_a2a
from fabric_codecs.core.canonical cimport Canonical, close_canonical, has, hold_object, open_canonical
from fabric_codecs.core.enveloped cimport check_size, envelope_of, read_envelope
from fabric_codecs.core.marks cimport ID
from fabric_codecs.envelope cimport Envelope
from fabric_codecs.kafka.lift cimport take_batch
from fabric_codecs.losses cimport translation_of
from fabric_codecs.mcp.lift cimport take_message as take_mcp
from fabric_codecs.mqtt.lift cimport take_packet
from fabric_codecs.mqtt.publish cimport Parts
from fabric_codecs.mqtt.wire cimport read_message

from fabric_codecs.cloudevents.structured import read_event
from fabric_codecs.errors import CodecError

Protocol = Literal["mcp", "a2a", "mqtt5", "mqtt311", "kafka"]
PROTOCOLS = ("mcp", "a2a", "mqtt5", "mqtt311", "kafka")


def lift(
    bytes message not None, str protocol not None, *, str origin not None, long long now_us, str fresh_id=None, str topic=None,
    partition=None, bint trusted=False, bint structured=False,
):
    cdef Canonical c
    cdef tuple losses
    open_canonical(&c)
    try:
        losses = take(&c, message, wire_of(protocol), origin, now_us, fresh_id, topic, partition, trusted, structured)
        return translation_of(envelope_of(&c, protocol), losses)
    finally:
        close_canonical(&c)


cdef Wire wire_of(str protocol) except? MCP:
    found = WIRES.get(protocol)
    if found is None:
        raise ValueError(f"no protocol {protocol!r}: there are {', '.join(PROTOCOLS)}")
    return <Wire><int>found


cdef dict WIRES = {protocol: number for number, protocol in enumerate(PROTOCOLS)}


cdef tuple take(
    Canonical* c, bytes message, Wire wire, str origin, long long now_us, str fresh_id, str topic, object partition,
    bint trusted, bint structured,
):
    """What the message says, which points into it, and what its protocol could not say. Raises CodecError."""
    cdef str given = "" if fresh_id is None else fresh_id
    cdef tuple losses = ()
    if wire == MCP:
        take_mcp(c, message, origin, given, now_us, topic, None, None)
    elif wire == A2A:
        take_a2a(c, message, origin, given, now_us, topic)
    elif wire == MQTT5:
        losses = take_packet(c, message, 5, given, origin, now_us, trusted)
    elif wire == MQTT311 and structured:
        take_event(c, message)
    elif wire == MQTT311:
        losses = take_packet(c, message, 4, given, origin, now_us, False)
    elif topic is None:
        raise CodecError("a record batch does not say its topic: it has to be told", protocol="kafka", clause="Message Format, Record Batch")
    else:
        take_batch(c, message, topic, -1 if partition is None else partition, origin, fresh_id, trusted)
    if not has(c, ID) or c.known[ID].size == 0:  # two readings of 21.5 are two messages
        raise CodecError("the message has no id of its own, and none was given", protocol=PROTOCOLS[<int>wire], clause="CloudEvents 1.0.2, id")
    check_size(c, <str>PROTOCOLS[<int>wire])
    return losses


cdef int take_event(Canonical* c, bytes packet) except -1:
    """A payload that is a CloudEvent in JSON."""
    cdef Parts parts
    cdef Envelope event
    read_message(packet, 4, &parts)
    event = read_event(PyBytes_FromStringAndSize(<const char*>parts.payload.data, parts.payload.size))
    hold_object(c, event)
    return read_envelope(c, event, NULL)
