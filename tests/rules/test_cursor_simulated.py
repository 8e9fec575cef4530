"""A durable member through crashes, lost leases, failures, expiry, copies, truncation and jumping clocks,
thousands of times: whatever happens, every message of its log ends once in its account, none is skipped, and
no more than was not committed comes twice.

The reference model is the log and what was handed out, as lists. A failure prints its seed and the line that
replays it.
"""

import os
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
import pytest

from fabric.rules.accounts import Extent
from fabric.rules.channels import cursor as rules
from fabric.rules.channels.cursor import Commit, Cursor, CursorRecord, Verdict, next_life
from fabric.rules.channels.position import Position

STREAM, FILTER = "CH_0", "fab.ch.0.*.greenhouse"
SUBJECTS = (b"fab.cho.0.one.greenhouse", b"fab.cho.0.two.greenhouse")
UNCOMMITTED_MAX = 6


@dataclass(frozen=True)
class Message:
    """`name` is shared by the copies of one message."""

    sequence: int
    subject: bytes
    name: bytes
    expires_us: int = 0
    is_copy: bool = False
    is_poison: bool = False


@dataclass
class World:
    """The log, what was handed out, and the record as the server has it."""

    log: list[Message] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)
    tries: Counter[int] = field(default_factory=Counter)
    settled: Counter[int] = field(default_factory=Counter)
    buried: set[int] = field(default_factory=set)
    expired: Counter[int] = field(default_factory=Counter)
    copies: set[int] = field(default_factory=set)
    handled_names: Counter[bytes] = field(default_factory=Counter)
    told_gone: int = 0
    unknown: int = 0
    crashes: int = 0
    now_us: int = 1_000_000
    stored: bytes = b""


class Simulation:
    """One durable member after another on one log; only `World` survives a crash."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.world = World()
        self.cursor: Cursor | None = None
        self.waiting: list[Message] = []
        self.hand: Message | None = None
        self.under_way: Commit | None = None
        self.replaced = False  # another life has the record, and this one has not noticed
        self.read_to = 0

    # What happens

    def run(self) -> None:
        acts = [
            *[self.publish, self.feed, self.feed, self.handle, self.handle, self.handle, self.handle],
            *[self.commit, self.answer, self.verify, self.disturb],
        ]
        for _ in range(self.chance.randrange(200)):
            self.world.now_us += self.chance.choice((0, 1, 5, -3, 50))  # clocks jump, too
            if self.cursor is None:
                self.begin()
            self.chance.choice(acts)()
        self.finish()

    def publish(self) -> None:
        world, chance = self.world, self.chance
        sequence = (world.log[-1].sequence if world.log else 0) + chance.choice((1, 1, 3))
        former = chance.choice(world.log[-4:]) if world.log and chance.random() < 0.15 else None
        if former is not None and not former.expires_us and not former.is_poison:
            world.log.append(Message(sequence, former.subject, former.name, is_copy=True))
            return
        expires_us = world.now_us + chance.randrange(40) if chance.random() < 0.2 else 0
        poison = not expires_us and chance.random() < 0.05
        name = b"%d" % sequence
        world.log.append(
            Message(sequence, chance.choice(SUBJECTS), name, expires_us=expires_us, is_poison=poison)
        )
        if chance.random() < 0.05:  # retention: the oldest goes, read or not
            world.gone.add(chance.choice(world.log[:3]).sequence)

    def feed(self) -> None:
        """The log, or the feed, has the next message for us: those of one subject in order."""
        assert self.cursor is not None
        for message in self.world.log:
            if message.sequence <= self.read_to:
                continue
            self.read_to = message.sequence
            if self.start.has(message.subject, message.sequence):
                continue
            if message.sequence in self.world.gone:
                self.cursor.let_go(1)
                self.lost.append(message.sequence)
                continue
            self.waiting.append(message)
            self.cursor.progress.handed(FILTER, message.subject, message.sequence)
            return

    def handle(self) -> None:
        """The one in hand is settled, the next is taken."""
        cursor, world = self.cursor, self.world
        assert cursor is not None
        if self.hand is not None:
            message, self.hand = self.hand, None
            assert cursor.settle()
            assert not cursor.settle(), "an end is final"
            world.settled[message.sequence] += 1
        if not self.waiting or cursor.must_commit:
            return
        message = self.waiting.pop(0)
        verdict = cursor.take(
            message.subject,
            message.name,
            may_be_copy=message.is_copy,
            expires_us=message.expires_us,
            now_us=world.now_us,
        )
        self.act(message, verdict)

    def act(self, message: Message, verdict: Verdict) -> None:
        world = self.world
        if verdict is Verdict.SETTLED:
            if message.expires_us and world.now_us >= message.expires_us:
                world.expired[message.sequence] += 1
            else:
                assert message.is_copy
                world.copies.add(message.sequence)
            return
        assert self.cursor is not None
        if verdict is Verdict.BURY:
            assert world.tries[message.sequence] >= rules.ATTEMPTS_MAX, "given up too early"
            world.buried.add(message.sequence)
            assert self.cursor.settle()
            return
        self.hand = message
        if verdict is Verdict.NOTE:
            if self.replaced:
                self.crash()  # the note is refused: nobody sees the message
                return
            self.write(self.fresh())
        world.tries[message.sequence] += 1
        if message.is_poison:
            self.crash() if self.chance.random() < 0.5 else self.stop(failed=True)
        else:
            world.handled_names[message.name] += 1

    # Commits and lives

    def begin(self) -> None:
        world = self.world
        former = msgspec.json.decode(world.stored, type=CursorRecord) if world.stored else None
        mine = CursorRecord(
            name="auditor", process="p", epoch=1, pattern="greenhouse", extents=[Extent(STREAM, FILTER)]
        )
        in_log = 0
        if former is not None:
            at = rules.position_of(former)[FILTER]
            in_log = len([m for m in self.held() if not at.has(m.subject, m.sequence)])
        record = next_life(former, mine, in_log)
        world.unknown = record.account.unknown
        self.cursor = Cursor(record)
        self.write(self.fresh())
        self.start: Position = rules.position_of(record)[FILTER]
        self.read_to = self.start.verified
        self.waiting, self.hand, self.under_way, self.lost = [], None, None, []

    def held(self) -> list[Message]:
        return [message for message in self.world.log if message.sequence not in self.world.gone]

    def commit(self) -> None:
        if self.under_way is None and self.cursor is not None:
            commit = self.fresh()
            if self.cursor.is_news(commit):
                self.under_way = commit

    def answer(self) -> None:
        """The commit under way is written, and we learn of it, or not yet."""
        if self.under_way is not None and self.chance.random() < 0.7:
            self.write(self.under_way)

    def write(self, commit: Commit) -> None:
        assert self.cursor is not None
        self.under_way = None  # written or not: this one says all that it says
        self.world.stored = msgspec.json.encode(commit.record)
        self.cursor.committed(commit)

    def fresh(self, *, closing: bool = False) -> Commit:
        assert self.cursor is not None
        commit = self.cursor.commit(closing=closing)
        self.check_record(commit.record)
        return commit

    def verify(self) -> None:
        assert self.cursor is not None
        self.cursor.progress.verified(FILTER, self.read_to)

    def disturb(self) -> None:
        roll = self.chance.random()
        if roll < 0.15:
            self.crash()
        elif roll < 0.2:
            self.lose_the_lease()
        elif roll < 0.3:
            self.stop(failed=self.chance.random() < 0.3)

    def lose_the_lease(self) -> None:
        """Another life takes the record over; this one goes on until a commit of its is refused."""
        self.replaced, self.under_way = True, None
        for _ in range(self.chance.randrange(4)):
            if self.cursor is not None:
                self.handle()
        if self.cursor is not None:
            self.crash()
        self.replaced = False

    def crash(self) -> None:
        world = self.world
        world.crashes += 1
        if self.under_way is not None and self.chance.random() < 0.5:
            world.stored = msgspec.json.encode(self.under_way.record)  # written, and nobody was told
        record = msgspec.json.decode(world.stored, type=CursorRecord)
        at = rules.position_of(record)[FILTER]
        again = [m for m in world.log if world.settled[m.sequence] and not at.has(m.subject, m.sequence)]
        assert len(again) <= rules.UNCOMMITTED_MAX, "more would come again than the bound says"
        self.cursor = None

    def stop(self, *, failed: bool) -> None:
        assert self.cursor is not None
        if self.replaced:
            self.crash()  # its last commit is refused
            return
        self.cursor.put_back("it raised" if failed else "")
        self.hand = None
        self.write(self.fresh(closing=True))
        self.cursor = None

    # What must be so

    def check_record(self, record: CursorRecord) -> None:
        at = rules.position_of(record)[FILTER]
        in_log = [m for m in self.held() if not at.has(m.subject, m.sequence)]
        in_memory = [m for m in self.waiting if m.sequence in self.world.gone]
        assert record.account.balanced(len(in_log) + len(in_memory) + (self.hand is not None)), record

    def finish(self) -> None:
        """No more disturbance: within some lives everything has ended."""
        for _ in range(40 * (rules.ATTEMPTS_MAX + 1) + 4 * len(self.world.log)):
            if self.cursor is None:
                self.begin()
            self.feed()
            self.handle()
            if self.cursor is not None:
                self.write(self.fresh())
            at_end = self.read_to >= (self.world.log[-1].sequence if self.world.log else 0)
            if self.cursor is not None and at_end and not self.waiting and self.hand is None:
                break
        else:
            pytest.fail("it never came to rest")
        self.verify()
        self.stop(failed=False)

    def check(self) -> None:
        world = self.world
        record = msgspec.json.decode(world.stored, type=CursorRecord)
        account = record.account
        assert account.in_flight == 0
        assert account.balanced(0)
        at = rules.position_of(record)[FILTER]
        for message in world.log:
            assert at.has(message.subject, message.sequence), "the position left something out"
            ends = [
                world.settled[message.sequence] > 0,
                message.sequence in world.buried,
                world.expired[message.sequence] > 0,
                message.sequence in world.copies,
                message.sequence in world.gone,
            ]
            assert any(ends), f"lost: {message}"
            if message.is_poison:
                assert world.settled[message.sequence] == 0
        tried = sum(world.settled.values()) + len(world.buried) + sum(world.expired.values())
        hidden = tried - account.delivered - account.dead - account.expired
        told = account.unknown + account.truncated  # what the log let go of before the next life began
        assert 0 <= hidden <= told, "the account says less than a crash can have hidden"
        if not world.crashes:
            assert account.unknown == 0
            assert account.delivered == sum(world.settled.values())
            assert all(count == 1 for count in world.settled.values()), "something came twice without a crash"
            assert account.expired == sum(world.expired.values())
            assert account.dead == len(world.buried)
            self.check_once()

    def check_once(self) -> None:
        """Without a crash, no message is handled again by a copy of it."""
        for name, count in self.world.handled_names.items():
            tried = max(self.world.tries[m.sequence] for m in self.world.log if m.name == name)
            assert count <= max(tried, 1), f"{name!r} was handled {count} times"


def simulate(seed: int) -> None:
    simulation = Simulation(seed)
    try:
        simulation.run()
        simulation.check()
    except BaseException as error:
        error.add_note(f"replay: SEED={seed} pytest tests/rules/test_cursor_simulated.py")
        raise


def simulate_all(seeds: Iterable[int]) -> None:
    for seed in seeds:
        simulate(seed)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "UNCOMMITTED_MAX", UNCOMMITTED_MAX)


def test_every_message_of_a_durable_member_ends_once_whatever_happens() -> None:
    chosen = os.environ.get("SEED")
    simulate_all(range(3000) if chosen is None else [int(chosen)])


def test_the_simulation_notices_a_cursor_that_commits_what_is_still_in_hand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take = Cursor._into_hand

    def hasty(self: Cursor, place: str, key: int) -> Verdict:
        verdict = take(self, place, key)
        if verdict is Verdict.HAND_OUT:
            self.settle()
            self._hand = rules._Hand()
            self.progress.handed("", b"", 0)
        return verdict

    monkeypatch.setattr(Cursor, "_into_hand", hasty)
    with pytest.raises(BaseException):  # noqa: B017, PT011  # any of its checks
        simulate_all(range(200))


def test_the_simulation_notices_a_life_that_forgets_what_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cursor, "_try", lambda *_: None)
    with pytest.raises(BaseException, match="never came to rest"):
        simulate_all(range(200))
