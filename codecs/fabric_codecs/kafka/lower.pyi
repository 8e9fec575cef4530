from fabric_codecs.envelope import Envelope
from fabric_codecs.kafka.records import Record
from fabric_codecs.translate.losses import Translation

def lower(envelope: Envelope, offset: int, time_ms: int) -> Translation[Record]:
    """The record at `offset`, stored at `time_ms`, and what it could not keep. Raises CodecError when the
    native entries cannot be read."""
