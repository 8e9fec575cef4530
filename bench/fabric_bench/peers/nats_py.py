"""nats-py doing the same jobs with the same bytes, on uvloop too, each by the fastest way it documents.

Header dicts are made before the clock starts, which its users cannot do; its callbacks do no more than ours.
Above: scenarios.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from fabric.client import AgentCard, Skill
from fabric.subjects import shard, stored_filters
from fabric_bench.check import check, numbers_of, payloads
from fabric_bench.pacing import GAUGE_STEP, Clock, Gauge, finished
from fabric_bench.place import stream_of
from fabric_bench.plans import (
    CallPlan,
    CatchupPlan,
    DurablePlan,
    FanoutPlan,
    LivePlan,
    Measured,
    Place,
    RegisterPlan,
)
from fabric_bench.scenarios.call import DEADLINE_S, WARM_UP_CALLS, drive
from fabric_bench.scenarios.catchup import Gathering, Histories
from fabric_bench.scenarios.fanout import WINDOW, Crowd
from fabric_bench.specimens import lines_of
from fabric_bench.worker import Ready, until_stdin_ends

__all__ = [
    "answer",
    "call",
    "catchup",
    "catchup_together",
    "durable",
    "fanout_publish",
    "fanout_receive",
    "live_publish",
    "live_receive",
    "register",
]

PUTS_AT_ONCE = 200


@asynccontextmanager
async def connected(place: Place) -> AsyncIterator[Client]:
    """A client that never waits to reconnect: a bench with a lost connection has failed."""
    client = await nats.connect(place.url, user_credentials=place.creds or None, allow_reconnect=False)
    try:
        yield client
    finally:
        await client.close()


async def durable(plan: DurablePlan, _ready: Ready) -> Measured:
    """`publish_async`, then `publish_async_completed`."""
    subject = plan.specimen.subject
    messages = payloads(plan.count)
    headers = [lines_of(plan.specimen, number) for number in range(1, plan.count + 1)]
    async with connected(plan.place) as client:
        stream = client.jetstream(publish_async_max_pending=plan.window)
        acknowledged = []
        clock = Clock()
        for payload, lines in zip(messages, headers, strict=True):
            acknowledged.append(await stream.publish_async(subject, payload, headers=lines))
        await stream.publish_async_completed()
        clock.stop()
    sequences = [done.result().seq for done in acknowledged if done.done() and not done.exception()]
    found = check(sequences, range(sequences[0], sequences[0] + plan.count))
    return Measured(
        values={"durable.publish": plan.count / clock.elapsed_s},
        notes=clock.cpu(plan.count),
        **found._asdict(),
    )


async def live_publish(plan: LivePlan, _ready: Ready) -> Measured:
    """`publish`, with a turn of the loop now and then: without one nothing is written."""
    subject = plan.specimen.subject
    messages = payloads(plan.count)
    headers = [lines_of(plan.specimen, number) for number in range(1, plan.count + 1)]
    with Gauge(plan.gauge) as gauge:
        async with connected(plan.place) as client:
            clock = Clock()
            for number, payload in enumerate(messages):
                if number % GAUGE_STEP == 0:
                    await asyncio.sleep(0)
                    await gauge.room(number)
                await client.publish(subject, payload, headers=headers[number])
            await client.flush()
            clock.stop()
    return Measured(values={"started_s": clock.started_s}, notes=clock.cpu(plan.count))


async def live_receive(plan: LivePlan, ready: Ready) -> Measured:
    """`subscribe` with a callback."""
    arrived: list[bytes] = []
    complete = asyncio.Event()
    source = plan.specimen.subject.split(".")[2]
    with Gauge(plan.gauge) as gauge:

        async def handle(message: Msg) -> None:
            arrived.append(message.data)
            received = len(arrived)
            if received % GAUGE_STEP == 0:
                gauge.write(received)
            if received == plan.count:
                complete.set()

        async with connected(plan.place) as client:
            await client.subscribe(plan.specimen.subject.replace(f".{source}.", ".*.", 1), cb=handle)
            await client.flush()
            clock = Clock()
            ready()
            await finished(complete)
            clock.stop()
    found = check(numbers_of(arrived), range(plan.count))
    return Measured(values={"ended_s": clock.ended_s}, notes=clock.cpu(plan.count), **found._asdict())


async def answer(plan: CallPlan, ready: Ready) -> Measured:
    """A callback that answers each request."""
    headers = lines_of(plan.response, 1)
    async with connected(plan.place) as client:

        async def handle(message: Msg) -> None:
            text = json.loads(message.data)["text"]
            await client.publish(message.reply, json.dumps(text).encode(), headers=headers)

        await client.subscribe(f"fab.call.{plan.agent}.*", cb=handle)
        await client.flush()
        ready()
        await until_stdin_ends()
    return Measured(values={})


async def call(plan: CallPlan, _ready: Ready) -> Measured:
    """`request`."""
    subject, payload = plan.request.subject, plan.request.payload
    calls = WARM_UP_CALLS + plan.paced + plan.concurrent
    headers = iter([lines_of(plan.request, number) for number in range(1, calls + 1)])
    async with connected(plan.place) as client:

        async def one() -> bytes:
            return (await client.request(subject, payload, timeout=DEADLINE_S, headers=next(headers))).data

        return await drive(plan, one)


async def catchup(plan: CatchupPlan, _ready: Ready) -> Measured:
    """An ordered consumer with a filter for each member."""
    histories = Histories(plan)

    async def handle(message: Msg) -> None:
        histories.arrived(message.data)

    async with connected(plan.place) as client:
        stream = client.jetstream()
        for name in plan.channels:
            (pattern,) = stored_filters(name, shard(name))
            histories.start()
            subscription = await stream.subscribe(
                pattern, stream=stream_of(name), ordered_consumer=True, cb=handle
            )
            await histories.read()
            await subscription.unsubscribe()
            histories.close()
    return histories.measured()


async def catchup_together(plan: CatchupPlan, _ready: Ready) -> Measured:
    """An ordered consumer with a filter for each member, all at once."""
    gathering = Gathering(plan)

    def callback(arrived: Callable[[bytes], None]) -> Callable[[Msg], Awaitable[None]]:
        async def handle(message: Msg) -> None:
            arrived(message.data)

        return handle

    async with connected(plan.place) as client:
        stream = client.jetstream()
        clock = Clock()
        joining = []
        for name in plan.channels:
            (pattern,) = stored_filters(name, shard(name))
            heard = callback(gathering.ear())
            joining.append(stream.subscribe(pattern, stream=stream_of(name), ordered_consumer=True, cb=heard))
        await asyncio.gather(*joining)
        return await gathering.measured(clock)


async def fanout_publish(plan: FanoutPlan, _ready: Ready) -> Measured:
    """`publish_async`, its acks awaited in the end."""
    subject = plan.specimen.subject
    messages = payloads(plan.count)
    headers = [lines_of(plan.specimen, number) for number in range(1, plan.count + 1)]
    with Gauge(plan.gauge) as gauge:
        async with connected(plan.place) as client:
            stream = client.jetstream(publish_async_max_pending=WINDOW)
            clock = Clock()
            for number, payload in enumerate(messages):
                await gauge.room(number * plan.copies)
                await stream.publish_async(subject, payload, headers=headers[number])
            await stream.publish_async_completed()
            clock.stop()
    return Measured(values={"started_s": clock.started_s}, notes=clock.cpu(plan.count))


async def fanout_receive(plan: FanoutPlan, ready: Ready) -> Measured:
    """A subscription with a callback for each member."""
    crowd = Crowd(plan)
    source = plan.specimen.subject.split(".")[3]
    subject = plan.specimen.subject.replace("fab.ch.", "fab.cho.", 1).replace(f".{source}.", ".*.", 1)

    def callback(arrived: Callable[[bytes], None]) -> Callable[[Msg], Awaitable[None]]:
        async def handle(message: Msg) -> None:
            arrived(message.data)

        return handle

    async with AsyncExitStack() as clients:
        for connection in range(plan.connections):
            client = await clients.enter_async_context(connected(plan.place))
            for member in range(plan.members):
                await client.subscribe(subject, cb=callback(crowd.ear(connection, member)))
            await client.flush()
        return await crowd.measured(ready)


async def register(plan: RegisterPlan, _ready: Ready) -> Measured:
    """`KV.put` of records as long as ours, `PUTS_AT_ONCE` at a time; the bucket keeps one value a key, in a
    file, as the registry does."""
    async with connected(plan.place) as client:
        bucket = await client.jetstream().create_key_value(bucket="bench", storage="file", history=1)
        left = iter(range(plan.count))

        async def putter() -> None:
            for number in left:
                card = AgentCard(f"bench-{number:06d}", 1, "0123456789", "bench", skills=(Skill("skill-1"),))
                await bucket.put(card.name, msgspec.json.encode(card))

        clock = Clock()
        async with asyncio.TaskGroup() as putters:
            for _ in range(PUTS_AT_ONCE):
                putters.create_task(putter())
        clock.stop()
        stored = (await bucket.status()).values
        await client.jetstream().delete_key_value("bench")
    return Measured(
        values={"register.rate": plan.count / clock.elapsed_s},
        notes=clock.cpu(plan.count),
        lost=plan.count - stored,
    )
