"""`make chaos ROUNDS=n SEED=s`, with CHAOS=--replicated on three servers.

Each round: a world, a storm of faults drawn from the seed, quiet until everything accepted has its end, and a
verdict. A round that breaks a promise is told with the seed that plays it again, its files are kept, and the
exit code is 1.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.faults import plan
from chaos.flows import FLOWS
from chaos.verdict import Verdict
from chaos.world import World

__all__ = ["Outcome", "main", "play"]

STORM_S = 12.0
SLOWLY = 4.0  # on three servers, which take seconds to elect: all of it that much slower
DRAIN_S = 60.0  # an election, leases that end, and redelivery after a worker's death
QUIET_S = 0.5


@dataclass
class Outcome:
    """One round."""

    seed: int
    faults: Counter[str]
    verdicts: list[Verdict]
    drained_s: float
    crashes: dict[str, int]
    unbalanced: list[str]  # holders whose account does not add up with the log

    @property
    def lost(self) -> int:
        """Accepted and without an end."""
        return sum(len(verdict.lost) for verdict in self.verdicts)

    @property
    def unaccounted(self) -> int:
        """Ended without having been offered or after a refusal, and accounts that do not add up."""
        return sum(len(verdict.from_nowhere) for verdict in self.verdicts) + len(self.unbalanced)

    @property
    def duplicated_once(self) -> int:
        """Twice, where the promise is once."""
        return sum(verdict.duplicated for verdict in self.verdicts if FLOWS[verdict.flow].once)

    @property
    def is_clean(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.unaccounted or self.duplicated_once or self.crashes)


async def play(folder: Path, seed: int, *, replicated: bool = False, storm_s: float = STORM_S) -> Outcome:
    """One round; its files stay in `folder`."""
    parts = [part for flow in FLOWS.values() for part in (flow.sender, *flow.receivers)]
    async with World(folder, parts, seed=seed, replicated=replicated) as world:
        slowly = SLOWLY if replicated else 1.0
        storm_s *= slowly
        faults = plan(seed, parts, storm_s, world.kinds, slowly)
        await world.suffer(faults, storm_s)
        await world.calm()
        await world.stop([flow.sender for flow in FLOWS.values()])
        began = time.monotonic()
        await _drained(world)
        drained_s = time.monotonic() - began
        await world.stop([part for flow in FLOWS.values() for part in flow.receivers])
        verdicts = [await flow.verdict(world) for flow in FLOWS.values()]
        crashes = world.crashes
        unbalanced = await world.unbalanced()
    names = Counter(f"{fault.what} {fault.part}".strip() for fault in faults)
    return Outcome(seed, names, verdicts, drained_s, crashes, unbalanced)


async def _drained(world: World) -> None:
    deadline = time.monotonic() + DRAIN_S
    while time.monotonic() < deadline:  # what is missing then is lost
        verdicts = [await flow.verdict(world) for flow in FLOWS.values()]
        if not any(verdict.lost for verdict in verdicts):
            return
        await asyncio.sleep(QUIET_S)


def told(outcome: Outcome) -> str:
    """A round for people."""
    lines = [
        f"seed {outcome.seed}: {', '.join(f'{what} x{n}' for what, n in sorted(outcome.faults.items()))}"
    ]
    for verdict in outcome.verdicts:
        line = f"  {verdict.flow:10} accepted {verdict.accepted:6,}  lost {len(verdict.lost)}"
        line += f"  unaccounted {len(verdict.from_nowhere)}  duplicated {verdict.duplicated}"
        lines.append(line)
    lines += [f"  {name} ended by itself {times} times" for name, times in outcome.crashes.items()]
    lines += [f"  the account of {holder} does not hold" for holder in outcome.unbalanced]
    return "\n".join([*lines, f"  drained {outcome.drained_s:.1f} s after the storm"])


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="chaos.run", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each next has the next one")
    parser.add_argument("--replicated", action="store_true", help="three servers, every stream three times")
    options = parser.parse_args(arguments)
    outcomes = []
    for seed in range(options.seed, options.seed + options.rounds):
        folder = Path(tempfile.mkdtemp(prefix=f"fabric-chaos-{seed}-"))
        outcome = asyncio.run(play(folder, seed, replicated=options.replicated))
        outcomes.append(outcome)
        print(told(outcome), flush=True)
        if outcome.is_clean:
            shutil.rmtree(folder)
        else:
            again = f"--seed {seed}{' --replicated' if options.replicated else ''}"
            print(f"  its files: {folder}\n  again: python -m chaos.run {again}", flush=True)
    lost, unaccounted, twice = (
        sum(getattr(outcome, what) for outcome in outcomes)
        for what in ("lost", "unaccounted", "duplicated_once")
    )
    duplicated = sum(verdict.duplicated for outcome in outcomes for verdict in outcome.verdicts)
    print(
        f"rounds {len(outcomes)}  lost {lost}  unaccounted {unaccounted}  duplicated {duplicated} "
        f"(in once: {twice})  seeds {options.seed} to {options.seed + options.rounds - 1}"
    )
    return 0 if all(outcome.is_clean for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
