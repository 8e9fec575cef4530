from fabric_codecs.envelope import Envelope
from fabric_codecs.kafka.records import Record
from fabric_codecs.translate.losses import Translation

def lower(envelope: Envelope, offset: int, time_ms: int) -> Translation[Record]: ...
