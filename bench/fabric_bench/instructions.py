"""Instructions per message: counted by valgrind, where it is installed. The same on every run, unlike a time.

In: the sizes. Out: instructions of ours and of the floors, by row. One child under callgrind runs each loop
over `FEW` and over `MANY` messages; callgrind writes its count whenever the child asks for its parent's
number. What the loop itself costs is taken off. Above: `scenarios.translate`. Below: `codec_work`.
"""

import asyncio
import gc
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

from fabric_bench.codec_work import Part, tasks

__all__ = ["Counted", "by_row", "count"]

WARM, FEW, MANY = 12, 2, 10  # Python 3.11 has adapted a loop after eight rounds
MARK = "getppid"  # a call that nobody else makes
TIMEOUT_S = 120
_TOTAL = re.compile(r"^totals: (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Counted:
    """Instructions per message by row and participant; or, where nothing could count, why."""

    by: str
    rows: dict[str, dict[str, int]] = field(default_factory=dict)


async def count(sizes: Iterable[int]) -> Counted:
    """Of every row of these sizes."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        return Counted("not counted: valgrind is not installed")
    return await asyncio.to_thread(_count, valgrind, list(sizes))


def main() -> None:
    """The child: one loop after another, each with a mark before, between and behind."""
    todo = [task for size in sys.argv[1:] for task in tasks(int(size))]
    rows = [(task.row, name, part) for task in todo for name, part in task.parts.items()]
    gc.disable()  # when it runs depends on what ran before
    for part in (Part(_nothing, None), *(part for _, _, part in rows)):
        part.work(repeat(part.one, WARM))
        os.getppid()
        part.work(repeat(part.one, FEW))
        os.getppid()
        part.work(repeat(part.one, MANY))
        os.getppid()
    print(json.dumps([(row, name) for row, name, _ in rows]))


def _nothing(ones: Iterable[None]) -> None:
    for _ in ones:
        pass


def _count(valgrind: str, sizes: list[int]) -> Counted:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "counts"
        command = [valgrind, "--tool=callgrind", f"--dump-before={MARK}", f"--callgrind-out-file={file}"]
        command += [sys.executable, "-m", __name__, *map(str, sizes)]
        try:
            names = json.loads(_told(command))
            totals = [_total(file.with_name(f"{file.name}.{at}")) for at in range(1, 3 * len(names) + 4)]
            version = _told([valgrind, "--version"]).strip()
        except (OSError, ValueError, subprocess.SubprocessError) as error:  # it does not know every processor
            return Counted(f"not counted: {error}")
    return Counted(f"counted by {version}", by_row(names, totals))


def _told(command: list[str]) -> str:
    """What a program writes. The places of names in dicts follow from the seed, and with them the counts."""
    place = os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        command, env=place, capture_output=True, text=True, timeout=TIMEOUT_S, check=True
    ).stdout


def _total(dump: Path) -> int:
    found = _TOTAL.search(dump.read_text())
    if found is None:
        raise ValueError(f"callgrind wrote no total into {dump.name}")
    return int(found[1])


def by_row(names: list[tuple[str, str]], totals: list[int]) -> dict[str, dict[str, int]]:
    """Instructions per message. Of each loop there are three counts: until it began, few messages, many; the
    first loop does nothing."""
    each_one = [(totals[at + 2] - totals[at + 1]) / (MANY - FEW) for at in range(0, len(totals), 3)]
    loop, *counted = each_one
    rows: dict[str, dict[str, int]] = {}
    for (row, name), instructions in zip(names, counted, strict=True):
        rows.setdefault(row, {})[name] = round(instructions - loop)
    return rows


if __name__ == "__main__":
    main()
