"""The owners of an inbox against faults, thousands of times: whatever is lost, late or doubled, whoever
crashes or is fenced, every letter ends once in the records, and nothing that ended is handed out again.

The reference model is the log, a list, and the ends that a record made final. A failure prints its seed and
the line that replays it.
"""

import os
import random
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
import pytest

from fabric.rules.accounts import Extent
from fabric.rules.channels.repair import Track, Verdict
from fabric.rules.inboxes import inbox as rules
from fabric.rules.inboxes.inbox import Commit, End, InboxRecord, Letters, owner_in_the_way

SOURCES = ("a", "b", "c")
ENDS = (End.DELIVERED, End.DELIVERED, End.DELIVERED, End.EXPIRED, End.DEAD)
PAGE = 3


@dataclass
class Server:
    """The log of an inbox, which other inboxes share, and its record."""

    chance: random.Random
    kept: dict[int, str] = field(default_factory=dict)
    ever: dict[int, str] = field(default_factory=dict)
    final: Counter[int] = field(default_factory=Counter)
    value: bytes = b""
    revision: int = 0
    last: int = 0

    def store(self) -> tuple[str, int, int]:
        source = self.chance.choice(SOURCES)
        previous = max((at for at, other in self.kept.items() if other == source), default=0)
        self.last += self.chance.choice((1, 1, 2, 5))
        self.kept[self.last] = self.ever[self.last] = source
        return source, self.last, previous

    def after(self, position: int) -> list[int]:
        return [at for at in self.kept if at > position]

    def purge(self, floors: dict[str, int]) -> None:
        gone = [at for at, source in self.kept.items() if at <= floors.get(source, 0)]
        for at in gone:
            del self.kept[at]


class Life:
    """One owner: what `custody`, `inbox_log` and `inbox_owner` do, without waiting for anything."""

    def __init__(self, server: Server, number: int, chance: random.Random, now: float) -> None:
        self.server, self.chance = server, chance
        former = msgspec.json.decode(server.value, type=InboxRecord) if server.value else None
        assert owner_in_the_way(former, lives=False, take_over=False) is None
        self.letters = Letters(former)
        self.owner = InboxRecord(
            name="i",
            process=f"p{number}",
            epoch=former.epoch + 1 if former else 1,
            connection="c",
            extents=[Extent("IB", "i.*")],
        )
        self.revision = server.revision
        self.subscribed_at = server.last  # the feed has what is stored from now on
        self.track = Track(now)
        self.queue: deque[int] = deque()
        self.out: dict[int, int] = {}
        self.ends: list[int] = []  # since the last commit was made
        self.making: list[int] = []  # in the commit that is under way
        self.commit: Commit | None = None
        self.floors: dict[str, int] | None = None  # asked to be purged
        self.committed_record: InboxRecord | None = None
        self.purged_to = 0
        self.page: list[int] = []
        self.position: int | None = None
        self.whole = self.fenced = False
        self.handed: set[int] = set()
        assert self.write(), "the first write has the revision that was just read"
        self.track.start(0)
        self.read(now)

    # Receiving

    def arrive(self, source: str, sequence: int, previous: int, now: float) -> None:
        verdict = Verdict.LATER
        if sequence > self.subscribed_at:
            verdict = self.track.live(source.encode(), sequence, previous, now)
        if verdict is Verdict.DELIVER:
            self.receive(source, sequence)

    def receive(self, source: str, sequence: int) -> None:
        if self.letters.take(source, sequence):
            assert self.server.final[sequence] == 0 or self.fenced_unknowing, f"{sequence} ended before"
            self.queue.append(sequence)

    @property
    def fenced_unknowing(self) -> bool:
        return self.revision != self.server.revision

    def read(self, now: float) -> None:
        if self.position is None:
            if not self.track.behind:
                return
            self.position = self.track.verified
        if not self.page:
            self.page = self.server.after(self.position)[:PAGE]
            if self.chance.random() < 0.3:
                return  # on its way while other things happen
        for sequence in self.page:
            self.position = sequence
            source = self.server.ever[sequence]
            if self.track.stored(source.encode(), sequence) is Verdict.DELIVER:
                self.receive(source, sequence)
        self.page = []
        if not self.server.after(self.position) and self.track.caught_up(self.position, now, gone=True):
            self.position = None
            if not self.whole:
                self.whole = True
                self.letters.read_whole()
                if self.letters.crashed:
                    self.letters.tried_before(4)

    def count(self, now: float) -> None:
        if self.track.read_back_due(now):
            self.track.reset()
        elif self.track.probe_due(now):
            if self.purged_to > self.track.verified:
                self.track.reset()
            else:
                in_log = len(self.server.after(self.track.verified))
                self.track.counted(in_log, self.track.stand, now)

    # Handing out and settling

    def hand_out(self) -> None:
        if self.queue and len(self.out) < 3:
            sequence = self.queue.popleft()
            self.handed.add(sequence)
            self.out[sequence] = self.letters.attempt(sequence)

    def settle(self) -> None:
        if not self.out:
            return
        sequence = self.chance.choice(list(self.out))
        if self.chance.random() < 0.15:  # put back
            del self.out[sequence]
            self.queue.append(sequence)
            return
        assert self.letters.settle(sequence, self.chance.choice(ENDS))
        assert not self.letters.settle(sequence, End.DELIVERED), "an end is final"
        del self.out[sequence]
        self.ends.append(sequence)

    # The record

    def write(self, closing: bool = False) -> bool:
        """One compare-and-set, of which the answer may be lost."""
        if self.commit is None:
            self.commit = self.letters.commit(self.owner, closing=closing)
            self.making, self.ends = self.making + self.ends, []
        server = self.server
        value = msgspec.json.encode(self.commit.record)
        if self.revision == server.revision:
            if self.chance.random() < 0.1:
                return False  # it never came
            server.value, server.revision = value, server.revision + 1
            server.final.update(self.making)
            self.making = []
            if self.chance.random() < 0.1:
                return False  # written, and its answer was lost
        elif server.value != value:
            self.fenced = True
            return False
        self.revision = server.revision
        self.letters.committed(self.commit)
        self.committed_record, self.commit = self.commit.record, None
        return True

    def write_and_purge(self) -> None:
        if self.write() and self.floors is None and self.committed_record is not None:
            everything = self.chance.random() < 0.5
            self.floors = self.letters.purgeable(self.committed_record, everything=everything) or None

    def purge(self) -> None:
        if self.floors is None:
            return
        self.purged_to = max(self.purged_to, *self.floors.values())
        if self.chance.random() < 0.9:  # else it never came
            self.server.purge(self.floors)
            if self.chance.random() < 0.9:  # else its answer was lost: it is asked again with a later record
                self.letters.purged(self.floors)
        self.floors = None

    def balanced(self) -> None:
        account = self.letters.account
        assert account.in_flight == len(self.letters) == len(self.queue) + len(self.out)
        assert self.letters.uncommitted == len(self.ends) + (self.commit.ends if self.commit else 0)


class Simulation:
    """Senders, a feed with faults, and owners that follow one another."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.server = Server(self.chance)
        self.wire: deque[tuple[str, int, int]] = deque()
        self.now = 0.0
        self.number = 0
        self.zombies: list[Life] = []
        self.life: Life | None = None
        self.crashes = 0

    def run(self) -> None:
        acts = (
            [self.send] * 4
            + [self.arrive] * 4
            + [self.open, self.crash, self.close, self.lose_lease, self.interrupt]
        )
        steps = ["read", "hand_out", "hand_out", "settle", "settle", "write_and_purge", "purge", "count"]
        for _ in range(self.chance.randrange(10, 250)):
            self.now += self.chance.random()
            if self.chance.random() < 0.35:
                self.chance.choice(acts)()
            else:
                self.step(self.chance.choice(steps))
        self.drain()

    def step(self, name: str) -> None:
        lives = [*self.zombies, *([self.life] if self.life else [])]
        if not lives:
            return
        life = self.chance.choice(lives)
        if name in ("count", "read"):
            getattr(life, name)(self.now)
        else:
            getattr(life, name)()
        life.balanced()
        if life.fenced:
            self.end(life)

    def send(self) -> None:
        letter = self.server.store()
        fate = self.chance.random()
        if fate > 0.2:
            self.wire.append(letter)
        if fate > 0.9:
            self.wire.append(letter)  # doubled
        if self.chance.random() < 0.1 and len(self.wire) > 1:  # late, behind another source's
            at = self.chance.randrange(len(self.wire) - 1)
            if self.wire[at][0] != self.wire[at + 1][0]:
                self.wire[at], self.wire[at + 1] = self.wire[at + 1], self.wire[at]

    def arrive(self) -> None:
        if self.wire:
            letter = self.wire.popleft()
            for life in (*self.zombies, self.life):
                if life is not None:
                    life.arrive(*letter, self.now)

    def open(self) -> None:
        if self.life is None:
            self.number += 1
            lost = self.chance.random
            self.chance.random = lambda: 0.5  # type: ignore[method-assign]  # opening waits for its answer
            self.life = Life(self.server, self.number, self.chance, self.now)
            self.chance.random = lost  # type: ignore[method-assign]

    def crash(self) -> None:
        if self.life is not None and self.chance.random() < 0.5:
            self.crashes += 1
            self.life = None

    def lose_lease(self) -> None:
        """The owner goes on, and another one may come."""
        if self.life is not None and self.chance.random() < 0.5:
            self.zombies.append(self.life)
            self.life = None

    def close(self) -> None:
        if self.life is None or self.chance.random() < 0.5:
            return
        if self.life.commit is not None and not self.life.write():
            self.crash()
        elif self.life.write(closing=True):
            self.life = None

    def interrupt(self) -> None:
        self.wire.clear()
        for life in (*self.zombies, self.life):
            if life is not None:
                life.track.reset()

    def end(self, life: Life) -> None:
        if life is self.life:
            self.life = None
        else:
            self.zombies.remove(life)

    def drain(self) -> None:
        """Nobody disturbs any more: within a few turns everything has ended, and has left the log."""
        self.zombies.clear()
        for _ in range(400):
            self.now += 2.0
            if self.life is None:
                self.open()
            assert self.life is not None
            self.arrive()
            self.life.read(self.now)
            for step in ("hand_out", "settle", "hand_out", "settle", "write_and_purge", "purge"):
                getattr(self.life, step)()
                self.life.balanced()
            self.life.count(self.now)
            if self.life.fenced:
                self.life = None
            elif not (self.server.kept or self.wire or self.life.track.behind) and self.is_final():
                return
        pytest.fail(f"it never came to rest: {self.server.kept}")

    def is_final(self) -> bool:
        assert self.life is not None
        return not self.life.letters.uncommitted and self.life.commit is None

    def check(self) -> None:
        ended = self.server.final
        lost = self.server.ever.keys() - ended.keys()
        assert not lost, f"lost: {sorted(lost)}"
        twice = [sequence for sequence, times in ended.items() if times > 1]
        assert not twice, f"ended twice: {twice}"
        account = msgspec.json.decode(self.server.value, type=InboxRecord).account
        assert account.delivered + account.expired + account.dead == len(self.server.ever)
        assert account.balanced(in_log=0)
        assert account.truncated == 0
        assert account.unknown <= 4 * self.number


def simulate(seed: int) -> Simulation:
    simulation = Simulation(seed)
    try:
        simulation.run()
        simulation.check()
    except BaseException as error:
        error.add_note(f"replay: SEED={seed} pytest tests/rules/test_inbox_simulated.py")
        raise
    return simulation


def simulate_all(seeds: Iterable[int]) -> None:
    for seed in seeds:
        simulate(seed)


def test_every_letter_ends_once_whatever_becomes_of_its_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "PURGE_LETTERS", 2)
    chosen = os.environ.get("SEED")
    simulate_all(range(4000) if chosen is None else [int(chosen)])


def test_the_simulation_notices_an_owner_that_forgets_what_a_life_before_settled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fresh = Letters.__init__

    def forgetful(self: Letters, former: InboxRecord | None = None) -> None:
        fresh(self, former)
        self._floors, self._beyond = {}, set()

    monkeypatch.setattr(Letters, "__init__", forgetful)
    with pytest.raises(AssertionError, match="ended"):
        simulate_all(range(200))


def test_the_simulation_notices_a_purge_of_what_no_record_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def eager(self: Letters, _record: InboxRecord, *, everything: bool) -> dict[str, int]:
        return {source: at.waiting[-1] if at.waiting else at.floor for source, at in self._sources.items()}

    monkeypatch.setattr(Letters, "purgeable", eager)
    with pytest.raises(BaseException, match=r"lost|never"):
        simulate_all(range(200))
