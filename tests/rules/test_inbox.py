"""The rules of an inbox, one by one; all together, by chance, in `test_inbox_simulated`."""

import pytest

from fabric.rules.accounts import Account, Extent
from fabric.rules.inboxes import inbox as rules
from fabric.rules.inboxes.inbox import End, InboxRecord, Letters, owner_in_the_way

OWNER = InboxRecord(name="i", process="p", epoch=1, connection="c", extents=[Extent("IB_0", "i.*")])


def former(**fields: object) -> InboxRecord:
    return InboxRecord(name="i", process="p", epoch=1, connection="c", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("record", "lives", "take_over", "holder"),
    [
        (None, False, False, None),
        (former(open=False), True, False, None),
        (former(), False, False, None),
        (former(), True, True, None),
        (former(), True, False, "p"),
    ],
)
def test_only_a_live_owner_is_in_the_way(
    record: InboxRecord | None, lives: bool, take_over: bool, holder: str | None
) -> None:
    assert owner_in_the_way(record, lives=lives, take_over=take_over) == holder


def test_a_floor_moves_over_what_was_settled_ahead_of_it() -> None:
    letters = Letters()
    for sequence in (3, 5, 9):
        assert letters.take("s", sequence)
    assert letters.settle(5, End.DELIVERED)
    record = letters.commit(OWNER).record
    assert (record.floors, record.beyond) == ({}, [5])
    assert letters.settle(3, End.EXPIRED)
    record = letters.commit(OWNER).record
    assert (record.floors, record.beyond) == ({"s": 5}, [])
    assert record.account == Account(accepted=3, delivered=1, expired=1)
    assert record.extents[0].settled == 2


def test_a_letter_that_was_never_taken_cannot_be_settled() -> None:
    letters = Letters()
    assert not letters.settle(1, End.DELIVERED)
    assert letters.account == Account()


def test_a_copy_is_no_obligation() -> None:
    letters = Letters()
    letters.take("s", 1)
    letters.settle(1, End.COPY)
    assert letters.account == Account()
    assert letters.commit(OWNER).record.floors == {"s": 1}


def test_what_left_the_log_leaves_the_record() -> None:
    letters = Letters()
    for sequence in (1, 2):
        letters.take("s", sequence)
        letters.settle(sequence, End.DELIVERED)
    record = letters.commit(OWNER).record
    floors = letters.purgeable(record, everything=True)
    assert floors == {"s": 2}
    assert not letters.purgeable(record, everything=False)  # two are not worth a request
    letters.purged(floors)
    assert (letters.spent, letters.commit(OWNER).record.floors) == (0, {})
    assert not letters.take("s", 2)  # a late copy of what is gone


def test_a_source_that_leaves_a_quarter_of_its_part_settled_presses() -> None:
    letters = Letters()
    for sequence in range(1, rules.PURGE_LETTERS + 1):
        assert not letters.is_pressed
        letters.take("s", sequence)
        letters.settle(sequence, End.DELIVERED)
    assert letters.is_pressed
    letters.purged({"s": rules.PURGE_LETTERS})
    assert not letters.is_pressed


def test_a_log_begun_anew_voids_what_the_record_says_of_every_source() -> None:
    letters = Letters(former(floors={"s": 10, "t": 10}, beyond=[12], attempts={11: 4}))
    assert not letters.take("s", 9)
    letters.begin_anew()
    assert letters.take("s", 10)
    assert letters.take("t", 5)
    assert letters.take("t", 12)
    assert letters.attempts(11) == 0
    assert letters.account == Account(accepted=4, truncated=1)


def test_the_record_of_a_life_before_serves_until_the_log_was_read() -> None:
    letters = Letters(former(floors={"s": 10}, beyond=[12], attempts={11: 2, 13: 1}))
    assert letters.commit(OWNER).record.floors == {"s": 10}
    assert letters.commit(OWNER).record.beyond == [12]
    letters.take("s", 11)
    letters.read_whole()
    record = letters.commit(OWNER).record
    assert (record.floors, record.beyond, record.attempts) == ({}, [], {11: 2})


def test_tries_of_a_crashed_life_are_unknown_as_many_as_it_can_have_had() -> None:
    letters = Letters(former(account=Account(accepted=5, delivered=2)))
    assert letters.crashed
    for sequence in range(1, 8):
        letters.take("s", sequence)
    letters.tried_before(4)
    assert letters.account == Account(accepted=13, delivered=2, unknown=4)
    assert letters.account.in_flight == len(letters) == 7


def test_lives_of_senders_are_remembered_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "LIVES_MAX", 2)
    letters = Letters()
    assert letters.follows("a", 5)
    assert not letters.follows("a", 4)
    assert letters.fenced == 1
    assert Letters(letters.commit(OWNER).record).follows("a", 4) is False  # the next owner knows it too
    for source in ("b", "c"):
        assert letters.follows(source, 1)
    assert letters.follows("a", 4)  # forgotten


def test_sources_of_which_nothing_is_left_are_forgotten_beyond_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rules, "SOURCES_KEPT", 2)
    letters = Letters()
    for number in range(1, 6):
        letters.take(f"s{number}", number)
        letters.settle(number, End.DELIVERED)
    letters.purged({f"s{number}": number for number in range(1, 6)})
    assert len(letters._sources) == 2
