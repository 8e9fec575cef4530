"""The form of the golden vectors: each file explains itself, has as many malformed rows as valid ones, and
names only clauses that `golden/clauses.json` knows."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fabric_codecs
from helpers.golden import FOLDER, golden
from helpers.golden_readers import FILES, READERS

CLAUSES: dict[str, dict[str, str]] = golden("clauses")["clauses"]
ABOUT = ("protocol", "use", "source")


def tables(name: str) -> dict[str, list[Any]]:
    """The valid tables of a file."""
    return {key: rows for key, rows in golden(name).items() if key not in (*ABOUT, "malformed")}


def known_clause(clause: str) -> bool:
    """Whether it is listed, whole or with its last word (a method, a message) left open."""
    found = any(clause in sections for sections in CLAUSES.values())
    opened = re.sub(
        r"(schema, |schema of )[\w/]+$", r"\1*", re.sub(r"\d{4}-\d\d-\d\d schema", "* schema", clause)
    )
    return found or any(opened in sections for sections in CLAUSES.values())


def test_no_file_is_left_out() -> None:
    found = {path.stem for path in FOLDER.glob("*.json")} - {"clauses"}
    assert found == set(FILES) == {name for name, _ in READERS}
    readme = (FOLDER / "README.md").read_text()
    assert all(f"`{name}.json`" in readme for name in FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_file_says_what_it_is_how_it_is_used_and_where_it_comes_from(name: str) -> None:
    document = golden(name)
    assert list(document)[:3] == list(ABOUT)
    for table in tables(name):
        assert f"`{table}`" in document["use"], f"{name}: {table} is not explained"


@pytest.mark.parametrize("name", FILES)
def test_the_malformed_table_is_as_long_as_the_valid_ones_together(name: str) -> None:
    assert len(golden(name)["malformed"]) >= sum(len(rows) for rows in tables(name).values())


@pytest.mark.parametrize("name", FILES)
def test_a_malformed_row_says_what_where_and_which_clause(name: str) -> None:
    for row in golden(name)["malformed"]:
        assert row["says"]
        assert isinstance(row["offset"], int)
        assert known_clause(row["clause"]), f"{name}: {row['clause']} is in no list"
        if "no_place" in row:
            assert row["no_place"]
            assert row["offset"] == 0
    assert {row["read"] for row in golden(name)["malformed"]} == {
        read for file, read in READERS if file == name
    }


@pytest.mark.parametrize("name", FILES)
def test_no_row_stands_twice(name: str) -> None:
    for key, rows in (*tables(name).items(), ("malformed", golden(name)["malformed"])):
        said = [
            json.dumps({k: v for k, v in row.items() if k not in ("what", "clause", "source")})
            for row in rows
        ]
        assert len(said) == len(set(said)), f"{name}: {key}"


def test_every_listed_clause_is_one_that_somebody_was_refused_by() -> None:
    used = {row["clause"] for name in FILES for row in golden(name)["malformed"]}
    used |= {
        re.sub(r"(schema, |schema of )[\w/]+$", r"\1*", re.sub(r"\d{4}-\d\d-\d\d schema", "* schema", one))
        for one in used
    }
    assert {clause for sections in CLAUSES.values() for clause in sections} <= used


def calls_of(name: str, source: str) -> Iterator[str]:
    """The calls of a function in a source, each with its arguments."""
    for found in re.finditer(rf"(?<!class )\b{name}\(", source):
        depth, end = 1, found.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(source[end], 0)
            end += 1
        yield source[found.start() : end]


def test_no_error_of_a_codec_leaves_out_its_clause() -> None:
    root = Path(fabric_codecs.__file__).parent
    for path in (*root.rglob("*.py"), *root.rglob("*.pyx")):
        for call in calls_of("CodecError", path.read_text()):
            assert "clause" in call, f"{path.relative_to(root)}: {call}"
