"""Dead letters as header blocks: what a letter keeps, what it says, and what the next life is called."""

import pytest

from fabric.rules.letters import (
    ADDED_BYTES_MAX,
    ANCESTORS_MAX,
    Origin,
    ancestors_of,
    letter_block,
    letter_id,
    origin_of,
    revived_block,
)
from fabric_codecs.nats.headers import number_in, value_in

ORIGIN = Origin("Q", 17, "fab.q.reports.n0.planner")
JOB = (
    b"NATS/1.0\r\nce-id: a-1\r\nce-source: /nats/planner\r\nce-type: t\r\nFab-Native: x\r\n"
    b"Fab-Retry: 1\r\nNats-Msg-Id: old\r\nNats-Sequence: 17\r\n\r\n"
)


def letter(header: bytes = JOB, *, cause: str = "boom", attempts: int = 5) -> bytes:
    return letter_block("queue", "reports", ORIGIN, header, cause=cause, attempts=attempts)


def lives(count: int) -> bytes:
    """A message that died and was redriven so often."""
    header = JOB
    for number in range(1, count + 1):
        header = revived_block(letter(header), number)
    return header


def test_a_letter_keeps_the_message_and_says_why_it_was_given_up() -> None:
    block = letter()
    for line in (b"ce-id: a-1", b"ce-source: /nats/planner", b"ce-type: t", b"Fab-Native: x"):
        assert b"\r\n" + line + b"\r\n" in block
    assert value_in(block, b"Fab-Dead-Cause") == b"boom"
    assert number_in(block, b"Fab-Dead-Attempts") == 5
    assert origin_of(block) == ORIGIN
    assert ancestors_of(block) == ()


def test_what_belonged_to_one_delivery_does_not_follow() -> None:
    for block in (letter(), revived_block(letter(), 9)):
        assert b"Fab-Retry" not in block
        assert b"Nats-Sequence" not in block
        assert b"old" not in block


def test_one_obligation_has_one_letter_whoever_buries_it() -> None:
    assert letter_id("queue", "reports", ORIGIN) == letter_id("queue", "reports", ORIGIN)
    others = [
        ("inbox", "reports", ORIGIN),
        ("queue", "bills", ORIGIN),
        ("queue", "reports", ORIGIN._replace(sequence=18)),
    ]
    assert len({letter_id(*named) for named in [*others, ("queue", "reports", ORIGIN)]}) == 4


def test_the_next_life_has_a_new_id_and_knows_the_earlier_ones() -> None:
    block = lives(2)
    assert value_in(block, b"ce-id") == b"dead-2"
    assert ancestors_of(block) == ("a-1", "dead-1")
    assert b"Fab-Dead" not in block
    assert block.count(b"ce-id") == 1


def test_a_message_that_dies_for_ever_does_not_grow_for_ever() -> None:
    many, more = lives(ANCESTORS_MAX + 2), lives(ANCESTORS_MAX + 9)
    assert len(ancestors_of(more)) == ANCESTORS_MAX
    assert ancestors_of(more)[-1] == f"dead-{ANCESTORS_MAX + 8}"
    assert len(more) <= len(many) + ANCESTORS_MAX


@pytest.mark.parametrize("cause", ["a\r\nFab-Dead-Subject: fab.q.forged", "x" * 5000, "grün \x00\t", ""])
def test_a_cause_is_one_bounded_line_whatever_it_says(cause: str) -> None:
    block = letter(cause=cause)
    assert origin_of(block) == ORIGIN
    assert block.count(b"\r\n\r\n") == 1
    assert len(block) < len(letter(cause="")) + 600


def test_a_letter_adds_no_more_than_it_says() -> None:
    far = Origin("Q" * 200, 10**17, "fab.q." + "x" * 520)
    oldest = revived_block(letter(lives(ANCESTORS_MAX)), 10**15)
    added = letter_block("queue", "r", far, oldest, cause="c" * 9999, attempts=10**9)
    assert len(added) - len(oldest) < ADDED_BYTES_MAX


def test_a_message_said_again_by_another_names_that_one() -> None:
    block = revived_block(letter(), 3, "/nats/operator")
    assert value_in(block, b"ce-source") == b"/nats/operator"
    assert block.count(b"ce-source") == 1
