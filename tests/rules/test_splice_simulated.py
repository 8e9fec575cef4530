"""Many members on one faulty feed, thousands of times: they join late and early, begin anywhere, read slowly,
crash and come back where they had settled. Each ends with every message of the log from where it began: once,
in order per subject, or told that it went.

The reference model is the log itself, a list. A failure prints its seed and the line that replays it.
"""

import os
from collections.abc import Iterable

import pytest

from fabric.rules.channels import repair, splice
from fabric.rules.channels.position import Position, Progress
from fabric.rules.channels.splice import Strand, StrandState
from helpers.feed_model import KEPT_MAX, PAGE, SUBJECTS, Simulation

LOG = "fab.ch.0.*.x"
READING, SPLICING, FOLLOWING = StrandState


class Member:
    """What `client.seat` does with a strand, and what a durable member does with a progress."""

    def __init__(self, house: "House", began: Position, *, now: bool) -> None:
        self.house = house
        self.began = began
        self.progress = Progress({LOG: began})
        self.strand = Strand(began)
        self.got: list[tuple[int, bytes]] = []
        self.settled: list[tuple[int, bytes]] = []
        self.room = house.chance.randrange(1, 9)
        self.page: list[tuple[int, bytes]] | None = None
        self.end: int | None = None  # the log's end, while it is asked for
        self.told: list[tuple[bytes, int, int]] = []
        self.offered: set[tuple[int, bytes]] = set()
        if now:
            self.strand.attach(house.track.highest)
            self.end = house.log.last
            self.began = Position(self.end)
            self.begin_now()

    def begin_now(self) -> None:
        if self.end is None or self.house.chance.random() < 0.3:
            return  # the answer is on its way
        if self.strand.state is SPLICING:
            self.strand.read_to(self.end)
            self.splice(gone=True)
        else:
            self.strand = Strand(Position(self.end))
        self.end = None

    # The feed

    def fed(self, subject: bytes, sequence: int) -> None:
        if self.end is None and sequence > self.strand.position:
            self.offered.add((sequence, subject))
        if self.strand.state is READING:
            self.strand.fed(subject, sequence)
        elif self.strand.state is SPLICING:
            self.strand.keep(subject, sequence, None, 1)
        elif sequence > self.strand.position:
            if self.room:
                self.deliver(subject, sequence)
            else:
                self.strand.detach(self.house.track.position_before(subject, sequence))
                self.strand.fed(subject, sequence)

    def moved(self) -> None:
        if self.strand.state is FOLLOWING:
            self.progress.verified(LOG, self.house.track.verified)

    # The log

    def read(self, *, patient: bool = True) -> None:
        if self.strand.state is FOLLOWING or self.end is not None:
            self.begin_now()
            return
        if self.page is None:
            found = self.house.log.after(self.strand.position)
            self.page, self.at_end, self.empty = found[:PAGE], len(found) <= PAGE, not found
            if self.house.chance.random() < 0.3:
                return  # the answer is on its way while other things happen
        while self.page and self.room:
            sequence, subject = self.page.pop(0)
            if self.strand.stored(subject, sequence):
                self.deliver(subject, sequence)
        if self.page:
            return
        self.page = None
        self.tell()
        self.progress.verified(LOG, self.strand.position)
        if self.at_end and self.strand.state is READING:
            self.strand.attach(self.house.track.highest)
            patient = True  # it has not looked for that yet
        gone = self.empty and not patient and self.strand.state is SPLICING
        if self.strand.meets or gone:
            self.splice(gone=gone)

    def splice(self, *, gone: bool) -> None:
        pending = self.strand.splice(gone=gone)
        self.tell()
        self.progress.verified(LOG, self.strand.position)
        for at, (subject, sequence, _) in enumerate(pending):
            if not self.room:
                self.strand.put_back(pending[:at], pending[at:])
                return
            self.deliver(subject, sequence)

    def deliver(self, subject: bytes, sequence: int) -> None:
        self.room -= 1
        self.got.append((sequence, subject))
        self.progress.handed(LOG, subject, sequence)

    def tell(self) -> None:
        self.told += self.strand.truncated
        self.strand.truncated = []

    # Its reader

    def take(self) -> None:
        self.room = self.house.chance.randrange(0, 9)
        for _ in range(self.house.chance.randrange(4)):
            if self.progress.outstanding:
                self.settled.append(self.got[len(self.settled)])
                self.progress.settle()

    def check(self) -> None:
        began, log = self.began, self.house.log
        wanted = {(sequence, subject) for sequence, subject in log.ever if not began.has(subject, sequence)}
        assert len(set(self.got)) == len(self.got), "something came twice"
        assert set(self.got) <= wanted, f"came though not for it: {set(self.got) - wanted}"
        missing = wanted - set(self.got)
        assert missing <= log.evicted, f"lost: {sorted(missing - log.evicted)}"
        for subject in SUBJECTS:
            sequences = [sequence for sequence, other in self.got if other == subject]
            assert sequences == sorted(sequences), f"out of order on {subject!r}"
            gone = [sequence for sequence, other in missing if other == subject]
            ranges = [(first, last) for other, first, last in self.told if other == subject]
            for first, last in ranges:
                assert any(first <= one <= last for one in gone), f"told of {first} to {last}: nothing went"
            # What went before even the feed had it can hide one that went from a member.
            unfed = log.evicted - set(self.house.got)
            feed_lacks = any(other == subject and one > self.house.started_at for one, other in unfed)
            if any((sequence, subject) in self.offered for sequence in gone) and not feed_lacks:
                assert ranges, f"{gone} went from {subject!r} and nobody was told"

    def check_settled(self) -> None:
        [position] = self.progress.positions().values()
        for sequence, subject in self.house.log.ever:
            if self.began.has(subject, sequence) or (sequence, subject) in self.settled:
                continue
            if (sequence, subject) in self.got:
                assert not position.has(subject, sequence), (
                    f"{sequence} is not settled and would not come again"
                )
        for sequence, subject in self.settled:
            assert position.has(subject, sequence), f"{sequence} is settled and would come again"


class House(Simulation):
    """The feed of `test_repair_simulated`, with members on it."""

    def run(self) -> None:
        self.members: list[Member] = []
        self.gone: list[Member] = []
        super().run()

    def deliver(self, sequence: int, subject: bytes) -> None:
        super().deliver(sequence, subject)
        for member in self.members:
            member.fed(subject, sequence)

    def caught_up(self) -> None:
        for member in self.members:
            member.moved()

    def probe(self) -> None:
        super().probe()
        act = self.chance.random()
        if act < 0.3 and len(self.members) < 6:
            self.join()
        elif act < 0.4 and self.members:
            self.crash(self.chance.choice(self.members))
        for member in self.members:
            if self.chance.random() < 0.5:
                member.read(patient=self.chance.random() < 0.95)
            if self.chance.random() < 0.5:
                member.take()
            member.moved()
            member.check_settled()

    def join(self) -> None:
        if self.chance.random() < 0.5:
            self.members.append(Member(self, Position(), now=True))
        else:
            began = Position(self.chance.randrange(self.log.last + 1))
            self.members.append(Member(self, began, now=False))

    def crash(self, member: Member) -> None:
        """It comes back with what it had settled."""
        if member.end is not None:
            return
        self.members.remove(member)
        [position] = member.progress.positions().values()
        self.members.append(Member(self, position, now=False))

    def settle(self) -> None:
        super().settle()
        for _ in range(300):
            for member in self.members:
                member.room = 9
                member.read(patient=False)
        for member in self.members:
            assert member.strand.state is FOLLOWING, "it never came to rest"

    def check(self) -> None:
        for member in self.members:
            member.check()


def simulate(seed: int, *, evicting: bool) -> None:
    house = House(seed, evicting=evicting)
    try:
        house.run()
        house.check()
    except BaseException as error:
        error.add_note(f"replay: SEED={seed} pytest tests/rules/test_splice_simulated.py")
        raise


def simulate_all(seeds: Iterable[int], *, evicting: bool) -> None:
    for seed in seeds:
        simulate(seed, evicting=evicting)


@pytest.mark.parametrize("evicting", [False, True], ids=["complete log", "evicting log"])
def test_every_member_has_everything_once_from_where_it_began(
    evicting: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splice, "PENDING_MAX", 3)
    monkeypatch.setattr(repair, "COUNT_MAX", KEPT_MAX if evicting else 10_000)
    chosen = os.environ.get("SEED")
    simulate_all(range(3000) if chosen is None else [int(chosen)], evicting=evicting)
