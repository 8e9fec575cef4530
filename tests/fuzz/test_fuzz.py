"""Every fuzz target on the committed seeds and some of their mutations: the same inputs every time."""

from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest

from fuzz import run
from fuzz.mutate import SIZE_MAX, mutations
from fuzz.targets import TARGETS

COUNT = 5_000  # of each target: a tenth of a second, for the slowest half of one


@pytest.fixture(autouse=True)
def _kept_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "KEPT", tmp_path)
    monkeypatch.setattr(run, "ROOT", tmp_path)


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_is_taken_or_refused(name: str) -> None:
    seeds = run.seeds_of(name)
    assert len(seeds) >= 8, "seeds are committed: what is valid, and what the malformed tables have"
    assert run.hammer(TARGETS[name], seeds).count == len(seeds)


@pytest.mark.parametrize("name", TARGETS)
def test_mutations_of_the_seeds_are_taken_or_refused(name: str) -> None:
    inputs = islice(mutations(run.seeds_of(name), number=20261121), COUNT)
    assert run.hammer(TARGETS[name], inputs).count == COUNT


def test_the_same_number_gives_the_same_inputs() -> None:
    seeds = run.seeds_of("nats")
    one, same, other = (list(islice(mutations(seeds, number), 500)) for number in (7, 7, 8))
    assert one == same != other
    assert max(map(len, one)) <= SIZE_MAX


def test_an_input_that_breaks_a_decoder_is_kept_and_can_be_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def names(data: bytes) -> None:
        if b"." in data:
            raise KeyError("a bug")

    monkeypatch.setitem(TARGETS, "names", names)
    monkeypatch.setattr(run, "_bound_memory", lambda: None)
    assert run.main(["names", "--count", "1000"]) == 1
    told = capsys.readouterr().out
    assert "KeyError('a bug')" in told
    kept = tmp_path / told.split()[-1]
    assert b"." in kept.read_bytes()
    with pytest.raises(KeyError, match="a bug"):
        run.main(["names", "--replay", str(kept)])
    with pytest.raises(KeyError, match="a bug"):
        run.main(["names", "--replay", str(tmp_path / "names.at-work")])


def test_a_slow_input_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "INPUT_S_MAX", 0.0)
    with pytest.raises(run.Failed) as caught:
        run.hammer(TARGETS["nats"], [b"PING\r\n"])
    assert isinstance(caught.value.__cause__, TimeoutError)


def test_without_atheris_a_guided_run_is_unguided_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "is_possible", lambda: False)
    monkeypatch.setattr(run, "_bound_memory", lambda: None)
    assert run.main(["names", "--guided", "--count", "100"]) == 0
    said, counted = capsys.readouterr().out.splitlines()
    assert "NOT guided by coverage" in said
    assert "100 inputs" in counted


def test_several_decoders_run_side_by_side_and_one_failure_fails_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = {"names": 0, "nats": 1, "mcp": -11}
    monkeypatch.setattr(run.subprocess, "run", lambda command: SimpleNamespace(returncode=ended[command[3]]))
    assert run.main(["names", "nats"]) == 1
    assert run.main(["names", "mcp"]) == 1
    assert "mcp: ended with -11; its input is in" in capsys.readouterr().out
