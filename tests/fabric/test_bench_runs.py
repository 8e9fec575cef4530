"""Every bench, end to end and small: the rows of the design, all participants, nothing lost, as JSON."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fabric_bench import runner
from fabric_bench.codec_work import PAIRS
from fabric_bench.instructions import Counted
from fabric_bench.peers import sdk
from fabric_bench.plans import DurablePlan, Place, Specimen
from fabric_bench.scenarios import call, catchup, durable, join, live, queue, register, storm, translate
from fabric_bench.worker import RunFailed, Worker

ROWS = {
    "durable": {"durable.publish": {"raw", "nats_py"}},
    "live": {"live.end_to_end": {"raw", "nats_py"}},
    "call": {name: {"nats_py"} for name in ("call.p50_us", "call.p99_us", "call.concurrent")},
    "catchup": {f"catchup.{late}": {"nats_py"} for late in (1, 10, "together")},
    "register": {
        "register.rate": {"nats_py"},
        **{key: set() for key in ("register.flatness", "register.bytes_per_agent", "register.find_us")},
    },
    "queue": {"queue.take_ack": {"nats_py"}},
    "storm": {
        f"storm.{name}{kind}": set()
        for name in ("neighbour_p99_ratio", "jain", "node_mb", "recovery_s")
        for kind in ("", ".colliding", ".apart")
    },
    "translate": {
        **{f"translate.{source}.{target}.64": {"sdk", "floor"} for source, target in PAIRS},
        **{f"codec.{name}.{way}.64": {"sdk", "floor"} for name in sdk.DECODE for way in ("decode", "encode")},
        **{f"codec.mqtt311.{way}.64": {"floor"} for way in ("decode", "encode")},
        "translate.different.256": {"same"},
    },
    "join": {key: set() for key in ("join.p99_ms", "join.publish_flatness", "join.spread", "join.even")},
}
KEYS = {"id", "what", "unit", "better", "ours", "against", "goal", "met", "lost", "duplicated", "runs"}


async def not_counted(sizes: Iterable[int]) -> Counted:
    return Counted("not counted: test_bench_translate does")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "ROUNDS_QUICK", 1)
    monkeypatch.setattr(durable, "MESSAGES_QUICK", 3000)
    monkeypatch.setattr(live, "MESSAGES_QUICK", 3000)
    monkeypatch.setattr(call, "PACED_QUICK", 40)
    monkeypatch.setattr(call, "CONCURRENT_QUICK", 600)
    monkeypatch.setattr(catchup, "MESSAGES_QUICK", 3000)
    monkeypatch.setattr(catchup, "LATE_MEMBERS", {1: 1, 10: 2})
    monkeypatch.setattr(register, "AGENTS_QUICK", 2000)
    monkeypatch.setattr(join, "CHANNELS_QUICK", 2000)
    monkeypatch.setattr(queue, "SOURCES_QUICK", 50)
    monkeypatch.setattr(storm, "IDLE_QUICK_S", 2.0)
    monkeypatch.setattr(storm, "STORM_QUICK_S", 1.0)
    monkeypatch.setattr(storm, "AFTER_QUICK_S", 1.0)
    monkeypatch.setattr(translate, "count", not_counted)
    monkeypatch.setattr(translate, "SIZES", (64,))
    monkeypatch.setattr(translate, "DIFFERENT", 20)
    monkeypatch.setattr(translate, "SLICE_QUICK_S", 0.0)
    monkeypatch.setattr(join, "MESSAGES_QUICK", 2000)
    monkeypatch.setattr(join, "JOINS", 20)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.usefixtures("small")
def test_a_bench_writes_its_rows_and_loses_nothing(name: str, tmp_path: Path) -> None:
    file = tmp_path / "results" / f"{name}.json"
    told = CliRunner().invoke(runner.command, [name, "--quick", "--json", str(file)])
    assert told.exit_code == 0, told.output
    document: dict[str, Any] = json.loads(file.read_text())
    assert document["bench"] == name
    assert document["machine"]["cores"] > 0
    assert document["versions"]["nats-py"]
    rows = {row["id"]: row for row in document["rows"]}
    assert rows.keys() == ROWS[name].keys()
    for row_id, peers in ROWS[name].items():
        row = rows[row_id]
        assert row.keys() >= KEYS
        assert row["against"].keys() == peers
        assert row["ours"] > 0
        assert all(figure > 0 for figure in row["against"].values())
        assert row["lost"] == row["duplicated"] == 0
        assert len(row["runs"]) == 1
        assert row_id in told.output


def test_a_bench_that_is_none_is_refused_with_those_there_are() -> None:
    told = CliRunner().invoke(runner.command, ["sideways"])
    assert told.exit_code == 2
    assert "durable" in told.output


async def test_a_part_that_fails_fails_its_run() -> None:
    nowhere = Place(url="nats://127.0.0.1:1")
    specimen = Specimen(subject="fab.lv.a.b", reply="", header=b"", payload=b"")
    plan = DurablePlan(place=nowhere, channel="a", count=1, window=1, specimen=specimen)
    async with Worker("fabric_bench.floors.raw:durable", plan) as worker:
        with pytest.raises(RunFailed, match="ended without an answer"):
            await worker.measured()
