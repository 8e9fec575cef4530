"""A member begins at positions and says what it settled; who cannot go on is told."""

import asyncio

import pytest

from fabric.client import Fabric, Member
from fabric.errors import CursorAhead, FabricError, Unreachable
from fabric.rules.channels import repair
from fabric.rules.channels.position import Position, Progress
from fabric_codecs.envelope import Envelope
from helpers.lane import opened
from helpers.server import RunningServer
from helpers.waiting import BOUND_S, until

PATTERN = "pos.{}.>"


async def publish_all(fabric: Fabric, root: str, count: int, start: int = 0) -> None:
    outs = [fabric.channel(f"pos.{root}.{number}").publisher() for number in range(5)]
    outs.append(fabric.channel(f"pos.{root}").publisher())
    for number in range(start, start + count):
        await outs[number % len(outs)].send(b"%d" % number)
    for out in outs:
        await out.settle()


def member_at(
    fabric: Fabric, pattern: str, positions: dict[str, Position] | None, progress: Progress
) -> Member:
    link = fabric.channel(pattern).identity.link
    return Member(link, pattern, None, "now", positions=positions, progress=progress)


@pytest.mark.parametrize("settled", [0, 1, 137, 600])
async def test_a_member_that_comes_back_where_it_settled_has_exactly_the_rest(
    server: RunningServer, settled: int
) -> None:
    root, progress = f"back{settled}", Progress({})
    async with opened(server, "pos-back") as fabric, opened(server, "pos-writer") as writer:
        pattern = PATTERN.format(root)
        async with member_at(fabric, pattern, None, progress) as member, asyncio.timeout(BOUND_S):
            writing = asyncio.create_task(publish_all(writer, root, 600))
            first = []
            for _ in range(settled):
                first.append((await anext(member)).data)
                progress.settle()
            await writing
        kept = progress.positions()
        await publish_all(writer, root, 100, 600)
        async with member_at(fabric, pattern, kept, Progress(kept)) as member, asyncio.timeout(BOUND_S):
            rest = [(await anext(member)).data for _ in range(700 - settled)]
            await fabric.channel(f"pos.{root}").publish("end")
            assert (await anext(member)).data == b"end"
        assert sorted(first + rest, key=int) == [b"%d" % number for number in range(700)]


async def test_the_settled_position_moves_on_by_itself_while_nothing_is_outstanding(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "QUIET_S", 0.1)
    monkeypatch.setattr(repair, "PROBE_EVERY_S", 0.1)
    progress = Progress({})
    async with (
        opened(server, "pos-moves") as fabric,
        member_at(fabric, "pos.moves", None, progress) as member,
        asyncio.timeout(BOUND_S),
    ):
        assert len(progress.positions()) == 1, "where it began is known at once"
        receipt = await fabric.channel("pos.moves").publish("x")
        await anext(member)
        progress.settle()

        def settled() -> bool:
            [position] = progress.positions().values()
            return position == Position(receipt.sequence, {})

        await until(settled, "the log was counted, and what is above it forgotten")


async def test_live_messages_are_settled_like_others(server: RunningServer) -> None:
    progress = Progress({})
    async with (
        opened(server, "pos-live") as fabric,
        member_at(fabric, "pos.live", None, progress) as member,
        asyncio.timeout(BOUND_S),
    ):
        await fabric.channel("pos.live").publish("live", delivery="live")
        await anext(member)
        assert progress.outstanding == 1
        progress.settle()


async def test_a_position_that_the_log_has_not_reached_is_refused_at_the_door(server: RunningServer) -> None:
    async with opened(server, "pos-ahead") as fabric:
        channel = fabric.channel("pos.ahead")
        receipt = await channel.publish("x")
        async with channel.join(since=receipt.sequence + 1):
            pass
        with pytest.raises(CursorAhead, match="begin at 'now' or at the 'beginning'") as refused:
            await channel.join(since=receipt.sequence + 2).__aenter__()
        assert refused.value.end == receipt.sequence
        [lane] = (await channel.join().__aenter__())._feed.lanes.values()
        ahead = {lane.filter: Position(receipt.sequence + 100)}
        with pytest.raises(CursorAhead):
            await member_at(fabric, "pos.ahead", ahead, Progress(ahead)).__aenter__()


async def test_a_member_that_retention_overtook_can_be_asked_what_went(server: RunningServer) -> None:
    kept, more = 10_000, 3_000
    async with opened(server, "pos-trunc") as fabric, fabric.channel("pos.trunc").join() as member:
        async with fabric.channel("pos.trunc").publisher() as out:
            for number in range(kept + more):
                await out.send(b"%d" % number)
        got: list[Envelope] = []
        async with asyncio.timeout(BOUND_S):
            while not got or got[-1].data != b"%d" % (kept + more - 1):
                got.append(await anext(member))
        assert member.truncated == len(member.truncations) > 0
        missing = set(range(kept + more)) - {int(envelope.data) for envelope in got}
        offset = got[0].sequence - int(got[0].data)
        told = {
            number
            for gone in member.truncations
            for number in range(gone.first - offset, gone.last - offset + 1)
        }
        assert (member.truncations[0].channel, member.truncations[0].stream) == ("pos.trunc", got[0].stream)
        assert told & missing, "the ranges are where messages are missing"


async def test_a_member_with_a_handler_is_told_what_ended_it(server: RunningServer) -> None:
    def handle(_: Envelope) -> None: ...

    async with opened(server, "pos-ended") as fabric:
        channel = fabric.channel("pos.ended")
        with pytest.raises(FabricError, match="gone for good"):
            async with channel.join(handle) as member:
                member._feed.fail(Unreachable("nats://x", "gone for good"))
        member = await channel.join(handle).__aenter__()
        waiting = asyncio.create_task(member.ended())
        member._feed.fail(Unreachable("nats://x", "gone for good"))
        with pytest.raises(FabricError, match="gone for good"):
            await asyncio.wait_for(waiting, BOUND_S)
        await member.close()
        member = await channel.join(handle).__aenter__()
        waiting = asyncio.create_task(member.ended())
        await member.close()
        await asyncio.wait_for(waiting, BOUND_S)


async def test_a_feed_that_failed_is_not_joined_again(server: RunningServer) -> None:
    async with opened(server, "pos-anew") as fabric:
        channel = fabric.channel("pos.anew")
        async with channel.join() as broken:
            broken._feed.fail(Unreachable("nats://x", "gone for good"))
            async with channel.join() as member, asyncio.timeout(BOUND_S):
                await channel.publish("x")
                assert (await anext(member)).data == b"x"
                assert member._feed is not broken._feed
