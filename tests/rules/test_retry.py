"""How often a job is tried, and when again."""

from fabric.rules.queues.retry import BACKOFF_FIRST_S, BACKOFF_MAX_S, backoff_s, is_over, is_spent


def test_the_last_attempt_runs_and_its_failure_is_the_end() -> None:
    assert [is_over(attempts, 3) for attempts in (1, 2, 3, 4)] == [False, False, False, True]
    assert [is_spent(attempts, 3) for attempts in (1, 2, 3, 4)] == [False, False, True, True]


def test_backoff_doubles_up_to_its_bound_and_half_of_it_is_chance() -> None:
    assert [backoff_s(attempts, 1.0) for attempts in (1, 2, 3)] == [1, 2, 4]
    assert backoff_s(1, 0.0) == BACKOFF_FIRST_S / 2
    assert backoff_s(10_000, 1.0) == BACKOFF_MAX_S
