"""The publish window: every row of its state table, by a clock that the test moves."""

import random

import pytest

from fabric.rules.log.window import PROBE_S, Due, Window


def window() -> Window[str]:
    """Offers of any names; a name's first letter is its log."""
    return Window(lambda offer: offer[0], attempt_s=4.0, deadline_s=15.0)


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
    offers.hold(offers.open("one", 0.0), 0.0)
    assert offers.due(14.0, writable=False) == Due([], [])


def test_a_held_log_is_probed_with_its_oldest_offer_alone() -> None:
    offers = window()
    tickets = [offers.open(name, 0.0) for name in ("a1", "a2", "a3")]
    offers.hold(tickets[1], 0.0)
    assert offers.due(PROBE_S / 2).resend == []
    assert offers.due(PROBE_S).resend == [(tickets[0], "a1")]
    assert offers.due(PROBE_S).resend == []
    assert offers.due(2 * PROBE_S).resend == [(tickets[0], "a1")]
    assert offers.is_held("a4")
    assert not offers.is_held("b1")


def test_an_answer_releases_a_held_log_in_the_order_of_opening() -> None:
    offers = window()
    tickets = [offers.open(name, 0.0) for name in ("a1", "a2", "b1", "a3")]
    offers.hold(tickets[3], 0.0)
    offers.due(PROBE_S)  # writes a1 again: it stands last now
    assert offers.settle(tickets[1]) == "a2"
    assert offers.release("a2", 1.0) == [(tickets[0], "a1"), (tickets[3], "a3")]
    assert not offers.is_held("a4")
    assert offers.release("a2", 1.0) == []
    assert offers.release("b1", 1.0) == []


def test_silence_of_a_held_log_is_no_reason_to_write_all_of_it() -> None:
    offers = window()
    tickets = [offers.open(name, 0.0) for name in ("a1", "a2", "b1")]
    offers.hold(tickets[0], 0.0)
    assert offers.due(4.0).resend == [(tickets[0], "a1"), (tickets[2], "b1")]


def test_a_held_log_without_offers_is_not_held_any_more() -> None:
    offers = window()
    offers.hold(offers.open("a1", 0.0), 0.0)
    assert offers.due(15.0) == Due([], ["a1"])
    assert not offers.is_held("a2")


def test_a_settled_offer_holds_nothing() -> None:
    offers = window()
    ticket = offers.open("a1", 0.0)
    offers.settle(ticket)
    offers.hold(ticket, 1.0)
    assert not offers.is_held("a2")


@pytest.mark.parametrize("seed", range(300))
def test_a_log_without_a_leader_for_a_while_stores_first_copies_in_order(seed: int) -> None:
    """A model of an election while offers come steadily: what was on its way to the leader that died is
    lost, and until there is another nobody takes anything."""
    chance = random.Random(seed)
    offers, stored, wire, now = window(), [], [], 0.0
    election = chance.uniform(0.0, 3.0), chance.uniform(4.0, 9.0)
    pending = [f"a{number}" for number in range(150)]
    while pending or len(offers):
        now += 0.05
        if pending and chance.random() < 0.7:
            offer = pending.pop(0)
            ticket = offers.open(offer, now)
            if not offers.is_held(offer):
                wire.append((ticket, offer))
        wire += offers.due(now).resend
        crossing, wire = wire, []
        for ticket, offer in crossing:
            if not election[0] <= now < election[1]:
                stored.append(offer)
                if offers.settle(ticket) is not None:
                    wire += offers.release(offer, now)
            elif now - election[0] > 0.1:
                offers.hold(ticket, now)
            # else: swallowed by the leader that has just died
        assert now < 60.0, f"seed {seed}: something never ends"
    firsts = list(dict.fromkeys(stored))
    assert firsts == sorted(firsts, key=lambda offer: int(offer[1:])), f"seed {seed}"
    assert len(firsts) == 150, f"seed {seed}"


def test_a_reconnect_has_everything_written_again_in_order_and_the_late_expire() -> None:
    offers = window()
    offers.open("late", 0.0)
    kept = [offers.open(name, 10.0) for name in ("a", "b")]
    offers.hold(kept[0], 14.0)
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
