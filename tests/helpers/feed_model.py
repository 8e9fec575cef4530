"""A log, a feed of it with faults, and one track on it: by chance, the model of `rules/channels/repair`.

The model is the log itself, a list. `test_repair_simulated` runs it alone, `test_splice_simulated` puts
members on it.
"""

import random
from collections import deque
from dataclasses import dataclass, field

import pytest

from fabric.rules.channels.repair import Track, Verdict

__all__ = ["KEPT_MAX", "PAGE", "SUBJECTS", "Log", "Simulation"]

SUBJECTS = (b"a", b"b", b"c")
PAGE = 3
KEPT_MAX = 5  # of a subject, where the log evicts


@dataclass
class Log:
    """What a stream keeps: sequences are shared with filters that nobody here follows."""

    chance: random.Random
    evicts: bool
    kept: list[tuple[int, bytes]] = field(default_factory=list)
    ever: list[tuple[int, bytes]] = field(default_factory=list)
    evicted: set[tuple[int, bytes]] = field(default_factory=set)
    last: int = 0

    def store(self, subject: bytes) -> tuple[bytes, int, int]:
        self.last += self.chance.choice((1, 1, 1, 2, 5))
        same = [entry for entry in self.kept if entry[1] == subject]
        previous = same[-1][0] if same else 0
        if self.evicts and len(same) == KEPT_MAX:
            self.kept.remove(same[0])
            self.evicted.add(same[0])
        self.kept.append((self.last, subject))
        self.ever.append((self.last, subject))
        return subject, self.last, previous

    def after(self, position: int) -> list[tuple[int, bytes]]:
        return [entry for entry in self.kept if entry[0] > position]


class Simulation:
    """One track, a feed with faults, and the reader and prober that its runtime would run."""

    def __init__(self, seed: int, *, evicting: bool) -> None:
        self.chance = random.Random(seed)
        self.log = Log(self.chance, evicting)
        self.track = Track(0.0)
        self.wire: deque[tuple[bytes, int, int]] = deque()
        self.got: list[tuple[int, bytes]] = []
        self.now = 0.0
        self.position: int | None = None  # of the reader, while it reads
        self.page: list[tuple[int, bytes]] = []
        self.pending = 0
        self.asked: tuple[int, tuple[int, int]] | None = (
            None  # a count under way: of the log, the track's stand
        )

    def run(self) -> None:
        for _ in range(self.chance.randrange(4)):
            self.log.store(self.chance.choice(SUBJECTS))
        self.started_at = self.log.last
        for _ in range(self.chance.randrange(3)):
            self.publish()
        self.track.start(self.started_at)
        if not self.track.caught_up(self.started_at, self.now):
            self.read()
        acts = [
            self.publish,
            self.publish,
            self.arrive,
            self.arrive,
            self.read,
            self.probe,
            self.disturb,
        ]
        for _ in range(self.chance.randrange(120)):
            self.now += self.chance.random()
            self.chance.choice(acts)()
        self.settle()

    def publish(self) -> None:
        message = self.log.store(self.chance.choice(SUBJECTS))
        fate = self.chance.random()
        if fate > 0.2:
            self.wire.append(message)
        if fate > 0.9:
            self.wire.append(message)  # doubled
        if self.chance.random() < 0.1 and len(self.wire) > 1:  # late, behind another subject's
            at = self.chance.randrange(len(self.wire) - 1)
            if self.wire[at][0] != self.wire[at + 1][0]:
                self.wire[at], self.wire[at + 1] = self.wire[at + 1], self.wire[at]

    def arrive(self) -> None:
        if not self.wire:
            return
        subject, sequence, previous = self.wire.popleft()
        verdict = self.track.live(subject, sequence, previous, self.now)
        if verdict is Verdict.DELIVER:
            self.deliver(sequence, subject)

    def read(self, *, patient: bool = True) -> None:
        if self.position is None:
            if not self.track.behind:
                return
            self.position, self.page = self.track.verified, []
        if not self.page:
            found = self.log.after(self.position)
            self.page, self.pending = found[:PAGE], max(len(found) - PAGE, 0)
            if self.chance.random() < 0.3:
                return  # the answer is on its way while other things happen
        while self.page:
            sequence, subject = self.page.pop(0)
            self.position = sequence
            if self.track.stored(subject, sequence) is Verdict.DELIVER:
                self.deliver(sequence, subject)
        if (
            not self.page
            and not self.pending
            and self.track.caught_up(self.position, self.now, gone=not patient)
        ):
            self.position = None

    def probe(self) -> None:
        if self.asked is not None:
            in_log, stand = self.asked
            self.asked = None
            self.track.counted(in_log, stand, self.now)
        elif self.track.read_back_due(self.now):
            self.track.reset()
        elif self.track.probe_due(self.now):
            self.asked = (len(self.log.after(self.track.verified)), self.track.stand)

    def disturb(self) -> None:
        if self.chance.random() < 0.2:
            self.wire.clear()
            self.asked = None
            self.track.reset()

    def deliver(self, sequence: int, subject: bytes) -> None:
        self.got.append((sequence, subject))

    def settle(self) -> None:
        """Nothing new comes: within a few turns the member has everything."""
        for _ in range(400):
            self.now += 2.0
            self.arrive()
            self.probe()
            self.read(patient=self.chance.random() < 0.9)
            at_rest = not (self.wire or self.track.behind or self.asked or self.track.delivered_above)
            in_log = len(self.log.after(self.track.verified))
            if at_rest and self.track.counted(in_log, self.track.stand, self.now):
                return
        pytest.fail("it never came to rest")

    def check(self) -> None:
        wanted = [entry for entry in self.log.ever if entry[0] > self.started_at]
        assert len(set(self.got)) == len(self.got), "something came twice"
        assert set(self.got) <= set(wanted), "something came from before the start"
        missing = set(wanted) - set(self.got)
        assert missing <= self.log.evicted, f"lost: {sorted(missing - self.log.evicted)}"
        for subject, first, last in self.track.truncated:
            gone = [sequence for sequence, other in missing if other == subject and first <= sequence <= last]
            assert gone, f"told of {first} to {last} on {subject!r}, where nothing is missing"
        for subject in SUBJECTS:
            sequences = [sequence for sequence, other in self.got if other == subject]
            assert sequences == sorted(sequences), f"out of order on {subject!r}"
