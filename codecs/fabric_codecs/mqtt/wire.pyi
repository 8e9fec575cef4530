from fabric_codecs.errors import CodecError
from fabric_codecs.mqtt.packets import Packet
from fabric_codecs.mqtt.publish import Publish

class Decoder:
    """One direction of one connection: bytes in any pieces -> whole packets.

    A server's decoder is given version 0 and learns it from CONNECT; a client's is told. What is not whole
    is kept: at most one packet, of at most `max_packet_bytes` (a CONNECT: 16 KiB). When bytes break a rule,
    the packets before them are returned first and the next `feed` raises CodecError (also `feed(b"")`):
    call until it returns nothing.
    """

    def __init__(self, version: int = 0, max_packet_bytes: int = ...) -> None: ...
    @property
    def version(self) -> int:
        """4 (3.1.1) or 5; 0 until CONNECT said so. After a CONNECT of another version: the form to refuse
        it in."""
    @property
    def max_packet_bytes(self) -> int: ...
    @property
    def fault(self) -> CodecError | None:
        """The error that ended this stream, or None."""
    def feed(self, data: bytes) -> list[Packet]: ...

def decode(data: bytes, version: int) -> Packet:
    """The one packet that `data` is, in MQTT 3.1.1 (`version` 4) or 5; a CONNECT is told by version 0.
    Raises CodecError, also for bytes that are missing or left over."""

def only_publish(data: bytes, version: int) -> Publish:
    """`decode` of a packet that has to be a message with a topic of its own: a PUBLISH, and not one whose
    topic is an alias. Raises CodecError."""
