"""An inbox: which of its letters are settled, what its owner must remember of them, and who may be the owner.

The log holds the letters of an inbox, one subject for each source. What is settled is taken out of the log in
batches, and until then the cursor record says so. Whatever the log holds and the record does not name is
unsettled: that is the whole of recovery.

| letter   | input                                             | becomes  | kept in the record as |
|----------|---------------------------------------------------|----------|------------------------|
| in the log | the owner receives it (`take`)                  | in hand  | nothing |
| in hand  | handed to the handler (`attempt`)                 | in hand  | `attempts` |
| in hand  | `settle`, all before it of its source are settled | settled  | the source's `floors` |
| in hand  | `settle`, one before it is not                    | settled  | `beyond` |
| in hand  | `settle` as a copy of another letter              | settled  | as above; it is no obligation |
| settled  | `settle`                                          | settled  | False: an end is final |
| unknown  | `settle`                                          | unknown  | False |
| settled  | the log let go of it (`purged`)                   | gone     | nothing |
| any but gone | the owner's life ends                         | as the record of the last commit says | |

| record                    | may another own it (`owner_in_the_way`)  |
|---------------------------|------------------------------------------|
| never written, or closed  | yes |
| open, its process is gone | yes: that life has crashed, what it held is tried with care |
| open, its process lives   | only by taking over; the former is fenced by its next commit |

Counts are part of the record, so a letter is counted in the same write that settles it. Above:
`client.inbox_owner`, `client.custody`. Cost: an append, two dict operations and an addition for each letter.
"""

from collections import deque
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

import msgspec

from fabric.rules.accounts import Account, Holder

__all__ = ["LETTERS_MAX", "Commit", "End", "InboxRecord", "Letters", "is_shut", "owner_in_the_way"]

PURGE_LETTERS = 64  # of one source: a quarter of what the server lets it leave
LIVES_MAX = 1024  # sources whose present life is remembered
LETTERS_MAX = 10_000  # in an inbox, of all sources, unless its owner says otherwise
SOURCES_KEPT = 1024  # of which nothing is in the log


class End(Enum):
    """How a letter ends. A COPY of a letter that came before is none of its own."""

    DELIVERED = "delivered"
    EXPIRED = "expired"
    DEAD = "dead"
    COPY = "copy"


class InboxRecord(Holder, kw_only=True, omit_defaults=True):
    """What an inbox's owner commits. `floors`: of this source everything up to there is settled; `beyond`:
    settled above a floor; `attempts`: how often a letter in hand was handed out; `lives`: the latest epoch
    that each replying source showed. Only letters that the log may still hold are named. `shut`: the inbox
    takes no more letters, as far as senders look. `swept`: the sweep that wrote it, so that no two write the
    same."""

    connection: str  # whose lease is the process's
    floors: dict[str, int] = msgspec.field(default_factory=dict)
    beyond: list[int] = msgspec.field(default_factory=list)
    attempts: dict[int, int] = msgspec.field(default_factory=dict)
    lives: dict[str, int] = msgspec.field(default_factory=dict)
    letters_max: int = 0  # the owner's total, for the node that watches while it is away
    shut: bool = False
    swept: str = ""


def owner_in_the_way(record: InboxRecord | None, *, lives: bool, take_over: bool) -> str | None:
    """The process that keeps another from owning this inbox; None: nobody does. `lives`: the recorded
    process's lease is held (of this process itself: it has the inbox open)."""
    if record is None or not record.open or not lives or take_over:
        return None
    return record.process


def is_shut(record: InboxRecord, letters: int) -> bool:
    """Whether an inbox with so many letters is to take no more."""
    most = record.letters_max or LETTERS_MAX
    return letters >= most or (record.shut and letters > most // 2)


class Commit(NamedTuple):
    """A record to write, and how many ends it makes final."""

    record: InboxRecord
    ends: int


class _Source:
    __slots__ = ("ahead", "floor", "spent", "waiting")

    def __init__(self, floor: int) -> None:
        self.floor = floor  # everything up to it is settled
        self.waiting: deque[int] = deque()  # received above the floor, in the log's order
        self.ahead: set[int] = set()  # of those, what is settled already
        self.spent: deque[int] = deque()  # at or below the floor and still in the log


class Letters:
    """The letters of one inbox in one life of its owner. Resumed from the record of the life before."""

    def __init__(self, former: InboxRecord | None = None) -> None:
        self.crashed = former is not None and former.open
        self.account = former.account.resumed() if former else Account()
        self.fenced = 0  # replies from an earlier life of their sender
        self.spent = 0  # settled and still in the log
        self.uncommitted = 0  # ends that no record has yet
        self.is_pressed = False  # a source has left so much settled in the log that it is to be taken out
        self._floors = dict(former.floors) if former else {}
        self._beyond = set(former.beyond) if former else set()
        self._attempts = dict(former.attempts) if former else {}
        self._lives = dict(former.lives) if former else {}
        self._sources: dict[str, _Source] = {}
        self._open: dict[int, _Source] = {}

    def __len__(self) -> int:
        """Letters in hand."""
        return len(self._open)

    def was_settled(self, source: str, sequence: int) -> bool:
        """Whether the record of a life before says so."""
        return sequence <= self._floors.get(source, 0) or sequence in self._beyond

    def begin_anew(self) -> None:
        """The log is another one: what the record says of sequences means nothing. Counted as truncated."""
        self._floors, self._attempts = {}, {}
        self._beyond = set()
        for at in self._sources.values():
            at.floor = at.spent[-1] if at.spent else 0
        self.account.accepted += 1
        self.account.truncated += 1

    def let_go(self, runs: int) -> None:
        """The log let go of letters before they were received: so many runs of them."""
        self.account.accepted += runs
        self.account.truncated += runs

    def tried_before(self, at_most: int) -> None:
        """The log has been read after a crash: that life may have tried what it left, as many as it can have
        had in hand. They stand as unknown, and are taken up anew."""
        tries = min(len(self._open), at_most)
        self.account.accepted += tries
        self.account.unknown += tries

    def take(self, source: str, sequence: int) -> bool:
        """A letter was received, each once and in its source's order. False: a life before settled it."""
        at = self._sources.get(source)
        if at is None:
            at = self._sources[source] = _Source(self._floors.get(source, 0))
        if sequence <= at.floor:
            self.spent += 1
            at.spent.append(sequence)
            return False
        at.waiting.append(sequence)
        if sequence in self._beyond:
            self.spent += 1
            self._pass(at, sequence)
            return False
        self._open[sequence] = at
        self.account.accepted += 1
        return True

    def attempt(self, sequence: int) -> int:
        """The letter is handed out: for which time, counting those of lives before."""
        number = self._attempts.get(sequence, 0) + 1
        self._attempts[sequence] = number
        return number

    def attempts(self, sequence: int) -> int:
        """How often it was handed out so far, as far as records tell."""
        return self._attempts.get(sequence, 0)

    def settle(self, sequence: int, end: End) -> bool:
        """The letter's end. False, and nothing is counted, when it is not in hand: unknown or settled."""
        at = self._open.pop(sequence, None)
        if at is None:
            return False
        account = self.account
        if end is End.DELIVERED:
            account.delivered += 1
        elif end is End.EXPIRED:
            account.expired += 1
        elif end is End.DEAD:
            account.dead += 1
        else:
            account.accepted -= 1
        self._attempts.pop(sequence, None)
        self.spent += 1
        self.uncommitted += 1
        self._pass(at, sequence)
        return True

    def follows(self, source: str, epoch: int) -> bool:
        """Whether a reply of this epoch is from its sender's present life. False is counted: fenced."""
        latest = self._lives.pop(source, 0)
        self._lives[source] = max(epoch, latest)
        if len(self._lives) > LIVES_MAX:
            del self._lives[next(iter(self._lives))]
        self.fenced += epoch < latest
        return epoch >= latest

    # The record

    def commit(self, owner: InboxRecord, *, closing: bool = False) -> Commit:
        """What to write now, over what `owner` says of this life; `committed` when it is written. `closing`:
        what is in hand goes back to the log."""
        # Of letters that the log has not shown us yet, the record of the life before says which are settled.
        floors = {source: at for source, at in self._floors.items() if source not in self._sources}
        floors |= {source: at.floor for source, at in self._sources.items() if at.spent}
        record = msgspec.structs.replace(
            owner,
            open=not closing,
            account=self.account.resumed() if closing else msgspec.structs.replace(self.account),
            extents=[msgspec.structs.replace(extent, settled=self.spent) for extent in owner.extents],
            floors=floors,
            beyond=sorted(self._beyond.union(*(at.ahead for at in self._sources.values()))),
            attempts=dict(self._attempts),
            lives=dict(self._lives),
        )
        return Commit(record, self.uncommitted)

    def committed(self, commit: Commit) -> None:
        """It is written: these ends stand, whatever happens."""
        self.uncommitted -= commit.ends

    def read_whole(self) -> None:
        """Everything that the log held when this life began was received: the record before has served."""
        self._floors = {}
        self._beyond = set()
        self._attempts = {at: number for at, number in self._attempts.items() if at in self._open}

    # The log

    def purgeable(self, record: InboxRecord, *, everything: bool) -> dict[str, int]:
        """What may be taken out of the log once this record is written: of each source, up to where. Only
        sources that are pressed, or `everything`."""
        return {
            source: record.floors[source]
            for source, at in self._sources.items()
            if source in record.floors and at.spent and (everything or len(at.spent) >= PURGE_LETTERS)
        }

    def purged(self, floors: Mapping[str, int]) -> None:
        """The log let go of these."""
        for source, floor in floors.items():
            at = self._sources[source]
            while at.spent and at.spent[0] <= floor:
                at.spent.popleft()
                self.spent -= 1
            if not (at.waiting or at.spent) and len(self._sources) > SOURCES_KEPT:
                del self._sources[source]  # else its floor tells a late copy of what is gone
        self.is_pressed = any(len(at.spent) >= PURGE_LETTERS for at in self._sources.values())

    def _pass(self, at: _Source, sequence: int) -> None:
        if at.waiting[0] != sequence:
            at.ahead.add(sequence)
            return
        at.floor = at.waiting.popleft()
        at.spent.append(sequence)
        self.is_pressed |= len(at.spent) >= PURGE_LETTERS
        while at.waiting and at.waiting[0] in at.ahead:
            at.floor = at.waiting.popleft()
            at.ahead.discard(at.floor)
            at.spent.append(at.floor)
