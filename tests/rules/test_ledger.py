"""The ledger: a marked second copy is withheld, and nothing else ever."""

from fabric.rules.ledger import Ledger

S, T = b"fab.cho.0.a.x", b"fab.cho.0.b.x"


def test_a_marked_second_copy_is_withheld_and_counted() -> None:
    ledger = Ledger()
    assert ledger.admit(S, b"1", marked=False)
    assert not ledger.admit(S, b"1", marked=True)
    assert ledger.duplicates == 1


def test_a_marked_message_whose_first_copy_never_came_is_delivered_once() -> None:
    ledger = Ledger()
    assert ledger.admit(S, b"1", marked=True)
    assert not ledger.admit(S, b"1", marked=True)


def test_an_unmarked_message_is_always_delivered() -> None:
    # Two readings with the same id from a device that reuses its ids are two messages.
    ledger = Ledger()
    assert ledger.admit(S, b"1", marked=False)
    assert ledger.admit(S, b"1", marked=False)
    assert ledger.duplicates == 0


def test_ids_of_another_source_or_channel_are_others() -> None:
    ledger = Ledger()
    assert ledger.admit(S, b"1", marked=False)
    assert ledger.admit(T, b"1", marked=True)


def test_the_oldest_is_forgotten_first() -> None:
    ledger = Ledger(capacity=2)
    for number in (b"1", b"2", b"3"):
        assert ledger.admit(S, number, marked=False)
    assert not ledger.admit(S, b"3", marked=True)
    assert not ledger.admit(S, b"2", marked=True)
    assert ledger.admit(S, b"1", marked=True)


def test_a_copy_withholds_what_the_first_and_an_older_one_would() -> None:
    older, ledger = Ledger(), Ledger()
    older.admit(b"s", b"1", False)
    ledger.admit(b"s", b"2", False)
    copy = ledger.copy(older)
    assert [copy.admit(b"s", name, True) for name in (b"1", b"2", b"3")] == [False, False, True]
    assert (copy.duplicates, ledger.duplicates) == (2, 0)
    assert ledger.admit(b"s", b"3", True), "a copy is one"


def test_copies_of_copies_stay_bounded() -> None:
    ledger = Ledger(capacity=4)
    for number in range(20):
        fresh = Ledger(capacity=4)
        fresh.admit(b"s", b"%d" % number, False)
        ledger = fresh.copy(ledger)
    assert len(ledger._keys) == 8


def test_what_was_not_delivered_after_all_is_forgotten() -> None:
    ledger = Ledger()
    ledger.admit(b"s", b"1", False)
    ledger.forget(b"s", b"1")
    assert ledger.admit(b"s", b"1", True)
