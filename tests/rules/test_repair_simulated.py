"""A track against a faulty feed, thousands of times: whatever is lost, late or doubled, it ends with every
message of the log once, in order per subject.

The reference model is the log itself, a list. A failure prints its seed and the line that replays it.
"""

import os
from collections.abc import Iterable

import pytest

from fabric.rules.channels import repair
from fabric.rules.channels.repair import Track
from helpers.feed_model import KEPT_MAX, Simulation


def simulate(seed: int, *, evicting: bool) -> None:
    simulation = Simulation(seed, evicting=evicting)
    try:
        simulation.run()
        simulation.check()
    except BaseException as error:
        error.add_note(f"replay: SEED={seed} pytest tests/rules/test_repair_simulated.py")
        raise


def simulate_all(seeds: Iterable[int], *, evicting: bool) -> None:
    for seed in seeds:
        simulate(seed, evicting=evicting)


@pytest.mark.parametrize("evicting", [False, True], ids=["complete log", "evicting log"])
def test_a_faulty_feed_is_repaired_to_the_whole_log(evicting: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "COUNT_MAX", KEPT_MAX if evicting else 10_000)
    chosen = os.environ.get("SEED")
    simulate_all(range(4000) if chosen is None else [int(chosen)], evicting=evicting)


def test_the_simulation_notices_a_track_that_forgets_to_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Track, "counted", lambda *_: True)
    monkeypatch.setattr(Track, "read_back_due", lambda *_: False)
    with pytest.raises(BaseException, match=r"lost|never"):
        simulate_all(range(50), evicting=False)
