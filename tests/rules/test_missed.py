"""Counting what never came: every row of the table."""

import pytest

from fabric.rules.channels import missed
from fabric.rules.channels.missed import MissedCounter

S, T = b"fab.lv.a.x", b"fab.lv.b.x"


def missed_after(*marks: bytes) -> int:
    counter = MissedCounter()
    for mark in marks:
        counter.observe(S, *parts(mark))
    return counter.missed


def parts(mark: bytes) -> tuple[bytes, int]:
    process, _, number = mark.rpartition(b":")
    return process, int(number)


@pytest.mark.parametrize(
    ("marks", "count"),
    [
        ((), 0),
        ((b"p:7",), 0),
        ((b"p:1", b"p:2", b"p:3"), 0),
        ((b"p:1", b"p:5"), 3),
        ((b"p:1", b"p:5", b"p:6", b"p:8"), 4),
        ((b"p:5", b"p:3", b"p:5", b"p:6"), 0),
        ((b"p:5", b"q:1", b"p:6", b"q:2"), 0),
        ((b"p:1", b"q:9", b"q:11"), 1),
        ((b"a:b:1", b"a:b:3"), 1),
    ],
)
def test_numbers_between_two_were_missed(marks: tuple[bytes, ...], count: int) -> None:
    assert missed_after(*marks) == count


def test_a_message_without_a_mark_counts_nothing() -> None:
    assert missed_after(b"p:1", b":-1", b"p:-1", b"p:2") == 0


def test_channels_are_counted_apart() -> None:
    counter = MissedCounter()
    for subject, mark in ((S, b"p:1"), (T, b"p:9"), (S, b"p:2"), (T, b"p:10")):
        counter.observe(subject, *parts(mark))
    assert counter.missed == 0


def test_the_sender_heard_from_least_recently_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missed, "SENDERS_MAX", 2)
    assert missed_after(b"p:1", b"q:1", b"p:2", b"r:1", b"p:4") == 1  # q went, p is still known
    assert missed_after(b"p:1", b"q:1", b"r:1", b"p:9") == 0
