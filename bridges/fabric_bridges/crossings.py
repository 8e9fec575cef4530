"""The border of an edge: what crosses it is written down and counted, in the same way at every edge.

In: an envelope, the peer, and what its translation lost. Out: a record in the journal, and the metrics of
messages and losses. The fabric's own side is called `nats` there, as where a message began in no other
protocol.
"""

from collections.abc import Iterable, Sequence

from fabric.edge import House
from fabric_codecs.envelope import Envelope
from fabric_codecs.losses import Loss

__all__ = ["FABRIC", "Crossings"]

FABRIC = "nats"  # the fabric, as a source or a target of translation


class Crossings:
    """One per edge and protocol."""

    def __init__(self, house: House, edge: str) -> None:
        self._edge = edge
        self._journal = house.journal
        self._losses = house.metrics.losses
        self._in = house.metrics.messages.labels(edge, "in")
        self._out = house.metrics.messages.labels(edge, "out")
        self._hop_in, self._hop_out = f"{edge}.in", f"{edge}.out"

    def came_in(
        self, envelope: Envelope, peer: str, losses: Sequence[Loss] = (), *, position: str = ""
    ) -> None:
        """A peer's message. `position` is where the fabric keeps it (`CH_3:17`), when it does."""
        self._journal.record(envelope, self._hop_in, peer=peer, losses=losses, position=position)
        self._in.inc()
        self.lost(self._edge, FABRIC, losses)

    def went_out(self, envelope: Envelope, peer: str, losses: Sequence[Loss] = ()) -> None:
        """A message handed to a peer."""
        position = f"{envelope.stream}:{envelope.sequence}" if envelope.stream else ""
        self._journal.record(envelope, self._hop_out, peer=peer, losses=losses, position=position)
        self.was_read(envelope, losses)

    def was_read(self, envelope: Envelope, losses: Iterable[Loss] = ()) -> None:
        """A message that a peer read from the log: counted, and not written down, for the log has it."""
        self._out.inc()
        self.lost_for(envelope, losses)

    def lost_for(self, envelope: Envelope, losses: Iterable[Loss]) -> None:
        """Count what of a message did not reach the peers of this edge."""
        self.lost(envelope.get("fabproto") or FABRIC, self._edge, losses)

    def lost(self, source: str, target: str, losses: Iterable[Loss]) -> None:
        """Count what a translation lost."""
        for loss in losses:
            self._losses.labels(source, target, loss.code.value).inc()
