"""nats-py doing the job of an inbox: a durable push consumer for each agent, every message acknowledged.

The consumers are made before the clock starts; the callback does no more than ours. Above: `scenarios.inbox`.
"""

import asyncio

from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig

from fabric.jetstream.layout import inbox_stream
from fabric.subjects import inbox_letters, shard
from fabric_bench.pacing import Clock, finished
from fabric_bench.peers.nats_py import connected
from fabric_bench.plans import InboxPlan, Measured
from fabric_bench.scenarios.inbox import OPENING, Arrivals, names_of
from fabric_bench.worker import Ready

__all__ = ["own"]


async def own(plan: InboxPlan, ready: Ready) -> Measured:
    """`subscribe(durable=..., cb=...)` and `ack` for each agent; what is not acknowledged counts as lost."""
    arrivals = Arrivals(plan)
    names = names_of(plan)

    async with connected(plan.admin) as client:
        stream = client.jetstream()

        async def subscribe(agent: int) -> None:
            async def handle(message: Msg) -> None:
                arrivals.arrived(agent, message.data)
                await message.ack()

            await stream.subscribe(
                inbox_letters(names[agent]),
                stream=inbox_stream(shard(names[agent])),
                durable=names[agent],
                cb=handle,
                manual_ack=True,
                config=ConsumerConfig(max_ack_pending=plan.letters),
            )

        for start in range(0, plan.agents, OPENING):
            await asyncio.gather(*map(subscribe, range(start, min(start + OPENING, plan.agents))))
        ready()
        clock = Clock()
        await finished(arrivals.complete)
        clock.stop()
        delivered_s = clock.ended_s
        await client.flush()  # the server has every acknowledgement
        clock.stop()
        waiting = 0
        for name in names:
            info = await stream.consumer_info(inbox_stream(shard(name)), name)
            waiting += (info.num_ack_pending or 0) + (info.num_pending or 0)
            await stream.delete_consumer(inbox_stream(shard(name)), name)
    found = arrivals.check()
    return Measured(
        values={"inbox.deliver": delivered_s, "inbox.settle": clock.ended_s},
        lost=max(found.lost, waiting),
        duplicated=found.duplicated,
        disordered=found.disordered,
    )
