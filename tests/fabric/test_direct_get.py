"""What `rules/paging.py` rests on: the server answers a direct get inside the loop that reads from us."""

import asyncio

from fabric import subjects
from helpers.lane import opened
from helpers.server import RunningServer

CHANNELS, EACH = 60, 300


async def test_a_page_holds_up_what_the_same_connection_asks_after_it(server: RunningServer) -> None:
    async with opened(server, "paging", credentials=server.creds) as fab:
        names = (f"paging.{number}" for number in range(CHANNELS * subjects.SHARDS * 2))
        channels = [fab.channel(name) for name in names if subjects.shard(name) == 0][:CHANNELS]
        outs = [channel.publisher() for channel in channels]
        for _ in range(EACH):
            for out in outs:
                await out.send(b"x" * 256)
        for out in outs:
            await out.settle()
        reader, (pattern,) = fab.session.reader, subjects.stored_filters(channels[0].name, 0)
        page = asyncio.create_task(reader.page("CH_0", pattern, 1, batch=EACH))
        after = asyncio.create_task(reader.last("REG", "fab.reg.*"))
        await asyncio.wait((page, after), return_when=asyncio.FIRST_COMPLETED, timeout=20)
        assert page.done(), "the second question was answered first: pages need not be small any more"
        assert len((await page).messages) == EACH
        await after
