"""Budgets: sums that add up, and a purse that never hands out more than it holds."""

import pytest

from fabric.errors import ConfigInvalid
from fabric.rules.calls.budget import NOTHING, Budget, Purse


@pytest.mark.parametrize("budget", [Budget(), Budget(3), Budget(cost=1.5), Budget(0, 0.0), Budget(7, 0.001)])
def test_what_is_carried_is_read_back(budget: Budget) -> None:
    assert Budget.parse(str(budget)) == budget


@pytest.mark.parametrize("carried", ["", "/", "1", "1/2/3", "-1/2", "x/-", "1/1.5", "1/" + "9" * 500])
def test_what_cannot_be_read_allows_nothing(carried: str) -> None:
    assert Budget.parse(carried) == NOTHING


@pytest.mark.parametrize("sums", [(-1, None), (None, -0.5), (None, float("inf")), (10**16, None)])
def test_a_budget_that_is_none_is_refused(sums: tuple[int | None, float | None]) -> None:
    with pytest.raises(ConfigInvalid):
        Budget(*sums)


def test_a_price_is_rounded_up_and_a_budget_down() -> None:
    assert Budget.price(0.0001).thousandths == 1
    assert Budget(cost=0.0019).thousandths == 1
    assert Budget.price(0.3) == Budget(1, 0.3)


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_parts_add_up_to_the_whole(parts: int) -> None:
    whole = Budget(11, 2.003)
    shares = whole.divided(parts)
    assert (sum(share.calls or 0 for share in shares), sum(share.thousandths or 0 for share in shares)) == (
        11,
        2003,
    )


def test_who_asks_together_shares_evenly() -> None:
    purse = Purse(Budget(9, 3.0))
    asked = [purse.ask(None) for _ in range(3)]
    assert purse.share() == [(ticket, Budget(3, 1.0)) for ticket in asked]


def test_who_asks_alone_gets_all_and_the_next_waits_for_what_comes_back() -> None:
    purse = Purse(Budget(5))
    first = purse.ask(None)
    assert purse.share() == [(first, Budget(5))]
    second = purse.ask(None)
    assert purse.share() == []
    purse.back(first, Budget(2))
    assert purse.share() == [(second, Budget(2))]


def test_nothing_left_and_nothing_out_is_a_refusal() -> None:
    purse = Purse(Budget(1))
    first = purse.ask(None)
    purse.share()
    purse.back(first, Budget(0))
    second = purse.ask(None)
    assert purse.share() == [(second, None)]


def test_more_askers_than_calls_are_served_one_after_the_other() -> None:
    purse = Purse(Budget(2))
    asked = [purse.ask(None) for _ in range(3)]
    assert purse.share() == [(asked[0], Budget(1)), (asked[1], Budget(1))]
    purse.back(asked[0], Budget(1))
    assert purse.share() == [(asked[2], Budget(1))]


def test_a_named_sum_is_granted_exactly_and_not_overtaken() -> None:
    purse = Purse(Budget(10, 1.0))
    small = purse.ask(Budget(4))
    assert purse.share() == [(small, Budget(4, 1.0))]
    large = purse.ask(Budget(8))
    purse.ask(None)
    assert purse.share() == []
    purse.back(small, Budget(4, 1.0))
    assert purse.share()[0] == (large, Budget(8, 1.0))


def test_a_named_sum_that_can_never_be_covered_is_refused() -> None:
    purse = Purse(Budget(10))
    ticket = purse.ask(Budget(11))
    assert purse.share() == [(ticket, None)]


def test_a_grant_brings_back_no_more_than_it_was() -> None:
    purse = Purse(Budget(10, 5.0))
    ticket = purse.ask(Budget(2, 1.0))
    purse.share()
    purse.back(ticket, Budget(1000))
    purse.back(ticket, Budget(1000))
    assert purse.left == Budget(10, 5.0)


def test_a_grant_without_an_answer_is_spent() -> None:
    purse = Purse(Budget(10))
    ticket = purse.ask(Budget(4))
    purse.share()
    purse.back(ticket, None)
    assert purse.close() == Budget(6)


def test_who_asks_no_more_gives_back_what_it_was_granted() -> None:
    purse = Purse(Budget(10))
    waits, has = purse.ask(None), purse.ask(Budget(3))
    assert purse.share()[0] == (has, Budget(3))
    purse.forget(has)
    purse.forget(waits)
    assert purse.close() == Budget(10)


def test_a_closed_purse_refuses_and_takes_nothing_back() -> None:
    purse = Purse(Budget(10))
    out = purse.ask(Budget(4))
    purse.share()
    waits = purse.ask(Budget(9))
    assert purse.close() == Budget(6)
    assert purse.share() == [(waits, None)]
    purse.back(out, Budget(4))
    assert purse.close() == NOTHING


def test_an_open_sum_stays_open_for_everybody() -> None:
    purse = Purse(Budget(calls=None, cost=1.0))
    asked = [purse.ask(None) for _ in range(4)]
    assert purse.share() == [(ticket, Budget(None, 0.25)) for ticket in asked]


def test_who_would_get_no_cost_units_waits_for_those_that_are_out() -> None:
    purse = Purse(Budget(10, 1.0))
    first = purse.ask(Budget(1, 1.0))
    purse.share()
    second = purse.ask(None)
    assert purse.share() == []
    purse.back(first, Budget(0, 0.5))
    assert purse.share() == [(second, Budget(9, 0.5))]
