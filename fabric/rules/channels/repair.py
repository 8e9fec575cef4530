"""Gaps: what the feed of a channel has had, what it lacks, and when to look.

A track follows one filter in one log, for all members of a process (`splice` is one member's part). The
live feed is at most once; the log is the truth. `verified` is the position up to which everything that
matches was delivered; above it, `seen` has the last sequence delivered of each subject. The server says with
every message which sequence came before it on the same subject (`previous`).

| state   | input                                             | becomes | verdict |
|---------|---------------------------------------------------|---------|---------|
| starting | message                                          | starting | LATER: leave it to the log |
| starting | `start(verified)`                                | behind  | |
| following | message, `sequence` <= last of its subject      | following | DUPLICATE |
| following | message, `previous` <= last of its subject      | following | DELIVER |
| following | message, `previous` > last of its subject       | behind  | LATER |
| behind  | message whose subject is complete                 | behind  | DELIVER |
| behind  | any other message                                 | behind  | LATER |
| behind  | a message read from the log (`stored`)            | behind  | DELIVER; DUPLICATE if it came live |
| behind  | `caught_up`, nothing later was left to the log    | following | |
| behind  | `caught_up`, what was left has gone from the log (evicted, purged) | following | |
| following | `counted`: as many in the log as delivered      | following | verified moves up |
| following | `counted`: another number, or too many to count | behind  | (read back from `verified`) |
| any     | `counted`, and something moved since it was asked | same  | (it proves nothing: ask again) |
| any     | `reset`: the feed was interrupted                 | behind  | |
| behind  | reading has passed a message known of, not met    | behind  | `truncated`: retention was faster |

The last of a subject is max(seen, verified). A message that expired or was evicted only makes `previous`
point further back, so it never looks like a loss. Cost: one dict look-up and one store per message.
"""

from enum import Enum
from typing import NamedTuple

from fabric.rules.channels.position import Position

__all__ = ["Track", "Truncated", "Verdict"]

QUIET_S = 1.0  # a busy subject reveals its own losses; the probe is for what fell silent
PROBE_EVERY_S = 5.0
READ_BACK_AFTER_S = 30.0  # a track that is never quiet is read back, so that no silent source waits longer
SUBJECTS_MAX = 10_000  # above, the track is read back to forget them
COUNT_MAX = 10_000  # what a log keeps of a subject: beyond, one evicted could hide one lost in the count
AHEAD_MAX = 10_000  # live deliveries beyond the reading position while behind


class Verdict(Enum):
    """What to do with a message."""

    DELIVER = "deliver"
    DUPLICATE = "duplicate"
    LATER = "later"


class Truncated(NamedTuple):
    """Messages of one subject that the log let go before they were read: at least `first`, none after
    `last`."""

    subject: bytes
    first: int
    last: int


DELIVER, DUPLICATE, LATER = Verdict.DELIVER, Verdict.DUPLICATE, Verdict.LATER


class Track:
    """One filter in one log; `now` is monotonic seconds."""

    __slots__ = (
        "_ahead",
        "_checked_at",
        "_delivered",
        "_later",
        "_owed",
        "_seen",
        "_settlements",
        "_started",
        "_touched_at",
        "behind",
        "gaps",
        "truncated",
        "verified",
    )

    def __init__(self, now: float) -> None:
        self.verified = 0
        self.behind = True
        self.gaps = 0
        self.truncated: list[Truncated] = []  # for the feed to take
        self._started = False
        self._owed: dict[bytes, int] = {}  # lowest sequence of a subject that is known of and not delivered
        self._seen: dict[bytes, int] = {}
        self._delivered = 0  # above verified
        self._settlements = 0
        self._ahead: list[int] = []  # delivered live while behind
        self._later = 0  # highest sequence that was left to the log
        self._touched_at = now
        self._checked_at = now

    def start(self, verified: int) -> None:
        """Where this member begins: what lies at or below is not for it."""
        self.verified = verified
        self._started = True

    def live(self, subject: bytes, sequence: int, previous: int, now: float) -> Verdict:
        """A message of the live feed."""
        if not self._started:
            return self._postpone(sequence)
        last = self._seen.get(subject, self.verified)
        self._touched_at = now
        if sequence <= last:
            return DUPLICATE
        if previous > last:
            self.gaps += not self.behind
            return self._owe(subject, previous, sequence)
        if self.behind:
            if len(self._ahead) >= AHEAD_MAX:
                return self._owe(subject, sequence, sequence)
            self._ahead.append(sequence)
        self._seen[subject] = sequence
        self._delivered += 1
        return DELIVER

    def stored(self, subject: bytes, sequence: int) -> Verdict:
        """A message read from the log, in the log's order."""
        if sequence <= self._seen.get(subject, self.verified):
            return DUPLICATE
        if self._owed:
            self._paid(subject, sequence - 1)
        self._seen[subject] = sequence
        self._delivered += 1
        return DELIVER

    def caught_up(self, position: int, now: float, *, gone: bool = False) -> bool:
        """The log had nothing more for this filter after `position`. False when something beyond was left to
        the log since: read on. `gone`: it was looked for long enough, so it is not there any more."""
        if self._later > position and not gone:
            return False
        self._later = 0
        position = max(position, self.verified)
        for subject in list(self._owed):
            self._paid(subject, position)
        ahead = [sequence for sequence in self._ahead if sequence > position]
        kept = {subject: last for subject, last in self._seen.items() if last > position}
        self._settle(position, now)
        self._seen, self._delivered = kept, len(ahead)
        self._ahead.clear()
        self.behind = False
        return True

    def probe_due(self, now: float) -> bool:
        """Whether to count what the log holds above `verified` now."""
        if self.behind or now - self._touched_at < QUIET_S:
            return False
        return self._delivered > 0 or now - self._checked_at >= PROBE_EVERY_S

    def read_back_due(self, now: float) -> bool:
        """Whether to read back without counting first."""
        return not self.behind and (
            now - self._checked_at >= READ_BACK_AFTER_S or len(self._seen) > SUBJECTS_MAX
        )

    @property
    def stand(self) -> tuple[int, int]:
        """Changes whenever a message is delivered or `verified` moves."""
        return self._settlements, self._delivered

    def counted(self, in_log: int, stand: tuple[int, int], now: float) -> bool:
        """The log holds `in_log` messages above `verified`, as both were when the track's `stand` was this.
        False puts the track behind: something is missing, or was evicted, and reading tells which."""
        if self.behind or stand != self.stand:
            return True
        if in_log == self._delivered < COUNT_MAX:
            self._settle(max(self._seen.values(), default=self.verified), now)
            return True
        self.behind = True
        return False

    @property
    def highest(self) -> int:
        """Nothing beyond this sequence was delivered."""
        return max(self._seen.values(), default=self.verified)

    def position_before(self, subject: bytes, sequence: int) -> Position:
        """What was delivered before this message, which is the last that was."""
        return Position(self.verified, {**self._seen, subject: sequence - 1})

    @property
    def delivered_above(self) -> int:
        """Messages delivered above `verified`."""
        return self._delivered

    def reset(self) -> None:
        """The feed was interrupted: look at the log before believing in it again."""
        self.behind = True

    def _owe(self, subject: bytes, known: int, sequence: int) -> Verdict:
        if len(self._owed) < SUBJECTS_MAX:
            self._owed.setdefault(subject, known)
        return self._postpone(sequence)

    def _paid(self, subject: bytes, through: int) -> None:
        # The log has been read up to `through` on this subject; what was owed and not met there is gone.
        owed = self._owed.pop(subject, None)
        if owed is not None and self._seen.get(subject, self.verified) < owed <= through:
            self.truncated.append(Truncated(subject, owed, through))

    def _postpone(self, sequence: int) -> Verdict:
        self.behind = True
        self._later = max(self._later, sequence)
        return LATER

    def _settle(self, verified: int, now: float) -> None:
        self.verified = verified
        self._settlements += 1
        self._seen.clear()
        self._delivered = 0
        self._checked_at = now
