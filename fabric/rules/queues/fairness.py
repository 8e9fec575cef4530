"""Who is served next, and how far to read ahead so that there is somebody to choose.

Of the jobs that wait in a worker, levels are served in rounds, each with as many jobs as its weight, and
inside a level the sources in turn, one job each, whatever partition they are from: a source with 64 jobs
waiting delays one with a single job by one job, not by 64.

That needs the single job at hand. The server hands out in the order of storing, and a source may leave 64
jobs in a partition: a worker that read only as far as it can work would find them all before the single one,
and its neighbours would wait for what the crowd has left there (seen: 300 ms at 750 jobs/s). So it reads on,
up to DEPTH_MAX jobs of a partition: past fifteen such sources, and past as many with each further worker.
What it then holds and does not start it gives back in time (`rules/queues/held`), so that an idle worker is
not left without.

| input | becomes |
|---|---|
| `put` | waiting, behind its own source's jobs |
| `take` | out: the next by level, then source |
| `remove` | out: it is given back |
"""

from collections import deque
from typing import Generic, Protocol, TypeVar

from fabric.rules.queues.partitions import PARTITIONS, Partition

__all__ = ["DEPTH_MAX", "Backlog", "Line"]

DEPTH_MAX = 1024  # jobs of one partition that wait in one worker


class Backlog:
    """How much of one partition waits here."""

    __slots__ = ("partition", "waiting", "window")

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.window = 1 if partition.ordered else DEPTH_MAX
        self.waiting = 0

    @property
    def room(self) -> int:
        """How many more may come."""
        return self.window - self.waiting


class Waiting(Protocol):
    """What can wait."""

    @property
    def source(self) -> str:
        """Who put it."""

    @property
    def backlog(self) -> Backlog:
        """Where it came from."""


T = TypeVar("T", bound=Waiting)


class _Level(Generic[T]):
    def __init__(self, weight: int) -> None:
        self.weight = weight
        self.sources: dict[str, deque[T]] = {}  # in the order of their turns

    def take(self) -> T:
        source = next(iter(self.sources))
        jobs = self.sources.pop(source)
        job = jobs.popleft()
        if jobs:
            self.sources[source] = jobs  # to the end of the round
        return job


class Line(Generic[T]):
    """The jobs that wait in one worker."""

    def __init__(self) -> None:
        weights = sorted({partition.weight for partition in PARTITIONS}, reverse=True)
        self._levels: list[_Level[T]] = [_Level(weight) for weight in weights]
        self._by_weight = {level.weight: level for level in self._levels}
        self._turn = 0
        self._left = weights[0]
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, job: T) -> None:
        """A job has come."""
        backlog = job.backlog
        sources = self._by_weight[backlog.partition.weight].sources
        jobs = sources.get(job.source)
        if jobs is None:
            jobs = sources[job.source] = deque()
        jobs.append(job)
        self._count += 1
        backlog.waiting += 1

    def take(self) -> T | None:
        """The job to start next; None when none waits."""
        if not self._count:
            return None
        while not (self._left and self._levels[self._turn].sources):
            self._turn = (self._turn + 1) % len(self._levels)
            self._left = self._levels[self._turn].weight
        self._left -= 1
        job = self._levels[self._turn].take()
        self._count -= 1
        job.backlog.waiting -= 1
        return job

    def remove(self, job: T) -> bool:
        """Take this one out; False when it does not wait here."""
        sources = self._by_weight[job.backlog.partition.weight].sources
        jobs = sources.get(job.source)
        if jobs is None or job not in jobs:
            return False
        jobs.remove(job)
        if not jobs:
            del sources[job.source]
        self._count -= 1
        job.backlog.waiting -= 1
        return True
