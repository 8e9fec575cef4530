"""`fabric demo` as a user runs it: whole when all is there, and failing by name when a leg's code is not."""

import os
import shutil
import sys
from pathlib import Path

import pytest

import fabric_bridges
from fabric.demo.legs import LEGS
from helpers.cli import fabric

pytestmark = pytest.mark.timeout(120)

BRIDGES = Path(fabric_bridges.__file__).parent


def without(tmp_path: Path, file: str) -> Path:
    """A copy of the edges in which one file is missing, to stand before the real ones on the path."""
    root = tmp_path / "bridges"
    shutil.copytree(BRIDGES, root / "fabric_bridges", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "fabric_bridges" / file).unlink()
    return root


async def demo(
    tmp_path: Path, *arguments: str, before: Path | None = None
) -> tuple[int, dict[str, object], str]:
    home = tmp_path / "home"
    home.mkdir()
    environ = (
        {} if before is None else {"PYTHONPATH": os.pathsep.join([str(before), *filter(None, sys.path)])}
    )
    done = await fabric(home, "demo", "--json", *arguments, **environ)
    legs = done.lines()[0]["legs"] if done.out else {}
    return done.code, legs, done.err


async def test_the_story_is_whole(tmp_path: Path) -> None:
    code, legs, said = await demo(tmp_path)
    assert legs == dict.fromkeys(LEGS), said
    assert code == 0
    assert "the story is whole" in said


@pytest.mark.parametrize("edge", ["mcp", "a2a", "mqtt", "kafka"])
async def test_an_edge_whose_code_is_gone_fails_the_demo_by_its_name(tmp_path: Path, edge: str) -> None:
    code, _, said = await demo(tmp_path, before=without(tmp_path, f"{edge}/deliver.py"))
    assert code != 0
    assert f"[edges.{edge}]" in said
    assert "Traceback" not in said
