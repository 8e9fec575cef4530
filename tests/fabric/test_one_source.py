"""A channel with one source so far is read by its subject; a second that comes meanwhile is not missed."""

import asyncio

from fabric_codecs.envelope import Envelope
from helpers.lane import opened
from helpers.server import RunningServer

BEFORE, DURING = 3000, 500


async def test_a_source_that_joins_while_history_is_read_is_read_too(server: RunningServer) -> None:
    async with opened(server, "first", credentials=server.creds) as fab:
        second = fab.on_behalf_of("second")
        async with fab.channel("alone.a").publisher() as out:
            for number in range(BEFORE):
                await out.send(b"first %d" % number)
        seen: list[bytes] = []
        everything = asyncio.Event()

        def handle(envelope: Envelope) -> None:
            seen.append(envelope.data)
            if len(seen) == BEFORE + 2 * DURING:
                everything.set()

        async with fab.channel("alone.a").join(handle, since="beginning"):
            async with (
                fab.channel("alone.a").publisher() as one,
                second.channel("alone.a").publisher() as two,
            ):
                for number in range(DURING):
                    await one.send(b"first %d" % (BEFORE + number))
                    await two.send(b"second %d" % number)
            await asyncio.wait_for(everything.wait(), 20)
        for source, count in ((b"first", BEFORE + DURING), (b"second", DURING)):
            assert [data for data in seen if data.startswith(source)] == [
                b"%s %d" % (source, n) for n in range(count)
            ]


async def test_only_subject_is_told_where_there_is_just_one(server: RunningServer) -> None:
    async with opened(server, "first", credentials=server.creds) as fab:
        reader, receipt = fab.session.reader, await fab.channel("alone.b").publish(b"1")
        pattern = f"fab.ch.{receipt.stream[-1]}.*.alone.b"
        only = await reader.only_subject(receipt.stream, pattern)
        assert only is not None
        assert only[0] == pattern.replace("*", "first")
        assert only[1] >= receipt.sequence
        await fab.on_behalf_of("second").channel("alone.b").publish(b"2")
        assert await reader.only_subject(receipt.stream, pattern) is None
        assert await reader.only_subject(receipt.stream, pattern.replace("alone.b", "alone.none")) is None
