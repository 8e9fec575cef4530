"""A log keeps 10,000 messages of a source on a channel; a member slower than that is told what went."""

import asyncio

import pytest

from helpers.lane import opened
from helpers.server import RunningServer

KEPT, MORE = 10_000, 4_000


async def test_a_reader_that_retention_overtook_is_told(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(server, "slow") as fab, fab.channel("truncated.slow").join() as member:
        async with fab.channel("truncated.slow").publisher() as out:
            for number in range(KEPT + MORE):
                await out.send(b"%d" % number)
        got: list[int] = []
        async with asyncio.timeout(20):
            while not got or got[-1] != KEPT + MORE - 1:
                got.append(int((await anext(member)).data))
        assert got == sorted(set(got))
        assert len(got) < KEPT + MORE, "the log kept more than this test believes"
        assert member.truncated
    assert "let go of" in caplog.text


async def test_a_late_reader_that_retention_overtook_before_it_met_the_feed_is_told(
    server: RunningServer,
) -> None:
    async with opened(server, "late") as fab, fab.channel("truncated.late").publisher() as out:
        for number in range(1000):
            await out.send(b"%d" % number)
        await out.settle()
        async with fab.channel("truncated.late").join(since="beginning") as member, asyncio.timeout(20):
            got = [int((await anext(member)).data)]
            for number in range(1000, KEPT + MORE):
                await out.send(b"%d" % number)
            await out.settle()
            while got[-1] != KEPT + MORE - 1:
                got.append(int((await anext(member)).data))
            assert got == sorted(set(got))
            assert len(got) < KEPT + MORE
            assert member.truncated


async def test_a_reader_that_keeps_up_is_told_nothing(server: RunningServer) -> None:
    async with opened(server, "quick") as fab:
        seen: list[bytes] = []
        everything = asyncio.Event()

        def handle(envelope: object) -> None:
            seen.append(b"")
            if len(seen) == KEPT + MORE:
                everything.set()

        async with fab.channel("truncated.quick").join(handle) as member:
            async with fab.channel("truncated.quick").publisher() as out:
                for number in range(KEPT + MORE):
                    await out.send(b"%d" % number)
            await asyncio.wait_for(everything.wait(), 20)
            assert member.truncated == 0
