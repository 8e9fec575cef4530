"""Positions and progress: what is settled is exactly what a cursor would say, message by message."""

import pytest

from fabric.rules.channels.position import Position, Progress

LOG, OTHER = "fab.ch.0.*.x", "fab.ch.1.*.y"
A, B = b"fab.cho.0.a.x", b"fab.cho.0.b.x"


def test_a_position_has_all_up_to_verified_and_more_of_some_subjects() -> None:
    position = Position(10, {A: 12})
    had = [position.has(*one) for one in ((A, 10), (A, 12), (A, 13), (B, 10), (B, 11))]
    assert had == [True, True, False, True, False]


def test_what_was_handed_out_is_settled_in_order() -> None:
    progress = Progress({LOG: Position(10)})
    for subject, sequence in ((A, 11), (B, 12), (A, 13)):
        progress.handed(LOG, subject, sequence)
    progress.settle()
    progress.settle()
    assert progress.positions() == {LOG: Position(10, {A: 11, B: 12})}
    assert (progress.outstanding, progress.settled) == (1, 2)


def test_a_verified_position_waits_for_what_was_handed_out_before_it() -> None:
    progress = Progress({LOG: Position(10)})
    progress.handed(LOG, A, 11)
    progress.verified(LOG, 20)
    progress.handed(LOG, A, 21)
    assert progress.positions()[LOG] == Position(10, {})
    progress.settle()
    assert progress.positions()[LOG] == Position(20, {})
    progress.settle()
    assert progress.positions()[LOG] == Position(20, {A: 21})


def test_a_verified_position_counts_at_once_when_nothing_is_outstanding() -> None:
    progress = Progress({LOG: Position(10, {A: 12, B: 30})})
    progress.verified(LOG, 20)
    progress.verified(LOG, 15)
    assert progress.positions() == {LOG: Position(20, {B: 30})}


def test_logs_go_each_for_itself() -> None:
    progress = Progress({})
    progress.handed(LOG, A, 5)
    progress.verified(OTHER, 7)
    progress.verified(LOG, 5)
    progress.settle()
    assert progress.positions() == {LOG: Position(5, {}), OTHER: Position(7, {})}


def test_live_messages_are_settled_and_move_nothing() -> None:
    progress = Progress({LOG: Position(3)})
    progress.handed("", b"", 0)
    progress.settle()
    assert progress.positions() == {LOG: Position(3, {})}
    with pytest.raises(IndexError):
        progress.settle()


def test_a_snapshot_stays_as_it_was() -> None:
    progress = Progress({LOG: Position(3)})
    before = progress.positions()
    progress.handed(LOG, A, 4)
    progress.settle()
    assert before == {LOG: Position(3, {})}
