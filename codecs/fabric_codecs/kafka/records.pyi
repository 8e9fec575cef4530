from typing import Final

from fabric_codecs.kafka.compression import Codec

class Record:
    """One record. `key`, `value` and a header's value may be None (null); headers keep their order."""

    offset: Final[int]
    timestamp_ms: Final[int]
    key: Final[bytes | None]
    value: Final[bytes | None]
    headers: Final[list[tuple[str, bytes | None]]]

    def __init__(
        self,
        offset: int,
        timestamp_ms: int,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes | None]],
    ) -> None: ...

class Batch:
    """A decoded batch. `end` is the byte after it in the buffer it was read from."""

    base_offset: Final[int]
    leader_epoch: Final[int]
    attributes: Final[int]
    last_offset_delta: Final[int]
    max_timestamp_ms: Final[int]
    producer_id: Final[int]
    producer_epoch: Final[int]
    base_sequence: Final[int]
    records: Final[list[Record]]
    end: Final[int]
    @property
    def codec(self) -> Codec:
        """How the records were compressed."""
    @property
    def is_log_append_time(self) -> bool:
        """Its records have the time at which they were stored, not their producer's."""
    @property
    def is_transactional(self) -> bool: ...
    @property
    def is_control(self) -> bool: ...

def decode_batch(data: bytes | bytearray | memoryview, at: int = 0, inflated_max: int = ...) -> Batch:
    """The batch that starts at byte `at`. Compressed records may come to `inflated_max` bytes (default
    KAFKA_INFLATED_BYTES_MAX), and to less when they are few: see `compression.inflate`.

    Raises CodecError with Kafka's error code as `reason`; its offset is where compressed records begin when
    the fault lies inside of them, and the text says where it is there.
    """

def only_record(message: bytes) -> Record:
    """The one record of a batch that is the whole message. Raises CodecError."""

def checksum(data: bytes | bytearray | memoryview, portable: bool = False) -> int:
    """CRC-32C of the bytes; `portable` takes the way of a machine without the instruction."""
