"""`durable.publish`: one process publishes to one channel, every message acknowledged from the log.

Ours, the raw socket and nats-py's `publish_async` send the same bytes to the same stream (file, republish,
direct get), emptied before each run; nobody is joined. Above: runner.
"""

from functools import partial

from fabric.client import Receipt
from fabric.errors import Refused
from fabric_bench.check import check, payloads
from fabric_bench.ours import connect
from fabric_bench.pacing import Clock
from fabric_bench.place import Server, stream_of
from fabric_bench.plans import DurablePlan, Measured
from fabric_bench.report import Goal, Result, Row, in_turn
from fabric_bench.worker import Ready, Worker

__all__ = ["ours", "run"]

CHANNEL = "bench.durable"
MESSAGES, MESSAGES_QUICK = 200_000, 100_000  # in one run; more than the layout keeps of one subject
WINDOW = 4096  # messages without an acknowledgement, the same for all three
PARTS = {
    "ours": "fabric_bench.scenarios.durable:ours",
    "raw": "fabric_bench.floors.raw:durable",
    "nats_py": "fabric_bench.peers.nats_py:durable",
}
ROW = Row(
    id="durable.publish",
    what="256 B with full headers to one channel (file, republish), each acknowledged, "
    f"{WINDOW:,} in flight, nobody joined",
    unit="msg/s",
    goals=(Goal("raw", 0.8), Goal("nats_py", 3.0)),
)


async def run(server: Server, *, rounds: int, quick: bool) -> list[Result]:
    """All runs of the scenario."""

    async def send_one() -> None:
        async with connect(server.user, "bench") as fab, fab.channel(CHANNEL).publisher() as out:
            await out.send(payloads(1)[0])

    (specimen,) = await server.catch({f"fab.ch.*.*.{CHANNEL}": "event"}, send_one)
    plan = DurablePlan(
        place=server.user,
        channel=CHANNEL,
        count=MESSAGES_QUICK if quick else MESSAGES,
        window=WINDOW,
        specimen=specimen,
    )

    async def measured(part: str) -> Measured:
        stream = stream_of(CHANNEL)
        await server.purge(stream)
        before = await server.last_sequence(stream)
        async with Worker(part, plan) as worker:
            result = await worker.measured()
        stored = await server.last_sequence(stream) - before  # the log's own count
        result.lost = max(result.lost, plan.count - stored)
        result.duplicated = max(result.duplicated, stored - plan.count)
        return result

    parts = {name: partial(measured, part) for name, part in PARTS.items()}
    return [Result(ROW, await in_turn(rounds, parts))]


async def ours(plan: DurablePlan, _ready: Ready) -> Measured:
    """`channel.publisher()`, a Receipt for each message."""
    messages = payloads(plan.count)
    outcomes: list[Receipt | Refused] = []
    async with connect(plan.place, "bench") as fab:
        channel = fab.channel(plan.channel)
        clock = Clock()
        async with channel.publisher(
            window=plan.window, on_outcome=lambda _, outcome: outcomes.append(outcome)
        ) as out:
            for payload in messages:
                await out.send(payload)
        clock.stop()
    stored = [outcome.sequence for outcome in outcomes if isinstance(outcome, Receipt)]
    found = check(stored, range(stored[0], stored[0] + plan.count) if stored else range(plan.count))
    return Measured(
        values={ROW.id: plan.count / clock.elapsed_s}, notes=clock.cpu(plan.count), **found._asdict()
    )
