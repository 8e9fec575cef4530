"""Alone or together: every row of the table, and that it learns what reading costs."""

import pytest

from fabric.rules.channels.together import AT_ONCE, MARGIN, SEQUENTIAL_S, SHORT_S, Paces

END = 100_000
TOGETHER_S = END * SEQUENTIAL_S


def paces(*late: tuple[int, float]) -> Paces:
    """Late members: (position, seconds that what each lacks would take)."""
    made = Paces()
    for number, (position, cost_s) in enumerate(late):
        made.late(number, position)
        made.read(number, 1000, cost_s / 1000)
    return made


def test_one_late_member_reads_alone_whatever_it_costs() -> None:
    alone = paces((0, 1000.0))
    assert not alone.worth_asking()
    assert not alone.together(END)


def test_while_nobody_has_read_a_page_everybody_reads_alone() -> None:
    several = Paces()
    several.late("a", 0)
    several.late("b", 0)
    assert not several.together(END)


@pytest.mark.parametrize(("share", "verdict"), [(0.9, False), (1.1, True)])
def test_together_is_chosen_where_it_is_clearly_sooner(share: float, verdict: bool) -> None:
    cost_s = share * MARGIN * TOGETHER_S
    several = paces((0, cost_s), (500, cost_s))
    assert several.worth_asking()
    assert several.together(END) is verdict


def test_those_who_wait_for_their_first_page_count_like_the_others() -> None:
    several = paces((0, 0.2 * TOGETHER_S), (0, 0.2 * TOGETHER_S))
    assert not several.together(END)
    for number in range(20 * AT_ONCE):
        several.late(f"waiting {number}", 0)
    assert several.together(END)


def test_where_everybody_is_near_the_end_together_is_cheap() -> None:
    assert not paces((0, TOGETHER_S), (0, TOGETHER_S)).together(END)
    assert paces((END - 10_000, TOGETHER_S), (END - 10_000, TOGETHER_S)).together(END)


def test_what_is_short_is_not_worth_a_question() -> None:
    assert not paces((0, SHORT_S / 2), (0, SHORT_S / 2)).worth_asking()


def test_who_has_caught_up_counts_no_more() -> None:
    several = paces((0, 1000.0), (0, 1000.0))
    several.gone(0)
    several.gone("somebody else")
    assert not several.worth_asking()


def test_a_slow_log_is_learned() -> None:
    several = paces((0, 3 * TOGETHER_S), (0, 3 * TOGETHER_S))
    assert several.together(END)
    for _ in range(20):
        several.read_in_a_row(1000, 1000 * 100e-6)
    assert several.sequential_s == pytest.approx(100e-6, rel=0.01)
    assert not several.together(END)
    several.read_in_a_row(0, 5.0)
    assert several.sequential_s == pytest.approx(100e-6, rel=0.01)
