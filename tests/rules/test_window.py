"""The publish window: every row of its state table, by a clock that the test moves."""

import pytest

from fabric.rules.window import Due, Window


def window() -> Window[str]:
    return Window(attempt_s=4.0, deadline_s=15.0)


def test_an_offer_is_in_flight_until_it_is_settled() -> None:
    offers = window()
    one, two = offers.open("one", 0.0), offers.open("two", 0.0)
    assert one != two
    assert len(offers) == 2
    assert offers.settle(one) == "one"
    assert len(offers) == 1


def test_a_late_acknowledgement_settles_nothing() -> None:
    offers = window()
    ticket = offers.open("one", 0.0)
    assert offers.settle(ticket) == "one"
    assert offers.settle(ticket) is None
    assert offers.settle(999) is None


def test_nothing_is_due_before_its_attempt_is_over() -> None:
    offers = window()
    offers.open("one", 0.0)
    assert offers.due(3.9) == Due([], [])


def test_silence_has_an_offer_written_again_each_attempt() -> None:
    offers = window()
    ticket = offers.open("one", 0.0)
    assert offers.due(4.0).resend == [(ticket, "one")]
    assert offers.due(7.9).resend == []
    assert offers.due(8.0).resend == [(ticket, "one")]


def test_only_what_is_due_is_written_again() -> None:
    offers = window()
    early = offers.open("early", 0.0)
    late = offers.open("late", 3.0)
    assert offers.due(4.0).resend == [(early, "early")]
    assert offers.due(7.0).resend == [(late, "late")]
    assert offers.due(8.0).resend == [(early, "early")]


def test_offers_written_again_keep_their_order() -> None:
    offers = window()
    tickets = [offers.open(str(n), 0.0) for n in range(5)]
    offers.settle(tickets[2])
    assert [offer for _, offer in offers.due(4.0).resend] == ["0", "1", "3", "4"]


@pytest.mark.parametrize("writable", [True, False])
def test_an_offer_expires_at_its_deadline_with_and_without_a_connection(writable: bool) -> None:
    offers = window()
    offers.open("one", 0.0)
    assert offers.due(14.9, writable=writable).expired == []
    assert offers.due(15.0, writable=writable) == Due([], ["one"])
    assert len(offers) == 0


def test_an_offer_written_again_late_still_expires_at_its_deadline() -> None:
    offers = window()
    offers.open("one", 0.0)
    offers.resend_all(14.0)
    assert offers.due(15.0) == Due([], ["one"])


def test_nothing_is_written_without_a_connection() -> None:
    offers = window()
    ticket = offers.open("one", 0.0)
    offers.defer(ticket, 1.0)
    assert offers.due(14.0, writable=False) == Due([], [])


def test_a_deferred_offer_is_written_at_its_time() -> None:
    offers = window()
    ticket = offers.open("one", 0.0)
    offers.defer(ticket, 0.5)
    assert offers.due(0.4).resend == []
    assert offers.due(0.5).resend == [(ticket, "one")]
    assert offers.due(0.6).resend == []


def test_a_deferred_offer_is_not_written_before_its_time_because_of_silence() -> None:
    offers = window()
    ticket = offers.open("one", 0.0)
    offers.defer(ticket, 6.0)
    assert offers.due(4.0).resend == []
    assert offers.due(6.0).resend == [(ticket, "one")]


def test_an_offer_both_silent_and_deferred_is_written_once() -> None:
    offers = window()
    ticket = offers.open("one", 0.0)
    offers.defer(ticket, 5.0)
    assert offers.due(5.0).resend == [(ticket, "one")]


def test_a_settled_offer_cannot_be_deferred() -> None:
    offers = window()
    ticket = offers.open("one", 0.0)
    offers.defer(ticket, 1.0)
    offers.settle(ticket)
    offers.defer(ticket, 1.0)
    assert offers.due(2.0) == Due([], [])


def test_a_reconnect_has_everything_written_again_in_order_and_the_late_expire() -> None:
    offers = window()
    offers.open("late", 0.0)
    kept = [offers.open(name, 10.0) for name in ("a", "b")]
    offers.defer(kept[0], 100.0)
    assert offers.resend_all(15.0) == Due([(kept[0], "a"), (kept[1], "b")], ["late"])
    assert offers.due(18.9).resend == []
    assert offers.due(19.0).resend == [(kept[0], "a"), (kept[1], "b")]


def test_draining_gives_every_offer_once() -> None:
    offers = window()
    for name in "abc":
        offers.open(name, 0.0)
    assert list(offers.drain()) == ["a", "b", "c"]
    assert list(offers.drain()) == []


def test_offers_can_be_settled_while_they_are_looked_through() -> None:
    offers = window()
    for name in "abc":
        offers.open(name, 0.0)
    for ticket, offer in offers.matching():
        if offer != "b":
            offers.settle(ticket)
    assert [offer for _, offer in offers.matching()] == ["b"]
