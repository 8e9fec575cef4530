"""`call.p50_us`, `call.p99_us`, `call.concurrent`: a tool of an agent in another process is called.

Against nats-py's `request` of the same bytes, answered with the same bytes. Ours does more for them: the
answer is checked against schema and deadline, and both sides write the journal. Above: runner.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from fabric_bench.ours import connect
from fabric_bench.pacing import Clock, paced, percentile
from fabric_bench.place import Server
from fabric_bench.plans import CallPlan, Measured, Specimen
from fabric_bench.report import Goal, Result, Row, in_turn
from fabric_bench.worker import Ready, Worker, until_stdin_ends

__all__ = ["answer", "call", "drive", "run"]

AGENT = "bench-agent"
TEXT = "x" * 245  # {"text":"..."}: 256 B
DEADLINE_S = 30.0
WARM_UP_CALLS = 300
JOURNAL = "JR"
PARTS = {
    "ours": ("fabric_bench.scenarios.call:call", "fabric_bench.scenarios.call:answer"),
    "nats_py": ("fabric_bench.peers.nats_py:call", "fabric_bench.peers.nats_py:answer"),
}
RATE_PER_S = 400
PACED, PACED_QUICK = 2000, 1000  # calls one at a time in one run
CONCURRENT, CONCURRENT_QUICK = 50_000, 20_000
IN_FLIGHT = 500
ROWS = (
    Row(
        id="call.p50_us",
        what=f"a call of 256 B at a time, {RATE_PER_S} a second evenly, from the intended time to the answer",
        unit="us",
        better="lower",
        goals=(Goal("nats_py", 1.3),),
    ),
    Row(id="call.p99_us", what="the same, the slowest in a hundred", unit="us", better="lower"),
    Row(
        id="call.concurrent",
        what=f"{IN_FLIGHT} calls at once from one process",
        unit="calls/s",
        goals=(Goal("nats_py", 0.8),),
    ),
)


async def run(server: Server, *, rounds: int, quick: bool) -> list[Result]:
    """All runs of the scenario."""
    request, response = await _specimens(server)
    plan = CallPlan(
        place=server.user,
        agent=AGENT,
        rate_per_s=RATE_PER_S,
        paced=PACED_QUICK if quick else PACED,
        in_flight=IN_FLIGHT,
        concurrent=CONCURRENT_QUICK if quick else CONCURRENT,
        request=request,
        response=response,
    )

    async def measured(caller: str, agent: str) -> Measured:
        await server.purge(JOURNAL)
        before = await server.last_sequence(JOURNAL)
        async with Worker(agent, plan) as answering:
            await answering.ready()
            async with Worker(caller, plan) as calling:
                result = await calling.measured()
        result.notes["journal_records"] = await server.last_sequence(JOURNAL) - before
        return result

    runs = await in_turn(rounds, {name: partial(measured, *pair) for name, pair in PARTS.items()})
    return [Result(row, runs) for row in ROWS]


async def _specimens(server: Server) -> Sequence[Specimen]:
    async def send_one() -> None:
        async with connect(server.user, "bench") as fab, fab.agent(AGENT) as me:
            me.tool(echo)
            await fab.call(f"{AGENT}.echo", {"text": TEXT})

    return await server.catch({"fab.call.>": "request", "_INBOX.>": "response"}, send_one)


async def echo(text: str) -> str:
    """The tool: gives back what it got."""
    return text


async def answer(plan: CallPlan, ready: Ready) -> Measured:
    """An agent with a tool."""
    async with connect(plan.place, "bench-process") as fab, fab.agent(plan.agent) as me:
        me.tool(echo)
        ready()
        await until_stdin_ends()
    return Measured(values={})


async def call(plan: CallPlan, _ready: Ready) -> Measured:
    """`fabric.call`."""
    target = f"{plan.agent}.echo"
    arguments = {"text": TEXT}
    async with connect(plan.place, "bench") as fab:

        async def one() -> bytes:
            return (await fab.call(target, arguments, deadline_s=DEADLINE_S)).data

        return await drive(plan, one)


async def drive(plan: CallPlan, one: Callable[[], Awaitable[bytes]]) -> Measured:
    """Both loads with any `one` call; what is not answered rightly counts as lost. For peers too."""
    expected = json.dumps(TEXT).encode()
    wrong = 0

    async def checked() -> None:
        nonlocal wrong
        wrong += await one() != expected

    for _ in range(WARM_UP_CALLS):
        await checked()
    latencies_us = []
    async for intended in paced(plan.rate_per_s, plan.paced):
        await checked()
        latencies_us.append((time.perf_counter() - intended) * 1e6)
    clock = Clock()
    await _all_at_once(plan, checked)
    clock.stop()
    return Measured(
        values={
            "call.p50_us": percentile(latencies_us, 50),
            "call.p99_us": percentile(latencies_us, 99),
            "call.concurrent": plan.concurrent / clock.elapsed_s,
        },
        lost=wrong,
        notes=clock.cpu(plan.concurrent),
    )


async def _all_at_once(plan: CallPlan, checked: Callable[[], Awaitable[None]]) -> None:
    left = iter(range(plan.concurrent))

    async def caller() -> None:
        for _ in left:
            await checked()

    async with asyncio.TaskGroup() as callers:
        for _ in range(plan.in_flight):
            callers.create_task(caller())
