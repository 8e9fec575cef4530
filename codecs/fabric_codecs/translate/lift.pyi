from typing import Final, Literal, TypeAlias

from fabric_codecs.envelope import Envelope
from fabric_codecs.losses import Translation

Protocol: TypeAlias = Literal["mcp", "a2a", "mqtt5", "mqtt311", "kafka"]
PROTOCOLS: Final[tuple[Protocol, ...]]

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

    Raises CodecError for bytes that are no such message, or a message without any id; ValueError for a
    protocol that is none.
    """
