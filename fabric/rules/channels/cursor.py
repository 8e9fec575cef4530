"""A durable member's cursor: what of its channel is settled, counted, remembered, and tried in vain.

Messages come in an order (`handed`), are taken in that order, one at a time, and each is settled before the
next is taken. `Progress` keeps the position up to which everything is settled; a `commit` writes position,
account, ledger and attempts in one record, so what is counted is settled and what is settled is counted.

| message | input                                            | becomes | counted |
|---------|--------------------------------------------------|---------|---------|
| -       | `handed`: the log or the feed has it for us      | waiting | accepted |
| waiting | `take`: may be a copy, and its id is in the ledger | settled | no more: not a message of its own |
| waiting | `take`: its time has passed                      | settled | expired |
| waiting | `take`: tried `ATTEMPTS_MAX` times in vain       | in hand, to bury | |
| waiting | `take`: else                                     | in hand | |
| in hand | `settle`                                         | settled | delivered; dead if to bury |
| in hand | `put_back`: this life ends                       | waiting in the next | a try, if it failed |
| settled | `settle` again, or of what was never handed out  | settled | nothing: False |
| settled, not committed | this life crashes                 | waiting in the next | unknown |
| unread, and gone from the log | `let_go`                   | -       | truncated |

| the life before | the next one |
|-----------------|--------------|
| none            | begins at the positions given |
| ended cleanly   | goes on at its position |
| crashed         | goes on at its last commit; the tries that it can have made since are unknown |

After a crash that many messages are handed out *carefully*: each try is noted in the record first, so that a
message that kills its process is known the next time. A try that did not fail is taken back.

No more than `UNCOMMITTED_MAX` messages are settled beyond a commit (`must_commit`). Above: `client.durable`.
Below: `position`, `accounts`, `once`. Cost: a hash, four dict operations and an addition for each message.
"""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

import msgspec

from fabric.rules.accounts import Account, Extent, Holder
from fabric.rules.channels.position import Position, Progress
from fabric.rules.once import OnceLedger, key_of

__all__ = [
    "ATTEMPTS_MAX",
    "COMMIT_MESSAGES",
    "UNCOMMITTED_MAX",
    "Commit",
    "Cursor",
    "CursorRecord",
    "Verdict",
    "next_life",
]

COMMIT_MESSAGES = 1_000  # settled since the last commit: commit at once
UNCOMMITTED_MAX = 2_000  # one commit under way and one more: so many may come again after a crash
CAREFUL_MAX = 2  # the same, while each message is noted before it is handed out
ATTEMPTS_MAX = 5
KILLED = "the process that handled it ended without a word"
ATTEMPTS_KEPT = 64  # messages that were tried in vain and are not settled: their order may change


class Verdict(Enum):
    """What to do with a message that was taken."""

    HAND_OUT = "hand out"
    NOTE = "write the record, then hand out"
    BURY = "bury, then settle"
    SETTLED = "nothing: it is settled"


class CursorRecord(Holder, kw_only=True, omit_defaults=True):
    """What a durable member commits. Its extents are its positions; `attempts` counts tries in vain by
    `<sequence>@<filter>`, `causes` says why the last was; `number` tells the commits of one life apart."""

    pattern: str
    number: int = 0
    ledger: bytes = b""
    attempts: dict[str, int] = msgspec.field(default_factory=dict)
    causes: dict[str, str] = msgspec.field(default_factory=dict)
    copies: int = 0
    careful: int = 0


class Commit(NamedTuple):
    """A record to write, and how many ends it makes final."""

    record: CursorRecord
    ends: int


def next_life(former: CursorRecord | None, mine: CursorRecord, in_log: int) -> CursorRecord:
    """The first record of a life: `mine` says who, and where a member without a former life begins; `in_log`
    counts what lies in the log beyond the former position."""
    if former is None:
        return mine
    in_hand = CAREFUL_MAX if former.careful else UNCOMMITTED_MAX + 1
    tries = min(in_log, in_hand) if former.open else 0
    return msgspec.structs.replace(
        mine,
        epoch=former.epoch + 1,
        account=former.account.resumed(unknown=tries),
        extents=former.extents,
        ledger=former.ledger,
        attempts=former.attempts,
        causes=former.causes,
        copies=former.copies,
        careful=max(tries, former.careful),
    )


def position_of(record: CursorRecord) -> dict[str, Position]:
    """Where the member stands in each log, by filter."""
    return {
        extent.filter: Position(
            extent.after, {_heard(subject): last for subject, last in extent.above.items()}
        )
        for extent in record.extents
    }


class Intake(Progress):
    """A `Progress` that counts obligations as they come."""

    __slots__ = ("account",)

    def __init__(self, positions: Mapping[str, Position], account: Account) -> None:
        super().__init__(positions)
        self.account = account

    def handed(self, log: str, subject: bytes, sequence: int) -> None:
        """One more message; a live one has no log and is no obligation."""
        super().handed(log, subject, sequence)
        if log:
            self.account.accepted += 1

    def oldest(self) -> tuple[str, int]:
        """Log and sequence of the message that is to be settled next. Raises IndexError when there is
        none."""
        log, _, sequence = self._line[0]
        return log, sequence


class _Hand(NamedTuple):
    """The message in hand: its name among attempts ("" for a live one), what the ledger calls it, whether
    this try is noted, and whether it is to be buried instead."""

    place: str = ""
    key: int = 0
    noted: bool = False
    buried: bool = False


class Cursor:
    """One life of a durable member, begun with the record that `next_life` made. `progress` is for the
    member that feeds it."""

    def __init__(self, record: CursorRecord) -> None:
        self.account = msgspec.structs.replace(record.account)
        self.copies = record.copies  # second copies withheld
        self.progress = Intake(position_of(record), self.account)
        self.uncommitted = 0  # ends that no record has yet
        self._record = record
        self._ledger = OnceLedger(record.ledger)
        self._attempts = dict(record.attempts)
        self._causes = dict(record.causes)
        self._careful = record.careful
        self._hand: _Hand | None = None

    # Messages

    def take(
        self, address: bytes, message_id: bytes, *, may_be_copy: bool, expires_us: int, now_us: int
    ) -> Verdict:
        """The oldest message that was handed to us, after the one before it was settled. `may_be_copy`: it is
        marked as a retry or was published `once`; `expires_us` 0: never."""
        log, sequence = self.progress.oldest()
        if not log:
            self._hand = _Hand()
            return Verdict.HAND_OUT
        key, place = key_of(address, message_id), f"{sequence}@{log}"
        if may_be_copy and key in self._ledger:
            self.account.accepted -= 1
            self.copies += 1
        elif expires_us and now_us >= expires_us:
            self.account.expired += 1
            self._ledger.add(key)
        else:
            return self._into_hand(place, key)
        self._end(place)
        return Verdict.SETTLED

    @property
    def must_commit(self) -> bool:
        """Whether a record has to be written before the next message is taken."""
        return self.uncommitted >= (CAREFUL_MAX if self._careful else UNCOMMITTED_MAX)

    @property
    def attempts(self) -> int:
        """Tries of the message in hand, as far as records tell: with this one when it was noted."""
        return self._attempts.get(self._hand.place, 0) if self._hand else 0

    @property
    def cause(self) -> str:
        """Why the last try of the message in hand was in vain."""
        return self._causes.get(self._hand.place, KILLED) if self._hand else ""

    def settle(self) -> bool:
        """The message in hand has been dealt with. False when there is none: settled before, or never handed
        out."""
        hand, self._hand = self._hand, None
        if hand is None:
            return False
        if not hand.place:
            self.progress.settle()
            return True
        if hand.buried:
            self.account.dead += 1
        else:
            self.account.delivered += 1
        self._ledger.add(hand.key)
        self._end(hand.place)
        return True

    def put_back(self, cause: str = "") -> None:
        """This life ends, maybe with a message in hand: the next one is given it. `cause`: what whoever
        handled it raised, which makes one more try in vain."""
        hand, self._hand = self._hand, None
        if hand is None or not hand.place or hand.buried:
            return
        if bool(cause) != hand.noted:
            self._try(hand.place, 1 if cause else -1)
        if cause:
            self._causes[hand.place] = cause

    def let_go(self, runs: int) -> None:
        """Retention took messages before they were read: so many runs of them."""
        self.account.accepted += runs
        self.account.truncated += runs
        self.uncommitted += runs

    # The record

    def commit(self, *, closing: bool = False) -> Commit:
        """What to write now; `committed` when it is written. `closing`: what is not settled goes back to the
        log."""
        positions = self.progress.positions()
        record = msgspec.structs.replace(
            self._record,
            open=not closing,
            account=self.account.resumed() if closing else msgspec.structs.replace(self.account),
            extents=[_at(extent, positions.get(extent.filter)) for extent in self._record.extents],
            number=self._record.number + 1,
            ledger=self._ledger.packed(),
            attempts=dict(self._attempts),
            causes=dict(self._causes),
            copies=self.copies,
            careful=self._careful,
        )
        return Commit(record, self.uncommitted)

    def is_news(self, commit: Commit) -> bool:
        """Whether the record says more than the last one that was written."""
        return msgspec.structs.replace(commit.record, number=self._record.number) != self._record

    def committed(self, commit: Commit) -> None:
        """It is written: these ends stand, whatever happens."""
        self.uncommitted -= commit.ends
        self._record = commit.record

    def _into_hand(self, place: str, key: int) -> Verdict:
        buried = self._attempts.get(place, 0) >= ATTEMPTS_MAX
        noted = self._careful > 0 and not buried
        self._hand = _Hand(place, key, noted, buried)
        if buried:
            return Verdict.BURY
        if not noted:
            return Verdict.HAND_OUT
        self._careful -= 1
        self._try(place, 1)
        return Verdict.NOTE

    def _try(self, place: str, more: int) -> None:
        tried = self._attempts.pop(place, 0) + more
        if tried:
            self._attempts[place] = tried
        if len(self._attempts) > ATTEMPTS_KEPT:
            oldest = next(iter(self._attempts))
            del self._attempts[oldest]
            self._causes.pop(oldest, None)

    def _end(self, place: str) -> None:
        self.progress.settle()
        self.uncommitted += 1
        if self._attempts:
            self._attempts.pop(place, None)
            self._causes.pop(place, None)


def _at(extent: Extent, position: Position | None) -> Extent:
    if position is None:
        return extent
    above = {_stored(subject): last for subject, last in position.above.items()}
    return Extent(extent.stream, extent.filter, position.verified, above=above)


def _heard(subject: str) -> bytes:
    # `fab.ch.<shard>...` as it is stored -> `fab.cho.<shard>...` as the feed spells it
    return b"fab.cho" + subject[6:].encode()


def _stored(subject: bytes) -> str:
    return "fab.ch" + subject[7:].decode()
