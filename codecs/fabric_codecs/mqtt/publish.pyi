from typing import Final

from fabric_codecs.mqtt.properties import Properties

class Publish:
    """3.3. `packet_id` is 0 exactly when `qos` is 0. The topic is empty only beside a Topic Alias. Immutable;
    values are checked when they are written."""

    topic: Final[str]
    payload: Final[bytes]
    qos: Final[int]
    retain: Final[bool]
    dup: Final[bool]
    packet_id: Final[int]
    properties: Final[Properties]

    def __init__(
        self,
        topic: str,
        payload: bytes = b"",
        qos: int = 0,
        retain: bool = False,
        dup: bool = False,
        packet_id: int = 0,
        properties: Properties = ...,
    ) -> None: ...
