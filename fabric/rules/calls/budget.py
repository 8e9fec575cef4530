"""What a call may spend with everything that it sets off: calls, and cost units by the tools' contracts.

A budget is granted with a call (`fabbudget`) and comes back, less what was spent, with its answer.

| who | input | act |
|---|---|---|
| agent | request with a budget | pay 1 call and the tool's cost from it, or refuse and give it back whole |
| handler | a nested call, no sum named | those who ask in one turn of the loop share evenly what is left |
| handler | a nested call with a sum of its own | served before the shares, exactly or not at all |
| handler | nothing is left, grants are out | the asker waits for what comes back with an answer |
| handler | nothing is left, no grant is out | the asker is refused |
| handler | an answer comes with n left | n return to the purse, never more than was granted |
| handler | a grant's answer never comes | it counts as spent |
| agent | the handler ended | what is in the purse goes back; grants still out count as spent |

So along any tree, whatever runs in parallel: spent <= granted, and when every answer came, spent + left =
granted. A sum of None is no limit. Cost is counted in whole thousandths: halves of halves must add up.
Above: `fabric.client.calls.spending`. Below: `errors`.
"""

import math
from typing import Final, Self

from fabric.errors import ConfigInvalid

__all__ = ["NOTHING", "Budget", "Purse"]

THOUSANDTHS_MAX = 10**15  # a sum stays a sum that every JSON reader can hold


class Budget:
    """At most `calls` calls, the first one included, and tools that cost `cost` units together. None: no
    limit. Finer than a thousandth of a unit is rounded down. Raises ConfigInvalid."""

    __slots__ = ("calls", "thousandths")

    def __init__(self, calls: int | None = None, cost: float | None = None) -> None:
        if calls is not None and not 0 <= calls <= THOUSANDTHS_MAX:
            raise ConfigInvalid("budget: calls", f"{calls} is not between 0 and {THOUSANDTHS_MAX:,}")
        if cost is not None and not 0 <= cost <= THOUSANDTHS_MAX // 1000:
            raise ConfigInvalid("budget: cost", f"{cost} is not between 0 and {THOUSANDTHS_MAX // 1000:,}")
        self.calls = calls
        self.thousandths = None if cost is None else math.floor(cost * 1000 + 1e-6)

    @classmethod
    def of(cls, calls: int | None, thousandths: int | None) -> Self:
        """From exact sums."""
        made = cls()
        made.calls, made.thousandths = calls, thousandths
        return made

    @classmethod
    def price(cls, cost: float) -> Self:
        """What one call of a tool costs, rounded up."""
        return cls.of(1, min(math.ceil(max(cost, 0.0) * 1000 - 1e-6), THOUSANDTHS_MAX))

    @classmethod
    def parse(cls, carried: str) -> Self:
        """What `str` wrote. What cannot be read allows nothing."""
        sums = [_parsed(part) for part in carried.split("/")]
        if len(sums) != 2 or -1 in sums:
            return cls.of(0, 0)
        return cls.of(sums[0], sums[1])

    @property
    def cost(self) -> float | None:
        """In units."""
        return None if self.thousandths is None else self.thousandths / 1000

    @property
    def is_empty(self) -> bool:
        """Whether no call can be made of it."""
        return self.calls == 0

    def covers(self, other: "Budget") -> bool:
        """Whether the sums that `other` names can be taken from it."""
        return _covers(self.calls, other.calls) and _covers(self.thousandths, other.thousandths)

    def within(self, other: "Budget") -> "Budget":
        """The smaller of both, sum by sum."""
        return Budget.of(_least(self.calls, other.calls), _least(self.thousandths, other.thousandths))

    def divided(self, parts: int) -> "list[Budget]":
        """Even parts that add up to it; the first ones get the remainders."""
        calls, costs = _split(self.calls, parts), _split(self.thousandths, parts)
        return [Budget.of(*sums) for sums in zip(calls, costs, strict=True)]

    def __sub__(self, other: "Budget") -> "Budget":
        return Budget.of(_minus(self.calls, other.calls), _minus(self.thousandths, other.thousandths))

    def __add__(self, other: "Budget") -> "Budget":
        return Budget.of(_plus(self.calls, other.calls), _plus(self.thousandths, other.thousandths))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Budget):
            return NotImplemented
        return (self.calls, self.thousandths) == (other.calls, other.thousandths)

    def __hash__(self) -> int:
        return hash((self.calls, self.thousandths))

    def __str__(self) -> str:
        return "/".join("-" if one is None else str(one) for one in (self.calls, self.thousandths))

    def __repr__(self) -> str:
        return f"Budget(calls={self.calls}, cost={self.cost})"


NOTHING: Final = Budget(0, 0.0)


class Purse:
    """One handler's budget: what is left of it, what its nested calls were granted, and who asks."""

    def __init__(self, granted: Budget) -> None:
        self.left = granted
        self.closed = False
        self._out: dict[int, Budget] = {}
        self._asking: dict[int, Budget | None] = {}
        self._last = 0

    @property
    def waiting(self) -> int:
        """Askers without an answer."""
        return len(self._asking)

    def ask(self, wanted: Budget | None) -> int:
        """A nested call wants a share, or the sum `wanted`. Its ticket: `share` decides."""
        self._last += 1
        self._asking[self._last] = wanted
        return self._last

    def share(self) -> list[tuple[int, Budget | None]]:
        """What is decided now, by ticket: a grant, or None for a refusal. Who is not named waits; call it
        again after each `back`, `forget` and `close`."""
        if self.closed:
            refused, self._asking = list(self._asking), {}
            return [(ticket, None) for ticket in refused]
        decided: list[tuple[int, Budget | None]] = []
        for ticket, wanted in list(self._asking.items()):
            if wanted is None:
                continue
            if self.left.covers(wanted) and not self.left.is_empty:
                # Of a sum that it does not name it gets all there is: it asks before those who name none.
                decided.append((ticket, self._grant(ticket, wanted.within(self.left))))
            elif self._out:
                return decided  # it waits, and nobody takes what it waits for
            else:
                del self._asking[ticket]
                decided.append((ticket, None))
        return decided + self._share_evenly()

    def back(self, ticket: int, left: Budget | None) -> None:
        """The grant's call has ended: `left` came back, None when nobody can say. Safe to call twice."""
        granted = self._out.pop(ticket, None)
        if granted is not None and left is not None and not self.closed:
            self.left += left.within(granted)

    def forget(self, ticket: int) -> None:
        """The asker asks no more; a grant that it has not used comes back whole."""
        self._asking.pop(ticket, None)
        if ticket in self._out:
            self.back(ticket, self._out[ticket])

    def close(self) -> Budget:
        """The handler has ended: what goes back with its answer. Whoever asks from now on is refused."""
        left, self.left, self.closed = self.left, NOTHING, True
        return left

    def _grant(self, ticket: int, grant: Budget) -> Budget:
        del self._asking[ticket]
        self.left -= grant
        self._out[ticket] = grant
        return grant

    def _share_evenly(self) -> list[tuple[int, Budget | None]]:
        asking = list(self._asking)
        if not asking:
            return []
        if self.left.is_empty:
            if self._out:
                return []
            self._asking.clear()
            return [(ticket, None) for ticket in asking]
        if self.left.thousandths == 0 and any(grant.thousandths for grant in self._out.values()):
            return []  # free tools could be called now, others only with what comes back
        served = asking if self.left.calls is None else asking[: self.left.calls]
        shares = self.left.divided(len(served))
        return [(ticket, self._grant(ticket, share)) for ticket, share in zip(served, shares, strict=True)]


def _parsed(part: str) -> int | None:
    # -1: no sum at all.
    if part == "-":
        return None
    return int(part) if part.isascii() and part.isdecimal() and len(part) <= 16 else -1


def _covers(have: int | None, want: int | None) -> bool:
    return have is None or want is None or want <= have


def _least(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)


def _minus(one: int | None, other: int | None) -> int | None:
    return None if one is None else one - (other or 0)


def _plus(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _split(total: int | None, parts: int) -> list[int | None]:
    if total is None:
        return [None] * parts
    each, more = divmod(total, parts)
    return [each + (index < more) for index in range(parts)]
