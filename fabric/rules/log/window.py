"""The publish window: what was offered to a log and is not settled yet.

An offer lives like this; `now` is monotonic seconds, given by the caller.

| state  | input                         | becomes  | act |
|--------|-------------------------------|----------|-----|
| -      | `open`                        | in flight | write it, unless its log is held |
| in flight | acknowledgement (`settle`) | settled  | Receipt or Refusal to whoever offered it |
| in flight | `attempt_s` silence        | in flight | write it again, marked as a retry |
| in flight | nobody took it (`hold`): no leader, a busy ingest queue | in flight | its log is held |
| in flight | connection is back (`resend_all`) | in flight | write it again, marked as a retry |
| in flight | `deadline_s` since `open`   | settled  | Refusal, outcome unknown: it may have been stored |
| settled | a late acknowledgement       | settled  | nothing; `settle` answers None |

While a log is held only its oldest offer is written, every `PROBE_S`. When one of its offers is settled by an
answer, the others are written in the order in which they were opened (`release`): an election does not turn
messages of one source around. Cost: one dict insert and one pop per message, and a look at each entry a few
times a second.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["PROBE_S", "Due", "Window"]

T = TypeVar("T")

PROBE_S = 0.25


@dataclass(frozen=True, slots=True)
class Due(Generic[T]):
    """What time has brought: offers to write again, and offers whose deadline passed."""

    resend: list[tuple[int, T]]
    expired: list[T]


class Window(Generic[T]):
    """Offers by ticket. `deadline_s` must exceed the longest election (9 s), or a failover refuses what it
    would have stored. `log_of` names the log that an offer is for."""

    def __init__(
        self, log_of: Callable[[T], Hashable], *, attempt_s: float = 4.0, deadline_s: float = 15.0
    ) -> None:
        self.attempt_s = attempt_s
        self.deadline_s = deadline_s
        self._log_of = log_of
        self._entries: dict[int, tuple[T, float, float]] = {}  # ticket -> offer, opened, written
        self.held: dict[Hashable, float] = {}  # log -> when to probe it; to be looked at only
        self._last = 0

    def __len__(self) -> int:
        return len(self._entries)

    def open(self, offer: T, now: float) -> int:
        """Take an offer in; its ticket is unique for the window's life."""
        self._last += 1
        self._entries[self._last] = (offer, now, now)
        return self._last

    def is_held(self, offer: T) -> bool:
        """Whether it must not be written now: `release` or `due` will give it."""
        return bool(self.held) and self._log_of(offer) in self.held

    def settle(self, ticket: int) -> T | None:
        """The offer of this ticket, which leaves the window; None when it left before."""
        entry = self._entries.pop(ticket, None)
        return None if entry is None else entry[0]

    def hold(self, ticket: int, now: float) -> None:
        """Nobody took it: hold its log."""
        entry = self._entries.get(ticket)
        if entry is not None:
            self.held.setdefault(self._log_of(entry[0]), now + PROBE_S)

    def release(self, offer: T, now: float) -> list[tuple[int, T]]:
        """This offer's log has answered: what to write now, in the order in which it was opened."""
        if self.held.pop(self._log_of(offer), None) is None:
            return []
        log, waiting = self._log_of(offer), []
        for ticket in sorted(self._entries):
            if self._log_of(self._entries[ticket][0]) == log:
                waiting.append(self._rewritten(ticket, now))
        return waiting

    def due(self, now: float, *, writable: bool = True) -> Due[T]:
        """What has to happen by now; while there is no connection (`writable` False) offers only expire."""
        expired = self._expire(now)
        if not writable:
            return Due([], expired)
        silent = []
        for ticket, (offer, _, written) in self._entries.items():
            if now - written < self.attempt_s:
                break  # entries stand in the order of their last writing
            if not self.is_held(offer):
                silent.append(ticket)
        resend = [self._rewritten(ticket, now) for ticket in [*self._probes(now), *silent]]
        return Due(resend, expired)

    def resend_all(self, now: float) -> Due[T]:
        """After a reconnect: nothing written before can be relied upon."""
        self.held.clear()
        expired = self._expire(now)
        return Due([self._rewritten(ticket, now) for ticket in sorted(self._entries)], expired)

    def drain(self) -> Iterator[T]:
        """Every offer left, as the window closes."""
        self.held.clear()
        while self._entries:
            yield self._entries.pop(next(iter(self._entries)))[0]

    def matching(self) -> Iterator[tuple[int, T]]:
        """All tickets with their offers, oldest writing first; for refusals that name a subject and no
        ticket."""
        return iter([(ticket, entry[0]) for ticket, entry in self._entries.items()])

    def _probes(self, now: float) -> list[int]:
        ready = [log for log, when in self.held.items() if when <= now]
        if not ready:
            return []
        oldest: dict[Hashable, int] = {}
        for ticket in sorted(self._entries):
            oldest.setdefault(self._log_of(self._entries[ticket][0]), ticket)
        for log in ready:
            if log in oldest:
                self.held[log] = now + PROBE_S
            else:
                del self.held[log]  # all its offers have expired
        return [oldest[log] for log in ready if log in oldest]

    def _expire(self, now: float) -> list[T]:
        late = [ticket for ticket, entry in self._entries.items() if now - entry[1] >= self.deadline_s]
        return [self._entries.pop(ticket)[0] for ticket in late]

    def _rewritten(self, ticket: int, now: float) -> tuple[int, T]:
        offer, opened, _ = self._entries.pop(ticket)
        self._entries[ticket] = (offer, opened, now)
        return ticket, offer
