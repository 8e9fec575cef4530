from typing import Final

from fabric_codecs.envelope import Envelope
from fabric_codecs.kafka.records import Record
from fabric_codecs.losses import Translation

WITHHELD: Final[frozenset[str]]
"""Attributes that a producer may not say of itself, because the edge knows them."""

def lift(
    record: Record,
    *,
    topic: str,
    partition: int,
    offset: int | None,
    source: str,
    fresh_id: str | None = None,
    withheld: frozenset[str] = ...,
) -> Translation[Envelope]:
    """The envelope of a record at `offset`; None: its log has not numbered it yet (the offset that a producer
    writes into its batch is none). Nothing is lost: the losses are always empty.

    `fresh_id` is used unless the record has a `ce_id`. `withheld` attributes are not taken from `ce_`
    headers; pass an empty set for records that somebody trusted wrote, `lower` for one.

    Raises CodecError for a topic that is no channel's name, when there is no id (no `ce_id`, `fresh_id` or
    offset; a codec invents none), for more than KAFKA_HEADERS_MAX headers, and when they exceed 64 KiB as an
    envelope. Raises ValueError for a name in `withheld` that is none of `envelope.ATTRIBUTES`.
    """
