"""Loss, duplicates and order: every payload carries its number, and every run is counted.

In: the payloads that arrived. Out: how many are lost, came twice, or overtook another. A fast run that lost
a message is a failed run. Above: scenarios, floors, peers.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

__all__ = ["PAYLOAD_BYTES", "Checked", "check", "numbers_of", "payloads"]

PAYLOAD_BYTES = 256
_NUMBER_BYTES = 8


class Checked(NamedTuple):
    """All three are zero after a run that counts."""

    lost: int
    duplicated: int
    disordered: int


def payloads(count: int, size: int = PAYLOAD_BYTES) -> list[bytes]:
    """Different payloads of the same size, numbered from 0: made before the clock starts."""
    filler = bytes(33 + at % 90 for at in range(size - _NUMBER_BYTES))
    return [number.to_bytes(_NUMBER_BYTES, "big") + filler for number in range(count)]


def numbers_of(arrived: Iterable[bytes]) -> list[int]:
    """The numbers in payloads, in the order of arrival."""
    return [int.from_bytes(payload[:_NUMBER_BYTES], "big") for payload in arrived]


def check(numbers: Sequence[int], expected: Iterable[int]) -> Checked:
    """Compare what arrived with what was sent, both in order. What nobody sent counts as a duplicate."""
    wanted = list(expected)
    seen = set(numbers)
    foreign = len(seen.difference(wanted))
    disordered = sum(later < earlier for earlier, later in pairwise(numbers))
    return Checked(
        lost=len(set(wanted) - seen), duplicated=len(numbers) - len(seen) + foreign, disordered=disordered
    )
