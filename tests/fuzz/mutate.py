"""Inputs without guidance: seeds, changed at random, the same ones for the same number.

In: seeds and a number. Out: an endless stream of inputs. Above: `run`. Unaware of what reads them.
"""

import random
from collections.abc import Iterator, Sequence

__all__ = ["mutations"]

SIZE_MAX = 4096
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x20, 0x22, 0x0A, 0x0D, 0x25, 0x2E, 0x2F, 0x5B, 0x5C, 0x7B)
CHUNKS = (
    *(b"\r\n", b"%0D%0A", b"\x00\x00", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00"),
    *(
        b"\xff\xff\xff\x7f",
        b"\xc3\xa9",
        b"\xed\xa0\x80",
        b"\\ud800",
        b"\\u00e9",
        b"1e400",
        b"-0.0",
        b"9" * 24,
    ),
    *(b"[[[[[[[[", b'{"a":', b"}}", b'"', b",", b":", b"null", b"\x80\x80\x80\x80\x01", b"%", b"%C3%A9"),
)


def mutations(seeds: Sequence[bytes], number: int) -> Iterator[bytes]:
    """Inputs near the seeds: one to eight changes each, so that most of a seed's structure survives."""
    chance = random.Random(number)
    while True:
        form = bytearray(chance.choice(seeds))
        for _ in range(1 << chance.randrange(4)):
            chance.choice(CHANGES)(form, chance, seeds)
        yield bytes(form[:SIZE_MAX])


def _flip(form: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    if form:
        form[chance.randrange(len(form))] ^= 1 << chance.randrange(8)


def _edge(form: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    if form:
        form[chance.randrange(len(form))] = chance.choice(EDGES)


def _nudge(form: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    if form:
        at = chance.randrange(len(form))
        form[at] = (form[at] + chance.choice((-2, -1, 1, 2))) & 0xFF


def _insert(form: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    at = chance.randrange(len(form) + 1)
    form[at:at] = chance.choice(CHUNKS)


def _overwrite(form: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    at = chance.randrange(len(form) + 1)
    chunk = chance.choice(CHUNKS)
    form[at : at + len(chunk)] = chunk


def _cut(form: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    at = chance.randrange(len(form) + 1)
    del form[at : at + chance.randrange(1, 9)]


def _end(form: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    del form[chance.randrange(len(form) + 1) :]


def _repeat(form: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    at = chance.randrange(len(form) + 1)
    piece = form[at : at + chance.randrange(1, 33)]
    form[at:at] = piece * chance.randrange(1, 5)


def _graft(form: bytearray, chance: random.Random, seeds: Sequence[bytes]) -> None:
    other = chance.choice(seeds)
    start = chance.randrange(len(other) + 1)
    at = chance.randrange(len(form) + 1)
    form[at:at] = other[start : start + chance.randrange(1, 65)]


CHANGES = (_flip, _edge, _nudge, _insert, _overwrite, _cut, _end, _repeat, _graft)
