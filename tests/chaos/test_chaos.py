"""A short storm, the same every time: what `make chaos` does for as long as one likes."""

from pathlib import Path

import pytest

from chaos.diary import ids
from chaos.faults import plan
from chaos.flows import FLOWS
from chaos.run import play, told
from chaos.verdict import judge

SEED = 7  # kills the node, the server and parts of the flows, and has the server hang
STORM_S = 8.0


@pytest.mark.timeout(150)
async def test_a_storm_of_faults_loses_nothing_and_doubles_nothing_that_is_once(tmp_path: Path) -> None:
    outcome = await play(tmp_path, SEED, storm_s=STORM_S)
    assert outcome.is_clean, told(outcome)
    assert all(verdict.accepted > 10 for verdict in outcome.verdicts), told(outcome)
    assert {verdict.flow for verdict in outcome.verdicts} == FLOWS.keys()


def test_the_same_seed_plans_the_same_faults() -> None:
    kinds = ("kill-node", "cut-links")
    assert (
        plan(3, ["a", "b"], 30.0, kinds)
        == plan(3, ["a", "b"], 30.0, kinds)
        != plan(4, ["a", "b"], 30.0, kinds)
    )


def test_a_verdict_tells_lost_from_doubled_from_unknown(tmp_path: Path) -> None:
    sender, receiver = tmp_path / "sender", tmp_path / "receiver"
    sender.write_text(
        "offered a\noffered b\noffered c\noffered d\noffered e\n"
        "accepted a\naccepted b\naccepted c\nunknown d\nrefused e\ntorn"
    )
    receiver.write_text("had a\nhad b\nhad b\nhad d\nhad e\nhad f\n")
    verdict = judge("flow", sender, ids(receiver, "had"))
    assert (verdict.accepted, verdict.lost, verdict.duplicated) == (3, ["c"], 1)
    assert verdict.from_nowhere == ["e", "f"]
