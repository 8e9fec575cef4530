from fabric_codecs.envelope import Envelope
from fabric_codecs.losses import Translation
from fabric_codecs.translate.lift import Protocol

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
    CodecError when the protocol has no such message, or the name does not fit; ValueError for a protocol
    that is none.
    """

def name_for(envelope: Envelope, protocol: Protocol, topic: str | None = None) -> str:
    """What the message goes to, in the protocol's own spelling: an MQTT topic, a Kafka topic, a tool or agent
    of MCP and A2A; empty where there is none. Raises CodecError with the limit when the name does not fit."""
