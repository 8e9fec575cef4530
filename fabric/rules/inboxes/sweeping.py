"""The inboxes of agents that are away: which letters a sweeper ends, and which inboxes it shuts or opens.

A sweeper passes through a shard's log again and again, a page at a time. While an inbox has a live owner, all
this is the owner's business.

| in the log                                        | the sweeper |
|---------------------------------------------------|-------------|
| a letter past its `expirytime`, not settled       | counts it in the record, then takes it out |
| an inbox with `letters_max` letters at a pass's end | marks the record, then shuts the gate |
| a gate, and half as many letters or fewer         | marks the record, then takes the gate away |
| a gate that the record knows nothing of           | takes it away, whoever is the owner |

Every other act begins with a compare-and-set of the record: an owner that comes meanwhile wins, and several
sweepers do no harm. Inboxes with fewer letters than LOOK_FROM are not counted against their totals. Above:
`node.sweeper`. Below: `inbox`.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from typing import NamedTuple

import msgspec

from fabric.rules.accounts import Extent
from fabric.rules.inboxes.inbox import InboxRecord

__all__ = ["Letter", "Pass", "ended", "expired", "first_record"]

LOOK_FROM = 256  # letters: less than this no total is worth a look at every record
GATE = "%full"


class Letter(NamedTuple):
    """What the sweeper sees of one: `expires_us` 0 is never."""

    agent: str
    source: str
    sequence: int
    expires_us: int


class Pass:
    """One pass through a shard's log. Bounded: an agent's name and number for each inbox with letters."""

    def __init__(self) -> None:
        self._letters: Counter[str] = Counter()
        self._gates: set[str] = set()

    def see(self, letters: Collection[Letter], now_us: int) -> dict[str, list[Letter]]:
        """The next page, in the log's order; answers the letters whose time is over, by agent."""
        over: dict[str, list[Letter]] = {}
        for letter in letters:
            if letter.agent == GATE:
                self._gates.add(letter.source)
                continue
            self._letters[letter.agent] += 1
            if 0 < letter.expires_us <= now_us:
                over.setdefault(letter.agent, []).append(letter)
        return over

    def ends(self) -> Iterator[tuple[str, int, bool]]:
        """The whole log was seen: inboxes to be looked at, with their letters and whether a gate is there."""
        for agent, letters in self._letters.items():
            if letters >= LOOK_FROM or agent in self._gates:
                yield agent, letters, agent in self._gates
        for agent in self._gates - self._letters.keys():
            yield agent, 0, True


def first_record(name: str, extent: Extent) -> InboxRecord:
    """Of an inbox that never had an owner."""
    return InboxRecord(name=name, process="", epoch=0, open=False, connection="", extents=[extent])


def expired(record: InboxRecord, letters: Collection[Letter]) -> tuple[InboxRecord, list[int]]:
    """The record with these letters ended, and their sequences; without those that are settled already."""
    settled = set(record.beyond)
    over = [
        letter.sequence
        for letter in letters
        if letter.sequence > record.floors.get(letter.source, 0) and letter.sequence not in settled
    ]
    # An owner that crashed may have had them in hand: they are taken up here for the first time all the same.
    account = record.account.resumed()
    account.accepted += len(over)
    account.expired += len(over)
    changed = msgspec.structs.replace(record, account=account, beyond=sorted(settled.union(over)))
    return changed, over


def ended(record: InboxRecord, gone: Collection[int]) -> InboxRecord:
    """The record once these have left the log."""
    return msgspec.structs.replace(record, beyond=sorted(set(record.beyond).difference(gone)))
