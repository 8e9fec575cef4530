"""Offered load: even in time, or as fast as the receiver takes it, and never more than the server may hold.

`paced` gives the intended times, from which latency is counted: a stall then shows in every message that had
to wait for it (no coordinated omission). `Gauge` is how far a receiver in another process has come, beside
the connection that is measured. Above: scenarios, floors, peers.
"""

import asyncio
import gc
import mmap
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType

__all__ = ["AHEAD_MAX", "GAUGE_STEP", "Clock", "Gauge", "finished", "paced", "percentile", "ticks"]

COARSE_S = 0.003  # the loop's timers are this blunt; the rest of the way is spun
AHEAD_MAX = (
    32_768  # some 25 MB under way: a third of what the server holds for a reader before it cuts it off
)
GAUGE_STEP = 128  # messages between two looks at the gauge
NAP_S = 0.0005
STALL_S = 30.0
GIVE_UP_S = 100.0


async def paced(rate_per_s: float, count: int) -> AsyncIterator[float]:
    """The intended times (`time.perf_counter`) of `count` messages, each given out when it has come."""
    start = time.perf_counter() + 2 * COARSE_S
    for number in range(count):
        intended = start + number / rate_per_s
        while (left := intended - time.perf_counter()) > 0:  # noqa: ASYNC110 - a clock has no event
            await asyncio.sleep(left - COARSE_S if left > COARSE_S else 0)
        yield intended


async def ticks(start_s: float, rate_per_s: float, count: int) -> AsyncIterator[float]:
    """As `paced`, from a time that several processes agreed on, and without spinning: late by the timers'
    bluntness, which is in the latency then. For loads that share the processor with what is measured."""
    for number in range(count):
        intended = start_s + number / rate_per_s
        if (left := intended - time.perf_counter()) > 0:
            await asyncio.sleep(left)
        yield intended


async def finished(complete: asyncio.Event) -> bool:
    """Until everything has arrived (True), or the run is given up: what is missing is lost then."""
    try:
        async with asyncio.timeout(GIVE_UP_S):
            await complete.wait()
    except TimeoutError:
        return False
    return True


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest sample that at least `percent` of all do not exceed."""
    ordered = sorted(samples)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(int(rank), 1) - 1]


class Clock:
    """Runs from when it is made, which is once the inputs are: the collector walks those no more.

    `cpu` is what the process itself spent, which a busy machine changes far less than the time that passed.
    """

    def __init__(self) -> None:
        gc.collect()
        gc.freeze()
        self._cpu_s = time.process_time()
        self.started_s = time.perf_counter()  # the same clock in every process of the machine
        self.ended_s = self.started_s

    def stop(self) -> None:
        """Now."""
        self.ended_s = time.perf_counter()
        self._cpu_s = time.process_time() - self._cpu_s

    @property
    def elapsed_s(self) -> float:
        """From start to stop."""
        return self.ended_s - self.started_s

    def cpu(self, messages: int) -> dict[str, float]:
        """The processor time of one message, as a note."""
        return {"cpu_us": round(self._cpu_s / messages * 1e6, 2)}


class Gauge:
    """A number in a file that two processes map: the receiver writes how much it has, the sender keeps its
    distance."""

    def __init__(self, file: str) -> None:
        path = Path(file)
        if not path.exists():
            path.write_bytes(bytes(8))
        with path.open("r+b") as opened:
            self._shared = mmap.mmap(opened.fileno(), 8)

    def write(self, received: int) -> None:
        """The receiver has so many."""
        self._shared[:8] = received.to_bytes(8, "little")

    def read(self) -> int:
        """How many the receiver has."""
        return int.from_bytes(self._shared[:8], "little")

    def has_room(self, sent: int) -> bool:
        """Whether more than `sent` may be under way."""
        return sent - self.read() < AHEAD_MAX

    async def room(self, sent: int) -> None:
        """Until the receiver is near enough. Raises TimeoutError when it stands still."""
        async with asyncio.timeout(STALL_S):
            while not self.has_room(sent):  # noqa: ASYNC110 - another process cannot set an event here
                await asyncio.sleep(NAP_S)

    def wait_room(self, sent: int) -> None:
        """The same without a loop."""
        deadline = time.monotonic() + STALL_S
        while not self.has_room(sent):
            if time.monotonic() > deadline:
                raise TimeoutError("the receiver stands still")
            time.sleep(NAP_S)

    def __enter__(self) -> "Gauge":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shared.close()
