"""Who may come in: a rate with a burst, a ceiling on what runs at once, and a fair share of that ceiling.

| what | refused when | come back after |
|---|---|---|
| `Rates`: a token bucket for each key | no token is left | the next token |
| `Ceiling`: a count for each key | the key has `at_once` running | a tenth of a second |
| `Seats`: one count, shared out | all are taken, or the key has `SHARE` times what is free | the same |

`Seats` is the dynamic threshold of shared switch buffers (Choudhury and Hahne, 1998): who asks for
everything gets four fifths, the rest stays open to others, and nobody configures a number per caller.
Nothing is charged unless everything admits: `Admission` looks first and takes then.

Keys come from peers, so a scope remembers a bounded number of them; the one that was quiet the longest is
forgotten, and begins again with a full bucket. Time is an argument, in seconds. Above: `client.reception`
(an agent's callers), `client.gate` (what crosses a node's edges). Below: nothing.
"""

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

__all__ = ["Admission", "Ceiling", "Denied", "Rate", "Rates", "Seats", "full"]

KEYS_MAX = 10_000  # remembered in one scope: 2 MB
SHARE = 4  # of what is free; 4 leaves a fifth to newcomers, 1 would leave half of it idle for a lone caller
RETRY_MS = 100  # for a seat: most calls are shorter
WAIT_MS_MAX = 60_000


class Rate(msgspec.Struct, frozen=True):
    """`per_s` on average, `burst` at once. A rate of 0 is no limit, a burst of 0 one second's worth."""

    per_s: float = 0.0
    burst: int = 0

    @property
    def depth(self) -> float:
        """What a full bucket holds: at least one token."""
        return max(float(self.burst) or self.per_s, 1.0)


class Denied(NamedTuple):
    """Why not. `reason` is `rate` or `full`; `depth` what runs in the scope, `share` the key's part of it."""

    scope: str
    reason: str
    retry_after_ms: int
    depth: int | None = None
    share: float | None = None


class Rates:
    """A bucket for each key of a scope."""

    def __init__(self, rate: Rate, keys_max: int = KEYS_MAX) -> None:
        self.rate = rate
        self._keys_max = keys_max
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when that was

    def wait_ms(self, key: str, now: float) -> int:
        """Until a token is there; 0: now."""
        if self.rate.per_s <= 0:
            return 0
        missing = 1.0 - self._tokens(key, now)
        if missing <= 0:
            return 0
        return min(max(math.ceil(missing / self.rate.per_s * 1000), 1), WAIT_MS_MAX)

    def take(self, key: str, now: float) -> None:
        """One token, which `wait_ms` said is there."""
        if self.rate.per_s <= 0:
            return
        self._buckets[key] = self._tokens(key, now) - 1.0, now
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._keys_max:
            self._buckets.popitem(last=False)

    def _tokens(self, key: str, now: float) -> float:
        tokens, since = self._buckets.get(key, (self.rate.depth, now))
        grown = tokens + max(now - since, 0.0) * self.rate.per_s  # a clock that goes back takes nothing away
        return min(grown + 1e-9, self.rate.depth)


class Ceiling:
    """At most `at_once` of each key at the same time; 0 is no limit."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self._running: dict[str, int] = {}

    def running(self, key: str) -> int:
        """How many the key has."""
        return self._running.get(key, 0)

    def has_room(self, key: str) -> bool:
        """Whether one more may come in."""
        return self.at_once <= 0 or self.running(key) < self.at_once

    def enter(self, key: str) -> None:
        """One more."""
        self._running[key] = self.running(key) + 1

    def leave(self, key: str) -> None:
        """One less."""
        left = self._running[key] - 1
        if left:
            self._running[key] = left
        else:
            del self._running[key]


class Seats(Ceiling):
    """At most `at_once` of all keys together, and no key more than `SHARE` times what is free. Spelled out
    where it could call what it extends: every call of an agent comes through here twice."""

    def __init__(self, at_once: int) -> None:
        super().__init__(at_once)
        self.taken = 0

    def has_room(self, key: str) -> bool:
        """Whether one more may come in."""
        free = self.at_once - self.taken
        return self.at_once <= 0 or self._running.get(key, 0) < SHARE * free

    def enter(self, key: str) -> None:
        """One more."""
        self._running[key] = self._running.get(key, 0) + 1
        self.taken += 1

    def admit(self, key: str) -> bool:
        """One more, if there is room: both in one."""
        own = self._running.get(key, 0)
        if own >= SHARE * (self.at_once - self.taken):
            return False
        self._running[key] = own + 1
        self.taken += 1
        return True

    def leave(self, key: str) -> None:
        """One less."""
        left = self._running[key] - 1
        if left:
            self._running[key] = left
        else:
            del self._running[key]
        self.taken -= 1


class Admission:
    """Several scopes, each with a rate or a ceiling. `keys` name who comes, scope by scope. Scopes without a
    limit cost nothing."""

    def __init__(self, rates: Mapping[str, Rate], ceilings: Mapping[str, Ceiling]) -> None:
        self._rates = tuple((scope, Rates(rate)) for scope, rate in rates.items() if rate.per_s > 0)
        self._ceilings = tuple((scope, one) for scope, one in ceilings.items() if one.at_once > 0)

    def offer(self, keys: Mapping[str, str], now: float) -> Denied | None:
        """Something that passes: only rates count, those of the scopes in `keys`."""
        for scope, rates in self._rates:
            if scope in keys and (wait_ms := rates.wait_ms(keys[scope], now)):
                return Denied(scope, "rate", wait_ms)
        for scope, rates in self._rates:
            if scope in keys:
                rates.take(keys[scope], now)
        return None

    def enter(self, keys: Mapping[str, str], now: float) -> Denied | None:
        """Something that stays until `leave` with the same keys, which name every scope with a ceiling."""
        for scope, ceiling in self._ceilings:
            if not ceiling.has_room(keys[scope]):
                return full(scope, ceiling, keys[scope])
        if self._rates and (denied := self.offer(keys, now)) is not None:
            return denied
        for scope, ceiling in self._ceilings:
            ceiling.enter(keys[scope])
        return None

    def leave(self, keys: Mapping[str, str]) -> None:
        """What `enter` took in has ended."""
        for scope, ceiling in self._ceilings:
            ceiling.leave(keys[scope])


def full(scope: str, ceiling: Ceiling, key: str) -> Denied:
    """The refusal of one more of that key."""
    own = ceiling.running(key)
    depth = ceiling.taken if isinstance(ceiling, Seats) else own
    return Denied(scope, "full", RETRY_MS, depth, own / depth if depth else 0.0)
