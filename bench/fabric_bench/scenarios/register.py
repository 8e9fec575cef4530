"""`register.*`: 100,000 agents of one process join, and another process finds some among them.

They join as five crews, each timed: the last must not be slower than the first. Against nats-py's `KV.put` of
the same records, 200 at once. Every agent must be live in the watcher's directory, once. Above: runner.
"""

import asyncio
import os
import time
from pathlib import Path

import msgspec

from fabric.client import Agent, Fabric
from fabric_bench.check import check
from fabric_bench.ours import connect
from fabric_bench.pacing import Clock, percentile
from fabric_bench.place import Server
from fabric_bench.plans import Measured, RegisterPlan
from fabric_bench.report import Goal, Result, Row, in_turn
from fabric_bench.worker import Ready, Worker, until_stdin_ends

__all__ = ["find", "ours", "run"]

AGENTS, AGENTS_QUICK = 100_000, 20_000
CREWS = 5
SKILLS = 1_000  # so a skill is found at a hundred agents of 100,000
FINDS = 1_000
REGISTRY = "REG"
PATIENCE_S = 30.0
ROWS = (
    Row(
        id="register.rate",
        what="agents of one process join, each with a card, a skill and its place for calls",
        unit="agents/s",
        goals=(Goal("", 20_000),),
    ),
    Row(
        id="register.flatness",
        what="the rate of the last fifth over that of the first",
        unit="x",
        goals=(Goal("", 0.8),),
    ),
    Row(
        id="register.bytes_per_agent",
        what="resident memory of that process for each",
        unit="B",
        better="lower",
        goals=(Goal("", 2048),),
    ),
    Row(
        id="register.find_us",
        what="`find(skill=...)` in another process while all are live, median; one agent in 1,000 has it",
        unit="us",
        better="lower",
        goals=(Goal("", 200),),
    ),
)


async def run(server: Server, *, rounds: int, quick: bool) -> list[Result]:
    """All runs of the scenario."""
    plan = RegisterPlan(place=server.user, count=AGENTS_QUICK if quick else AGENTS)

    async def ours_measured() -> Measured:
        await server.purge(REGISTRY)
        async with Worker("fabric_bench.scenarios.register:ours", plan) as joining:
            await joining.ready()
            async with Worker("fabric_bench.scenarios.register:find", plan) as finding:
                found = await finding.measured()
            result = await joining.finished()
        result.values |= found.values
        result.lost, result.duplicated = found.lost, found.duplicated
        return result

    async def peer_measured() -> Measured:
        async with Worker("fabric_bench.peers.nats_py:register", peer_plan) as worker:
            return await worker.measured()

    peer_plan = msgspec.structs.replace(plan, place=server.admin)
    runs = await in_turn(rounds, {"ours": ours_measured, "nats_py": peer_measured})
    return [Result(row, runs) for row in ROWS]


def name_of(number: int) -> str:
    """An agent's name."""
    return f"bench-{number:06d}"


def agents_of(fab: Fabric, numbers: range) -> list[Agent]:
    """Agents that are not live yet."""
    return [fab.agent(name_of(number), skills=[f"skill-{number % SKILLS}"]) for number in numbers]


async def ours(plan: RegisterPlan, ready: Ready) -> Measured:
    """`fabric.crew`, five times; they stay until the bench has found them."""
    size = plan.count // CREWS
    seconds = []
    async with connect(plan.place, "bench") as fab:
        async with fab.crew(agents_of(fab, range(plan.count, plan.count + 100))):
            pass  # what is made once, is
        clock = Clock()
        before = _resident_bytes()
        crews = []
        for first in range(0, plan.count, size):
            started = time.perf_counter()
            crews.append(await fab.crew(agents_of(fab, range(first, first + size))).__aenter__())
            seconds.append(time.perf_counter() - started)
        clock.stop()
        grown = _resident_bytes() - before
        ready()
        await until_stdin_ends()
    return Measured(
        values={
            "register.rate": plan.count / clock.elapsed_s,
            "register.flatness": seconds[0] / seconds[-1],
            "register.bytes_per_agent": grown / plan.count,
        },
        notes=clock.cpu(plan.count),
    )


async def find(plan: RegisterPlan, _ready: Ready) -> Measured:
    """`find`, and a watch, which must have each agent once."""
    async with connect(plan.place, "bench-finder") as fab, fab.watch() as watch:
        joined: list[int] = []
        while len(joined) < plan.count:
            event = await asyncio.wait_for(anext(watch), PATIENCE_S)
            joined.append(int(event.card.name.rpartition("-")[2]))
        took_us = []
        wrong = 0
        for number in range(FINDS):
            started = time.perf_counter()
            found = [card async for card in fab.find(skill=f"skill-{number % SKILLS}")]
            took_us.append((time.perf_counter() - started) * 1e6)
            wrong += len(found) != plan.count // SKILLS
    checked = check(sorted(joined), range(plan.count))
    return Measured(
        values={"register.find_us": percentile(took_us, 50)},
        lost=checked.lost + wrong,
        duplicated=checked.duplicated,
    )


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")
