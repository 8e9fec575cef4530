"""A cursor's branches, one by one; what they are worth together is in `test_cursor_simulated`."""

import msgspec
import pytest

from fabric.rules.accounts import Account, Extent
from fabric.rules.channels import cursor as rules
from fabric.rules.channels.cursor import ATTEMPTS_MAX, Cursor, CursorRecord, Verdict, next_life, position_of
from fabric.rules.channels.position import Position

LOG, SUBJECT = "fab.ch.2.*.greenhouse", b"fab.cho.2.planner.greenhouse"


def first_life(**facts: object) -> CursorRecord:
    record = CursorRecord(
        name="auditor", process="p1", epoch=1, pattern="greenhouse", extents=[Extent("CH_2", LOG)]
    )
    return msgspec.structs.replace(record, **facts)


def take(cursor: Cursor, sequence: int, *, name: bytes = b"", **facts: object) -> Verdict:
    """The next message of the log."""
    cursor.progress.handed(LOG, SUBJECT, sequence)
    told = {"may_be_copy": False, "expires_us": 0, "now_us": 100, **facts}
    return cursor.take(SUBJECT, name or b"%d" % sequence, **told)  # type: ignore[arg-type]


def life_after(cursor: Cursor, *, closing: bool = False, in_log: int = 0) -> CursorRecord:
    record = msgspec.json.decode(
        msgspec.json.encode(cursor.commit(closing=closing).record), type=CursorRecord
    )
    return next_life(record, first_life(process="p2", extents=[]), in_log)


def test_the_next_life_goes_on_at_the_position_with_the_next_epoch() -> None:
    cursor = Cursor(first_life())
    take(cursor, 3)
    cursor.settle()
    cursor.progress.verified(LOG, 2)
    record = life_after(cursor, closing=True)
    assert (record.epoch, record.process, record.open) == (2, "p2", True)
    assert position_of(record) == {LOG: Position(2, {SUBJECT: 3})}
    assert record.extents == [Extent("CH_2", LOG, 2, above={"fab.ch.2.planner.greenhouse": 3})]


def test_a_clean_end_leaves_nothing_unknown_and_nothing_to_be_careful_about() -> None:
    cursor = Cursor(first_life())
    take(cursor, 1)
    cursor.put_back()
    assert cursor.account.in_flight == 1
    assert cursor.commit(closing=True).record.account == Account(), "it goes back to the log"
    record = life_after(cursor, closing=True, in_log=50)
    assert record.account == Account()
    assert record.careful == 0
    assert record.attempts == {}


@pytest.mark.parametrize(("in_log", "unknown"), [(3, 3), (10_000, rules.UNCOMMITTED_MAX + 1)])
def test_after_a_crash_no_more_is_unknown_than_can_have_been_tried(in_log: int, unknown: int) -> None:
    record = life_after(Cursor(first_life()), in_log=in_log)
    assert record.account == Account(accepted=unknown, unknown=unknown)
    assert record.careful == unknown


def test_a_crash_in_the_careful_time_hides_what_was_not_written_in_it_only() -> None:
    cursor = Cursor(first_life(careful=40))
    record = life_after(cursor, in_log=10_000)
    assert record.account.unknown == rules.CAREFUL_MAX
    assert record.careful == 40


def test_a_careful_life_notes_each_message_before_it_is_handed_out() -> None:
    cursor = Cursor(first_life(careful=2))
    assert take(cursor, 1) is Verdict.NOTE
    assert cursor.commit().record.attempts == {f"1@{LOG}": 1}
    cursor.settle()
    assert cursor.commit().record.attempts == {}
    assert take(cursor, 2) is Verdict.NOTE
    cursor.settle()
    assert take(cursor, 3) is Verdict.HAND_OUT


def test_a_note_is_taken_back_when_nothing_failed() -> None:
    cursor = Cursor(first_life(careful=1))
    take(cursor, 1)
    cursor.put_back()
    assert cursor.commit().record.attempts == {}


@pytest.mark.parametrize("careful", [0, 1])
def test_a_failure_is_one_try_whether_it_was_noted_or_not(careful: int) -> None:
    cursor = Cursor(first_life(careful=careful))
    take(cursor, 1)
    cursor.put_back("ValueError('no')")
    record = cursor.commit(closing=True).record
    assert record.attempts == {f"1@{LOG}": 1}
    assert record.causes == {f"1@{LOG}": "ValueError('no')"}


def test_a_message_tried_in_vain_too_often_is_buried_and_counted_dead() -> None:
    cursor = Cursor(first_life(attempts={f"7@{LOG}": ATTEMPTS_MAX}, causes={f"7@{LOG}": "it burns"}))
    assert take(cursor, 7) is Verdict.BURY
    assert (cursor.attempts, cursor.cause) == (ATTEMPTS_MAX, "it burns")
    assert cursor.settle()
    assert cursor.account == Account(accepted=1, dead=1)
    record = cursor.commit().record
    assert (record.attempts, record.causes) == ({}, {})


def test_a_burial_that_did_not_come_to_its_end_is_no_further_try() -> None:
    cursor = Cursor(first_life(attempts={f"7@{LOG}": ATTEMPTS_MAX}))
    take(cursor, 7)
    cursor.put_back("the server went")
    assert cursor.commit(closing=True).record.attempts == {f"7@{LOG}": ATTEMPTS_MAX}


def test_only_marked_messages_are_taken_for_copies() -> None:
    cursor = Cursor(first_life())
    take(cursor, 1, name=b"order-7")
    cursor.settle()
    assert take(cursor, 2, name=b"order-7") is Verdict.HAND_OUT
    cursor.settle()
    assert take(cursor, 3, name=b"order-7", may_be_copy=True) is Verdict.SETTLED
    assert (cursor.copies, cursor.account) == (1, Account(accepted=2, delivered=2))


def test_an_expired_message_and_its_copy_are_settled_unseen() -> None:
    cursor = Cursor(first_life())
    assert take(cursor, 1, name=b"a", expires_us=100) is Verdict.SETTLED
    assert take(cursor, 2, name=b"b", expires_us=101) is Verdict.HAND_OUT
    cursor.settle()
    assert take(cursor, 3, name=b"a", expires_us=500, may_be_copy=True) is Verdict.SETTLED
    assert (cursor.copies, cursor.account) == (1, Account(accepted=2, delivered=1, expired=1))


def test_a_live_message_is_in_hand_and_no_obligation() -> None:
    cursor = Cursor(first_life())
    cursor.progress.handed("", b"", 0)
    verdict = cursor.take(b"fab.lv.planner.greenhouse", b"x", may_be_copy=False, expires_us=0, now_us=0)
    assert verdict is Verdict.HAND_OUT
    assert cursor.settle()
    assert not cursor.settle()
    assert (cursor.account, cursor.uncommitted) == (Account(), 0)


def test_ends_stand_when_the_record_that_has_them_is_written() -> None:
    cursor = Cursor(first_life())
    take(cursor, 1)
    cursor.settle()
    commit = cursor.commit()
    take(cursor, 2)
    cursor.settle()
    cursor.committed(commit)
    assert cursor.uncommitted == 1
    assert cursor.is_news(cursor.commit())
    cursor.committed(cursor.commit())
    assert not cursor.is_news(cursor.commit())


def test_no_more_is_handed_out_when_too_much_is_not_committed() -> None:
    cursor = Cursor(first_life())
    for sequence in range(1, rules.UNCOMMITTED_MAX + 1):
        assert not cursor.must_commit
        take(cursor, sequence)
        cursor.settle()
    assert cursor.must_commit
    cursor.committed(cursor.commit())
    assert not cursor.must_commit


def test_a_careful_life_commits_every_other_end() -> None:
    cursor = Cursor(first_life(careful=9))
    for sequence in range(1, rules.CAREFUL_MAX + 1):
        assert not cursor.must_commit
        take(cursor, sequence, expires_us=1)
    assert cursor.must_commit


def test_the_tries_of_the_oldest_are_forgotten_when_too_many_messages_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rules, "ATTEMPTS_KEPT", 2)
    record = first_life()
    for sequence in (1, 2, 3):
        cursor = Cursor(record)
        take(cursor, sequence)
        cursor.put_back("no")
        record = life_after(cursor, closing=True)
    assert set(record.attempts) == set(record.causes) == {f"2@{LOG}", f"3@{LOG}"}


def test_each_record_of_a_life_differs_from_those_before() -> None:
    cursor = Cursor(first_life())
    first = cursor.commit()
    cursor.committed(first)
    assert msgspec.json.encode(first.record) != msgspec.json.encode(cursor.commit().record)
