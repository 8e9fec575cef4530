from typing import Final

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
    def is_transactional(self) -> bool: ...
    @property
    def is_control(self) -> bool: ...

class BatchBuilder:
    """Collects records into one batch. `size_bytes` is what `build` would return now, to stop in time."""

    base_offset: Final[int]
    count: Final[int]

    def __init__(self, base_offset: int) -> None: ...
    @property
    def size_bytes(self) -> int: ...
    def add(self, record: Record, max_bytes: int = ...) -> bool: ...
    def build(self) -> bytes: ...

def decode_batch(data: bytes | bytearray | memoryview, at: int = 0) -> Batch: ...
def checksum(data: bytes | bytearray | memoryview, portable: bool = False) -> int: ...
