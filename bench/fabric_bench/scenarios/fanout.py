"""`fanout.one_process`, `fanout.fifty_connections`: one durable publisher, a thousand members with handlers.

The members are in one process, on one connection or on fifty. Counted from the first message offered to the
last delivery handled, over both processes. nats-py has a subscription for each member, on the feed that the
server republishes. Everybody keeps the same number of bytes under way. Above: runner.
"""

import asyncio
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from fabric.client import Receipt
from fabric.errors import Refused
from fabric_bench.check import Checked, check, numbers_of, payloads
from fabric_bench.ours import connect
from fabric_bench.pacing import GAUGE_STEP, Clock, Gauge, finished
from fabric_bench.place import Server, stream_of
from fabric_bench.plans import FanoutPlan, Measured
from fabric_bench.report import Goal, Result, Row, in_turn
from fabric_bench.worker import Ready, Worker
from fabric_codecs.envelope import Envelope

__all__ = ["WINDOW", "Crowd", "publish", "receive", "run"]

CHANNEL = "bench.fanout"
MEMBERS = 1000
WINDOW = 4096
CONNECTIONS = {"fanout.one_process": 1, "fanout.fifty_connections": 50}
GOALS = {
    "fanout.one_process": (Goal("", 1e6),),
    "fanout.fifty_connections": (Goal("nats_py", 2.5),),
}
# Rates differ a hundredfold: each publishes so much that its run takes a second or more.
COUNT = {"ours": 8000, "nats_py": 500}
COUNT_QUICK = {"ours": 4000, "nats_py": 150}
PARTS = {
    "ours": ("fabric_bench.scenarios.fanout:publish", "fabric_bench.scenarios.fanout:receive"),
    "nats_py": ("fabric_bench.peers.nats_py:fanout_publish", "fabric_bench.peers.nats_py:fanout_receive"),
}


async def run(server: Server, *, rounds: int, quick: bool) -> list[Result]:
    """All runs of the scenario."""

    async def send_one() -> None:
        async with connect(server.user, "bench") as fab:
            await fab.channel(CHANNEL).publish(payloads(1)[0])

    (specimen,) = await server.catch({f"fab.ch.*.*.{CHANNEL}": "event"}, send_one)
    counts = COUNT_QUICK if quick else COUNT
    results = []
    for name, connections in CONNECTIONS.items():
        row = Row(
            id=name,
            what=f"256 B, durable, from one publisher to {MEMBERS:,} members with handlers in one process, "
            f"on {connections} connection{'s' * (connections > 1)}",
            unit="deliveries/s",
            goals=GOALS[name],
        )

        async def measured(participant: str, row: Row = row, connections: int = connections) -> Measured:
            await server.purge(stream_of(CHANNEL))
            members = MEMBERS // connections
            with tempfile.TemporaryDirectory(prefix="fabric-bench-") as folder:
                plan = FanoutPlan(
                    place=server.user,
                    channel=CHANNEL,
                    count=counts[participant],
                    connections=connections,
                    members=members,
                    copies=1 if participant == "ours" else members,
                    gauge=str(Path(folder) / "gauge"),
                    specimen=specimen,
                )
                return await _measured(row, plan, *PARTS[participant])

        results.append(Result(row, await in_turn(rounds, {name: partial(measured, name) for name in PARTS})))
    return results


async def _measured(row: Row, plan: FanoutPlan, publisher: str, receiver: str) -> Measured:
    async with Worker(receiver, plan) as receiving:
        await receiving.ready()
        async with Worker(publisher, plan) as publishing:
            sent = await publishing.measured()
        result = await receiving.measured()
    deliveries = plan.count * plan.connections * plan.members
    result.values = {row.id: deliveries / (result.values["ended_s"] - sent.values["started_s"])}
    result.notes["publisher_cpu_us"] = sent.notes["cpu_us"]
    return result


class Crowd:
    """All members of the receiving process: what each was handed, and how far the slowest is. For peers
    too."""

    def __init__(self, plan: FanoutPlan) -> None:
        self._plan = plan
        self._arrived: list[list[bytes]] = []
        self._first: list[list[bytes]] = []  # of each connection
        self._left = plan.connections * plan.members
        self._complete = asyncio.Event()
        self._gauge = Gauge(plan.gauge)

    def ear(self, connection: int, member: int) -> Callable[[bytes], None]:
        """What this member does with a payload."""
        arrived: list[bytes] = []
        self._arrived.append(arrived)
        count = self._plan.count
        if member == 0:
            self._first.append(arrived)

        def hear(payload: bytes) -> None:
            arrived.append(payload)
            if len(arrived) == count:
                self._left -= 1
                if not self._left:
                    self._complete.set()

        def hear_and_tell(payload: bytes) -> None:
            hear(payload)
            if len(arrived) * self._plan.copies % GAUGE_STEP < self._plan.copies:
                self._gauge.write(min(map(len, self._first)) * self._plan.copies)

        return hear_and_tell if member == 0 else hear

    async def measured(self, ready: Ready) -> Measured:
        """Everybody is there: until everybody has everything."""
        clock = Clock()
        ready()
        await finished(self._complete)
        clock.stop()
        found = Checked(0, 0, 0)
        for arrived in self._arrived:
            one = check(numbers_of(arrived), range(self._plan.count))
            found = Checked(*(former + more for former, more in zip(found, one, strict=True)))
        deliveries = self._plan.count * len(self._arrived)
        return Measured(values={"ended_s": clock.ended_s}, notes=clock.cpu(deliveries), **found._asdict())


async def publish(plan: FanoutPlan, _ready: Ready) -> Measured:
    """`channel.publisher()`."""
    messages = payloads(plan.count)
    refused: list[Refused] = []

    def note(_number: int, outcome: Receipt | Refused) -> None:
        if isinstance(outcome, Refused):
            refused.append(outcome)

    with Gauge(plan.gauge) as gauge:
        async with connect(plan.place, "bench") as fab:
            clock = Clock()
            async with fab.channel(plan.channel).publisher(window=WINDOW, on_outcome=note) as out:
                for number, payload in enumerate(messages):
                    await gauge.room(number * plan.copies)
                    await out.send(payload)
            clock.stop()
    if refused:
        raise refused[0]
    return Measured(values={"started_s": clock.started_s}, notes=clock.cpu(plan.count))


async def receive(plan: FanoutPlan, ready: Ready) -> Measured:
    """`channel.join(handler)`."""
    crowd = Crowd(plan)

    def handler(hear: Callable[[bytes], None]) -> Callable[[Envelope], None]:
        return lambda envelope: hear(envelope.data)

    async with AsyncExitStack() as stack:
        for connection in range(plan.connections):
            fab = await stack.enter_async_context(connect(plan.place, "bench-member"))
            for member in range(plan.members):
                joining = fab.channel(plan.channel).join(handler(crowd.ear(connection, member)))
                await stack.enter_async_context(joining)
        return await crowd.measured(ready)
