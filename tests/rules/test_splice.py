"""A member's life in one log: every row of the state table; `test_splice_simulated` runs it by chance."""

import pytest

from fabric.rules.channels.position import Position
from fabric.rules.channels.splice import PENDING_BYTES_MAX, PENDING_MAX, SUBJECTS_MAX, Strand, StrandState

A, B = b"fab.cho.0.a.x", b"fab.cho.0.b.x"
READING, SPLICING, FOLLOWING = StrandState


def splicing(position: int = 10, highest: int = 10) -> Strand:
    strand = Strand(Position(position))
    strand.attach(highest)
    return strand


def following(position: int = 10) -> Strand:
    strand = splicing(position, position)
    assert strand.splice() == []
    return strand


def test_reading_delivers_what_lies_beyond_its_position() -> None:
    strand = Strand(Position(10, {A: 13}))
    told = [strand.stored(*one) for one in ((A, 9), (A, 12), (A, 13), (B, 14), (A, 15), (A, 15))]
    assert told == [False, False, False, True, True, False]
    assert strand.position == 15


def test_it_meets_the_feed_once_the_log_was_read_as_far_as_the_feed_has_delivered() -> None:
    strand = splicing(10, highest=12)
    assert not strand.meets
    strand.stored(A, 11)
    assert not strand.meets
    strand.stored(A, 12)
    assert strand.meets


def test_what_came_meanwhile_is_delivered_from_where_the_log_ended() -> None:
    strand = splicing(10, highest=12)
    for sequence in (12, 13, 14):
        assert strand.keep(A, sequence, sequence, 1)
    strand.stored(A, 12)
    strand.stored(A, 13)
    assert [one.sequence for one in strand.splice()] == [14]
    assert (strand.state, strand.position) == (FOLLOWING, 13)


def test_what_went_from_the_log_holds_nobody_up() -> None:
    strand = splicing(10, highest=20)
    strand.keep(A, 18, None, 1)
    strand.keep(A, 21, None, 1)
    assert not strand.meets
    assert [one.sequence for one in strand.splice(gone=True)] == [21]
    assert strand.position == 20


@pytest.mark.parametrize(("count", "size"), [(PENDING_MAX, 1), (4, PENDING_BYTES_MAX // 4)])
def test_what_comes_while_splicing_is_bounded_and_then_read(count: int, size: int) -> None:
    strand = splicing(10, highest=10_000)
    for number in range(count):
        assert strand.keep(A, 11 + number, None, size)
    assert not strand.keep(A, 11 + count, None, size)
    assert strand.state is READING
    assert all(strand.stored(A, 11 + number) for number in range(count + 1))
    strand.attach(0)
    assert strand.splice() == []


def test_one_message_is_kept_however_large() -> None:
    assert splicing().keep(A, 11, None, PENDING_BYTES_MAX + 1)


def test_what_finds_no_room_at_the_seam_is_read_again_and_the_rest_is_not() -> None:
    strand = splicing(10, highest=10)
    for subject, sequence in ((A, 11), (B, 12), (A, 13)):
        strand.keep(subject, sequence, None, 1)
    pending = strand.splice()
    strand.put_back(pending[:2], pending[2:])
    assert strand.state is READING
    assert [strand.stored(*one) for one in ((A, 11), (B, 12), (A, 13))] == [False, False, True]


def test_who_leaves_the_feed_goes_on_from_what_the_feed_had_delivered() -> None:
    strand = following(10)
    strand.detach(Position(12, {B: 15}))
    strand.fed(A, 16)
    assert [strand.stored(*one) for one in ((A, 12), (A, 14), (B, 15), (A, 16))] == [False, True, False, True]


def test_who_leaves_the_feed_does_not_go_back_behind_what_it_read_itself() -> None:
    strand = following(20)
    strand.detach(Position(12))
    assert not strand.stored(A, 20)
    assert strand.stored(A, 21)


def away(*fed: tuple[bytes, int]) -> Strand:
    strand = Strand(Position(10))
    for subject, sequence in fed:
        strand.fed(subject, sequence)
    return strand


def test_what_was_owed_and_is_read_is_not_called_truncated() -> None:
    strand = away((A, 11), (B, 12), (A, 13))
    assert all(strand.stored(*one) for one in ((A, 11), (B, 12), (A, 13)))
    strand.attach(13)
    strand.splice()
    assert strand.truncated == []


def test_an_owed_message_that_reading_passes_is_told_at_once() -> None:
    strand = away((A, 11), (A, 12), (A, 20))
    strand.stored(A, 15)
    assert strand.truncated == [(A, 11, 14)]


def test_messages_that_go_after_the_first_was_read_are_told_in_the_end() -> None:
    strand = away((A, 11), (A, 12), (A, 13), (A, 14))
    strand.stored(A, 11)
    strand.stored(A, 14)
    assert strand.truncated == [(A, 11, 14)]


def test_a_slow_reader_of_a_busy_channel_is_told_before_it_catches_up() -> None:
    strand = away((A, 11), (A, 12), (A, 13))
    strand.stored(A, 11)
    strand.fed(A, 14)
    strand.fed(A, 50)
    strand.stored(A, 40)
    assert strand.truncated == [(A, 14, 39)]


def test_a_subject_that_went_whole_is_told_at_the_seam() -> None:
    strand = away((A, 11), (A, 12), (B, 13))
    strand.stored(B, 13)
    strand.attach(13)
    strand.splice()
    assert [(gone.subject, gone.first) for gone in strand.truncated] == [(A, 11)]


def test_what_the_feed_repairs_late_and_this_member_has_read_is_not_owed() -> None:
    strand = away()
    strand.stored(A, 15)
    strand.fed(A, 12)
    strand.attach(15)
    strand.splice()
    assert strand.truncated == []


def test_what_is_owed_is_bounded() -> None:
    strand = away()
    for number in range(SUBJECTS_MAX + 10):
        strand.fed(b"%d" % number, 11 + number)
    assert len(strand._owed) == SUBJECTS_MAX
