"""The node's sweeper on a real server: an absent agent's inbox does not stay full, nor grow for ever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from fabric import subjects
from fabric.client import session as session_module
from fabric.client.inboxes import keeper as inbox_keeper
from fabric.clock import now_us
from fabric.errors import Refused
from fabric.node.sweeper import Sweeper
from fabric.rules.accounts import Account
from fabric.rules.inboxes import sweeping
from helpers.inbox_world import InboxNode, letters_of, owning, served
from helpers.lane import opened
from helpers.server import RunningServer
from helpers.waiting import until


@pytest_asyncio.fixture
async def node(server: RunningServer) -> AsyncIterator[InboxNode]:
    async with served(server) as node:
        yield node


async def swept(node: InboxNode, agent: str) -> Sweeper:
    """A sweeper that has passed through the agent's shard."""
    sweeper = Sweeper(node.session)
    shard = subjects.shard(agent)
    await sweeper.turn(shard)
    while sweeper.position(shard):
        await sweeper.turn(shard)
    return sweeper


async def test_letters_of_an_absent_agent_expire_and_make_room(
    server: RunningServer, node: InboxNode
) -> None:
    agent = "sw-away"
    async with opened(server, "sw-sender") as sender:
        inbox = sender.inbox(agent)
        async with inbox.publisher(window=256, expires_s=-1.0) as out:
            for _ in range(255):
                await out.send(b"old")
        await inbox.send("kept")
        with pytest.raises(Refused, match="256 letters"):
            await inbox.send("no room")
        sweeper = await swept(node, agent)
        assert sweeper.expired == 255
        await inbox.send("room")
    assert await node.in_log(agent) == 2
    record = await node.record(agent)
    assert (record.account, record.beyond) == (Account(accepted=255, expired=255), [])
    async with owning(server, agent) as owned:
        assert [letter.data for letter in await letters_of(owned, 2)] == [b"kept", b"room"]
        assert owned.account == Account(accepted=257, delivered=1, expired=255)


async def test_letters_of_an_agent_that_is_there_are_its_own_business(
    server: RunningServer, node: InboxNode
) -> None:
    agent = "sw-there"
    async with owning(server, agent, settling="by_hand", hold=1) as owned, opened(server, "sw-two") as sender:
        await sender.inbox(agent).send("first")
        await letters_of(owned, 1)
        await sender.inbox(agent).send("old", expires_s=0.0)
        assert (await swept(node, agent)).expired == 0
        await owned.commit()  # not fenced


async def test_two_sweepers_and_an_owner_that_comes_count_a_letter_once(
    server: RunningServer, node: InboxNode
) -> None:
    agent = "sw-race"
    async with opened(server, "sw-three") as sender:
        for _ in range(20):
            await sender.inbox(agent).send("old", expires_s=-1.0)
    sweepers = await asyncio.gather(swept(node, agent), swept(node, agent))
    async with owning(server, agent) as owned:
        await owned.commit()
        assert owned.account == Account(accepted=20, expired=20)
    assert sum(sweeper.expired for sweeper in sweepers) == 20


async def test_an_absent_agents_inbox_is_shut_at_its_total_and_opens_when_letters_expire(
    server: RunningServer, node: InboxNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "LOOK_FROM", 1)
    monkeypatch.setattr(inbox_keeper, "GATE_LOOK_S", 0.0)
    agent = "sw-total"
    async with owning(server, agent, letters_max=6):
        pass  # it says how many letters it takes
    async with opened(server, "sw-four") as sender, opened(server, "sw-five") as other:
        for _ in range(6):
            await sender.inbox(agent).send("x", expires_s=0.5)
        over_us = now_us() + 500_000
        assert (await swept(node, agent)).shut == 1
        with pytest.raises(Refused, match="is shut"):
            await other.inbox(agent).send("no")
        await until(lambda: now_us() > over_us, "they have expired")
        await swept(node, agent)
        await swept(node, agent)
        await other.inbox(agent).send("yes")


async def test_a_full_inbox_with_an_owner_is_its_owners_to_shut(
    server: RunningServer, node: InboxNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "LOOK_FROM", 1)
    monkeypatch.setattr(session_module, "TICK_S", 1000.0)  # it has not looked yet
    agent = "sw-full"
    async with owning(server, agent, letters_max=2) as owned, opened(server, "sw-seven") as sender:
        for _ in range(3):
            await sender.inbox(agent).send("x")
        assert (await swept(node, agent)).shut == 0
        await owned.commit()  # not fenced


@pytest.mark.parametrize("owned", [False, True], ids=["no owner", "a live owner"])
async def test_a_gate_that_nobody_knows_of_is_taken_away(
    server: RunningServer, node: InboxNode, owned: bool
) -> None:
    agent = f"sw-gate-{owned}"
    async with AsyncExitStack() as stack:
        if owned:
            await stack.enter_async_context(owning(server, agent))
        await _lift(server, node, agent)


async def _lift(server: RunningServer, node: InboxNode, agent: str) -> None:
    await node.session.connection.request(subjects.inbox_gate(agent))
    async with opened(server, "sw-six") as sender:
        with pytest.raises(Refused, match="is shut"):
            await sender.inbox(agent).send("no")
        await swept(node, agent)
        await sender.inbox(agent).send("yes")
