"""The bench of codecs: everybody carries the same, floors do what a pair has to, instructions are counted."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fabric_bench.codec_work import BARE_SIZE, PAIRS, SIZES, tasks
from fabric_bench.floors.raw_codec import bare, must_do
from fabric_bench.instructions import FEW, MANY, by_row, count
from fabric_bench.messages import FORMS, Form, data_of, different, specimens
from fabric_bench.peers import sdk
from fabric_bench.report import Row
from fabric_bench.scenarios.translate import goals_of
from fabric_codecs.envelope import Envelope
from fabric_codecs.translate.lift import PROTOCOLS, Protocol, lift


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_the_way_through_sdks_carries_what_a_message_says(source: Protocol, target: Protocol) -> None:
    read = sdk.READ[source](specimens(256)[source])
    arrived = sdk.READ[target](sdk.WRITE[target](read))
    assert json_of(arrived.get_data()) == json_of(read.get_data()) == json.loads(data_of(256))
    assert arrived.get_subject() == read.get_subject() == "greenhouse.heat"
    if target != "mqtt311":
        assert arrived.get_id() == read.get_id()
        for name in ("traceparent", "correlationid"):
            assert arrived.get_extension(name) == read.get_extension(name)
            assert (read.get_extension(name) is None) == (source == "mqtt311")


def json_of(data: Any) -> Any:
    return json.loads(data) if isinstance(data, bytes) else data


@pytest.mark.parametrize("protocol", sdk.DECODE)
def test_what_an_sdk_encodes_is_what_it_has_decoded(protocol: Protocol) -> None:
    written = sdk.ENCODE[protocol](sdk.to_encode(protocol, specimens(256)[protocol]))
    assert json.loads(lifted(written, protocol).data) == json.loads(data_of(256))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [64, 65536])
def test_all_specimens_of_a_form_carry_the_same_data(size: int, form: Form) -> None:
    assert len(data_of(size, form)) == size
    for protocol, message in specimens(size, form).items():
        assert lifted(message, protocol).data == data_of(size, form)


def lifted(message: bytes, protocol: Protocol) -> Envelope:
    return lift(message, protocol, origin="/t", now_us=1, fresh_id="e-1", topic="a").message


def test_a_thousand_different_messages_are_different_and_the_same_in_every_run() -> None:
    messages = different(1000, 256)
    assert messages.keys() == set(PROTOCOLS)
    assert messages == different(1000, 256)
    for protocol, found in messages.items():
        assert len(set(found)) == 1000
        assert {lifted(message, protocol).data[:9] for message in found} == {b'{"zone":"'}
        if protocol not in ("mcp", "mqtt311"):  # which have no ids of their own
            assert len({lifted(message, protocol).id for message in found}) == 1000


@pytest.mark.parametrize(
    ("source", "target", "form", "steps"),
    [
        ("mcp", "a2a", "json", ("scan JSON", "copy")),
        ("mcp", "kafka", "json", ("scan JSON", "check batch", "copy")),
        ("mqtt5", "kafka", "json", ("check batch", "copy")),
        ("mqtt311", "kafka", "json", ("scan JSON", "check batch", "copy")),
        ("mqtt5", "mqtt311", "json", ("scan bytes", "copy")),
        ("mqtt5", "a2a", "text", ("write escapes", "copy")),
        ("a2a", "mqtt5", "text", ("read escapes", "copy")),
        ("kafka", "mcp", "binary", ("write base64", "check batch", "copy")),
        ("mcp", "mqtt311", "binary", ("read base64", "copy")),
    ],
)
def test_a_pair_does_to_every_byte_what_its_data_needs(
    source: Protocol, target: Protocol, form: Form, steps: tuple[str, ...]
) -> None:
    assert must_do(source, target, form) == steps
    name, floor, given = bare(source, target, 4096, form)
    assert name == " + ".join(steps)
    floor(given)


def test_large_pairs_stand_beside_what_has_to_be_done_and_only_unlike_ones_wrap() -> None:
    rows = {task.row: task.parts.keys() for task in tasks(BARE_SIZE)}
    assert rows["translate.mcp.a2a.65536"] == {"ours", "floor", "scan JSON + copy"}
    assert rows["translate.mqtt5.mcp.65536.binary"] == {"ours", "write base64 + copy"}
    assert "translate.mcp.a2a.65536.binary" not in rows
    assert "translate.mqtt5.kafka.65536.text" not in rows
    assert len(rows) == 20 + 24 + 10


def test_goals_are_at_256_bytes_at_64_kib_and_against_the_fastest_codecs() -> None:
    goals = {
        task.row: Row(task.row, task.what, "us", "lower", goals_of(task)).goal
        for size in SIZES
        for task in tasks(size)
    }
    assert goals["translate.mcp.kafka.256"] == "<= 1.5 us, <= 1/15 sdk"
    assert goals["translate.mqtt5.kafka.65536"] == "<= 2 (check batch + copy)"
    assert goals["translate.kafka.a2a.65536.text"] == "<= 2 (write escapes + check batch + copy)"
    assert {goals[f"codec.{name}.decode.256"] for name in ("mqtt5", "kafka")} == {"<= 1 sdk"}
    assert goals["codec.mcp.decode.256"] is None
    assert goals["translate.mcp.kafka.64"] is None


def test_instructions_are_those_of_a_message_without_its_loop() -> None:
    loop = [900, 50 + FEW * 10, 50 + MANY * 10]
    ours = [900, 50 + FEW * 310, 50 + MANY * 310]
    floor = [900, 50 + FEW * 60, 50 + MANY * 60]
    assert by_row([("a", "ours"), ("a", "floor")], loop + ours + floor) == {"a": {"ours": 300, "floor": 50}}


async def test_without_valgrind_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    counted = await count([64])
    assert counted.by == "not counted: valgrind is not installed"
    assert counted.rows == {}


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        ("exit 1", "non-zero exit status 1"),
        ("echo '[]'", "No such file"),
        ("""echo '[]'; out=${3#--callgrind-out-file=}; touch $out.1""", "no total into counts.1"),
    ],
)
async def test_a_valgrind_that_cannot_count_here_is_told_and_fails_no_bench(
    does: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    valgrind = tmp_path / "valgrind"
    valgrind.write_text(f"#!/bin/sh\n{does}\n")
    valgrind.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(valgrind))
    counted = await count([64])
    assert counted.by.startswith("not counted: ")
    assert reason in counted.by
    assert counted.rows == {}


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="counts with valgrind")
async def test_valgrind_counts_every_row_of_a_size() -> None:
    counted = await count([64])
    assert counted.by.startswith("counted by valgrind")
    assert counted.rows.keys() == {task.row for task in tasks(64)}
    for parts in counted.rows.values():
        assert parts.keys() == {"ours", "floor"}
        assert all(500 < instructions < 200_000 for instructions in parts.values())
    ours = {row: parts["ours"] for row, parts in counted.rows.items()}
    assert ours["translate.mcp.kafka.64"] > ours["codec.mcp.decode.64"] / 2 > ours["codec.mqtt311.decode.64"]
