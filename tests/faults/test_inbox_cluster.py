"""Inboxes on three servers: an election loses no letter and ends none twice."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from fabric.client import Fabric, Letter, Session
from fabric.errors import Refused
from fabric.jetstream.layout import inbox_stream
from fabric.node.inboxes import SettleService
from fabric.node.services import Services
from fabric.subjects import shard
from helpers.cluster import Cluster
from helpers.waiting import until

AGENT, COUNT = "icl-agent", 400
TOO_LONG_S = 60.0


async def entered(cluster: Cluster, name: str, credentials: Path | str = "") -> Fabric:
    session = Session(cluster.urls, name=name, credentials=credentials or cluster.creds)
    await session.open()
    return Fabric(session, name)


@pytest.mark.timeout(3 * TOO_LONG_S)
async def test_an_election_loses_no_letter_and_ends_none_twice(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "node.creds").write_text(cluster.keys.mint_node())
    node, owner = await entered(cluster, "icl-node", tmp_path / "node.creds"), await entered(cluster, AGENT)
    senders = [await entered(cluster, f"icl-{number}") for number in range(2)]
    services = Services(node.session.connection, {"settle": SettleService(node.session)})
    seen: Counter[str] = Counter()
    refused: Counter[str] = Counter()

    def handle(letter: Letter) -> None:
        seen.update([letter.envelope.id])

    async def leave(sender: Fabric, number: int) -> str:
        while True:
            try:
                return (
                    await sender.inbox(AGENT).send(b"x", delivery="once", id=f"{sender.name}-{number}")
                ).id
            except Refused as error:
                refused[error.reason] += 1
                await asyncio.sleep(error.retry_after_ms / 1000)

    async def leave_all(sender: Fabric) -> set[str]:
        ids: set[str] = set()
        for start in range(0, COUNT, 8):
            ids.update(await asyncio.gather(*(leave(sender, start + at) for at in range(8))))
        return ids

    try:
        async with owner.agent(AGENT) as me, me.inbox(handle) as inbox:
            sending = asyncio.gather(*map(leave_all, senders))
            await until(lambda: inbox.account.delivered > COUNT // 2, "letters come", TOO_LONG_S)
            await cluster.kill_leader_of(inbox_stream(shard(AGENT)))
            async with asyncio.timeout(TOO_LONG_S):
                accepted = set().union(*await sending)
            await until(lambda: inbox.account.delivered == 2 * COUNT, "all ended", TOO_LONG_S)
            assert seen == Counter(accepted)
            # Looking at one gate at the same instant; more, if every letter did.
            assert refused.total() < COUNT // 4
    finally:
        await services.stop()
        for fabric in (*senders, owner, node):
            await fabric.session.close()
