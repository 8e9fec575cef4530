"""`queue.take_ack`: one process takes jobs of a queue and acknowledges each.

Ours acknowledges with the server's confirmation, and serves sources in turn; nats-py fetches batches from
the same consumers and sends its acks unconfirmed. One putter (ours, many sources) fills the queue for both.
Above: runner.
"""

from contextlib import AsyncExitStack
from functools import partial

from fabric.client import Session
from fabric.jetstream.layout import QUEUE_STREAM
from fabric.node.queues import QueueService
from fabric.node.services import Services
from fabric_bench.check import Checked, check, numbers_of, payloads
from fabric_bench.ours import connect
from fabric_bench.pacing import Clock
from fabric_bench.place import Server
from fabric_bench.plans import Measured, QueuePlan
from fabric_bench.report import Goal, Result, Row, in_turn
from fabric_bench.worker import Ready, RunFailed, Worker

__all__ = ["ours", "put", "run", "unordered"]

QUEUE = "bench"
PER_SOURCE = 60  # of the 64 that the server lets a source leave in a partition
SOURCES, SOURCES_QUICK = 2000, 1000
IN_HAND = 1024
PUT = "fabric_bench.scenarios.queue:put"
PARTS = {
    "ours": "fabric_bench.scenarios.queue:ours",
    "nats_py": "fabric_bench.peers.nats_py_queue:take",
}
ROW = Row(
    id="queue.take_ack",
    what="256 B taken from a queue and acknowledged by one process: ours confirmed, theirs not",
    unit="msg/s",
    goals=(Goal("nats_py", 3.0),),
)


async def run(server: Server, *, rounds: int, quick: bool) -> list[Result]:
    """All runs of the scenario."""
    sources = SOURCES_QUICK if quick else SOURCES
    count = sources * PER_SOURCE
    plan = QueuePlan(place=server.user, queue=QUEUE, count=count, per_source=PER_SOURCE, in_hand=IN_HAND)

    async def measured(part: str) -> Measured:
        await server.purge(QUEUE_STREAM)
        async with Worker(PUT, plan) as putting:
            await putting.measured()
        async with Worker(part, plan) as taking:
            return await taking.measured()

    async with AsyncExitStack() as stack:
        session = Session([server.admin.url], name="bench-node", credentials=server.admin.creds)
        await session.open()
        stack.push_async_callback(session.close)
        services = Services(session.connection, {"queue": QueueService(session.connection)})
        stack.push_async_callback(services.stop)
        await session.ask("queue", "bench-node", {"open": QUEUE})
        runs = await in_turn(rounds, {name: partial(measured, part) for name, part in PARTS.items()})
    return [Result(ROW, runs)]


async def put(plan: QueuePlan, _ready: Ready) -> Measured:
    """Fill the queue: each source leaves its jobs in one go. (Mixed, they cost the server half as much
    again, for both: a log looks for the next message of a subject whenever one is removed.)"""
    messages = payloads(plan.count)
    async with connect(plan.place, "bench") as fab:
        sources = plan.count // plan.per_source
        putters = [fab.on_behalf_of(f"bench-{at}").queue(plan.queue).putter() for at in range(sources)]
        for number, payload in enumerate(messages):
            await putters[number // plan.per_source].send(payload)
        for putter in putters:
            await putter.settle()
    refused = sum(putter.refused for putter in putters)
    if refused:
        raise RunFailed(f"{refused} jobs were refused")
    return Measured(values={})


async def ours(plan: QueuePlan, _ready: Ready) -> Measured:
    """`async for job in queue.work(): job.ack()`, until the last ack is confirmed."""
    arrived: list[bytes] = []
    async with connect(plan.place, "bench") as fab:
        clock = Clock()
        last = None
        async for job in fab.queue(plan.queue).work(concurrency=plan.in_hand):
            arrived.append(job.data)
            last = job.ack()
            if len(arrived) == plan.count:
                break
        if last is not None:
            await last
        clock.stop()
    return Measured(
        values={ROW.id: plan.count / clock.elapsed_s},
        notes=clock.cpu(plan.count),
        **unordered(arrived, plan.count)._asdict(),
    )


def unordered(arrived: list[bytes], count: int) -> Checked:
    """The check of a queue, which promises no order without keys. For peers too."""
    return check(sorted(numbers_of(arrived)), range(count))
