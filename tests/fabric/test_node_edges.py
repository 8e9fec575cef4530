"""The edges of a node: found by their entry point, blamed by name, started and stopped as one."""

import asyncio
import errno
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from fabric.config import Config, EdgeSettings
from fabric.errors import ConfigInvalid, InternalError, Unreachable
from fabric.node import edges as edges_module
from fabric.node.edges import Edges, build_edges, known_edges

HOUSE: Any = object()  # these edges ask nothing of it


class Listener:
    """An edge that notes what is done to it."""

    def __init__(self, name: str, fails: Exception | None = None) -> None:
        self.name, self.address, self.fails = name, f"tcp://{name}", fails
        self.life: list[str] = []

    async def start(self, house: Any) -> None:
        self.life.append("start")
        if self.fails:
            raise self.fails

    async def stop(self, grace_s: float = 2.0) -> None:
        self.life.append(f"stop {grace_s:g}")
        if self.fails:
            raise self.fails


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Entry points by name; a value is the source of the module that has the edge."""
    sources: dict[str, str] = {}

    def entry_points(*, group: str) -> list[EntryPoint]:
        assert group == "fabric.bridges"
        for name, source in sources.items():
            (tmp_path / f"installed_{name}.py").write_text(source)
        return [EntryPoint(name, f"installed_{name}:edge", group) for name in sources]

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(edges_module, "entry_points", entry_points)
    return sources


FACTORY = """
from types import SimpleNamespace
def edge(settings): return SimpleNamespace(name="{name}", settings=settings)
"""


def test_this_distribution_brings_its_four_edges() -> None:
    assert known_edges() == ["a2a", "kafka", "mcp", "mqtt"]


def test_edges_get_their_own_options_and_disabled_ones_are_left_out(installed: dict[str, str]) -> None:
    for name in ("one", "two"):
        installed[name] = FACTORY.format(name=name)
    config = Config(
        home=Path(), edges={"one": EdgeSettings(options={"port": 1}), "two": EdgeSettings(enabled=False)}
    )
    built: list[Any] = list(build_edges(config))
    assert [(edge.name, edge.settings) for edge in built] == [("one", {"port": 1})]


def test_unknown_edge_is_named_with_the_known_ones(installed: dict[str, str]) -> None:
    installed["known"] = FACTORY.format(name="known")
    with pytest.raises(ConfigInvalid, match=r"\[edges\.amqp\]: no such edge; known are known"):
        build_edges(Config(home=Path(), edges={"amqp": EdgeSettings()}))


def test_missing_module_says_which_edge_needs_it(installed: dict[str, str]) -> None:
    installed["needy"] = "import nowhere_to_be_found"
    with pytest.raises(ConfigInvalid, match=r"\[edges\.needy\]: .*nowhere_to_be_found.*enabled = false"):
        build_edges(Config(home=Path()))


def test_edge_that_cannot_be_imported_is_named(installed: dict[str, str]) -> None:
    installed["broken"] = "1 / 0"
    with pytest.raises(InternalError, match="the broken edge cannot be loaded: ZeroDivisionError"):
        build_edges(Config(home=Path()))


async def test_all_start_and_all_stop_with_their_grace() -> None:
    listeners = [Listener("a"), Listener("b")]
    edges = Edges(listeners)
    await edges.start(HOUSE)
    assert edges.addresses() == {"a": "tcp://a", "b": "tcp://b"}
    await edges.stop(1.5)
    await edges.stop(1.5)
    assert [listener.life for listener in listeners] == [["start", "stop 1.5"]] * 2


async def test_edge_that_does_not_start_is_named_and_the_ones_before_it_can_be_stopped() -> None:
    good, bad, never = Listener("good"), Listener("bad", ValueError("no")), Listener("never")
    edges = Edges([good, bad, never])
    with pytest.raises(InternalError, match="the bad edge did not start: ValueError: no"):
        await edges.start(HOUSE)
    await edges.stop(1)
    assert (good.life, bad.life, never.life) == (["start", "stop 1"], ["start"], [])


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(OSError(errno.EADDRINUSE, "taken"), ConfigInvalid), (Unreachable("nats://x", "down"), Unreachable)],
)
async def test_errors_of_ours_pass_and_others_are_put_in_our_words(
    raised: Exception, expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        await Edges([Listener("bad", raised)]).start(HOUSE)


async def test_edge_that_never_stops_is_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(edges_module, "_STOP_SLACK_S", 0.01)
    stuck = Listener("stuck")
    edges = Edges([stuck])
    await edges.start(HOUSE)

    async def never(grace_s: float = 2.0) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(stuck, "stop", never)
    await edges.stop(0)
    assert "the stuck edge did not stop cleanly" in caplog.text


async def test_edge_that_fails_to_stop_does_not_keep_the_others(caplog: pytest.LogCaptureFixture) -> None:
    bad, good = Listener("bad"), Listener("good")
    edges = Edges([bad, good])
    await edges.start(HOUSE)
    bad.fails = ValueError("stuck")
    await edges.stop(0)
    assert good.life == ["start", "stop 0"]
    assert "the bad edge did not stop cleanly" in caplog.text
