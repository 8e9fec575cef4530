"""A page is as large as the server answers quickly."""

from fabric.rules.log.paging import QUICK_S, SIZE_FIRST, SIZE_MAX, SIZE_MIN, SLOW_S, PageSize


def test_quick_pages_grow_to_the_limit() -> None:
    page = PageSize()
    for _ in range(20):
        page.took(QUICK_S / 2)
    assert page.size == SIZE_MAX


def test_slow_pages_shrink_to_the_limit() -> None:
    page = PageSize()
    for _ in range(20):
        page.took(SLOW_S * 2)
    assert page.size == SIZE_MIN


def test_a_page_of_the_right_length_stays() -> None:
    page = PageSize()
    page.took((QUICK_S + SLOW_S) / 2)
    assert page.size == SIZE_FIRST


def test_a_log_that_costs_the_same_for_each_message_settles_between_the_two_times() -> None:
    for cost_s in (1e-5, 1e-4, 1e-3):
        page = PageSize()
        for _ in range(20):
            page.took(page.size * cost_s)
        assert page.size in (SIZE_MAX, SIZE_MIN) or QUICK_S <= page.size * cost_s <= SLOW_S
