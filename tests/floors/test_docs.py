"""Pages that say where things are: what they point to is there, and nothing is left out."""

import re
from pathlib import Path

import pytest

from floors.tree import ROOT

DECISIONS = ROOT / "docs" / "decisions"
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)


def test_every_decision_is_in_the_index() -> None:
    listed = set(re.findall(r"\]\(([\w.-]+\.md)\)", (DECISIONS / "README.md").read_text()))
    assert listed == {page.name for page in DECISIONS.glob("*.md")} - {"README.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text())
    assert not [target for target in targets if not (page.parent / target).exists()]


def test_guarantees_name_tests_that_there_are() -> None:
    named = re.findall(r"`(?:([\w/]+\.py))?::(\w+)`", (ROOT / "docs" / "guarantees.md").read_text())
    assert len(named) > 50
    file, missing = "", []
    for given, test in named:
        file = given or file  # `::test` goes on in the file before it
        if f"def {test}(" not in (ROOT / "tests" / file).read_text():
            missing.append(f"{file}::{test}")
    assert not missing
