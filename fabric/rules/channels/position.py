"""How far a member is in a log: what it has had, and what of that is settled.

The unit is one filter in one log (one log may hold several filters of a pattern). Everything at or below
`verified` that matches is had; above it, per subject, everything up to the sequence in `above`. That is all a
member must remember to go on elsewhere, later, or in another process. Above: `splice`, `fabric.client`.

`Progress` follows one member. Messages are handed out in an order; now and then a `verified` position moves,
which holds once every message handed out before it is settled. So both go through one line:

| input | line | settled position |
|-------|------|------------------|
| `handed` | the message joins at the end | |
| `verified`, messages are waiting | the mark joins at the end | |
| `verified`, nothing waits | | moves at once |
| `settle` | the oldest message leaves, and every mark right behind it | takes them |

Cost: one append and one pop for each message, one dict store when it settles.
"""

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Position", "Progress"]

NOTHING: Mapping[bytes, int] = {}


class Position(NamedTuple):
    """Immutable. Subjects are spelled as the live feed does (`fab.cho...`)."""

    verified: int = 0
    above: Mapping[bytes, int] = NOTHING

    def has(self, subject: bytes, sequence: int) -> bool:
        """Whether this message was had."""
        return sequence <= self.above.get(subject, self.verified)


class Progress:
    """What one member was handed, and the positions up to which it has settled it. Logs go by their filter
    (`fabric.subjects.stored_filters`), which names shard and pattern."""

    __slots__ = ("_above", "_line", "_verified", "outstanding", "settled")

    def __init__(self, positions: Mapping[str, Position]) -> None:
        self.outstanding = 0  # handed out and not settled
        self.settled = 0
        self._verified = {log: position.verified for log, position in positions.items()}
        self._above = {log: dict(position.above) for log, position in positions.items()}
        self._line: deque[tuple[str, bytes | None, int]] = deque()

    def handed(self, log: str, subject: bytes, sequence: int) -> None:
        """One more message; a live one has no log (`""`) and no sequence."""
        self.outstanding += 1
        self._line.append((log, subject, sequence))

    def verified(self, log: str, sequence: int) -> None:
        """Everything that matches up to `sequence` was handed out before now, or was not for this member."""
        if self.outstanding:
            self._line.append((log, None, sequence))
        else:
            self._move(log, sequence)

    def settle(self) -> None:
        """The oldest message that was handed out has been dealt with. Raises IndexError when there is
        none."""
        log, subject, sequence = self._line.popleft()
        self.outstanding -= 1
        self.settled += 1
        if subject is not None and sequence > self._verified.get(log, 0) and log:
            self._above.setdefault(log, {})[subject] = sequence
        while self._line and self._line[0][1] is None:
            log, _, sequence = self._line.popleft()
            self._move(log, sequence)

    def positions(self) -> dict[str, Position]:
        """Where each log stands: what a cursor record keeps. A copy."""
        return {
            log: Position(self._verified.get(log, 0), dict(self._above.get(log, NOTHING)))
            for log in self._verified.keys() | self._above.keys()
        }

    def _move(self, log: str, sequence: int) -> None:
        if sequence > self._verified.get(log, -1):
            self._verified[log] = sequence
            above = self._above.get(log)
            if above:
                self._above[log] = {subject: last for subject, last in above.items() if last > sequence}
