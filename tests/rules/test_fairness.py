"""Who is served next in a worker."""

from dataclasses import dataclass

from fabric.rules.queues.fairness import DEPTH_MAX, Backlog, Line
from fabric.rules.queues.partitions import PARTITIONS

BACKLOGS = {partition.token: Backlog(partition) for partition in PARTITIONS}


@dataclass(eq=False)
class Job:
    source: str
    token: str = "n0"

    @property
    def backlog(self) -> Backlog:
        return BACKLOGS[self.token]


def served(line: Line[Job]) -> list[Job]:
    taken = []
    while (job := line.take()) is not None:
        taken.append(job)
    return taken


def test_a_single_job_waits_for_one_of_the_crowd_not_for_all() -> None:
    line: Line[Job] = Line()
    for _ in range(64):
        line.put(Job("storm"))
    line.put(Job("calm"))
    assert [job.source for job in served(line)][:2].count("calm") == 1


def test_sources_take_turns_whatever_partition_they_are_from() -> None:
    line: Line[Job] = Line()
    for _ in range(10):
        line.put(Job("alone", "n0"))
        for number in range(4):
            line.put(Job(f"together-{number}", "n1"))
    first = [job.source for job in served(line)][:25]
    assert {first.count(source) for source in set(first)} == {5}


def test_jobs_of_one_source_keep_their_order() -> None:
    line: Line[Job] = Line()
    jobs = [Job("a") for _ in range(5)]
    for job in jobs:
        line.put(job)
    assert served(line) == jobs


def test_levels_are_served_by_weight_and_none_starves() -> None:
    line: Line[Job] = Line()
    for token in ("l0", "n0", "h0"):
        for _ in range(100):
            line.put(Job("a", token))
    first = [job.token for job in served(line)][:42]
    assert [first.count(token) for token in ("h0", "n0", "l0")] == [32, 8, 2]


def test_an_empty_level_leaves_its_turn_to_the_others() -> None:
    line: Line[Job] = Line()
    for _ in range(3):
        line.put(Job("a", "l0"))
    assert len(served(line)) == 3
    assert line.take() is None


def test_what_is_given_back_is_not_served_and_makes_room() -> None:
    line: Line[Job] = Line()
    backlog = BACKLOGS["n0"]
    before = backlog.room
    jobs = [Job("a"), Job("b")]
    for job in jobs:
        line.put(job)
    assert backlog.room == before - 2
    assert line.remove(jobs[0])
    assert not line.remove(jobs[0])
    assert (served(line), backlog.room, len(line)) == ([jobs[1]], before, 0)


def test_room_reaches_past_a_crowd_and_a_key_has_one_place() -> None:
    assert BACKLOGS["n0"].room == DEPTH_MAX > 15 * 64
    assert BACKLOGS["k0"].room == 1
