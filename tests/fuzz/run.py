"""`make fuzz`, or: PYTHONPATH=tests:codecs .venv/bin/python -m fuzz.run [DECODER ...] [--guided] ...

Without --guided: mutations of the seeds in one loop, tens of thousands of inputs a second. With it: libFuzzer
(atheris) on the instrumented copy, guided by coverage of its Python and its C, memory and integers checked, a
decoder for each processor at a time. A failing input is kept, the line that replays it is printed, and the
exit code is 1.
"""

import argparse
import faulthandler
import hashlib
import mmap
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from fuzz.instrument import CODECS, build, environment, is_possible
from fuzz.mutate import SIZE_MAX, mutations

__all__ = ["Failed", "Outcome", "hammer", "main", "seeds_of"]

ROOT = Path(__file__).parents[2]
COMMAND = "PYTHONPATH=tests:codecs .venv/bin/python -m fuzz.run"
SEEDS = Path(__file__).parent / "seeds"
KEPT = ROOT / "build" / "fuzz"
INPUT_S_MAX = 1.0  # a decoder takes microseconds; a second is a hang that has not happened yet
HANG_S = 60
MEMORY_BYTES_MAX = 2 << 30
ROUND = 1000  # inputs between two looks at the clock


class Failed(Exception):
    """A decoder broke its promise; the input that made it do so is in `data`."""

    def __init__(self, target: str, data: bytes) -> None:
        super().__init__(target)
        self.data = data


@dataclass(frozen=True)
class Outcome:
    """How many inputs a decoder was given, for how long, and how long the slowest took."""

    count: int
    seconds: float
    slowest_s: float


def seeds_of(target: str, *more: Path) -> list[bytes]:
    """The committed seeds of a decoder and those below `more`; at least the empty input."""
    files = chain.from_iterable(sorted(folder.glob("*")) for folder in (SEEDS / target, *more))
    return [path.read_bytes() for path in files if path.is_file()] or [b""]


def hammer(
    target: Callable[[bytes], None],
    inputs: Iterable[bytes],
    seconds: float = float("inf"),
    alive: Callable[[], None] = lambda: None,
) -> Outcome:
    """Give the target inputs until they or the time are used up; `alive` is called before each round of them.
    Raises Failed at the first input that the target breaks on."""
    count, slowest_s, began = 0, 0.0, time.perf_counter()
    at_work = _Notebook(KEPT / f"{target.__name__}.at-work")
    stream = iter(inputs)
    while some := list(islice(stream, ROUND)):
        alive()
        for data in some:
            at_work.note(data)
            start_s = time.thread_time()  # the processor's: a busy machine is no slow decoder
            try:
                target(data)
            except Exception as error:
                raise Failed(target.__name__, data) from error
            took_s = time.thread_time() - start_s
            if took_s > slowest_s:
                slowest_s = took_s
                if took_s > INPUT_S_MAX:
                    raise Failed(target.__name__, data) from TimeoutError(f"one input took {took_s:.1f} s")
        count += len(some)
        if time.perf_counter() - began > seconds:
            break
    return Outcome(count, time.perf_counter() - began, slowest_s)


class _Notebook:
    """The input at work, in a file that outlives a crash of the process."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(SIZE_MAX + 4))
        with path.open("r+b") as file:
            self.page = mmap.mmap(file.fileno(), SIZE_MAX + 4)

    def note(self, data: bytes) -> None:
        size = min(len(data), SIZE_MAX)
        self.page[: size + 4] = size.to_bytes(4) + data[:size]


def main(arguments: list[str] | None = None) -> int:
    """The command line; the exit code."""
    asked = _arguments(arguments)
    if asked.guided and not is_possible():
        print(
            "fuzz: NOT guided by coverage: no atheris; its wheels are for CPython on Linux, x86-64",
            flush=True,
        )
        asked.guided = False
    if asked.guided:
        build()
    elif asked.replay is not None:
        return _replay(asked.targets[0], asked.replay)
    elif len(asked.targets) == 1:
        _bound_memory()
        return _unguided(asked.targets[0], asked)
    of_one = _guided if asked.guided else _alone
    with ThreadPoolExecutor(os.cpu_count()) as several:
        return max(several.map(lambda target: of_one(target, asked), asked.targets))


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    from fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="fuzz.run", description="Give decoders inputs that nobody meant.")
    parser.add_argument("targets", nargs="*", metavar="DECODER", help=f"of {', '.join(TARGETS)}; else all")
    parser.add_argument("--guided", action="store_true", help="by coverage, memory checked")
    parser.add_argument("--seconds", type=float, default=None, help="for each decoder (default 10)")
    parser.add_argument("--count", type=int, default=None, help="inputs for each decoder, instead of seconds")
    parser.add_argument("--seed", type=int, default=1, help="the same number gives the same inputs")
    parser.add_argument(
        "--corpus", type=Path, default=KEPT / "corpus", help="what guidance found, by decoder"
    )
    parser.add_argument("--replay", type=Path, metavar="FILE", help="give one decoder this one input")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.targets) - set(TARGETS):
        parser.error(f"no decoder is called {', '.join(sorted(unknown))}")
    if asked.replay is not None and len(asked.targets) != 1:
        parser.error("--replay needs exactly one decoder")
    if asked.seconds is None and asked.count is None:
        asked.seconds = 10.0
    asked.targets = asked.targets or list(TARGETS)
    return asked


def _alone(name: str, asked: argparse.Namespace) -> int:
    """`_unguided` in a process of its own."""
    options = [f"--seed={asked.seed}", f"--corpus={asked.corpus}"]
    options += [
        f"--{bound}={value}" for bound in ("seconds", "count") if (value := getattr(asked, bound)) is not None
    ]
    ended = subprocess.run([sys.executable, "-m", "fuzz.run", name, *options]).returncode
    if ended not in (0, 1):
        print(f"{name}: ended with {ended}; its input is in {KEPT / name}.at-work", flush=True)
    return min(abs(ended), 1)


def _unguided(name: str, asked: argparse.Namespace) -> int:
    from fuzz.targets import TARGETS

    seeds = seeds_of(name, asked.corpus / name)
    inputs = chain(seeds, mutations(seeds, asked.seed))
    seconds = float("inf") if asked.seconds is None else asked.seconds
    try:
        outcome = hammer(TARGETS[name], islice(inputs, asked.count), seconds, _end_when_hung)
    except Failed as failed:
        return _report(name, failed)
    finally:
        faulthandler.cancel_dump_traceback_later()
    print(
        f"{name:17} {outcome.count:>9,} inputs in {outcome.seconds:6.1f} s from {len(seeds)} seeds, "
        f"slowest {outcome.slowest_s * 1e3:.1f} ms",
        flush=True,
    )
    return 0


def _guided(name: str, asked: argparse.Namespace) -> int:
    corpus, found = asked.corpus / name, KEPT / "failures"
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    bounds = [f"-max_total_time={asked.seconds:.0f}"] if asked.seconds is not None else []
    bounds += [f"-runs={asked.count}"] if asked.count is not None else []
    inputs = [corpus, SEEDS / name] if asked.replay is None else [asked.replay]
    command = [
        *(sys.executable, "-m", "fuzz.guided", name, *bounds, f"-seed={asked.seed}", f"-max_len={SIZE_MAX}"),
        *("-timeout=10", "-rss_limit_mb=2048", f"-artifact_prefix={found}/{name}-", "-print_final_stats=1"),
        *map(str, inputs),
    ]
    ran = subprocess.run(
        command,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    told = ran.stdout.splitlines()
    last = next((line for line in reversed(told) if " cov: " in line), "no coverage was told")
    runs = next((int(line.split()[-1]) for line in told if "number_of_executed_units" in line), 0)
    print(f"{name:17} {runs:>9,} inputs, guided: {last.strip()}", flush=True)
    if ran.returncode:
        print("\n".join(line for line in told if not line.startswith(("INFO", "#")))[-8000:])
        print(f"inputs that failed are in {found}; codecs as tested are in {CODECS}")
        print(f"  replay {COMMAND} {name} --guided --replay FILE", flush=True)
    return min(abs(ran.returncode), 1)


def _replay(name: str, path: Path) -> int:
    from fuzz.targets import TARGETS

    data = path.read_bytes()
    if path.suffix == ".at-work":
        data = data[4 : 4 + int.from_bytes(data[:4])]
    TARGETS[name](data)
    print(f"{name}: {len(data)} bytes, nothing wrong")
    return 0


def _report(name: str, failed: Failed) -> int:
    path = KEPT / "failures" / f"{name}-{hashlib.sha256(failed.data).hexdigest()[:12]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(failed.data)
    print(f"{name}: {failed.__cause__!r}\n  input  {failed.data[:200]!r}")
    print(f"  replay {COMMAND} {name} --replay {path.relative_to(ROOT)}")
    return 1


def _end_when_hung() -> None:
    """A round that never ends is ended with a traceback; the input is in the `.at-work` file."""
    faulthandler.dump_traceback_later(HANG_S, exit=True, file=2)  # not sys.stderr: a test's has no file


def _bound_memory() -> None:
    """An input that makes a decoder ask for gigabytes gets MemoryError, which is a failure."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, hard))


if __name__ == "__main__":
    sys.exit(main())
