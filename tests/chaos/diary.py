"""What a part of the storm did, written so that kill -9 takes none of it back: one line an event, by one
`write` each. Above: parts write, checks read."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Diary", "entries", "ids"]


class Diary:
    """One file, one writer at a time; a new life goes on behind the one before."""

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, what: str, identity: str) -> None:
        """Before this returns, the kernel has it."""
        os.write(self._descriptor, f"{what} {identity}\n".encode())


def entries(file: Path) -> Iterator[tuple[str, str]]:
    """(what, id), in order; nothing when the part never began."""
    if file.exists():
        for line in file.read_text().splitlines():
            what, _, identity = line.partition(" ")
            if identity:
                yield what, identity


def ids(file: Path, what: str) -> Counter[str]:
    """How often each id had this happen to it."""
    return Counter(identity for kind, identity in entries(file) if kind == what)
