"""Three servers, every stream three times: what a Receipt promises holds when a leader is killed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fabric.client import Agent, Fabric, Receipt, Session
from fabric.errors import FabricError, Refused
from fabric.jetstream.layout import REGISTRY_STREAM, channel_stream
from fabric.subjects import shard
from fabric_codecs.envelope import Envelope
from helpers.cluster import Cluster
from helpers.waiting import until

ELECTION_BOUND_S = 40.0
CHANNEL = "cluster.greenhouse"


@asynccontextmanager
async def entered(cluster: Cluster, name: str) -> AsyncIterator[Fabric]:
    session = Session(cluster.urls, name=name, credentials=cluster.creds)
    await session.open()
    try:
        yield Fabric(session, name)
    finally:
        await session.close()


async def joined(fabric: Fabric, name: str) -> Agent:
    """An agent that joins as soon as the registry has a leader again: until then it is told to come back."""
    async with asyncio.timeout(ELECTION_BOUND_S):
        while True:
            try:
                return await fabric.agent(name).__aenter__()
            except FabricError as error:
                if not error.retriable:
                    raise
                await asyncio.sleep(0)


async def test_a_killed_leader_loses_no_receipt_no_order_and_no_agent(cluster: Cluster) -> None:
    heard: list[Envelope] = []
    outcomes: dict[int, Receipt | Refused] = {}
    async with (
        entered(cluster, "cl-out") as publisher,
        entered(cluster, "cl-in") as listener,
        listener.agent("cl-agent"),
        publisher.watch() as watch,
    ):
        assert (await anext(watch)).card.name == "cl-agent"
        async with listener.channel(CHANNEL).join(heard.append) as member:
            out = publisher.channel(CHANNEL).publisher(window=64, on_outcome=outcomes.__setitem__)
            sent = 0
            for stream in (channel_stream(shard(CHANNEL)), REGISTRY_STREAM):
                before = len(heard)
                await cluster.kill_leader_of(stream)
                while len(heard) < before + 200:  # offers go on while there is no leader
                    await out.send(str(sent).encode())
                    sent += 1
                    await asyncio.sleep(0)
            await out.settle()
            accepted = {number for number, outcome in outcomes.items() if isinstance(outcome, Receipt)}
            await until(
                lambda: len({envelope.id for envelope in heard}) >= len(accepted),
                "every acknowledged message is heard",
                ELECTION_BOUND_S,
            )
            assert not [outcome for outcome in outcomes.values() if isinstance(outcome, Refused)]
            assert member.missed == 0
        await joined(listener, "cl-last")  # told after whatever the elections made of the first
        async with asyncio.timeout(ELECTION_BOUND_S):
            told = await anext(watch)
        assert (told.kind, told.card.name) == ("join", "cl-last"), "an election ends nobody's lease"
    times = Counter(envelope.id for envelope in heard)
    assert times.keys() == {f"{publisher.session.process}-{number}" for number in outcomes}
    assert max(times.values()) == 1, "second copies are withheld"
    numbers = [int(envelope.data) for envelope in heard]
    assert numbers == sorted(numbers), "one source's messages stay in order across an election"
