"""The tasks that an edge remembers: bounded in number, in bytes and in time. The clock is an argument.

Running tasks are never forgotten. When there is no room the oldest finished ones go, counted; when all are
running, the newcomer is refused.
"""

from collections import OrderedDict
from collections.abc import Callable

from fabric.errors import Refused
from fabric_bridges.a2a.deliver import TaskRun

__all__ = ["TaskStore"]

RETRY_AFTER_MS = 1000


class TaskStore:
    """Tasks by id, and by the message that began them."""

    def __init__(self, *, tasks_max: int, bytes_max: int, ttl_s: float) -> None:
        self.on_forgotten: Callable[[], object] = lambda: None  # a finished task goes before its time
        self._tasks_max, self._bytes_max, self._ttl_s = tasks_max, bytes_max, ttl_s
        self._tasks: dict[str, TaskRun] = {}
        self._by_message: dict[tuple[str, str, str], TaskRun] = {}
        self._finished: OrderedDict[str, float] = OrderedDict()  # id -> when, oldest first

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def running(self) -> list[TaskRun]:
        """Those that have not ended."""
        return [run for id, run in self._tasks.items() if id not in self._finished]

    def find(self, id: str, *, owner: str, agent: str, now_s: float) -> TaskRun | None:
        """A task of this owner at this agent; None when there is none, or no longer."""
        self._expire(now_s)
        run = self._tasks.get(id)
        return run if run is not None and (run.task.owner, run.task.agent) == (owner, agent) else None

    def begun_by(self, message_id: str, *, owner: str, agent: str, now_s: float) -> TaskRun | None:
        """The task that this message of this owner began, for a message that is sent again."""
        self._expire(now_s)
        return self._by_message.get((owner, agent, message_id))

    def make_room(self, now_s: float) -> None:
        """Before a task is added. Raises Refused (full) when only running tasks are left and they are too
        many."""
        self._expire(now_s)
        while self._finished and self._is_full():
            self._forget(next(iter(self._finished)))
            self.on_forgotten()
        if self._is_full():
            raise Refused(
                "full",
                retry_after_ms=RETRY_AFTER_MS,
                depth=len(self._tasks),
                detail="as many A2A tasks are running as this edge remembers",
            )

    def add(self, run: TaskRun) -> None:
        """Remember a running task; after `make_room`."""
        self._tasks[run.task.id] = run
        self._by_message[_key(run)] = run

    def finished(self, run: TaskRun, now_s: float) -> None:
        """It has ended: from now on it may be forgotten."""
        if run.task.id in self._tasks:
            self._finished[run.task.id] = now_s

    def _is_full(self) -> bool:
        return (
            len(self._tasks) >= self._tasks_max
            or sum(run.task.size_bytes for run in self._tasks.values()) >= self._bytes_max
        )

    def _expire(self, now_s: float) -> None:
        while self._finished and now_s - next(iter(self._finished.values())) >= self._ttl_s:
            self._forget(next(iter(self._finished)))

    def _forget(self, id: str) -> None:
        del self._finished[id]
        run = self._tasks.pop(id)
        del self._by_message[_key(run)]


def _key(run: TaskRun) -> tuple[str, str, str]:
    return run.task.owner, run.task.agent, run.task.message_id
