"""What goes wrong, and when: a list made from a seed, so that a round can be played again.

In: a seed and the names of the parts. Out: moments with a fault each. Above: world, which does it.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Fault", "plan"]

GAP_S = 0.4, 1.5


class Fault(NamedTuple):
    """At so many seconds into the round, this happens; to a part, when it is `kill-part`."""

    at_s: float
    what: str
    part: str = ""


def plan(
    seed: int, parts: Sequence[str], seconds: float, kinds: Sequence[str], slowly: float = 1.0
) -> list[Fault]:
    """Faults until the storm ends, `slowly` times as far apart as usual. A part is killed as often as all
    other kinds happen together."""
    chance = random.Random(seed)
    faults: list[Fault] = []
    at_s = chance.uniform(*GAP_S) * slowly
    while at_s < seconds:
        if chance.random() < 0.5:
            faults.append(Fault(round(at_s, 2), "kill-part", chance.choice(parts)))
        else:
            faults.append(Fault(round(at_s, 2), chance.choice(kinds)))
        at_s += chance.uniform(*GAP_S) * slowly
    return faults
