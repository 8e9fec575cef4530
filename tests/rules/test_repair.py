"""Gaps: every row of the track's state table. `test_repair_simulated` runs it against a model."""

import pytest

from fabric.rules.channels.repair import (
    AHEAD_MAX,
    COUNT_MAX,
    PROBE_EVERY_S,
    QUIET_S,
    READ_BACK_AFTER_S,
    SUBJECTS_MAX,
    Track,
    Verdict,
)

A, B = b"fab.cho.0.a.x", b"fab.cho.0.b.x"
DELIVER, DUPLICATE, LATER = Verdict.DELIVER, Verdict.DUPLICATE, Verdict.LATER


def following(verified: int = 10) -> Track:
    track = Track(0.0)
    track.start(verified)
    assert track.caught_up(verified, 0.0)
    return track


def test_before_the_start_everything_is_left_to_the_log() -> None:
    track = Track(0.0)
    assert track.live(A, 11, 0, 0.0) is LATER
    track.start(10)
    assert not track.caught_up(10, 0.0)
    assert track.stored(A, 11) is DELIVER
    assert track.caught_up(11, 0.0)


def test_what_came_before_the_start_and_is_not_for_the_member_holds_nothing_up() -> None:
    track = Track(0.0)
    track.live(A, 10, 0, 0.0)
    track.start(10)
    assert track.caught_up(10, 0.0)
    assert not track.behind


def test_following_delivers_what_connects() -> None:
    track = following(10)
    assert track.live(A, 11, 7, 0.0) is DELIVER
    assert track.live(A, 12, 11, 0.0) is DELIVER
    assert track.live(B, 13, 0, 0.0) is DELIVER
    assert (track.gaps, track.delivered_above) == (0, 3)


@pytest.mark.parametrize("sequence", [1, 10, 11])
def test_following_knows_a_second_copy(sequence: int) -> None:
    track = following(10)
    track.live(A, 11, 7, 0.0)
    assert track.live(A, sequence, 0, 0.0) is DUPLICATE
    assert track.delivered_above == 1


def test_a_predecessor_that_never_came_puts_it_behind() -> None:
    track = following(10)
    assert track.live(A, 12, 11, 0.0) is LATER
    assert track.behind
    assert track.gaps == 1


def test_one_gap_is_counted_once() -> None:
    track = following(10)
    for sequence in (12, 13, 14):
        assert track.live(A, sequence, sequence - 1, 0.0) is LATER
    assert track.gaps == 1


def test_behind_delivers_other_subjects_as_they_come() -> None:
    track = following(10)
    track.live(A, 12, 11, 0.0)
    assert track.live(B, 13, 0, 0.0) is DELIVER
    assert track.live(B, 14, 13, 0.0) is DELIVER
    assert [track.stored(*one) for one in ((A, 11), (A, 12), (B, 13), (B, 14))] == [
        *(DELIVER, DELIVER, DUPLICATE, DUPLICATE)
    ]
    assert track.caught_up(14, 0.0)
    assert (track.verified, track.delivered_above) == (14, 0)


def test_what_came_live_beyond_the_readers_position_is_still_known() -> None:
    track = following(10)
    track.live(A, 12, 11, 0.0)
    track.stored(A, 11)
    track.stored(A, 12)
    assert track.live(B, 15, 0, 0.0) is DELIVER
    assert track.caught_up(12, 0.0)
    assert track.live(B, 15, 0, 0.0) is DUPLICATE
    assert track.delivered_above == 1


def test_it_reads_on_while_something_later_was_left_to_the_log() -> None:
    track = following(10)
    track.live(A, 12, 11, 0.0)
    track.live(A, 13, 12, 0.0)
    assert not track.caught_up(12, 0.0)
    assert track.behind
    assert track.caught_up(13, 0.0)


def test_what_has_gone_from_the_log_holds_nothing_up() -> None:
    track = following(10)
    track.live(A, 12, 11, 0.0)
    assert not track.caught_up(10, 0.0)
    assert track.caught_up(10, 0.0, gone=True)
    assert track.live(B, 13, 0, 0.0) is DELIVER
    track.reset()
    assert track.caught_up(13, 0.0)  # 12 is not waited for again


def test_evicted_predecessors_are_no_loss() -> None:
    track = following(10)
    assert track.live(A, 20, 4, 0.0) is DELIVER  # 15 to 19 have gone before anybody could have them
    assert not track.behind


def test_the_position_before_a_message_has_everything_else_that_was_delivered() -> None:
    track = following(10)
    track.live(A, 11, 7, 0.0)
    track.live(B, 12, 0, 0.0)
    track.live(A, 14, 11, 0.0)
    position = track.position_before(A, 14)
    assert [position.has(*one) for one in ((A, 10), (A, 11), (B, 12), (A, 14), (b"new", 11))] == [
        *(True, True, True, False, False)
    ]
    assert track.highest == 14


def test_an_interrupted_feed_is_not_believed() -> None:
    track = following(10)
    track.reset()
    assert track.behind
    assert track.live(A, 12, 11, 0.0) is LATER
    assert track.gaps == 0


def test_reading_ahead_live_is_bounded() -> None:
    track = following(0)
    track.reset()
    for sequence in range(1, AHEAD_MAX + 1):
        assert track.live(A, sequence, sequence - 1, 0.0) is DELIVER
    assert track.live(A, AHEAD_MAX + 1, AHEAD_MAX, 0.0) is LATER


def test_a_quiet_track_is_probed_and_then_verified() -> None:
    track = following(10)
    track.live(A, 11, 0, 100.0)
    track.live(B, 12, 0, 100.0)
    assert not track.probe_due(100.0 + QUIET_S / 2)
    assert track.probe_due(100.0 + QUIET_S)
    assert track.counted(2, track.stand, 101.0)
    assert (track.verified, track.delivered_above) == (12, 0)
    assert not track.behind


def test_a_silent_track_is_probed_now_and_then() -> None:
    track = following(10)
    assert not track.probe_due(PROBE_EVERY_S / 2)
    assert track.probe_due(PROBE_EVERY_S)
    assert track.counted(0, track.stand, PROBE_EVERY_S)
    assert not track.probe_due(PROBE_EVERY_S + 1)


@pytest.mark.parametrize("in_log", [0, 1, 3])
def test_a_probe_that_counts_another_number_puts_it_behind(in_log: int) -> None:
    track = following(10)
    track.live(A, 11, 0, 0.0)
    track.live(B, 12, 0, 0.0)
    assert not track.counted(in_log, track.stand, 5.0)
    assert track.behind
    assert track.verified == 10


def test_a_probe_proves_nothing_when_messages_came_meanwhile() -> None:
    track = following(10)
    stand = track.stand
    track.live(A, 11, 0, 0.0)
    assert track.counted(99, stand, 5.0)
    assert (track.behind, track.verified) == (False, 10)


def test_a_probe_proves_nothing_when_the_log_was_read_back_meanwhile() -> None:
    track = following(10)
    track.live(A, 12, 0, 0.0)
    stand = track.stand  # the log is asked: it holds 12 alone
    track.reset()
    track.stored(A, 12)
    assert track.caught_up(12, 0.0)
    track.live(A, 15, 12, 0.0)  # 14 of another subject was lost
    assert track.counted(1, stand, 5.0)
    assert (track.verified, track.delivered_above) == (12, 1)


def test_so_many_that_some_may_be_evicted_are_not_counted_but_read_back() -> None:
    track = following(0)
    for sequence in range(1, COUNT_MAX + 1):
        track.live(A, sequence, sequence - 1, 0.0)
    assert not track.counted(COUNT_MAX, track.stand, 5.0)
    assert track.behind


def test_a_track_that_is_behind_is_not_probed() -> None:
    track = following(10)
    track.reset()
    assert not track.probe_due(1000.0)
    assert not track.read_back_due(1000.0)
    assert track.counted(5, track.stand, 1000.0)


def test_a_track_that_is_never_quiet_is_read_back() -> None:
    track = following(10)
    track.live(A, 11, 0, READ_BACK_AFTER_S - 0.1)
    assert not track.read_back_due(READ_BACK_AFTER_S - 0.1)
    assert track.read_back_due(READ_BACK_AFTER_S)


def test_subjects_are_forgotten_by_reading_back() -> None:
    track = following(0)
    for number in range(1, SUBJECTS_MAX + 2):
        track.live(b"fab.cho.0.%d.x" % number, number, 0, 0.0)
    assert track.read_back_due(0.0)
    track.reset()
    assert track.caught_up(SUBJECTS_MAX + 1, 0.0)
    assert not track.read_back_due(0.0)


def test_what_the_log_let_go_before_it_was_read_is_told_with_its_range() -> None:
    track = following(10)
    track.live(A, 13, 12, 0.0)
    assert track.stored(A, 15) is DELIVER
    assert track.truncated == [(A, 12, 14)]


def test_what_the_log_still_has_is_not_called_truncated() -> None:
    track = following(10)
    track.live(A, 13, 12, 0.0)  # 12 never came
    assert [track.stored(A, 12), track.stored(A, 13)] == [DELIVER, DELIVER]
    assert track.caught_up(13, 0.0)
    assert track.truncated == []


def test_a_subject_that_is_gone_whole_is_told_at_the_end_of_the_log() -> None:
    track = following(10)
    track.live(A, 12, 11, 0.0)
    track.live(B, 14, 0, 0.0)
    assert track.caught_up(14, 0.0)
    assert track.truncated == [(A, 11, 14)]
