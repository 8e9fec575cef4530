"""What a sweeper decides about inboxes whose owners are away."""

from fabric.rules.accounts import Account, Extent
from fabric.rules.inboxes import sweeping
from fabric.rules.inboxes.inbox import LETTERS_MAX, InboxRecord, Letters, is_shut
from fabric.rules.inboxes.sweeping import Letter, Pass, ended, expired, first_record

EXTENT = Extent("IB_0", "fab.ib.0.a.*")


def record(**fields: object) -> InboxRecord:
    return InboxRecord(name="a", process="p", epoch=3, connection="c", open=False, **fields)  # type: ignore[arg-type]


def test_only_letters_past_their_time_are_over() -> None:
    letters = [
        Letter("a", "s", 1, 100),
        Letter("a", "s", 2, 101),
        Letter("b", "s", 3, 0),
        Letter("b", "s", 4, 1),
    ]
    assert Pass().see(letters, 100) == {"a": letters[:1], "b": letters[3:]}


def test_a_pass_ends_with_the_inboxes_that_are_full_or_have_a_gate() -> None:
    one = Pass()
    one.see([Letter("a", "s", at, 0) for at in range(1, sweeping.LOOK_FROM + 1)], 0)
    one.see([Letter("b", "s", 998, 0), Letter("%full", "b", 999, 0), Letter("%full", "c", 1000, 0)], 0)
    assert list(one.ends()) == [("a", sweeping.LOOK_FROM, False), ("b", 1, True), ("c", 0, True)]


def test_an_inbox_is_shut_at_its_total_and_open_at_half() -> None:
    assert not is_shut(record(letters_max=10), 9)
    assert is_shut(record(letters_max=10), 10)
    assert is_shut(record(letters_max=10, shut=True), 6)
    assert not is_shut(record(letters_max=10, shut=True), 5)
    assert is_shut(record(), LETTERS_MAX)


def test_what_the_owner_settled_is_not_expired_again() -> None:
    before = record(floors={"s": 5}, beyond=[8])
    after, over = expired(before, [Letter("a", "s", at, 1) for at in (4, 7, 8, 9)])
    assert over == [7, 9]
    assert after.beyond == [7, 8, 9]
    assert after.account == Account(accepted=2, expired=2)
    assert ended(after, over).beyond == [8]


def test_the_next_owner_does_not_hand_out_what_was_expired() -> None:
    swept, over = expired(first_record("a", EXTENT), [Letter("a", "s", 7, 1)])
    letters = Letters(swept)
    assert not letters.crashed
    assert over == [7]
    assert not letters.take("s", 7)
    assert letters.take("s", 8)
    assert letters.account == Account(accepted=2, expired=1)


def test_what_a_crashed_owner_had_in_hand_stays_its_successors_business() -> None:
    crashed = record(account=Account(accepted=4, delivered=1))
    crashed.open = True
    swept, _ = expired(crashed, [Letter("a", "s", 7, 1)])
    assert swept.open
    assert swept.account == Account(accepted=2, delivered=1, expired=1)
