from typing import Final

from fabric_codecs.kafka.records import Record

class BatchBuilder:
    """Collects records into one batch. `size_bytes` is what `build` would return now, before compression, to
    stop in time.

    With `append_time_ms` the batch says that all its records have that time. The leader epoch is 0 by
    default: one virtual broker leads everything, for ever. Producer id, epoch and sequence number an
    idempotent producer's own batches.
    """

    base_offset: Final[int]
    count: Final[int]

    def __init__(
        self,
        base_offset: int,
        *,
        codec: int = 0,
        append_time_ms: int | None = None,
        is_transactional: bool = False,
        is_control: bool = False,
        leader_epoch: int = 0,
        producer_id: int = -1,
        producer_epoch: int = -1,
        base_sequence: int = -1,
    ) -> None: ...
    @property
    def size_bytes(self) -> int: ...
    def add(self, record: Record, max_bytes: int = ...) -> bool:
        """Append a record; offsets must ascend. False, and nothing added, when the batch would exceed
        `max_bytes` and holds a record already: a first one is always taken, or a reader would never get past
        it. Raises CodecError, and adds nothing, when the record cannot stand in this batch."""

    def build(self) -> bytes:
        """The batch's bytes, its records compressed when they are to be. More may be added, and it built
        again."""
