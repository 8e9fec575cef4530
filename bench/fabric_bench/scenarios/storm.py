"""`storm.*`: one source offers ten times what the workers can do, while twenty others work as always.

Once with the neighbours in the stormer's partition (`colliding`), once apart from it. A node runs in a
process of its own, and so do the worker, the neighbours and the stormer. Latency is counted from when a job
should have been put to when its handler returned. Every job that was accepted must be worked, once. Above:
runner.

| phase | neighbours | stormer |
|---|---|---|
| idle | half of what the workers can do, evenly | - |
| storm | the same | ten times what the workers can do, evenly, refused or not |
| after | the same | - |
"""

import asyncio
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from fabric.client import Receipt
from fabric.client.queues.job import Job
from fabric.config import load_config
from fabric.errors import Refused
from fabric.jetstream.layout import DEAD_STREAM, QUEUE_STREAM
from fabric.node.edges import known_edges
from fabric.node.node import Node
from fabric.rules.queues.partitions import PRIORITY_DEFAULT, partition_of
from fabric_bench.ours import connect
from fabric_bench.pacing import percentile, ticks
from fabric_bench.place import Server
from fabric_bench.plans import Measured, StormPlan
from fabric_bench.report import Goal, Result, Row
from fabric_bench.worker import Ready, RunFailed, Worker, until_stdin_ends

__all__ = ["draw", "neighbours", "node", "run", "stormer", "work"]

IN_HAND, SERVICE_S = 8, 0.008
CAPACITY_PER_S = IN_HAND / SERVICE_S
NEIGHBOURS, NEIGHBOUR_SHARE, STORM_FACTOR = 20, 0.5, 10
PROCESSES_S = 4.0  # until all are connected
IDLE_S, STORM_S, AFTER_S = 10.0, 30.0, 10.0
IDLE_QUICK_S, STORM_QUICK_S, AFTER_QUICK_S = 4.0, 8.0, 5.0
DRAIN_S = 10.0
BUCKET_S = 0.5
BACK_TO_IDLE = 1.5  # times the idle median
MIB = 1 << 20
GOALS = {
    "neighbour_p99_ratio": ("the others' p99 in the storm over theirs before it", "x", "lower", 3.0),
    "jain": ("Jain's index over what was worked for each of the others in the storm", "", "higher", 0.95),
    "node_mb": ("the node's memory at its highest, without nats-server", "MB", "lower", 300.0),
    "recovery_s": (
        "from the storm's end until it is worked off and the others are back to idle",
        "s",
        "lower",
        5.0,
    ),
}
KINDS = ("colliding", "apart")
COLUMNS = ("time_s", "offered", "accepted", "refused", "worked", "neighbours_p99_ms")


async def run(server: Server, *, rounds: int, quick: bool) -> list[Result]:
    """All runs of the scenario; quick runs take one round."""
    runs = []
    for _ in range(1 if quick else rounds):
        found = {kind: await _storm(server, kind, quick=quick) for kind in KINDS}
        runs.append({"ours": _together(found)})
    return [Result(row, runs) for row in _rows()]


def _rows() -> list[Row]:
    return [
        Row(id=f"storm.{name}{kind}", what=what + where, unit=unit, better=better, goals=(Goal("", goal),))  # type: ignore[arg-type]
        for name, (what, unit, better, goal) in GOALS.items()
        for kind, where in (
            ("", ", at worse"),
            (".colliding", ", in the stormer's partition"),
            (".apart", ", in another"),
        )
    ]


def _together(found: dict[str, Measured]) -> Measured:
    values: dict[str, float] = {}
    series: dict[str, list[float]] = {}
    for name, (_, _, better, _) in GOALS.items():
        each = {kind: measured.values[name] for kind, measured in found.items()}
        values |= {f"storm.{name}.{kind}": value for kind, value in each.items()}
        values[f"storm.{name}"] = max(each.values()) if better == "lower" else min(each.values())
    for kind, measured in found.items():
        series |= {f"{kind}.{column}": values_ for column, values_ in measured.series.items()}
    return Measured(
        values=values,
        lost=sum(measured.lost for measured in found.values()),
        duplicated=sum(measured.duplicated for measured in found.values()),
        notes={f"{kind}.{name}": value for kind, one in found.items() for name, value in one.notes.items()},
        series=series,
    )


async def _storm(server: Server, kind: str, *, quick: bool) -> Measured:
    await server.purge(QUEUE_STREAM, DEAD_STREAM)
    idle_s, storm_s, after_s = (
        (IDLE_QUICK_S, STORM_QUICK_S, AFTER_QUICK_S) if quick else (IDLE_S, STORM_S, AFTER_S)
    )
    with tempfile.TemporaryDirectory(prefix="fabric-storm-") as home:
        plan = StormPlan(
            place=server.user,
            admin=server.admin,
            home=home,
            queue=f"storm-{kind}",
            neighbours=tuple(_names("n0" if kind == "colliding" else "n1", NEIGHBOURS)),
            neighbour_rate_per_s=NEIGHBOUR_SHARE * CAPACITY_PER_S,
            stormer=next(iter(_names("n0", 1, "stormer"))),
            storm_rate_per_s=STORM_FACTOR * CAPACITY_PER_S,
            in_hand=IN_HAND,
            service_s=SERVICE_S,
            begin_s=0.0,
            storm_from_s=idle_s,
            storm_to_s=idle_s + storm_s,
            end_s=idle_s + storm_s + after_s,
        )
        here = "fabric_bench.scenarios.storm"
        async with Worker(f"{here}:node", plan) as node_process:
            await node_process.ready()
            plan = msgspec.structs.replace(plan, begin_s=time.perf_counter() + PROCESSES_S)
            async with (
                Worker(f"{here}:work", plan) as working,
                Worker(f"{here}:neighbours", plan) as calm,
                Worker(f"{here}:stormer", plan) as wild,
            ):
                await working.ready()
                put = [await calm.measured(), await wild.measured()]
                worked = await working.finished()
            memory = await node_process.finished()
    return _judge(plan, put[0], put[1], worked, memory)


def _names(partition: str, count: int, stem: str = "neighbour") -> Iterable[str]:
    found = 0
    for number in range(10_000):
        if found < count and partition_of(f"{stem}-{number}", PRIORITY_DEFAULT) == partition:
            found += 1
            yield f"{stem}-{number}"


# The parts


async def node(plan: StormPlan, ready: Ready) -> Measured:
    """A node with all its edges."""
    edges = {name: {"port": 0} for name in known_edges()}
    nats = {"url": plan.admin.url, "creds": plan.admin.creds}
    flags = {"nats": nats, "node": {"port": 0}, "edges": edges}
    config = load_config(flags=flags, environ={"FABRIC_HOME": plan.home}, edge_names=list(edges))
    async with Node(config):
        ready()
        await until_stdin_ends()
        memory_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Measured(values={"node_mb": memory_kib * 1024 / MIB})


async def work(plan: StormPlan, ready: Ready) -> Measured:
    """Works each job for `service_s`, and writes down when it was done."""
    done: dict[str, list[float]] = {"source": [], "number": [], "intended_s": [], "done_s": []}
    names = {name: number for number, name in enumerate((*plan.neighbours, plan.stormer))}

    async def handle(job: Job) -> None:
        await asyncio.sleep(plan.service_s)
        number, intended_s = job.data.split(b" ")
        row = (names[job.source], int(number), float(intended_s), time.perf_counter() - plan.begin_s)
        for column, value in zip(done.values(), row, strict=True):
            column.append(value)

    async with connect(plan.place, "bench-worker") as fab:
        worker = fab.queue(plan.queue).work(handle, concurrency=plan.in_hand)
        await worker.start()
        working = asyncio.ensure_future(worker)
        ready()
        await until_stdin_ends()
        deadline = time.perf_counter() + DRAIN_S
        while worker.account.in_flight and time.perf_counter() < deadline:  # noqa: ASYNC110 - a count has no event
            await asyncio.sleep(BUCKET_S)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    return Measured(values={}, series=done)


class _Offers:
    """What one process offered, and what became of it, in the worker's columns."""

    def __init__(self, plan: StormPlan, names: Sequence[str], first: int) -> None:
        self.outcomes: dict[str, list[float]] = {"source": [], "number": [], "at_s": [], "accepted": []}
        self._plan = plan
        self._names = {name: first + at for at, name in enumerate(names)}

    def note(self, name: str, number: int, outcome: Receipt | Refused) -> None:
        """A job's outcome; `number` is the bench's own."""
        row = (
            self._names[name],
            number,
            time.perf_counter() - self._plan.begin_s,
            isinstance(outcome, Receipt),
        )
        for column, value in zip(self.outcomes.values(), row, strict=True):
            column.append(float(value))


async def neighbours(plan: StormPlan, _ready: Ready) -> Measured:
    """Each source puts its jobs evenly, one process for all."""
    return await _offer(plan, plan.neighbours, 0, plan.neighbour_rate_per_s, 0.0, plan.end_s)


async def stormer(plan: StormPlan, _ready: Ready) -> Measured:
    """One source puts far more than fits, whatever it is told."""
    at = len(plan.neighbours)
    return await _offer(plan, (plan.stormer,), at, plan.storm_rate_per_s, plan.storm_from_s, plan.storm_to_s)


async def _offer(
    plan: StormPlan, names: Sequence[str], first: int, rate_per_s: float, from_s: float, to_s: float
) -> Measured:
    offers = _Offers(plan, names, first)
    own: dict[int, tuple[str, int]] = {}

    def note(number: int, outcome: Receipt | Refused) -> None:
        offers.note(*own.pop(number), outcome)

    async with connect(plan.place, "bench-putter") as fab:
        outs = [
            fab.on_behalf_of(name).queue(plan.queue).putter(window=1024, on_outcome=note) for name in names
        ]
        start_s, count = plan.begin_s + from_s, round(rate_per_s * (to_s - from_s))
        number = 0
        async for intended in ticks(start_s, rate_per_s, count):
            name = names[number % len(names)]
            sent = await outs[number % len(names)].send(b"%d %.6f" % (number, intended - plan.begin_s))
            own[sent] = name, number
            number += 1
        for out in outs:
            await out.settle()
    return Measured(values={"offered": count}, series=offers.outcomes)


# What it comes to


def _judge(plan: StormPlan, calm: Measured, wild: Measured, worked: Measured, memory: Measured) -> Measured:
    done = list(zip(*worked.series.values(), strict=True))
    keys = Counter((source, number) for source, number, _, _ in done)
    outcomes = [row for measured in (calm, wild) for row in zip(*measured.series.values(), strict=True)]
    accepted = {(source, number) for source, number, _, taken in outcomes if taken}
    others = [
        (at, intended, ended - intended) for at, _, intended, ended in done if at < len(plan.neighbours)
    ]
    idle = [latency for _, intended, latency in others if 1.0 <= intended < plan.storm_from_s]
    storm = [latency for _, intended, latency in others if plan.storm_from_s <= intended < plan.storm_to_s]
    if not idle or not storm:
        raise RunFailed("nothing of the neighbours was worked")
    shares = Counter(at for at, intended, _ in others if plan.storm_from_s <= intended < plan.storm_to_s)
    refused = [row for row in outcomes if not row[3]]
    return Measured(
        values={
            "neighbour_p99_ratio": percentile(storm, 99) / percentile(idle, 99),
            "jain": _jain([shares[at] for at in range(len(plan.neighbours))]),
            "node_mb": memory.values["node_mb"],
            "recovery_s": _recovery_s(plan, done, others, percentile(idle, 50)),
        },
        lost=len(accepted - set(keys)),
        duplicated=sum(count - 1 for count in keys.values()),
        notes={
            "idle_p99_ms": percentile(idle, 99) * 1000,
            "storm_p99_ms": percentile(storm, 99) * 1000,
            "stormer_accepted": sum(1 for at, _ in accepted if at == len(plan.neighbours)),
            "stormer_refused": sum(1 for row in refused if row[0] == len(plan.neighbours)),
            "neighbours_refused": sum(1 for row in refused if row[0] < len(plan.neighbours)),
            "offered_per_s": wild.values["offered"] / (plan.storm_to_s - plan.storm_from_s),
        },
        series=_over_time(plan, calm, wild, done, others),
    )


def _jain(shares: Sequence[int]) -> float:
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares)) if any(shares) else 0.0


def _recovery_s(
    plan: StormPlan, done: Sequence[tuple[float, ...]], others: Sequence[tuple[float, ...]], idle_s: float
) -> float:
    drained = max((ended for at, _, _, ended in done if at == len(plan.neighbours)), default=plan.storm_to_s)
    back = plan.storm_to_s
    for bucket in _buckets(plan.storm_to_s, plan.end_s):
        here = [latency for _, intended, latency in others if bucket <= intended < bucket + BUCKET_S]
        if here and percentile(here, 50) > BACK_TO_IDLE * idle_s:
            back = bucket + BUCKET_S
    return max(drained, back) - plan.storm_to_s


def _over_time(
    plan: StormPlan,
    calm: Measured,
    wild: Measured,
    done: Sequence[tuple[float, ...]],
    others: Sequence[tuple[float, ...]],
) -> dict[str, list[float]]:
    def per_s(moments: Iterable[float]) -> list[float]:
        counts = Counter(int(moment / BUCKET_S) for moment in moments)
        return [counts[int(bucket / BUCKET_S)] / BUCKET_S for bucket in buckets]

    buckets = _buckets(0.0, plan.end_s)
    outcomes = [row for measured in (calm, wild) for row in zip(*measured.series.values(), strict=True)]
    late: dict[int, list[float]] = {}
    for _, intended, latency in others:
        late.setdefault(int(intended / BUCKET_S), []).append(latency)
    storm = [plan.storm_rate_per_s * (plan.storm_from_s <= bucket < plan.storm_to_s) for bucket in buckets]
    columns = (
        buckets,
        [plan.neighbour_rate_per_s + wild_ for wild_ in storm],
        per_s(moment for _, _, moment, taken in outcomes if taken),
        per_s(moment for _, _, moment, taken in outcomes if not taken),
        per_s(ended for _, _, _, ended in done),
        [
            percentile(late[at], 99) * 1000 if (at := int(bucket / BUCKET_S)) in late else 0.0
            for bucket in buckets
        ],
    )
    return dict(zip(COLUMNS, columns, strict=True))


def _buckets(from_s: float, to_s: float) -> list[float]:
    return [at * BUCKET_S for at in range(int(from_s / BUCKET_S), int(to_s / BUCKET_S))]


def draw(results: Sequence[Result], file: Path) -> str:
    """The last run as a picture: rates, and the neighbours' p99. Says where it is, or how to get what draws
    it."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return "no picture: pip install 'agent-message-fabric[bench]' draws one"
    series = results[0].rounds[-1]["ours"].series
    figure = Figure(figsize=(11, 7))
    axes = figure.subplots(2, len(KINDS), sharex=True, squeeze=False)
    for at, kind in enumerate(KINDS):
        rates, latency = axes[0][at], axes[1][at]
        for column in COLUMNS[1:5]:
            rates.plot(series[f"{kind}.time_s"], series[f"{kind}.{column}"], label=column)
        latency.plot(series[f"{kind}.time_s"], series[f"{kind}.neighbours_p99_ms"], label="neighbours' p99")
        rates.set(title=kind, ylabel="jobs/s", yscale="symlog")
        latency.set(xlabel="seconds", ylabel="ms", ylim=(0, None))
        rates.legend()
        latency.legend()
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    return f"the storm: {file}"
