"""The journal: one record per message that crossed an edge or a call, pipelined and bounded.

A record is the envelope itself, as it was, with a few lines in front: where it crossed (`Fab-Hop`), who was
on the other side (`Fab-Peer`), when (`Fab-Time`), what was lost (`Fab-Loss`) and, when a log holds the
payload already, where (`Fab-Position`). Implements `ports.Journal`.
"""

import asyncio
import zlib
from collections.abc import Sequence

from fabric import subjects
from fabric.clock import now_us
from fabric.errors import LimitExceeded
from fabric.jetstream.publish import Event, Outcome, Publisher
from fabric_codecs.envelope import Envelope
from fabric_codecs.losses import Loss
from fabric_codecs.nats.wire import timestamp

__all__ = ["JournalWriter"]

HOLD_S = 0.005  # records give way to the messages they are about, and are written many at a time
IN_FLIGHT_MAX = 8192  # records without an acknowledgement; beyond, records are counted and not written


class JournalWriter:
    """`dropped` counts records that could not be written; a story with a dropped record is not whole, and
    says so."""

    def __init__(self, publisher: Publisher, name: str) -> None:
        self.recorded = 0
        self.dropped = 0
        self._publisher = publisher
        self._name = name
        self._in_flight = 0
        self._waiting: list[Event] = []

    def record(
        self, envelope: Envelope, hop: str, *, peer: str, losses: Sequence[Loss] = (), position: str = ""
    ) -> None:
        """See `ports.Journal.record`."""
        if self._in_flight >= IN_FLIGHT_MAX:
            self.dropped += 1
            return
        block = envelope.block()
        lines = f"Fab-Hop: {hop}\r\nFab-Peer: {_printable(peer)}\r\nFab-Time: {timestamp(now_us())}\r\n"
        if losses:
            lines += f"Fab-Loss: {','.join(dict.fromkeys(loss.code.value for loss in losses))}\r\n"
        if position:
            lines += f"Fab-Position: {position}\r\n"
        bucket = zlib.crc32((envelope.correlationid or envelope.id).encode()) % subjects.JOURNAL_BUCKETS
        subject = subjects.journal(self._name, bucket).encode()
        payload = b"" if position else envelope.data
        header = b"NATS/1.0\r\n" + lines.encode() + block[10:]
        if not self._waiting:
            asyncio.get_running_loop().call_later(HOLD_S, self._write)
        self._waiting.append(Event(subject, None, header, b"", 0, 0, payload, self._settled))
        self._in_flight += 1

    async def flush(self, timeout_s: float = 5.0) -> bool:
        """Until every record is stored (True), or the time is up."""
        self._write()
        return await self._publisher.settled(timeout_s)

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            try:
                self._publisher.offer(event)
            except LimitExceeded:
                self._in_flight -= 1
                self.dropped += 1

    def _settled(self, _count: int, outcome: Outcome) -> None:
        self._in_flight -= 1
        if isinstance(outcome, int):
            self.recorded += 1
        else:
            self.dropped += 1


def _printable(text: str) -> str:
    return "".join(sign if " " < sign < "\x7f" else "?" for sign in text)
