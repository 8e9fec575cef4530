"""Durable members whose log lost something: retention, a log made anew, one that was emptied."""

import asyncio

import msgspec
import pytest

from fabric import subjects
from fabric.client.channels.durable import cursor_subject
from fabric.errors import CursorAhead
from fabric.jetstream.layout import put_stream, streams
from fabric.jetstream.server import requester
from fabric.rules.accounts import Account
from fabric.rules.channels.cursor import CursorRecord
from helpers.durable import numbers, publish, take
from helpers.lane import connected, opened
from helpers.server import RunningServer
from helpers.waiting import BOUND_S


async def test_a_position_that_the_log_has_not_reached_is_told_and_can_be_given_up(
    private_server: RunningServer,
) -> None:
    async with opened(private_server, "dur-ahead") as fabric:
        channel = fabric.channel("dur.ahead")
        await publish(channel, *numbers(1, 2, 3))
        async with channel.join(durable="auditor", since="beginning") as member:
            await take(member, 3)
        subject = cursor_subject(fabric.token, "auditor", "dur.ahead")
        stored = await fabric.session.state.get(subject)
        record = msgspec.json.decode(stored.value, type=CursorRecord)
        for extent in record.extents:  # as if the log had been made anew
            extent.after, extent.above = 99, {}
        await fabric.session.state.put(subject, msgspec.json.encode(record), expected=stored.revision)
        with pytest.raises(CursorAhead, match="99"):
            async with channel.join(durable="auditor"):
                pass
        async with channel.join(durable="auditor", since="beginning", anew=True) as member:
            assert await take(member, 3) == numbers(1, 2, 3)
        assert member.account == Account(accepted=7, delivered=6, truncated=1)


async def limit(server: RunningServer, channel: str, **changes: int) -> None:
    """Give the channel's shard other limits."""
    config = list(streams())[subjects.shard(channel)]
    common = {"storage": "file", "num_replicas": 1, "allow_direct": True}
    async with connected(server, "node", credentials=server.node_creds) as node:
        await put_stream(requester(node), {**common, **config, **changes})


async def test_what_a_full_subject_let_go_of_while_nobody_was_there_is_told_and_counted(
    private_server: RunningServer,
) -> None:
    await limit(private_server, "dur.gone", max_msgs_per_subject=5)
    async with opened(private_server, "dur-gone") as fabric:
        channel = fabric.channel("dur.gone")
        async with channel.join(durable="auditor"):
            pass
        await publish(channel, *numbers(*range(8)))
        async with channel.join(durable="auditor") as member:
            assert await take(member, 5) == numbers(3, 4, 5, 6, 7)
            assert list(member.truncations) == [("dur.gone", f"CH_{subjects.shard('dur.gone')}", 1, 3)]
        assert member.account == Account(accepted=6, delivered=5, truncated=1)
        await publish(channel, *numbers(*range(4)))
        async with channel.join(durable="auditor") as member:
            assert await take(member, 4) == numbers(*range(4))
            assert not member.truncations


async def test_a_subject_that_is_full_of_what_was_read_is_no_loss(private_server: RunningServer) -> None:
    await limit(private_server, "dur.full", max_msgs_per_subject=5)
    credentials = private_server.credentials("dur-full", "dur-other")
    async with opened(private_server, "dur-full", credentials=credentials) as fabric:
        channel = fabric.channel("dur.full")
        await publish(channel, *numbers(*range(5)))
        async with channel.join(durable="auditor", since="beginning") as member:
            await take(member, 5)
        await publish(fabric.on_behalf_of("dur-other").channel("dur.full"), *numbers(*range(5)))
        async with channel.join(durable="auditor") as member:
            await take(member, 5)
            assert not member.truncations


async def test_what_other_channels_let_go_of_is_no_loss(private_server: RunningServer) -> None:
    await limit(private_server, "dur.mine", max_msgs_per_subject=2)
    neighbour = next(
        name
        for name in (f"dur.other.{number}" for number in range(1000))
        if subjects.shard(name) == subjects.shard("dur.mine")
    )
    async with opened(private_server, "dur-mine") as fabric:
        channel = fabric.channel("dur.mine")
        async with channel.join(durable="auditor"):
            pass
        await publish(fabric.channel(neighbour), *numbers(*range(6)))
        async with channel.join(durable="auditor") as member:
            await publish(channel, b"1")
            assert await take(member, 1) == numbers(1)
            assert not member.truncations


async def test_what_grew_too_old_while_nobody_was_there_is_told_and_counted(
    private_server: RunningServer,
) -> None:
    await limit(private_server, "dur.old", max_age=1_500_000_000, duplicate_window=1_000_000_000)
    async with opened(private_server, "dur-old") as fabric:
        channel = fabric.channel("dur.old")
        async with channel.join(durable="auditor", since="beginning"):
            pass
        receipt = await channel.publish(b"too old")
        stream = receipt.stream

        async def gone() -> bool:
            return await fabric.session.reader.last(stream, channel.subject("durable").decode()) is None

        async with asyncio.timeout(BOUND_S):
            while not await gone():
                pass
        async with channel.join(durable="auditor") as member:
            await publish(channel, b"new")
            assert await take(member, 1) == [b"new"]
            assert [gone[2:] for gone in member.truncations] == [(1, 1)]
        assert member.account == Account(accepted=2, delivered=1, truncated=1)


async def test_a_log_that_was_emptied_is_not_taken_for_one_that_lost_its_end(
    private_server: RunningServer,
) -> None:
    async with opened(private_server, "dur-empty") as fabric:
        channel = fabric.channel("dur.empty")
        await publish(channel, *numbers(1, 2))
        async with channel.join(durable="auditor", since="beginning") as member:
            await take(member, 2)
        stream = f"CH_{subjects.shard('dur.empty')}"
        async with connected(private_server, "node", credentials=private_server.node_creds) as node:
            await node.request(f"$JS.API.STREAM.PURGE.{stream}")
        async with channel.join(durable="auditor") as member:
            await publish(channel, b"3")
            assert await take(member, 1) == numbers(3)
        assert member.account == Account(accepted=3, delivered=3)
