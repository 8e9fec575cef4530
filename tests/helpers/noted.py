"""A journal that keeps what it is told, for tests that ask what crossed an edge."""

from collections.abc import Sequence
from dataclasses import dataclass

from fabric_codecs.envelope import Envelope
from fabric_codecs.losses import Loss

__all__ = ["Crossing", "Noted"]


@dataclass(frozen=True)
class Crossing:
    """One `record`."""

    envelope: Envelope
    hop: str
    peer: str
    losses: tuple[Loss, ...]
    position: str


class Noted:
    """A journal in a list."""

    def __init__(self) -> None:
        self.crossings: list[Crossing] = []

    def record(
        self, envelope: Envelope, hop: str, *, peer: str, losses: Sequence[Loss] = (), position: str = ""
    ) -> None:
        self.crossings.append(Crossing(envelope, hop, peer, tuple(losses), position))

    def kinds(self, hop: str) -> list[str | None]:
        """The kinds of envelopes that made this hop, in order."""
        return [crossing.envelope.kind for crossing in self.crossings if crossing.hop == hop]
