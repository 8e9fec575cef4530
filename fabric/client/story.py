"""Reading a story back: every recorded crossing of one conversation, in the journal's order, and the tree of
who caused what."""

import zlib
from dataclasses import dataclass, field

from fabric import subjects
from fabric.client.link import Link
from fabric.clock import parse_us
from fabric.jetstream.layout import JOURNAL_STREAM
from fabric_codecs.envelope import Envelope

__all__ = ["Crossing", "Message", "read_story", "tree_of"]


@dataclass(frozen=True, slots=True)
class Crossing:
    """One record of the journal: `envelope` crossed `hop` (`mcp.in`, `call`, ...) at `time_us`; `position`
    names the log that holds its payload when the record does not; `sequence` is the record's place in the
    journal."""

    envelope: Envelope
    hop: str
    peer: str
    time_us: int
    losses: tuple[str, ...]
    position: str
    sequence: int


@dataclass(slots=True)
class Message:
    """One message of a story: all its crossings in order of time, and the messages it caused."""

    envelope: Envelope
    crossings: list[Crossing] = field(default_factory=list)
    caused: "list[Message]" = field(default_factory=list)

    @property
    def time_us(self) -> int:
        """When it was first seen."""
        return self.crossings[0].time_us


async def read_story(link: Link, conversation: str) -> list[Crossing]:
    """Every crossing of a conversation that the journal holds."""
    bucket = zlib.crc32(conversation.encode()) % subjects.JOURNAL_BUCKETS
    story = []
    async for page in link.reader.pages(JOURNAL_STREAM, subjects.journal("*", bucket), 1):
        for stored in page:
            envelope = Envelope.from_nats(stored.subject, stored.header, stored.data)
            if (envelope.correlationid or envelope.id) == conversation:
                story.append(_crossing(envelope, stored.sequence))
    return story


def tree_of(story: list[Crossing]) -> list[Message]:
    """The messages that nobody in the story caused, each with those that it caused, in order of time."""
    messages: dict[tuple[str, str], Message] = {}
    for crossing in sorted(story, key=lambda one: one.time_us):
        key = (crossing.envelope.source, crossing.envelope.id)
        messages.setdefault(key, Message(crossing.envelope)).crossings.append(crossing)
    by_id = {key[1]: message for key, message in messages.items()}
    roots: list[Message] = []
    for message in messages.values():
        cause = by_id.get(message.envelope.causationid or "")
        (roots if cause is None or cause is message else cause.caused).append(message)
    return roots


def _crossing(envelope: Envelope, sequence: int) -> Crossing:
    losses = envelope.header("Fab-Loss")
    return Crossing(
        envelope,
        envelope.header("Fab-Hop") or "",
        envelope.header("Fab-Peer") or "",
        parse_us(envelope.header("Fab-Time") or "1970-01-01T00:00:00Z"),
        tuple(losses.split(",")) if losses else (),
        envelope.header("Fab-Position") or "",
        sequence,
    )
