"""The embedded server is killed or hangs: what was acknowledged stays, and everybody comes back."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fabric.client import Channel, Fabric, Receipt, Reply
from fabric.connect import connect
from fabric.errors import FabricError, Refused
from helpers.server import RunningServer

BOUND_S = 40.0
KILLS = 2
BETWEEN_KILLS = 2_000  # messages acknowledged


@asynccontextmanager
async def opened(server: RunningServer, name: str) -> AsyncIterator[Fabric]:
    async with connect(name, url=server.url, credentials=server.credentials(name)) as fabric:
        yield fabric


async def history(fabric: Fabric, channel: str, count: int) -> list[bytes]:
    found: list[bytes] = []
    async with asyncio.timeout(BOUND_S), fabric.channel(channel).join(since="beginning") as member:
        async for envelope in member:
            found.append(envelope.data)
            if len(found) == count:
                break
    return found


async def call_when_back(caller: Fabric, target: str, arguments: object) -> Reply:
    """Both sides reconnect in their own time: until they have, nobody is there, or the call is refused."""
    while True:
        try:
            return await caller.call(target, arguments, deadline_s=BOUND_S)
        except FabricError as error:
            if not error.retriable:
                raise


@pytest.mark.timeout(2 * BOUND_S)
async def test_nothing_acknowledged_is_lost_when_the_server_is_killed_twice(
    private_server: RunningServer,
) -> None:
    acknowledged: dict[int, Receipt] = {}
    refused: dict[int, Refused] = {}
    data: dict[int, bytes] = {}
    progress = asyncio.Event()

    def note(number: int, outcome: Receipt | Refused) -> None:
        if isinstance(outcome, Receipt):
            acknowledged[number] = outcome
            if len(acknowledged) % BETWEEN_KILLS == 0:
                progress.set()
        else:
            refused[number] = outcome

    async def publish(fabric: Fabric) -> None:
        async with fabric.channel("log.book").publisher(window=256, on_outcome=note) as out:
            while len(acknowledged) < (KILLS + 1) * BETWEEN_KILLS:
                payload = b"%d" % len(data)
                data[await out.send(payload)] = payload

    async with opened(private_server, "writer") as writer, opened(private_server, "reader") as reader:
        async with asyncio.timeout(BOUND_S):
            publishing = asyncio.create_task(publish(writer))
            for _ in range(KILLS):
                await progress.wait()
                progress.clear()
                await private_server.kill_and_restart()
            await publishing
        kept = {receipt.sequence: data[number] for number, receipt in acknowledged.items()}
        found = set(await history(reader, "log.book", len(kept)))
    assert set(kept.values()) <= found
    assert len(acknowledged) + len(refused) == len(data), "every message ends in a Receipt or a Refusal"
    assert writer.session.connection.reconnects == KILLS
    assert private_server.embedded.restarts == KILLS


async def test_member_hears_everything_published_around_a_restart(private_server: RunningServer) -> None:
    async with opened(private_server, "writer") as writer, opened(private_server, "reader") as reader:
        channel = writer.channel("north.door")
        heard: list[bytes] = []
        async with asyncio.timeout(BOUND_S), reader.channel("north.*").join() as member:
            for number in range(3):
                await channel.publish(b"%d" % number)
                await private_server.kill_and_restart()
            async for envelope in member:
                heard.append(envelope.data)
                if len(heard) == 3:
                    break
    assert heard == [b"0", b"1", b"2"]


async def test_agent_is_called_again_after_a_restart(private_server: RunningServer) -> None:
    async with (
        opened(private_server, "owner") as owner,
        opened(private_server, "caller") as caller,
        owner.agent("owner") as agent,
    ):

        @agent.tool
        async def double(number: int) -> int:
            """Twice."""
            return 2 * number

        assert (await caller.call("owner.double", {"number": 1}, deadline_s=BOUND_S)).json() == 2
        await private_server.kill_and_restart()
        async with asyncio.timeout(BOUND_S):
            assert (await call_when_back(caller, "owner.double", {"number": 2})).json() == 4
            assert [card.name async for card in caller.find()] == ["owner"]


async def test_call_in_flight_learns_that_the_server_went(private_server: RunningServer) -> None:
    async with (
        opened(private_server, "owner") as owner,
        opened(private_server, "caller") as caller,
        owner.agent("owner") as agent,
    ):
        started = asyncio.Event()

        @agent.tool
        async def wait() -> None:
            """Never ends by itself."""
            started.set()
            await asyncio.Event().wait()

        calling = asyncio.create_task(caller.call("owner.wait", {}, deadline_s=BOUND_S))
        async with asyncio.timeout(BOUND_S):
            await started.wait()
            private_server.signal(signal.SIGKILL)
            with pytest.raises(Refused) as refused:
                await calling
        assert (refused.value.reason, refused.value.unknown) == ("unreachable", True)


async def publish_for_ever(channel: Channel) -> None:
    while True:
        await channel.publish(b"until the server hangs")


async def test_hung_server_is_noticed_and_forgiven(private_server: RunningServer) -> None:
    async with opened(private_server, "writer") as writer:
        channel = writer.channel("south.door")
        await channel.publish(b"before")
        down, up = asyncio.Event(), asyncio.Event()
        writer.session.connection.on_down.append(down.set)
        private_server.signal(signal.SIGSTOP)
        try:
            async with asyncio.timeout(BOUND_S):
                with pytest.raises(FabricError):
                    await publish_for_ever(channel)
                await down.wait()
                writer.session.connection.on_up.append(up.set)
        finally:
            private_server.signal(signal.SIGCONT)
        async with asyncio.timeout(BOUND_S):
            await up.wait()
            assert (await channel.publish(b"after")).sequence >= 2
