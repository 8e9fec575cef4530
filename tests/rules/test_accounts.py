"""An account balances or says so: sums, what the log must hold, what a crash leaves behind."""

import msgspec
import pytest

from fabric.rules.accounts import Account, Extent, Holder


def test_what_is_accepted_and_not_over_is_in_flight() -> None:
    account = Account(accepted=10, delivered=4, expired=1, dead=1, truncated=1, unknown=1)
    assert account.ended == 8
    assert account.in_flight == 2


def test_an_account_balances_while_the_log_holds_what_is_in_flight() -> None:
    account = Account(accepted=10, delivered=8)
    assert account.balanced(2)
    assert account.balanced(50)  # the rest waits to be taken up


@pytest.mark.parametrize(
    "account",
    [
        Account(accepted=10, delivered=7),  # one of three is in flight and not in the log
        Account(accepted=1, delivered=2),  # something ended twice
        Account(accepted=1, delivered=3, dead=-2),
    ],
    ids=["lost", "ended twice", "negative"],
)
def test_an_account_that_lost_or_doubled_something_does_not_balance(account: Account) -> None:
    assert not account.balanced(2)


def test_the_next_life_takes_up_anew_what_was_in_flight() -> None:
    former = Account(accepted=10, delivered=6, dead=1)
    assert former.resumed() == Account(accepted=7, delivered=6, dead=1)
    assert former.resumed().balanced(0)


def test_what_a_crash_hid_stands_as_unknown() -> None:
    account = Account(accepted=10, delivered=6).resumed(unknown=3)
    assert account == Account(accepted=9, delivered=6, unknown=3)
    assert account.balanced(3)
    assert account.in_flight == 0


def test_accounts_of_several_holders_add_up() -> None:
    total = Account(accepted=2, delivered=1) + Account(accepted=3, expired=1, unknown=1)
    assert total == Account(accepted=5, delivered=1, expired=1, unknown=1)
    assert total.in_flight == 2


class Mailbox(Holder, kw_only=True):
    """A holder with a field of its own."""

    suspended: bool = False


def test_a_record_with_fields_of_its_own_reads_as_a_holder() -> None:
    record = Mailbox(
        name="inbox of planner",
        process="p1",
        epoch=3,
        account=Account(accepted=1),
        extents=[Extent("IB_1", "fab.ib.1.planner.*", after=7)],
        suspended=True,
    )
    read = msgspec.json.decode(msgspec.json.encode(record), type=Holder)
    assert (read.name, read.epoch, read.open, read.account.accepted) == ("inbox of planner", 3, True, 1)
    assert read.extents == [Extent("IB_1", "fab.ib.1.planner.*", after=7)]
