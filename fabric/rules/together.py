"""Alone or together: when one sequential reader of a log serves its late members sooner than each one alone.

Alone, a member reads its own filter, and the server skips what lies between: what that costs varies by four
orders of magnitude. Together, everything is read once and most of it is thrown away. Neither a count of
members nor of channels tells which is sooner, but what reading has cost so far does:

    alone_s     the longest of (messages left * seconds each took lately) over all who are behind; those who
                read at the same time slow each other, so this is when the last of them would be done
    together_s  (the log's end - the lowest position) * seconds each message took when read in a row

| late members | alone_s against together_s | verdict |
|--------------|----------------------------|---------|
| one          | any                        | alone |
| more         | at most `MARGIN` times, or below `SHORT_S` | alone |
| more         | more than that             | together |
"""

from collections.abc import Hashable
from typing import NamedTuple

__all__ = ["Late", "Paces"]

MARGIN = 1.5
SHORT_S = 0.05  # not worth asking where the log ends
SEQUENTIAL_S = 12e-6  # a first guess, with six headers and 256 bytes
LEARN = 0.3  # of what a page in a row took


class Late(NamedTuple):
    """One who is behind: how far it is, how many messages it lacks, what each took lately."""

    position: int
    left: int
    each_s: float


class Paces:
    """What reading one log costs its late members."""

    __slots__ = ("_late", "sequential_s")

    def __init__(self) -> None:
        self.sequential_s = SEQUENTIAL_S
        self._late: dict[Hashable, Late] = {}

    def read(self, who: Hashable, late: Late) -> None:
        """A page was read alone."""
        self._late[who] = late

    def gone(self, who: Hashable) -> None:
        """It is not behind any more, or not alone."""
        self._late.pop(who, None)

    def read_in_a_row(self, messages: int, seconds: float) -> None:
        """A page was read together."""
        if messages:
            self.sequential_s += LEARN * (seconds / messages - self.sequential_s)

    @property
    def alone_s(self) -> float:
        """How long the last of them would take; 0 when there is only one."""
        if len(self._late) < 2:
            return 0.0
        return max(late.left * late.each_s for late in self._late.values())

    def worth_asking(self) -> bool:
        """Whether it may be worth it: then find out where the log ends."""
        return self.alone_s > SHORT_S

    def together(self, end: int) -> bool:
        """Whether to read together, in a log that ends here."""
        lowest = min((late.position for late in self._late.values()), default=end)
        return self.alone_s > MARGIN * max(end - lowest, 0) * self.sequential_s
