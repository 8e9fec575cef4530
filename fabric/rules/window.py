"""The publish window: what was offered to a log and is not settled yet.

An offer lives like this; `now` is monotonic seconds, given by the caller.

| state  | input                         | becomes  | act |
|--------|-------------------------------|----------|-----|
| -      | `open`                        | in flight | write it |
| in flight | acknowledgement (`settle`) | settled  | Receipt or Refusal to whoever offered it |
| in flight | `attempt_s` silence, or "no leader" (`defer`) | in flight | write it again, marked as a retry |
| in flight | connection is back (`resend_all`) | in flight | write it again, marked as a retry |
| in flight | `deadline_s` since `open`   | settled  | Refusal, outcome unknown: it may have been stored |
| settled | a late acknowledgement       | settled  | nothing; `settle` answers None |

Invariant: entries stand in the order of their last writing, so only the front can be due for another one.
Cost: one dict insert and one pop per message, and a look at each entry a few times a second.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Due", "Window"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Due(Generic[T]):
    """What time has brought: offers to write again, and offers whose deadline passed."""

    resend: list[tuple[int, T]]
    expired: list[T]


class Window(Generic[T]):
    """Offers by ticket. `deadline_s` must exceed the longest election (9 s), or a failover refuses what it
    would have stored."""

    def __init__(self, *, attempt_s: float = 4.0, deadline_s: float = 15.0) -> None:
        self.attempt_s = attempt_s
        self.deadline_s = deadline_s
        self._entries: dict[int, tuple[T, float, float]] = {}  # ticket -> offer, opened, written
        self._deferred: dict[int, float] = {}  # ticket -> when to write again
        self._last = 0

    def __len__(self) -> int:
        return len(self._entries)

    def open(self, offer: T, now: float) -> int:
        """Take an offer in; its ticket is unique for the window's life."""
        self._last += 1
        self._entries[self._last] = (offer, now, now)
        return self._last

    def settle(self, ticket: int) -> T | None:
        """The offer of this ticket, which leaves the window; None when it left before."""
        entry = self._entries.pop(ticket, None)
        return None if entry is None else entry[0]

    def defer(self, ticket: int, until: float) -> None:
        """Nobody took it (no leader, ingest queue full): write it again at `until` instead of waiting for an
        answer."""
        if ticket in self._entries:
            self._deferred[ticket] = until

    def due(self, now: float, *, writable: bool = True) -> Due[T]:
        """What has to happen by now; while there is no connection (`writable` False) offers only expire."""
        result = self._expire(now)
        if not writable:
            return result
        ready = [ticket for ticket, when in self._deferred.items() if when <= now]
        for ticket in ready:
            del self._deferred[ticket]
        for ticket, (_, _, written) in self._entries.items():
            if now - written < self.attempt_s:
                break
            if ticket not in self._deferred:
                ready.append(ticket)
        for ticket in dict.fromkeys(ready):
            self._rewrite(ticket, now, result)
        return result

    def resend_all(self, now: float) -> Due[T]:
        """After a reconnect: nothing written before can be relied upon."""
        self._deferred.clear()
        result = self._expire(now)
        for ticket in list(self._entries):
            self._rewrite(ticket, now, result)
        return result

    def drain(self) -> Iterator[T]:
        """Every offer left, as the window closes."""
        self._deferred.clear()
        while self._entries:
            yield self._entries.pop(next(iter(self._entries)))[0]

    def matching(self) -> Iterator[tuple[int, T]]:
        """All tickets with their offers, oldest writing first; for refusals that name a subject and no
        ticket."""
        return iter([(ticket, entry[0]) for ticket, entry in self._entries.items()])

    def _expire(self, now: float) -> Due[T]:
        late = [ticket for ticket, entry in self._entries.items() if now - entry[1] >= self.deadline_s]
        return Due([], [self._entries.pop(ticket)[0] for ticket in late])

    def _rewrite(self, ticket: int, now: float, result: Due[T]) -> None:
        entry = self._entries.pop(ticket, None)
        if entry is None:  # settled since it was deferred
            return
        offer, opened, _ = entry
        self._entries[ticket] = (offer, opened, now)
        result.resend.append((ticket, offer))
