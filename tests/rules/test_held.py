"""What time does to the jobs in a worker's hands."""

import pytest

from fabric.rules.queues.held import RUN_MAX_S, Due, Held

NOTHING: Due[str] = Due([], [], [])


def held(**times: float) -> Held[str]:
    return Held(ack_wait_s=30.0, patience_s=times.get("patience_s", 100.0))


def test_what_waits_is_kept_and_given_back_when_patience_ends() -> None:
    jobs = held(patience_s=25.0)
    jobs.wait("a", 0.0)
    assert jobs.due(9.9) == NOTHING
    assert jobs.due(10.0).extend == ["a"]
    assert jobs.due(10.1) == NOTHING
    assert jobs.due(20.0).extend == ["a"]
    assert jobs.due(25.0).give_back == ["a"]
    assert jobs.end("a")
    assert jobs.due(26.0) == NOTHING


@pytest.mark.parametrize("kept_alive", [True, False])
def test_a_running_job_lapses_unless_it_is_kept_alive(kept_alive: bool) -> None:
    jobs = held()
    jobs.wait("a", 0.0)
    jobs.start("a", 1.0, kept_alive=kept_alive)
    for now in (10.0, 20.0, 30.0):
        due = jobs.due(now)
    assert due.lapsed == ([] if kept_alive else ["a"])
    assert ("a" in jobs) is kept_alive


def test_extending_begins_its_time_anew() -> None:
    jobs = held()
    jobs.wait("a", 0.0)
    jobs.start("a", 0.0, kept_alive=False)
    assert jobs.extend("a", 20.0)
    assert jobs.due(45.0) == NOTHING
    assert jobs.due(50.0).lapsed == ["a"]
    assert not jobs.extend("a", 51.0)


def test_a_handler_that_hangs_does_not_hold_its_job_for_ever() -> None:
    jobs = held()
    jobs.wait("a", 0.0)
    jobs.start("a", 0.0, kept_alive=True)
    now = 0.0
    while "a" in jobs:
        now += 10.0
        jobs.due(now)
    assert RUN_MAX_S < now <= RUN_MAX_S + 40


def test_a_job_ends_once() -> None:
    jobs = held()
    jobs.wait("a", 0.0)
    assert jobs.end("a")
    assert not jobs.end("a")
    assert not jobs.all()
