"""Channels on a real server: they exist by use; a member has every message once, from where it asked to."""

import asyncio
import os
import sys
from datetime import UTC, datetime

import pytest

from fabric.client import Fabric, Member
from fabric.errors import InvalidName, PermissionDenied
from fabric.subjects import SHARDS
from fabric_codecs.envelope import Envelope
from helpers.lane import opened
from helpers.server import RunningServer
from helpers.waiting import BOUND_S, until

PATTERNS = [
    ("pat.a", {"pat.a"}),
    ("pat.>", {"pat", "pat.a", "pat.b", "pat.a.x"}),
    ("pat.*", {"pat.a", "pat.b"}),
    ("*.a", {"pat.a", "tap.a"}),
    ("pat.a.>", {"pat.a", "pat.a.x"}),
    ("*.*.x", {"pat.a.x"}),
    ("*", {"pat"}),
    ("$pat.>", {"$pat.a"}),
]
CHANNELS = ("pat", "pat.a", "pat.b", "pat.a.x", "tap.a", "$pat.a")


async def take(member: Member, count: int) -> list[Envelope]:
    async with asyncio.timeout(BOUND_S):
        return [await anext(member) for _ in range(count)]


async def data_of(member: Member, count: int) -> list[bytes]:
    return [envelope.data for envelope in await take(member, count)]


async def publish_all(fabric: Fabric, channel: str, messages: list[bytes]) -> None:
    async with fabric.channel(channel).publisher() as out:
        for message in messages:
            await out.send(message)


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


async def test_a_channel_exists_as_soon_as_somebody_uses_it(server: RunningServer) -> None:
    async with opened(server, "ch-use") as fabric, fabric.channel("ch.use").join() as member:
        receipt = await fabric.channel("ch.use").publish({"celsius": 21.5}, partitionkey="k")
        [envelope] = await take(member, 1)
        assert envelope.json() == {"celsius": 21.5}
        assert (envelope.id, envelope.stream, envelope.sequence) == (
            receipt.id,
            receipt.stream,
            receipt.sequence,
        )
        assert (envelope.source, envelope.kind, envelope.subject) == ("/nats/ch-use", "event", "ch.use")
        assert envelope.get("partitionkey") == "k"
        assert not receipt.duplicate


@pytest.mark.parametrize("delivery", ["durable", "live"])
async def test_every_kind_of_data_arrives_as_it_was(server: RunningServer, delivery: str) -> None:
    async with opened(server, "ch-kinds") as fabric, fabric.channel("ch.kinds").join() as member:
        for data, expected, media_type in (
            (b"\x00\xff", b"\x00\xff", "application/octet-stream"),
            ("é", "é".encode(), "text/plain"),
            ([1, None], b"[1,null]", "application/json"),
            (b"", b"", "application/octet-stream"),
        ):
            await fabric.channel("ch.kinds").publish(data, delivery=delivery)
            [envelope] = await take(member, 1)
            assert (envelope.data, envelope.get("datacontenttype")) == (expected, media_type)


async def test_names_that_are_none_are_refused_by_name(server: RunningServer) -> None:
    async with opened(server, "ch-names") as fabric:
        for name in ("", "a..b", "x" * 300, ".".join("a" * 17)):
            with pytest.raises(InvalidName):
                fabric.channel(name)
        for pattern in ("a.*", ">"):
            with pytest.raises(InvalidName, match="pattern"):
                await fabric.channel(pattern).publish("x")
            with pytest.raises(InvalidName, match="pattern"):
                fabric.channel(pattern).publisher()


async def test_awkward_names_of_channels_and_sources_arrive(server: RunningServer) -> None:
    name = "pump 7/é%*>"
    async with opened(server, name) as fabric:
        for channel in ("a b.é", "%", "100%.x/y", '"quoted"\\.x'):
            async with fabric.channel(channel).join() as member:
                await fabric.channel(channel).publish("durable")
                await fabric.channel(channel).publish("live", delivery="live")
                assert [envelope.source_name for envelope in await take(member, 2)] == [name] * 2
                assert member.forged == 0


@pytest.mark.parametrize(("pattern", "expected"), PATTERNS)
@pytest.mark.parametrize("delivery", ["durable", "live"])
async def test_a_pattern_joins_the_channels_that_mqtt_says(
    server: RunningServer, pattern: str, expected: set[str], delivery: str
) -> None:
    async with opened(server, "ch-pattern") as fabric, fabric.channel(pattern).join() as member:
        for channel in CHANNELS:
            await fabric.channel(channel).publish(channel, delivery=delivery)
        got = [envelope.data.decode() for envelope in await take(member, len(expected))]
        assert (set(got), len(got)) == (expected, len(expected))
        await fabric.channel(sorted(expected)[0]).publish("end", delivery=delivery)
        assert await data_of(member, 1) == [b"end"]


async def test_a_pattern_reads_the_history_of_all_shards(server: RunningServer) -> None:
    async with opened(server, "ch-shards") as fabric:
        for number in range(40):
            await fabric.channel(f"shards.{number}").publish(number)
        await fabric.channel("shards").publish(40)
        async with fabric.channel("shards.>").join(since="beginning") as member:
            got = [envelope.json() for envelope in await take(member, 41)]
            assert sorted(got) == list(range(41))
            await fabric.channel("shards.7").publish("new")
            assert await data_of(member, 1) == [b"new"]


async def test_a_late_member_begins_where_it_asks_to(server: RunningServer) -> None:
    async with opened(server, "ch-since") as fabric:
        channel = fabric.channel("ch.since")
        receipts = [await channel.publish(data) for data in numbered(5)]
        moment = datetime.now(UTC)
        receipts += [await channel.publish(data) for data in numbered(5, 5)]
        for since, first in (
            ("beginning", 0),
            (0, 0),
            (receipts[3].sequence, 3),
            (moment, 5),
            (datetime(2000, 1, 1, tzinfo=UTC), 0),
        ):
            async with channel.join(since=since) as member:
                assert await data_of(member, 10 - first) == numbered(10 - first, first)
        for since in ("now", datetime.now(UTC), receipts[-1].sequence + 1):
            async with channel.join(since=since) as member:
                await channel.publish(b"later")
                assert await data_of(member, 1) == [b"later"]


async def test_history_and_what_is_published_meanwhile_join_without_a_seam(server: RunningServer) -> None:
    async with opened(server, "ch-seam") as fabric, opened(server, "ch-seam-2") as other:
        await publish_all(fabric, "ch.seam", numbered(3000))
        publishing = asyncio.create_task(publish_all(fabric, "ch.seam", numbered(3000, 3000)))
        async with other.channel("ch.seam").join(since="beginning") as member:
            assert await data_of(member, 6000) == numbered(6000)
        await publishing


async def test_a_handler_is_called_in_order_and_may_raise(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[bytes] = []

    def handle(envelope: Envelope) -> None:
        got.append(envelope.data)
        if envelope.data == b"3":
            raise RuntimeError("mine")

    async with opened(server, "ch-handler") as fabric:
        async with fabric.channel("ch.handler").join(handle) as member:
            await publish_all(fabric, "ch.handler", numbered(10))
            await until(lambda: len(got) == 10, "all were handled")
        assert got == numbered(10)
        assert member.handler_errors == 1
        assert "a handler of channel ch.handler raised" in caplog.text


async def test_a_slow_member_of_a_durable_channel_loses_nothing_and_slows_nobody(
    server: RunningServer,
) -> None:
    async with opened(server, "ch-slow") as fabric:
        channel = fabric.channel("ch.slow")
        async with channel.join() as slow, channel.join() as quick:
            reading = asyncio.create_task(data_of(quick, 5000))
            await publish_all(fabric, "ch.slow", numbered(5000))
            assert await reading == numbered(5000)
            assert len(slow._queue) <= 1024
            assert await data_of(slow, 5000) == numbered(5000)
            assert slow.missed == 0
            await channel.publish(b"end")
            assert await data_of(slow, 1) == [b"end"]


async def test_a_slow_member_of_a_live_channel_counts_what_it_missed(server: RunningServer) -> None:
    async with opened(server, "ch-slow-live") as fabric:
        channel = fabric.channel("ch.slow.live")
        async with channel.join() as member:
            async with channel.publisher(delivery="live") as out:
                for message in numbered(3000):
                    await out.send(message)
            await until(lambda: member.missed == 3000 - 1024, "all had come")
            assert await data_of(member, 1024) == numbered(1024)


async def test_a_large_message_is_queued_however_small_the_queue(server: RunningServer) -> None:
    async with opened(server, "ch-large") as fabric, fabric.channel("ch.large").join() as member:
        large = bytes(1_000_000)
        for _ in range(8):
            await fabric.channel("ch.large").publish(large)
        assert await data_of(member, 8) == [large] * 8


async def test_a_forged_source_is_not_delivered_and_counted(server: RunningServer) -> None:
    forged = Envelope(b"x", id="1", source="/nats/somebody", type="t").nats_header()
    async with opened(server, "ch-forger") as fabric, fabric.channel("ch.forged").join() as member:
        for delivery in ("durable", "live"):
            subject = fabric.channel("ch.forged").subject(delivery)
            fabric.session.connection.writer.publish(subject, b"", forged, b"x")
            fabric.session.connection.wake()
        await fabric.channel("ch.forged").publish("honest")
        assert await data_of(member, 1) == [b"honest"]
        assert member.forged == 2


async def test_header_lines_that_look_like_the_servers_mislead_nobody(server: RunningServer) -> None:
    lines = (
        b"Nats-Sequence: 999999\r\nNats-Last-Sequence: 999998\r\nNats-Num-Pending: 7\r\nNats-Subject: x\r\n"
    )
    async with opened(server, "ch-liar") as fabric:
        channel = fabric.channel("ch.liar")
        header = Envelope(b"", id="1", source="/nats/ch-liar", type="t").nats_header()
        async with channel.join() as member:
            await fabric.session.connection.request(
                channel.subject("durable").decode(), b"liar", header=header[:10] + lines + header[10:]
            )
            await channel.publish(b"honest")
            assert await data_of(member, 2) == [b"liar", b"honest"]
            assert (member.repaired, member.forged) == (0, 0)
        async with channel.join(since="now"), channel.join(since="beginning") as late:
            assert await data_of(late, 2) == [b"liar", b"honest"]


async def test_a_credential_without_history_is_told_so_when_it_joins(server: RunningServer) -> None:
    credentials = server.credentials("ch-blind", history=False)
    async with opened(server, "ch-blind", credentials=credentials) as fabric, asyncio.timeout(5.0):
        for since in ("now", "beginning"):
            for name in ("ch.blind", "ch.>"):
                with pytest.raises(PermissionDenied, match="history"):
                    await fabric.channel(name).join(since=since).__aenter__()
        assert fabric.session.members == set()


async def test_a_credential_of_other_channels_is_told_so_when_it_joins(server: RunningServer) -> None:
    credentials = server.credentials("ch-narrow", channels=("ch.mine.>",))
    async with opened(server, "ch-narrow", credentials=credentials) as fabric, asyncio.timeout(5.0):
        with pytest.raises(PermissionDenied, match=r"joining ch\.theirs"):
            await fabric.channel("ch.theirs").join().__aenter__()


async def test_closing_ends_iteration_and_leaves_nothing_behind(server: RunningServer) -> None:
    async with opened(server, "ch-close") as fabric:
        before = len(fabric.session.connection._subscriptions)
        member = await fabric.channel("ch.>").join(since="beginning").__aenter__()
        reading = asyncio.create_task(anext(member, None))
        await fabric.channel("elsewhere").publish("x")
        await member.close()
        await member.close()
        await asyncio.wait_for(reading, BOUND_S)
        assert len(fabric.session.connection._subscriptions) == before
        assert await anext(member, None) is None


async def test_a_member_whose_session_closes_ends(server: RunningServer) -> None:
    async with opened(server, "ch-session") as fabric:
        member = await fabric.channel("ch.session").join().__aenter__()
        await fabric.session.close()
        assert await asyncio.wait_for(anext(member, None), BOUND_S) is None


WRITER = """
import asyncio, sys
from fabric.connect import connect
async def main(url, creds, name, count):
    async with connect(name, url=url, credentials=creds) as fabric:
        async with fabric.channel("ch.processes").publisher() as out:
            for number in range(int(count)):
                await out.send({"source": name, "number": number})
asyncio.run(main(*sys.argv[1:]))
"""


async def test_messages_of_several_processes_arrive_once_and_in_order_of_each(server: RunningServer) -> None:
    names = ("ch-p1", "ch-p2")
    async with opened(server, "ch-reader") as fabric, fabric.channel("ch.processes").join() as member:
        writers = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", WRITER, server.url, server.credentials(name), name, "500"),
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
            for name in names
        ]
        got = [envelope.json() for envelope in await take(member, 1000)]
        for writer in writers:
            assert await asyncio.wait_for(writer.wait(), BOUND_S) == 0
        for name in names:
            assert [one["number"] for one in got if one["source"] == name] == list(range(500))


def test_a_shard_is_one_digit_of_a_subject() -> None:
    assert SHARDS <= 10  # a member finds the shard of a subject by one character
