"""A member's life in one filter of one log: it reads the log at its own pace, and joins the shared feed
where the two meet.

The feed serves everybody who follows and waits for nobody. Whoever is not there yet (it begins in the past,
or had no room) reads the log alone. The seam, in one argument: at the moment of `attach` the feed has
delivered nothing beyond `highest`. So every message beyond it comes through the feed after that moment,
exactly once (`repair.Track` sees to that). Once the log has been read to P >= `highest`, what lies at or
below P came from the log, and what lies beyond P is in `pending` or still to come. P is the floor then: what
the feed repairs late at or below it was had.

| state | input | becomes | act |
|-------|-------|---------|-----|
| reading | `stored`, not had | reading | deliver |
| reading | `stored`, had | reading | skip |
| reading | `fed`: the feed has one more | reading | note it as owed |
| reading | `attach(highest)` | splicing | from now on the feed's messages are kept |
| splicing | `fed`, there is room | splicing | keep it in `pending` |
| splicing | `fed`, no room | reading | drop what is pending (the log has it); all of it is owed |
| splicing | `stored` | splicing | as reading |
| splicing | `splice`, P >= `highest` | following | deliver what is pending beyond P |
| following | a message of the feed, sequence <= P | following | skip: it came from the log |
| following | any other message of the feed | following | deliver |
| following | `detach`: no room for a message | reading | from the feed's position before that message |
| reading | reading has passed an owed message, not met | reading | `truncated`: retention was faster |

What is owed is counted for each subject, so that at the latest when reading has passed the last owed one,
each subject of which something went is told. Cost: one dict look-up for each message of the feed while away,
one for each read while something is owed, nothing while following.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Any, NamedTuple

from fabric.rules.channels.position import NOTHING, Position
from fabric.rules.channels.repair import Truncated

__all__ = ["Pending", "Strand", "StrandState"]

PENDING_MAX = 1024
PENDING_BYTES_MAX = 4 << 20  # as a member's queue: a message is kept here or there
SUBJECTS_MAX = 10_000  # beyond, what goes from the log of further subjects is not noticed


class StrandState(Enum):
    """Where a member's messages of one log come from."""

    READING = "reading"
    SPLICING = "splicing"
    FOLLOWING = "following"


READING, SPLICING, FOLLOWING = StrandState.READING, StrandState.SPLICING, StrandState.FOLLOWING


class Pending(NamedTuple):
    """A message of the feed that waits for the log to be read up to it; `item` is the caller's."""

    subject: bytes
    sequence: int
    item: Any


class _Owed:
    """Messages of one subject that the feed had and this member not."""

    __slots__ = ("check", "count", "first", "last", "told")

    def __init__(self, sequence: int) -> None:
        self.first = self.check = self.last = sequence
        self.count = 1
        self.told = False


class Strand:
    """One member, one filter, one log. `position` is P: up to there it has everything."""

    __slots__ = ("_above", "_meet", "_owed", "_pending", "_pending_bytes", "position", "state", "truncated")

    def __init__(self, position: Position) -> None:
        self.state = READING
        self.position = position.verified
        self.truncated: list[Truncated] = []  # for the member to take
        self._above = position.above
        self._owed: dict[bytes, _Owed] = {}
        self._meet = 0
        self._pending: list[Pending] = []
        self._pending_bytes = 0

    # The log

    def stored(self, subject: bytes, sequence: int) -> bool:
        """A message read from the log, in the log's order: whether to deliver it."""
        if sequence <= self.position:
            return False
        self.position = sequence
        if self._owed:
            self._met(subject, sequence)
        return not self._above or sequence > self._above.get(subject, 0)

    def read_to(self, position: int) -> None:
        """The log has been read up to here, whatever it held."""
        self.position = max(position, self.position)

    # The feed

    def fed(self, subject: bytes, sequence: int) -> None:
        """The feed has delivered this to others; this member is away and will meet it in the log."""
        if sequence <= self.position or sequence <= self._above.get(subject, 0):
            return
        owed = self._owed.get(subject)
        if owed is None:
            if len(self._owed) < SUBJECTS_MAX:
                self._owed[subject] = _Owed(sequence)
            return
        owed.last = sequence
        owed.count += 1
        owed.check = owed.check or sequence

    def attach(self, highest: int) -> None:
        """Take part in the feed from now on; it has delivered nothing beyond `highest` so far."""
        self.state, self._meet = SPLICING, highest

    def keep(self, subject: bytes, sequence: int, item: Any, size: int) -> bool:
        """A message of the feed while splicing. False: there is no room, and the member reads again."""
        full = self._pending and self._pending_bytes + size > PENDING_BYTES_MAX
        if full or len(self._pending) >= PENDING_MAX:
            self._away()
            self.fed(subject, sequence)
            return False
        self._pending.append(Pending(subject, sequence, item))
        self._pending_bytes += size
        return True

    @property
    def meets(self) -> bool:
        """Whether the log has been read far enough to `splice`."""
        return self.state is SPLICING and self.position >= self._meet

    def splice(self, *, gone: bool = False) -> list[Pending]:
        """From here on the feed alone. What came meanwhile, to be delivered now; should there be no room for
        one of them, hand it and those behind it to `put_back`. `gone`: the log was looked at for long enough
        up to where the two should meet, so what is not there has gone."""
        if gone:
            self.read_to(self._meet)
        for subject in list(self._owed):
            self._passed(subject)
        pending = [one for one in self._pending if one.sequence > self.position]
        self.state, self._above = FOLLOWING, NOTHING
        self._pending, self._pending_bytes = [], 0
        return pending

    def put_back(self, delivered: Iterable[Pending], left: Iterable[Pending]) -> None:
        """There was no room for all that `splice` gave out: read on from there."""
        above = {one.subject: one.sequence for one in delivered}
        self.detach(Position(self.position, above))
        for one in left:
            self.fed(one.subject, one.sequence)

    def detach(self, position: Position) -> None:
        """Leave the feed, which has delivered to this member what `position` says. The message that found no
        room is then `fed`."""
        self.state = READING
        self.position = max(self.position, position.verified)
        self._above = position.above

    # What went before it was read

    def _away(self) -> None:
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        self.state = READING
        for one in pending:
            self.fed(one.subject, one.sequence)

    def _met(self, subject: bytes, sequence: int) -> None:
        owed = self._owed.get(subject)
        if owed is None or sequence < owed.first:
            return
        if owed.check and sequence >= owed.check:
            if sequence > owed.check:
                self._tell(subject, owed, owed.check, sequence - 1)
            owed.check = 0
        if sequence <= owed.last:
            owed.count -= 1
        if sequence >= owed.last:
            del self._owed[subject]
            if owed.count > 0 and not owed.told:
                self._tell(subject, owed, owed.first, owed.last)

    def _passed(self, subject: bytes) -> None:
        owed = self._owed.pop(subject)
        if owed.count > 0 and not owed.told:
            self._tell(subject, owed, owed.check or owed.first, max(owed.last, self.position))

    def _tell(self, subject: bytes, owed: _Owed, first: int, last: int) -> None:
        owed.told = True
        self.truncated.append(Truncated(subject, first, last))
