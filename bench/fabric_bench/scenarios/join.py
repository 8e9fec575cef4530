"""`join.*`: what a channel costs that already exists a million times.

A hot channel is published to while it is alone, then while a million others hold a message; then messages go
to all of them, by popularity 1/rank; then new members join. What publishes is the client library throughout,
with its publishers made before the clock starts. Above: runner.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Sequence
from typing import NamedTuple

from fabric import subjects
from fabric.client import ChannelPublisher, Fabric, Receipt
from fabric.errors import Refused
from fabric_bench.check import payloads
from fabric_bench.ours import connect
from fabric_bench.pacing import Clock, percentile
from fabric_bench.place import Server
from fabric_bench.plans import JoinPlan, Measured
from fabric_bench.report import Goal, Result, Row, in_turn
from fabric_bench.worker import Ready, Worker
from fabric_codecs.envelope import Envelope

__all__ = ["measure", "run"]

CHANNELS, CHANNELS_QUICK = 1_000_000, 100_000
MESSAGES, MESSAGES_QUICK = 200_000, 100_000
JOINS = 2_000
WINDOW = 4096
HOT = "bench.join.hot"
SEED = 7
FILL_PART = 50_000
PATIENCE_S = 30.0
ROUNDS_MAX = 3  # each fills a million channels anew
ROWS = (
    Row(
        id="join.p99_ms",
        what=f"a member joins a channel that nobody used before, {JOINS:,} times, the slowest in a hundred",
        unit="ms",
        better="lower",
        goals=(Goal("", 1.0),),
    ),
    Row(
        id="join.publish_flatness",
        what="the rate of durable publishing to one channel while the others hold a message, over that alone",
        unit="x",
        goals=(Goal("", 0.8),),
    ),
    Row(
        id="join.spread",
        what="the rate over all of them by popularity 1/rank, over that to one channel alone",
        unit="x",
        goals=(Goal("", 0.6),),
    ),
    Row(id="join.even", what="the same with all of them equally popular", unit="x"),
)


async def run(server: Server, *, rounds: int, quick: bool) -> list[Result]:
    """All runs of the scenario."""
    plan = JoinPlan(
        place=server.user,
        channels=CHANNELS_QUICK if quick else CHANNELS,
        count=MESSAGES_QUICK if quick else MESSAGES,
        joins=JOINS,
        window=WINDOW,
    )

    async def measured() -> Measured:
        await server.purge(*(f"CH_{shard}" for shard in range(subjects.SHARDS)))
        async with Worker("fabric_bench.scenarios.join:measure", plan) as worker:
            return await worker.measured()

    runs = await in_turn(min(rounds, ROUNDS_MAX), {"ours": measured})
    return [Result(row, runs) for row in ROWS]


def name_of(number: int) -> str:
    """One of the many channels."""
    return f"bench.join.{number}"


class Published(NamedTuple):
    """A run of publishing: messages per second, and how many have no place in the log."""

    rate: float
    lost: int


async def measure(plan: JoinPlan, _ready: Ready) -> Measured:
    """All of it, in one process."""
    async with connect(plan.place, "bench") as fab:
        hot = [HOT] * plan.count
        await publish(fab, hot[: plan.count // 4], plan.window)  # warm
        alone = await publish(fab, hot, plan.window)
        unfilled = await fill(fab, plan)
        among = await publish(fab, hot, plan.window)
        spread = await publish(fab, [name_of(number) for number in popular(plan)], plan.window)
        even = await publish(fab, [name_of(number) for number in equally(plan)], plan.window)
        joins_ms = [await join_ms(fab, f"bench.new.{number}") for number in range(plan.joins)]
    return Measured(
        values={
            "join.p99_ms": percentile(joins_ms, 99),
            "join.publish_flatness": among.rate / alone.rate,
            "join.spread": spread.rate / alone.rate,
            "join.even": even.rate / alone.rate,
        },
        lost=alone.lost + unfilled + among.lost + spread.lost + even.lost,
        notes={
            "alone_per_s": round(alone.rate),
            "among_per_s": round(among.rate),
            "spread_per_s": round(spread.rate),
            "join_p50_ms": round(percentile(joins_ms, 50), 3),
        },
    )


async def publish(fab: Fabric, channels: Sequence[str], window: int) -> Published:
    """One message to each of these channels, in this order; at most `window` without a Receipt."""
    outs: dict[str, ChannelPublisher] = {}
    stored = 0
    room = asyncio.Event()

    def settled(_: int, outcome: Receipt | Refused) -> None:
        nonlocal stored
        stored += isinstance(outcome, Receipt)
        room.set()

    for name in channels:
        if name not in outs:
            outs[name] = fab.channel(name).publisher(on_outcome=settled)
    messages = payloads(len(channels))
    clock = Clock()
    for sent, (name, message) in enumerate(zip(channels, messages, strict=True)):
        while sent - stored >= window:
            room.clear()
            await asyncio.wait_for(room.wait(), PATIENCE_S)
        await outs[name].send(message)
    for out in outs.values():
        await out.settle()
    clock.stop()
    return Published(len(channels) / clock.elapsed_s, len(channels) - stored)


async def fill(fab: Fabric, plan: JoinPlan) -> int:
    """A message for each of the many channels; how many have none. Publishers are made in parts: a million
    of them at once would be what is measured."""
    unfilled = 0
    for first in range(0, plan.channels, FILL_PART):
        names = [name_of(number) for number in range(first, min(first + FILL_PART, plan.channels))]
        unfilled += (await publish(fab, names, plan.window)).lost
    return unfilled


def popular(plan: JoinPlan) -> list[int]:
    """Channels as they are chosen when the n-th is n times less popular than the first."""
    weights = list(itertools.accumulate(1 / rank for rank in range(1, plan.channels + 1)))
    return random.Random(SEED).choices(range(plan.channels), cum_weights=weights, k=plan.count)


def equally(plan: JoinPlan) -> list[int]:
    """Channels without any preference."""
    return random.Random(SEED).choices(range(plan.channels), k=plan.count)


async def join_ms(fab: Fabric, channel: str) -> float:
    """How long it takes until a new member hears a channel."""
    started = time.perf_counter()
    async with fab.channel(channel).join(_ignore):
        return (time.perf_counter() - started) * 1e3


def _ignore(_envelope: Envelope) -> None:
    """Nothing comes."""
