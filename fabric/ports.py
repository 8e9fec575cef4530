"""What an edge may use of the fabric, as interfaces: the contract once, implementations elsewhere.

Above: `fabric_bridges` (edges) take these as arguments. Below: `fabric.node` and `fabric.jetstream`
implement them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fabric_codecs.envelope import Envelope
from fabric_codecs.losses import Loss

__all__ = ["Authenticator", "Journal", "StoredRecord", "TopicLog", "Topics"]


class Journal(Protocol):
    """The record of what crossed an edge or a call. `record` never waits: it is pipelined, bounded, and
    what does not fit is counted (`fabric_journal_dropped_total`), never lost in silence."""

    def record(
        self, envelope: Envelope, hop: str, *, peer: str, losses: Sequence[Loss] = (), position: str = ""
    ) -> None:
        """Write down one crossing.

        `hop` is `<protocol>.in` or `<protocol>.out` (`mcp.in`, `mqtt.out`), or `call` for a message
        between agents. `peer` names who was on the other side (a client id, a principal). `position` is
        `<stream>:<sequence>` when a log already holds the payload; then only the attributes are written.
        """


class Authenticator(Protocol):
    """Who is at the door."""

    def authenticate(self, edge: str, token: str) -> str:
        """The principal behind `token` at the listener `edge` ("mcp", "a2a", "mqtt", "kafka"). Raises
        Unauthenticated. Constant time; the token is neither kept nor logged."""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One record of a topic: `offset` is dense from 0, `time_ms` is when it was stored."""

    offset: int
    time_ms: int
    envelope: Envelope


class TopicLog(Protocol):
    """One partition of a topic: a log with dense offsets."""

    topic: str
    partition: int

    async def bounds(self) -> tuple[int, int]:
        """(first offset still held, offset that the next record will get)."""

    async def read(self, offset: int, *, max_bytes: int, max_records: int = 1000) -> list[StoredRecord]:
        """Records from `offset` on, at least one if there is one, else an empty list at once. Raises
        LookupError when `offset` is outside the bounds."""

    async def wait(self, offset: int, timeout_s: float) -> bool:
        """Until a record at `offset` or later exists (True), or the time is up (False)."""

    async def offset_at(self, time_ms: int) -> int | None:
        """The first offset stored at or after that time, or None when there is none."""


class Topics(Protocol):
    """The Kafka topics of this fabric, each a view of a channel, a pattern or the journal."""

    async def open(self, topic: str) -> Sequence[TopicLog]:
        """All partitions of `topic`, in order; the view is made when it does not exist yet. Raises
        NoSuchTopic when no channel can have that name."""

    async def names(self) -> Sequence[str]:
        """The topics that exist now, sorted."""
