"""`live.end_to_end`: one process publishes live messages to a channel, another has joined it with a handler.

Counted from the first message offered to the last one handled, over both processes. Everybody keeps the same
distance from the receiver, so that the server never cuts a slow one off. Above: runner.
"""

import asyncio
import tempfile
from functools import partial
from pathlib import Path

from fabric_bench.check import check, numbers_of, payloads
from fabric_bench.ours import connect
from fabric_bench.pacing import AHEAD_MAX, GAUGE_STEP, Clock, Gauge, finished
from fabric_bench.place import Server
from fabric_bench.plans import LivePlan, Measured
from fabric_bench.report import Goal, Result, Row, in_turn
from fabric_bench.worker import Ready, Worker
from fabric_codecs.envelope import Envelope

__all__ = ["publish", "receive", "run"]

CHANNEL = "bench.live"
MESSAGES, MESSAGES_QUICK = 300_000, 150_000
PARTS = {
    "ours": ("fabric_bench.scenarios.live:publish", "fabric_bench.scenarios.live:receive"),
    "raw": ("fabric_bench.floors.raw:live_publish", "fabric_bench.floors.raw:live_receive"),
    "nats_py": ("fabric_bench.peers.nats_py:live_publish", "fabric_bench.peers.nats_py:live_receive"),
}
ROW = Row(
    id="live.end_to_end",
    what="256 B with full headers from one process to a handler in another, one channel, at most "
    f"{AHEAD_MAX:,} messages under way",
    unit="msg/s",
    goals=(Goal("nats_py", 5.0),),
)


async def run(server: Server, *, rounds: int, quick: bool) -> list[Result]:
    """All runs of the scenario."""

    async def send_one() -> None:
        async with (
            connect(server.user, "bench") as fab,
            fab.channel(CHANNEL).publisher(delivery="live") as out,
        ):
            await out.send(payloads(1)[0])

    (specimen,) = await server.catch({f"fab.lv.*.{CHANNEL}": "event"}, send_one)
    count = MESSAGES_QUICK if quick else MESSAGES

    async def measured(publisher: str, receiver: str) -> Measured:
        with tempfile.TemporaryDirectory(prefix="fabric-bench-") as folder:
            plan = LivePlan(
                place=server.user,
                channel=CHANNEL,
                count=count,
                gauge=str(Path(folder) / "gauge"),
                specimen=specimen,
            )
            async with Worker(receiver, plan) as receiving:
                await receiving.ready()
                async with Worker(publisher, plan) as publishing:
                    sent = await publishing.measured()
                result = await receiving.measured()
        elapsed_s = result.values["ended_s"] - sent.values["started_s"]
        result.values = {ROW.id: count / elapsed_s}
        result.notes["publisher_cpu_us"] = sent.notes["cpu_us"]
        return result

    parts = {name: partial(measured, *pair) for name, pair in PARTS.items()}
    return [Result(ROW, await in_turn(rounds, parts))]


async def publish(plan: LivePlan, _ready: Ready) -> Measured:
    """`channel.publisher(delivery="live")`."""
    messages = payloads(plan.count)
    with Gauge(plan.gauge) as gauge:
        async with connect(plan.place, "bench") as fab:
            clock = Clock()
            async with fab.channel(plan.channel).publisher(delivery="live") as out:
                for number, payload in enumerate(messages):
                    if number % GAUGE_STEP == 0:
                        await gauge.room(number)
                    await out.send(payload)
            clock.stop()
    return Measured(values={"started_s": clock.started_s}, notes=clock.cpu(plan.count))


async def receive(plan: LivePlan, ready: Ready) -> Measured:
    """`channel.join(handler)`."""
    arrived: list[bytes] = []
    complete = asyncio.Event()
    with Gauge(plan.gauge) as gauge:

        def handle(envelope: Envelope) -> None:
            arrived.append(envelope.data)
            received = len(arrived)
            if received % GAUGE_STEP == 0:
                gauge.write(received)
            if received == plan.count:
                complete.set()

        async with (
            connect(plan.place, "bench-member") as fab,
            fab.channel(plan.channel).join(handle) as member,
        ):
            clock = Clock()
            ready()
            await finished(complete)
            clock.stop()
            notes = {"missed": member.missed, **clock.cpu(plan.count)}
    found = check(numbers_of(arrived), range(plan.count))
    return Measured(values={"ended_s": clock.ended_s}, notes=notes, **found._asdict())
