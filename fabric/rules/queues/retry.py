"""How often a job is tried, and when again.

An *attempt* is a start. The server counts deliveries, and a job is also delivered again when a worker gave
it back unstarted or died with it waiting; so starts are counted apart, and only where there is something to
count:

| what happens | count |
|---|---|
| first delivery, started, settled | none is kept: nothing is written for a job that succeeds at once |
| an attempt fails (exception, `nak`) on the first delivery | 1, when it fails |
| a later delivery starts | one more, before it starts |
| a worker dies while a job runs on its first delivery | not counted: one attempt in favour of the job |
| given back unstarted, or waiting in a worker that died | nothing |

| attempts so far | at a start | at a failure |
|---|---|---|
| fewer than `max_attempts` | run | again, after `backoff_s` |
| `max_attempts` | run | dead letter: the last cause |
| more | dead letter unstarted: its workers died of it | - |
"""

__all__ = ["BACKOFF_FIRST_S", "BACKOFF_MAX_S", "MAX_ATTEMPTS", "backoff_s", "is_over", "is_spent"]

MAX_ATTEMPTS = 5
BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 300.0


def is_over(attempts: int, max_attempts: int) -> bool:
    """Whether a start that would be number `attempts` is one too many."""
    return attempts > max_attempts


def is_spent(attempts: int, max_attempts: int) -> bool:
    """Whether the failure of attempt number `attempts` was the last."""
    return attempts >= max_attempts


def backoff_s(attempts: int, chance: float) -> float:
    """How long a job rests after its failure number `attempts`: doubling, half of it by chance (0 to 1), so
    that jobs that failed together do not come back together."""
    full = min(BACKOFF_FIRST_S * 2.0 ** min(attempts - 1, 30), BACKOFF_MAX_S)
    return full * (0.5 + 0.5 * chance)
