from fabric_codecs.envelope import Envelope
from fabric_codecs.kafka.records import Record
from fabric_codecs.losses import Translation

def lower(envelope: Envelope, offset: int, time_ms: int) -> Translation[Record]:
    """The record at `offset`, stored at `time_ms`, and what it could not keep. Raises CodecError when the
    native entries cannot be read."""

def lower_batch(envelope: Envelope, time_ms: int) -> Translation[bytes]:
    """A batch of that one record, uncompressed, at offset 0: what `BatchBuilder(0)` makes of `lower`'s,
    without building either. Raises CodecError as they do."""
