"""nats-py working a queue as its documentation shows: `fetch` a batch, `ack` each. Above: the queue
scenario."""

import asyncio

import nats
from nats.errors import TimeoutError as NothingCame

from fabric.jetstream.layout import QUEUE_STREAM
from fabric.rules.queues.partitions import PARTITIONS
from fabric.subjects import queue_consumer
from fabric_bench.pacing import GIVE_UP_S, Clock
from fabric_bench.plans import Measured, QueuePlan
from fabric_bench.scenarios.queue import ROW, unordered
from fabric_bench.worker import Ready

__all__ = ["take"]

BATCH = 500
FETCH_TIMEOUT_S = 1.0


async def take(plan: QueuePlan, _ready: Ready) -> Measured:
    """One task for each consumer that has jobs: those without a priority or key."""
    arrived: list[bytes] = []
    complete = asyncio.Event()
    client = await nats.connect(
        plan.place.url,
        user_credentials=plan.place.creds or None,
        allow_reconnect=False,
        inbox_prefix=b"_INBOX.bench",
    )
    stream = client.jetstream()

    async def work(consumer: str) -> None:
        subscription = await stream.pull_subscribe_bind(consumer=consumer, stream=QUEUE_STREAM)
        while True:
            try:
                messages = await subscription.fetch(BATCH, timeout=FETCH_TIMEOUT_S)
            except NothingCame:
                continue
            for message in messages:
                arrived.append(message.data)
                await message.ack()
            if len(arrived) >= plan.count:
                complete.set()

    clock = Clock()
    names = [queue_consumer(plan.queue, one.token) for one in PARTITIONS if one.token.startswith("n")]
    tasks = [asyncio.create_task(work(name)) for name in names]
    async with asyncio.timeout(GIVE_UP_S):
        await complete.wait()
    await client.flush()
    clock.stop()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await client.close()
    return Measured(
        values={ROW.id: plan.count / clock.elapsed_s},
        notes=clock.cpu(plan.count),
        **unordered(arrived, plan.count)._asdict(),
    )
