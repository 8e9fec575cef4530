"""Rows: goals as they are written, medians of runs, and no goal met by a run that lost a message."""

from typing import Literal

import pytest

from fabric_bench.plans import Measured
from fabric_bench.report import Goal, Result, Row, in_turn, table

RATE = Row(id="rate", what="a rate", unit="msg/s", goals=(Goal("raw", 0.8), Goal("nats_py", 3.0)))


def result_of(row: Row, *rounds: dict[str, float], lost: int = 0) -> Result:
    made = [{name: Measured(values={row.id: value}) for name, value in one.items()} for one in rounds]
    made[0]["ours"].lost = lost
    return Result(row, made)


@pytest.mark.parametrize(
    ("better", "ours", "met"),
    [("higher", 80.0, True), ("higher", 79.0, False), ("lower", 80.0, True), ("lower", 81.0, False)],
)
def test_a_goal_is_a_multiple_of_its_denominator(
    better: Literal["higher", "lower"], ours: float, met: bool
) -> None:
    row = Row(id="x", what="x", unit="us", better=better, goals=(Goal("raw", 0.8),))
    assert result_of(row, {"ours": ours, "raw": 100.0}).met is met


def test_every_goal_of_a_row_must_be_met() -> None:
    assert result_of(RATE, {"ours": 90.0, "raw": 100.0, "nats_py": 30.0}).met is True
    assert result_of(RATE, {"ours": 90.0, "raw": 100.0, "nats_py": 31.0}).met is False
    assert result_of(RATE, {"ours": 90.0, "raw": 120.0, "nats_py": 30.0}).met is False


def test_a_fast_run_that_lost_a_message_meets_no_goal() -> None:
    failed = result_of(RATE, {"ours": 500.0, "raw": 100.0, "nats_py": 30.0}, lost=1)
    assert failed.met is False
    assert not failed.is_sound
    assert "MESSAGES WENT WRONG" in table([failed])


def test_the_median_counts_and_every_run_is_kept() -> None:
    runs = [{"ours": ours, "raw": 100.0, "nats_py": 20.0} for ours in (90.0, 10.0, 85.0)]
    document = result_of(RATE, *runs).document()
    assert document["ours"] == 85.0
    assert document["against"] == {"raw": 100.0, "nats_py": 20.0}
    assert [run["ours"] for run in document["runs"]] == [90.0, 10.0, 85.0]
    assert document["goal"] == ">= 0.8 raw, >= 3 nats_py"
    assert document["met"] is True


def test_a_row_without_goal_is_neither_met_nor_missed() -> None:
    row = Row(id="x", what="x", unit="us", better="lower")
    document = result_of(row, {"ours": 1.0, "nats_py": 2.0}).document()
    assert document["goal"] is None
    assert document["met"] is None


async def test_participants_take_turns() -> None:
    order: list[str] = []

    async def part(name: str) -> Measured:
        order.append(name)
        return Measured(values={})

    await in_turn(2, {"ours": lambda: part("ours"), "raw": lambda: part("raw")})
    assert order == ["ours", "raw", "ours", "raw"]


def test_a_goal_against_nobody_is_in_the_rows_unit() -> None:
    row = Row(id="x", what="x", unit="agents/s", goals=(Goal("", 20_000),))
    assert row.goal == ">= 20,000 agents/s"
    for figure, met in ((19_999.0, False), (20_000.0, True)):
        assert Result(row, [{"ours": Measured(values={"x": figure})}]).met is met


def test_a_figure_that_a_peer_does_not_have_is_not_asked_of_it() -> None:
    row = Row(id="x", what="x", unit="us")
    result = Result(row, [{"ours": Measured(values={"x": 1.0}), "raw": Measured(values={})}])
    assert result.peers == []
    assert result.document()["against"] == {}


def test_a_goal_reads_as_one_would_say_it() -> None:
    goals = (Goal("sdk", 1 / 15), Goal("raw", 0.8), Goal("scan JSON + copy", 2))
    row = Row(id="x", what="x", unit="us", better="lower", goals=goals)
    assert row.goal == "<= 1/15 sdk, <= 0.8 raw, <= 2 (scan JSON + copy)"


def test_instructions_stand_beside_the_times_where_they_were_counted() -> None:
    row = Row(id="x", what="x", unit="us", better="lower")
    counted = Result(row, [{"ours": Measured(values={"x": 1.0})}], {"ours": 27_000})
    assert counted.document()["instructions"] == {"ours": 27_000}
    assert "27,000 instructions" in table([counted])
    assert "instructions" not in result_of(row, {"ours": 1.0}).document()
