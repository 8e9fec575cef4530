"""The rules of a queue together, thousands of times: workers take, fail, die and lose acks. Every job that
was accepted ends, once, as delivered, expired or dead; none is started more often than allowed.

The model of the server is a work-queue stream with one pull consumer: it hands out in order, hands out again
what nobody settled within the ack wait, and forgets what is acknowledged. A failure prints how to replay it.
"""

import os
import random
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from fabric.rules.log.pulling import Credit
from fabric.rules.queues.fairness import Backlog, Line
from fabric.rules.queues.held import Held
from fabric.rules.queues.partitions import PARTITIONS
from fabric.rules.queues.retry import backoff_s, is_over, is_spent

ACK_WAIT_S = 3.0
MAX_ATTEMPTS = 3
SOURCES = ("a", "b", "storm")


@dataclass(eq=False)
class Stored:
    """A job in the model's log."""

    number: int
    source: str
    poison: str  # "": works; "fails": the handler raises; "kills": its worker dies
    expired: bool
    deliveries: int = 0
    due: float = 0.0  # when it may be handed out (again)
    counted: int = 0  # the server's counter of attempts
    starts: int = 0  # the truth


@dataclass(eq=False)
class Delivery:
    """A job as a worker has it."""

    stored: Stored
    backlog: Backlog
    times: int

    @property
    def source(self) -> str:
        return self.stored.source


@dataclass
class Server:
    chance: random.Random
    log: dict[int, Stored] = field(default_factory=dict)
    last: int = 0

    def put(self) -> None:
        self.last += 1
        kind = self.chance.random()
        poison = "fails" if kind < 0.1 else "kills" if kind < 0.15 else ""
        source = self.chance.choice(SOURCES)
        self.log[self.last] = Stored(self.last, source, poison, expired=self.chance.random() < 0.1)

    def hand_out(self, now: float) -> Stored | None:
        for stored in self.log.values():
            if stored.due <= now:
                stored.deliveries += 1
                stored.due = now + ACK_WAIT_S
                return stored
        return None


class Worker:
    """The rules, put together as `fabric.client.queues.worker` does."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.backlog = Backlog(PARTITIONS[1])
        self.credit = Credit()
        self.line: Line[Delivery] = Line()
        self.held: Held[Delivery] = Held(ack_wait_s=ACK_WAIT_S, patience_s=1.0)
        self.running: list[Delivery] = []

    def pull(self) -> None:
        now = self.world.now
        self.credit.ask(self.backlog.room, self.backlog.window, now)
        while self.credit.owed and (stored := self.world.server.hand_out(now)) is not None:
            self.credit.arrived(now)
            if self.world.loses(0.05):
                continue  # on its way when the connection broke
            delivery = Delivery(stored, self.backlog, stored.deliveries)
            self.held.wait(delivery, now)
            self.line.put(delivery)

    def start(self) -> None:
        world = self.world
        while len(self.running) < 2 and (job := self.line.take()) is not None:
            if job.stored.expired:
                self.held.end(job)
                self.settle(job, "expired")
                continue
            self.held.start(job, world.now, kept_alive=world.chance.random() < 0.8)
            if job.times > 1:
                job.stored.counted += 1
                if is_over(job.stored.counted, MAX_ATTEMPTS):
                    self.held.end(job)
                    self.bury(job)
                    continue
            self.running.append(job)
            world.start_of(job.stored)
            if job.stored.poison == "kills" and world.chance.random() < 0.9:
                world.crash(self)
                return

    def finish(self) -> None:
        if not self.running:
            return
        job = self.running.pop(self.world.chance.randrange(len(self.running)))
        if not self.held.end(job):
            return  # NotHeld: its time ran out
        if job.stored.poison == "fails":
            self.fail(job)
        else:
            self.settle(job, "delivered")

    def fail(self, job: Delivery) -> None:
        if job.times == 1:
            job.stored.counted += 1
        if is_spent(job.stored.counted, MAX_ATTEMPTS):
            self.bury(job)
        elif not self.world.loses(0.1):
            job.stored.due = self.world.now + backoff_s(job.stored.counted, self.world.chance.random())

    def bury(self, job: Delivery) -> None:
        if self.world.loses(0.2):  # refused: it comes again
            return
        self.world.letters.add(job.stored.number)
        if not self.world.loses(0.2):  # else it died between the letter and the settling
            self.settle(job, "dead")

    def settle(self, job: Delivery, how: str) -> None:
        if not self.world.loses(0.1) and self.world.server.log.pop(job.stored.number, None) is not None:
            self.world.ended[job.stored.number] = how

    def tick(self) -> None:
        due = self.held.due(self.world.now)
        for job in due.extend:
            if job.stored.number in self.world.server.log and job.times == job.stored.deliveries:
                job.stored.due = self.world.now + ACK_WAIT_S
        for job in due.give_back:
            if self.line.remove(job):
                self.held.end(job)
                if job.times == job.stored.deliveries:
                    job.stored.due = self.world.now
        for job in due.lapsed:
            if not self.line.remove(job):
                self.running.remove(job)


class World:
    """Some workers, a server, faults, and the account of what became of each job."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = 0.0
        self.faulty = True
        self.server = Server(self.chance)
        self.ended: dict[int, str] = {}
        self.letters: set[int] = set()
        self.workers = [Worker(self) for _ in range(self.chance.randrange(1, 4))]

    def loses(self, probability: float) -> bool:
        return self.faulty and self.chance.random() < probability

    def crash(self, worker: Worker) -> None:
        self.workers[self.workers.index(worker)] = Worker(self)

    def step(self) -> None:
        self.now += self.chance.random()
        if self.faulty and self.chance.random() < 0.5:
            for _ in range(self.chance.randrange(4)):
                self.server.put()
        worker = self.chance.choice(self.workers)
        if self.faulty and self.chance.random() < 0.02:
            self.crash(worker)
            return
        acts = [worker.pull, worker.start, worker.finish, worker.tick]
        self.chance.shuffle(acts)
        for act in acts:
            act()

    def run(self) -> None:
        for _ in range(self.chance.randrange(20, 80)):
            self.step()
        self.faulty = False
        for _ in range(20_000):
            if not self.server.log:
                break
            self.step()
        self.check()

    def check(self) -> None:
        assert not self.server.log, f"never ended: {sorted(self.server.log)}"
        assert set(self.ended) == set(range(1, self.server.last + 1)), "a job ended in no way"
        dead = {number for number, how in self.ended.items() if how == "dead"}
        assert dead <= self.letters, "settled without a letter"

    def start_of(self, stored: Stored) -> None:
        stored.starts += 1
        # The first start is not counted when its worker dies of it.
        assert stored.starts <= MAX_ATTEMPTS + 1, f"job {stored.number} was started {stored.starts} times"


def simulate(seeds: Iterable[int]) -> None:
    for seed in seeds:
        world = World(seed)
        try:
            world.run()
        except BaseException as error:
            error.add_note(f"replay: SEED={seed} pytest tests/rules/test_queue_simulated.py")
            raise


def test_every_accepted_job_ends_once_whatever_happens_to_workers_and_acks() -> None:
    chosen = os.environ.get("SEED")
    simulate(range(4000) if chosen is None else [int(chosen)])


def test_the_simulation_notices_attempts_that_nobody_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "is_over", lambda *_: False)
    with pytest.raises(AssertionError, match="was started"):
        simulate(range(100))


def test_the_simulation_notices_a_job_that_is_settled_before_its_letter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Worker, "bury", lambda self, job: self.settle(job, "dead"))
    with pytest.raises(AssertionError, match="without a letter"):
        simulate(range(100))


def test_the_simulation_notices_a_worker_that_keeps_what_it_should_give_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Line, "take", lambda _: None)
    monkeypatch.setattr(Worker, "tick", lambda _: None)
    with pytest.raises(AssertionError, match="never ended"):
        simulate(range(3))
