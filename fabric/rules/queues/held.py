"""The jobs in one worker's hands, and what time does to them. The server gives a job to somebody else
`ack_wait_s` after it last heard of it.

| state | input | becomes | act |
|---|---|---|---|
| - | it arrives (`wait`) | waiting | |
| waiting | a third of `ack_wait_s` | waiting | tell the server that it is held |
| waiting | `patience_s` since it came | - | give it back: another worker may be idle |
| waiting | its turn (`start`) | running | |
| running, kept alive | a third of `ack_wait_s` | running | tell the server; at most RUN_MAX_S |
| running | `extend` | running | tell the server; the time begins anew |
| running | `ack_wait_s` since the server heard | lapsed | its place is free; settling it is an error |
| running | it is settled (`end`) | - | ack, nak or dead letter |
| any | the worker stops | - | what waits is given back |

Time is monotonic seconds. Cost: one dict entry a job, and a look at each once a second.
"""

from typing import Generic, NamedTuple, TypeVar

__all__ = ["ACK_WAIT_S", "PATIENCE_S", "RUN_MAX_S", "Due", "Held"]

ACK_WAIT_S = 30.0
PATIENCE_S = 5.0
RUN_MAX_S = 3600.0  # a handler that hangs must not hold its job for ever

T = TypeVar("T")


class Due(NamedTuple, Generic[T]):
    """What time has brought."""

    extend: list[T]
    give_back: list[T]
    lapsed: list[T]


class _Entry:
    __slots__ = ("alive", "came", "heard", "running")

    def __init__(self, now: float) -> None:
        self.came = self.heard = now
        self.running = False
        self.alive = True


class Held(Generic[T]):
    """Jobs by themselves; T is hashed by identity or by what names it."""

    def __init__(self, *, ack_wait_s: float = ACK_WAIT_S, patience_s: float = PATIENCE_S) -> None:
        self.ack_wait_s = ack_wait_s
        self.patience_s = patience_s
        self._entries: dict[T, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, job: T) -> bool:
        return job in self._entries

    def wait(self, job: T, now: float) -> None:
        """It came."""
        self._entries[job] = _Entry(now)

    def start(self, job: T, now: float, *, kept_alive: bool) -> None:
        """It runs. `kept_alive`: the server is told so for as long as it does, not only by `extend`."""
        entry = self._entries[job]
        entry.running, entry.alive, entry.came = True, kept_alive, now

    def extend(self, job: T, now: float) -> bool:
        """Somebody still works on it; False when it is not held any more."""
        entry = self._entries.get(job)
        if entry is not None:
            entry.heard = now
        return entry is not None

    def end(self, job: T) -> bool:
        """It is settled or given back; False when it was before, or its time ran out."""
        return self._entries.pop(job, None) is not None

    def all(self) -> list[T]:
        """Everything in hand."""
        return list(self._entries)

    def due(self, now: float) -> Due[T]:
        """Call it every second or so; what lapsed is not held any more, what is to be given back still is."""
        due: Due[T] = Due([], [], [])
        for job, entry in self._entries.items():
            alive = entry.alive and (not entry.running or now - entry.came < RUN_MAX_S)
            if now - entry.heard >= self.ack_wait_s:
                due.lapsed.append(job)
            elif not entry.running and now - entry.came >= self.patience_s:
                due.give_back.append(job)
            elif alive and now - entry.heard >= self.ack_wait_s / 3:
                entry.heard = now
                due.extend.append(job)
        for job in due.lapsed:
            del self._entries[job]
        return due
