"""Load that is offered evenly, and a sender that never runs away from its receiver."""

import asyncio
import time
from itertools import pairwise
from pathlib import Path

import pytest

from fabric_bench.pacing import AHEAD_MAX, Gauge, finished, paced, percentile


async def test_intended_times_are_even_and_have_come() -> None:
    given = []
    async for intended in paced(1000, 20):
        assert time.perf_counter() >= intended
        given.append(intended)
    steps = [later - earlier for earlier, later in pairwise(given)]
    assert steps == pytest.approx([0.001] * 19, abs=1e-6)


async def test_a_stall_does_not_move_the_intended_times() -> None:
    times = []
    async for intended in paced(1000, 10):
        if not times:
            while time.perf_counter() < intended + 0.005:  # noqa: ASYNC110 - a clock has no event
                await asyncio.sleep(0)
        times.append(intended)
    assert times[-1] - times[0] == pytest.approx(0.009)


@pytest.mark.parametrize(("percent", "value"), [(1, 1), (50, 50), (99, 99), (100, 100)])
def test_a_percentile_is_a_sample(percent: float, value: float) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], percent) == value


def test_the_percentile_of_one_sample_is_that_sample() -> None:
    assert percentile([7.0], 50) == percentile([7.0], 99) == 7.0


async def test_a_sender_waits_until_its_receiver_has_caught_up(tmp_path: Path) -> None:
    file = str(tmp_path / "gauge")
    with Gauge(file) as receiver, Gauge(file) as sender:
        assert sender.has_room(AHEAD_MAX - 1)
        assert not sender.has_room(AHEAD_MAX)
        waiting = asyncio.create_task(sender.room(AHEAD_MAX))
        await asyncio.sleep(0)
        assert not waiting.done()
        receiver.write(1)
        await asyncio.wait_for(waiting, 5)


async def test_a_run_that_is_not_complete_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fabric_bench.pacing.GIVE_UP_S", 0.01)
    assert not await finished(asyncio.Event())
