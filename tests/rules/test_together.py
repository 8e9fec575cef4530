"""Alone or together: every row of the table, and that it learns what reading costs."""

import pytest

from fabric.rules.together import MARGIN, SEQUENTIAL_S, SHORT_S, Late, Paces

END = 100_000


def paces(*late: Late) -> Paces:
    made = Paces()
    for number, one in enumerate(late):
        made.read(number, one)
    return made


def test_one_late_member_reads_alone_whatever_it_costs() -> None:
    alone = paces(Late(0, 100_000, 1.0))
    assert not alone.worth_asking()
    assert not alone.together(END)


@pytest.mark.parametrize(("share", "verdict"), [(0.9, False), (1.1, True)])
def test_together_is_chosen_where_it_is_clearly_sooner(share: float, verdict: bool) -> None:
    together_s = END * SEQUENTIAL_S
    each_s = share * MARGIN * together_s / 1000
    several = paces(Late(0, 1000, each_s), Late(500, 10, each_s))
    assert several.worth_asking()
    assert several.together(END) is verdict


def test_where_everybody_is_near_the_end_together_is_cheap() -> None:
    far, near = Late(0, 1000, 1e-3), Late(END - 10_000, 1000, 1e-3)
    assert not paces(far, far).together(END)
    assert paces(near, near).together(END)


def test_what_is_short_is_not_worth_a_question() -> None:
    assert not paces(Late(0, 1, SHORT_S / 2), Late(0, 1, SHORT_S / 2)).worth_asking()


def test_who_has_caught_up_counts_no_more() -> None:
    several = paces(Late(0, 1000, 1.0), Late(0, 1000, 1.0))
    several.gone(0)
    several.gone("somebody else")
    assert not several.worth_asking()


def test_a_slow_log_is_learned() -> None:
    several = paces(Late(0, 1000, 3e-3), Late(0, 1000, 3e-3))
    assert several.together(END)
    for _ in range(20):
        several.read_in_a_row(1000, 1000 * 100e-6)
    assert several.sequential_s == pytest.approx(100e-6, rel=0.01)
    assert not several.together(END)
    several.read_in_a_row(0, 5.0)
    assert several.sequential_s == pytest.approx(100e-6, rel=0.01)
