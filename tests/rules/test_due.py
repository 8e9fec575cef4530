"""Where a delayed job goes: the server says who put it, whatever the target's subject pretends."""

import pytest

from fabric.rules.queues.due import job_block, job_subject

FIRED = (
    b"NATS/1.0\r\nFab-Queue: reports\r\nFab-Partition: n1\r\nce-id: a\r\nce-source: /nats/planner\r\n"
    b"Nats-Scheduler: fab.due.at.planner.1\r\nNats-Schedule-Next: purge\r\n\r\n"
)


def test_a_due_job_goes_to_its_queue_under_the_name_that_the_server_vouches_for() -> None:
    assert job_subject(FIRED) == "fab.q.reports.n1.planner"


def test_a_due_job_keeps_what_it_said_and_gets_the_logs_id() -> None:
    block = job_block(FIRED, 17)
    assert block == b"NATS/1.0\r\nce-id: a\r\nce-source: /nats/planner\r\nNats-Msg-Id: due:17\r\n\r\n"


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        (b"Fab-Queue: reports\r\n", b""),
        (b"reports", b"re.ports"),
        (b"reports", b">"),
        (b"n1", b"*"),
        (b"n1", b"n9"),
        (b"Nats-Scheduler: fab.due.at.planner.1\r\n", b""),
        (b"fab.due.at.planner.1", b"fab.due.at"),
    ],
)
def test_a_due_job_that_names_no_place_goes_nowhere(line: bytes, instead: bytes) -> None:
    assert job_subject(FIRED.replace(line, instead)) is None
