"""Hops: a chain of messages ends, and what is told of it is bounded whatever came."""

import pytest

from fabric.rules.calls.hops import CHAIN_CHARS_MAX, HOPS_MAX, hops_of, lengthened, steps


@pytest.mark.parametrize(
    ("carried", "left"),
    [(None, 32), ("32", 32), ("31", 31), ("1", 1), ("0", 0), ("33", 32), ("999999999", 32)],
)
def test_a_count_is_at_most_the_limit(carried: str | None, left: int) -> None:
    assert hops_of(carried) == left


@pytest.mark.parametrize("carried", ["", "-1", "1.5", "x", "٣", "9" * 5000, " 3"])
def test_a_count_that_is_none_allows_nothing(carried: str) -> None:
    assert hops_of(carried) == 0


def test_a_short_chain_is_told_whole() -> None:
    chain = ""
    for step in ("a.one", "b.two", "c"):
        chain = lengthened(chain, step)
    assert steps(chain) == ("a.one", "b.two", "c")
    assert steps(None) == steps("") == ()


def test_a_long_chain_is_told_by_its_ends_and_the_number_between() -> None:
    chain = ""
    for number in range(HOPS_MAX):
        chain = lengthened(chain, f"agent.{number}")
    told = steps(chain)
    assert told[:4] == ("agent.0", "agent.1", "agent.2", "agent.3")
    assert told[4] == "+24"
    assert told[5:] == ("agent.28", "agent.29", "agent.30", "agent.31")


@pytest.mark.parametrize("step", ["a>b", "+7", "", "x" * 10_000, "a\r\nb"])
def test_a_step_cannot_break_the_chain(step: str) -> None:
    chain = lengthened(lengthened("first", step), "last")
    assert (len(steps(chain)), steps(chain)[0], steps(chain)[2]) == (3, "first", "last")
    assert not steps(chain)[1].startswith("+")


@pytest.mark.parametrize("chain", [">" * 100_000, "+9>" * 1000, "x" * 100_000, "+" + "9" * 400 + ">a" * 20])
def test_a_hostile_chain_stays_bounded(chain: str) -> None:
    for _ in range(40):
        chain = lengthened(chain, "step")
        assert len(chain) <= CHAIN_CHARS_MAX
        assert len(steps(chain)) <= 9
