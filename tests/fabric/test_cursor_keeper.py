"""When a durable member's cursor is written, on a real server, and that writing it ends."""

import asyncio

import pytest

from fabric.client import tenure
from fabric.rules.channels import cursor as rules
from helpers.durable import numbers, publish, record_of, take
from helpers.lane import opened
from helpers.server import RunningServer
from helpers.waiting import BOUND_S


async def test_a_cursor_is_written_while_messages_come(server: RunningServer) -> None:
    async with opened(server, "dur-flush") as fabric:
        channel = fabric.channel("dur.flush")
        async with channel.join(durable="auditor") as member:
            await publish(channel, *numbers(1, 2, 3))
            await take(member, 3)

            async def written() -> bool:
                return (await record_of(fabric, "auditor", "dur.flush")).account.delivered == 2

            async with asyncio.timeout(BOUND_S):
                while not await written():
                    pass


async def test_a_record_that_grew_too_large_stops_nobody_and_is_written_when_it_fits(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "UNCOMMITTED_MAX", 2)
    async with opened(server, "dur-size") as fabric:
        channel = fabric.channel("dur.size")
        async with channel.join(durable="auditor") as member:
            with monkeypatch.context() as small:
                small.setattr(tenure, "RECORD_BYTES_MAX", 100)
                await publish(channel, *numbers(*range(9)))
                assert await take(member, 9) == numbers(*range(9))
                assert (await record_of(fabric, "auditor", "dur.size")).account.delivered <= 2
        assert (await record_of(fabric, "auditor", "dur.size")).account.delivered == 9


@pytest.mark.parametrize("turns", range(8))
async def test_leaving_ends_however_a_commit_and_its_cancellation_fall_together(
    server: RunningServer, turns: int
) -> None:
    # asyncio.wait_for of Python 3.11 swallows a cancellation that comes when its wait has just ended
    async with (
        opened(server, "dur-leave") as fabric,
        asyncio.timeout(BOUND_S),
        fabric.channel("dur.leave").join(durable=f"auditor-{turns}") as member,
    ):
        keeper = member._keeper
        assert keeper is not None
        await asyncio.sleep(0)  # it waits
        keeper.settled()
        for _ in range(turns):
            await asyncio.sleep(0)
        await keeper.end("auditor")
