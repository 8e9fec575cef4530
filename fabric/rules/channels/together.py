"""Alone or together: when one sequential reader of a log serves its late members sooner than each one alone.

Alone, a member reads its own filter, and the server skips what lies between: what that costs varies by four
orders of magnitude. Together, everything is read once and most of it is thrown away. Neither a count of
members nor of channels tells which is sooner, but what reading has cost so far does:

    alone_s     what the late members lack, at what it took each lately: the mean of (messages left * seconds
                a message), times their number, by so many as read at once (their times include each other)
    together_s  (the log's end - the lowest position) * seconds each message took when read in a row

| late members | alone_s against together_s | verdict |
|--------------|----------------------------|---------|
| one          | any                        | alone |
| more         | nobody has read a page yet | alone |
| more         | at most `MARGIN` times, or below `SHORT_S` | alone |
| more         | more than that             | together |
"""

from collections.abc import Hashable

__all__ = ["AT_ONCE", "Paces"]

AT_ONCE = (
    16  # pages asked for at a time: a connection's are answered one after another, a thousand would time out
)
MARGIN = 1.5
SHORT_S = 0.05  # not worth asking where the log ends
SEQUENTIAL_S = 12e-6  # a first guess, with six headers and 256 bytes
LEARN = 0.3  # of what a page in a row took


class Paces:
    """What reading one log costs its late members."""

    __slots__ = ("_costs_s", "_positions", "sequential_s")

    def __init__(self) -> None:
        self.sequential_s = SEQUENTIAL_S
        self._positions: dict[Hashable, int] = {}
        self._costs_s: dict[Hashable, float] = {}

    def late(self, who: Hashable, position: int) -> None:
        """It is behind, and has read so far."""
        self._positions[who] = position

    def read(self, who: Hashable, left: int, each_s: float) -> None:
        """It has read a page alone: it lacks `left` more messages, each of the page's took `each_s`."""
        self._costs_s[who] = left * each_s

    def gone(self, who: Hashable) -> None:
        """It is not behind any more, or not alone."""
        self._positions.pop(who, None)
        self._costs_s.pop(who, None)

    def read_in_a_row(self, messages: int, seconds: float) -> None:
        """A page was read together."""
        if messages:
            self.sequential_s += LEARN * (seconds / messages - self.sequential_s)

    @property
    def alone_s(self) -> float:
        """When all would be done alone; 0 when there is only one, or nobody knows yet."""
        late, known = len(self._positions), len(self._costs_s)
        if late < 2 or not known:
            return 0.0
        return sum(self._costs_s.values()) / known * late / min(late, AT_ONCE)

    def worth_asking(self) -> bool:
        """Whether it may be worth it: then find out where the log ends."""
        return self.alone_s > SHORT_S

    def together(self, end: int) -> bool:
        """Whether to read together, in a log that ends here."""
        lowest = min(self._positions.values(), default=end)
        return self.alone_s > MARGIN * max(end - lowest, 0) * self.sequential_s
