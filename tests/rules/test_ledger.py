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
