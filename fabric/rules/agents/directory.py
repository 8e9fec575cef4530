"""The directory of live agents, from records and leases, and the joins and leaves that follow.

An agent is live when its record is there, has not left, and its process's lease is held. Every change of
that answer is told once. `now` is monotonic seconds.

| record | lease     | agent |
|--------|-----------|-------|
| none or left | any | absent |
| present | held     | live |
| present | ended, while leases are in grace | live until the grace ends, then absent |
| present | ended    | absent |

A record of a later life (a higher epoch) of a live agent is a leave and a join; of the same life, a change.

Grace: after a server's recovery leases may have ended only because nobody could refresh them, so an end
that is learned until `grace_until` counts only once that time is over and the lease was not renewed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

__all__ = ["Change", "Directory"]


class Card(Protocol):
    """What the directory needs of an agent's card."""

    @property
    def name(self) -> str: ...
    @property
    def epoch(self) -> int: ...  # which of the agent's lives this is
    @property
    def holder(self) -> str: ...  # the lease that keeps it
    @property
    def keys(self) -> Iterable[str]: ...  # what it is found by, besides its name


C = TypeVar("C", bound=Card)


@dataclass(frozen=True, slots=True)
class Change(Generic[C]):
    """One join, leave, or change of a live agent's card."""

    kind: Literal["join", "leave", "change"]
    card: C


class Directory(Generic[C]):
    """Feed it records and leases in the log's order; each call answers the changes that follow."""

    def __init__(self) -> None:
        self._cards: dict[str, C] = {}
        self._held: set[str] = set()
        self._live: dict[str, C] = {}
        self._by_holder: dict[str, set[str]] = {}
        self._by_key: dict[str, dict[str, C]] = {}
        self._ending: dict[str, float] = {}
        self._grace_until = 0.0

    @property
    def live(self) -> dict[str, C]:
        """Live agents by name. Not to be changed."""
        return self._live

    def found(self, key: str) -> list[C]:
        """Live agents that have this key, in the order in which they joined."""
        return list(self._by_key.get(key, {}).values())

    def record(self, name: str, card: C | None) -> list[Change[C]]:
        """An agent's record; None when it left."""
        old = self._cards.pop(name, None)
        if old is not None:
            hanging = self._by_holder[old.holder]
            hanging.discard(name)
            if not hanging:
                del self._by_holder[old.holder]
        if card is not None:
            self._cards[name] = card
            self._by_holder.setdefault(card.holder, set()).add(name)
        return self._settle({name})

    def lease(self, holder: str, held: bool, now: float) -> list[Change[C]]:
        """A process's lease was taken or refreshed (`held`), or ended."""
        if held:
            self._ending.pop(holder, None)
            if holder in self._held:
                return []
            self._held.add(holder)
        elif now < self._grace_until and holder in self._held:
            self._ending[holder] = self._grace_until
            return []
        else:
            self._held.discard(holder)
            self._ending.pop(holder, None)
        return self._settle(set(self._by_holder.get(holder, ())))

    def recovering(self, until: float) -> None:
        """The server was away: ends learned until then wait."""
        self._grace_until = max(self._grace_until, until)

    def tick(self, now: float) -> list[Change[C]]:
        """Ends whose grace is over."""
        changes = []
        for holder in [holder for holder, until in self._ending.items() if until <= now]:
            del self._ending[holder]
            self._held.discard(holder)
            changes += self._settle(set(self._by_holder.get(holder, ())))
        return changes

    def snapshot(self, cards: dict[str, C], held: set[str], now: float) -> list[Change[C]]:
        """The registry as a whole, read anew: what it lacks has gone."""
        changes: list[Change[C]] = []
        for holder in self._held - held:
            changes += self.lease(holder, False, now)
        for name in self._cards.keys() - cards.keys():
            changes += self.record(name, None)
        for holder in held:
            changes += self.lease(holder, True, now)
        for name, card in cards.items():
            if self._cards.get(name) != card:
                changes += self.record(name, card)
        return changes

    def _settle(self, names: Iterable[str]) -> list[Change[C]]:
        changes: list[Change[C]] = []
        for name in sorted(names):
            card, was = self._cards.get(name), self._live.get(name)
            if card is not None and card.holder not in self._held:
                card = None
            if card == was:
                continue
            if was is not None:
                self._drop(name, was)
            if card is not None:
                self._keep(name, card)
            if card is not None and was is not None and card.epoch == was.epoch:
                changes.append(Change("change", card))
                continue
            if was is not None:
                changes.append(Change("leave", was))
            if card is not None:
                changes.append(Change("join", card))
        return changes

    def _keep(self, name: str, card: C) -> None:
        self._live[name] = card
        for key in card.keys:
            self._by_key.setdefault(key, {})[name] = card

    def _drop(self, name: str, card: C) -> None:
        del self._live[name]
        for key in set(card.keys):
            found = self._by_key[key]
            del found[name]
            if not found:
                del self._by_key[key]
