"""Members of a process share a feed: each has everything once, whoever joins, leaves, is slow or raises."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from prometheus_client import CollectorRegistry

from fabric.client import Fabric, Member
from fabric.client.channels.member import QUEUE_BYTES_MAX, QUEUE_MESSAGES_MAX
from fabric.client.gate import Gate
from fabric.config import LimitsSettings
from fabric.node.metrics import NodeCollector
from fabric.rules.channels.together import AT_ONCE
from fabric.subjects import shard
from fabric_codecs.envelope import Envelope
from helpers.lane import opened
from helpers.server import RunningServer
from helpers.waiting import BOUND_S, until

MEMBERS = 50


async def publish_all(fabric: Fabric, channel: str, messages: list[bytes]) -> None:
    async with fabric.channel(channel).publisher() as out:
        for message in messages:
            await out.send(message)


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


async def data_of(member: Member, count: int) -> list[bytes]:
    async with asyncio.timeout(BOUND_S):
        return [(await anext(member)).data for _ in range(count)]


class Ear:
    """A handler that remembers."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def __call__(self, envelope: Envelope) -> None:
        self.heard.append(envelope.data)


def subscriptions(fabric: Fabric) -> int:
    return len(fabric.session.connection._subscriptions)


async def test_members_of_a_pattern_share_subscriptions_and_the_last_one_ends_them(
    server: RunningServer,
) -> None:
    async with opened(server, "sh-count") as fabric:
        before = subscriptions(fabric)
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(fabric.channel("sh.count.>").join())
            for_one = subscriptions(fabric)
            for _ in range(MEMBERS):
                await stack.enter_async_context(fabric.channel("sh.count.>").join())
            assert subscriptions(fabric) == for_one
            await first.close()
            assert subscriptions(fabric) == for_one
        assert subscriptions(fabric) == before
        assert (fabric.session.members, fabric.session.feeds) == (set(), {})


@pytest.mark.parametrize("delivery", ["durable", "live"])
async def test_every_member_is_handed_every_message_and_counts_it(
    server: RunningServer, delivery: str
) -> None:
    ears = [Ear() for _ in range(MEMBERS)]
    channel = f"sh.all.{delivery}"
    async with opened(server, "sh-all") as fabric, AsyncExitStack() as stack:
        members = [await stack.enter_async_context(fabric.channel(channel).join(ear)) for ear in ears]
        queued = await stack.enter_async_context(fabric.channel(channel).join())
        async with fabric.channel(channel).publisher(delivery=delivery) as out:
            for message in numbered(200):
                await out.send(message)
        assert await data_of(queued, 200) == numbered(200)
        await until(lambda: all(len(ear.heard) == 200 for ear in ears), "all were handed all")
        assert all(ear.heard == numbered(200) for ear in ears)
        assert {member.delivered for member in members} == {queued.delivered} == {200}
    assert {member.delivered for member in members} == {200}


async def test_an_envelope_is_made_once_for_all(server: RunningServer) -> None:
    async with (
        opened(server, "sh-once") as fabric,
        fabric.channel("sh.once").join() as one,
        fabric.channel("sh.once").join() as other,
    ):
        await fabric.channel("sh.once").publish("x")
        async with asyncio.timeout(BOUND_S):
            assert await anext(one) is await anext(other)


async def test_who_raises_joins_or_leaves_while_called_takes_nobody_along(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    leaving: list[asyncio.Task[None]] = []
    first, last = Ear(), Ear()
    async with opened(server, "sh-raise") as fabric, AsyncExitStack() as stack:
        channel = fabric.channel("sh.raise")

        def raises(_: Envelope) -> None:
            raise RuntimeError("mine")

        def leaves(_: Envelope) -> None:
            leaving.append(asyncio.create_task(leaver.close()))

        await stack.enter_async_context(channel.join(first))
        raiser = await stack.enter_async_context(channel.join(raises))
        leaver = await stack.enter_async_context(channel.join(leaves))
        await stack.enter_async_context(channel.join(last))
        await channel.publish(b"1")
        await until(lambda: bool(leaving) and all(task.done() for task in leaving), "it left")
        await channel.publish(b"2")
        await until(lambda: last.heard == [b"1", b"2"], "the last heard both")
        assert first.heard == [b"1", b"2"]
        assert (raiser.handler_errors, leaver.delivered, len(leaving)) == (2, 1, 1)
    assert "a handler of channel sh.raise raised" in caplog.text


async def test_members_that_join_while_much_is_published_have_no_gap_and_no_copy(
    server: RunningServer,
) -> None:
    count, ears = 6000, [Ear() for _ in range(24)]
    async with (
        opened(server, "sh-join") as fabric,
        opened(server, "sh-join-writer") as writer,
        AsyncExitStack() as stack,
    ):
        channel = fabric.channel("sh.join")
        await publish_all(writer, "sh.join", numbered(500))
        writing = asyncio.create_task(publish_all(writer, "sh.join", numbered(count, 500)))
        for number, ear in enumerate(ears):
            since = "beginning" if number % 2 else "now"
            await stack.enter_async_context(channel.join(ear, since=since))
        await writing
        await publish_all(writer, "sh.join", [b"end"])  # for those who joined after all else
        wanted = [*numbered(count + 500), b"end"]
        await until(lambda: all(ear.heard and ear.heard[-1] == wanted[-1] for ear in ears), "all are there")
        for number, ear in enumerate(ears):
            assert ear.heard == wanted[-len(ear.heard) :]
            if number % 2:
                assert len(ear.heard) == len(wanted)


async def test_stuck_members_hold_little_and_slow_nobody_and_read_it_all_later(server: RunningServer) -> None:
    count, ear = 5000, Ear()
    async with opened(server, "sh-stuck") as fabric, AsyncExitStack() as stack:
        channel = fabric.channel("sh.stuck")
        stuck = [await stack.enter_async_context(channel.join()) for _ in range(5)]
        await stack.enter_async_context(channel.join(ear))
        await publish_all(fabric, "sh.stuck", numbered(count))
        await until(lambda: len(ear.heard) == count, "the quick one has everything")
        assert ear.heard == numbered(count)
        assert all(len(member._queue) <= QUEUE_MESSAGES_MAX for member in stuck)
        for member in stuck:
            assert await data_of(member, count) == numbered(count)
            assert (member.truncated, member.missed) == (0, 0)
        await channel.publish(b"end")
        assert [await data_of(member, 1) for member in stuck] == [[b"end"]] * 5


async def test_stuck_late_members_take_no_place_from_others_and_can_leave(server: RunningServer) -> None:
    ear = Ear()
    async with opened(server, "sh-places") as fabric:
        channel = fabric.channel("sh.places")
        await publish_all(fabric, "sh.places", numbered(3000))
        async with AsyncExitStack() as stack, asyncio.timeout(BOUND_S):
            for _ in range(2 * AT_ONCE):
                stuck = await stack.enter_async_context(channel.join(since="beginning"))
            await until(lambda: len(stuck._queue) > QUEUE_MESSAGES_MAX // 2, "they are stuck")
            await stack.enter_async_context(channel.join(ear, since="beginning"))
            await until(lambda: ear.heard == numbered(3000), "a late member has all")


async def test_a_stuck_late_member_holds_few_bytes_and_has_all_later(server: RunningServer) -> None:
    large = [bytes([number]) * 900_000 for number in range(12)]
    async with opened(server, "sh-bytes") as fabric, asyncio.timeout(BOUND_S):
        await publish_all(fabric, "sh.bytes", large)
        async with fabric.channel("sh.bytes").join(since="beginning") as member:
            await until(lambda: member._queued_bytes > QUEUE_BYTES_MAX // 2, "its queue is filling")
            got = []
            for _ in large:
                got.append((await anext(member)).data)
                for _ in range(3):  # answered after the page that it has asked for meanwhile
                    await fabric.session.reader.last(f"CH_{shard('sh.bytes')}", ">")
                assert member._queued_bytes <= QUEUE_BYTES_MAX
            assert got == large


async def retried(fabric: Fabric, channel: str, copies: list[tuple[str, bool]]) -> None:
    """Store messages as a publisher does that got no acknowledgement: (id, whether marked)."""
    for message_id, marked in copies:
        header = Envelope(b"", id=message_id, source=f"/nats/{fabric.name}", type="t").nats_header()
        mark = b"Fab-Retry: 1\r\n" if marked else b""
        subject = f"fab.ch.{shard(channel)}.{fabric.name}.{channel}"
        await fabric.session.connection.request(
            subject, message_id.encode(), header=header[:10] + mark + header[10:]
        )


async def test_a_second_copy_is_withheld_on_whichever_side_of_the_seam_it_is(server: RunningServer) -> None:
    ear, early = Ear(), Ear()
    async with opened(server, "sh-copies") as fabric, AsyncExitStack() as stack:
        channel = fabric.channel("sh.copies")
        await retried(fabric, "sh.copies", [("1", False), ("2", False), ("2", True)])
        member = await stack.enter_async_context(channel.join(ear, since="beginning"))
        await until(lambda: ear.heard == [b"1", b"2"], "history was read")
        await stack.enter_async_context(channel.join(early))
        await retried(fabric, "sh.copies", [("1", True), ("3", False), ("3", True), ("4", True)])
        await until(lambda: bool(early.heard) and early.heard[-1] == b"4", "the feed went on")
        assert ear.heard == [b"1", b"2", b"3", b"4"]
        assert member.duplicates == 3


async def test_a_copy_of_what_the_feed_delivered_is_withheld_after_leaving_the_feed(
    server: RunningServer,
) -> None:
    async with opened(server, "sh-left") as fabric, fabric.channel("sh.left").join() as member:
        before = numbered(QUEUE_MESSAGES_MAX - 1)
        await publish_all(fabric, "sh.left", before)
        await retried(fabric, "sh.left", [("one", False), ("two", False), ("one", True), ("three", False)])
        wanted = [*before, b"one", b"two", b"three"]
        assert await data_of(member, len(wanted)) == wanted
        assert member.duplicates == 1


async def test_a_lone_marked_copy_that_found_no_room_is_delivered_later(server: RunningServer) -> None:
    async with opened(server, "sh-lone") as fabric, fabric.channel("sh.lone").join() as member:
        await publish_all(fabric, "sh.lone", numbered(QUEUE_MESSAGES_MAX))
        await until(lambda: len(member._queue) == QUEUE_MESSAGES_MAX, "the queue is full")
        await retried(fabric, "sh.lone", [("lone", True), ("lone", True)])
        await fabric.channel("sh.lone").publish(b"end")
        wanted = [*numbered(QUEUE_MESSAGES_MAX), b"lone", b"end"]
        assert await data_of(member, len(wanted)) == wanted


async def test_what_members_count_is_summed_for_the_process_after_they_left_too(
    server: RunningServer,
) -> None:
    async with opened(server, "sh-sums") as fabric:
        channel, registry = fabric.channel("sh.sums"), CollectorRegistry()
        registry.register(NodeCollector(fabric.session, None, Gate(LimitsSettings())))

        def value(name: str) -> float | None:
            return registry.get_sample_value(name)

        async with channel.join() as first:
            async with channel.join() as second:
                await publish_all(fabric, "sh.sums", numbered(10))
                await retried(fabric, "sh.sums", [("x", False), ("x", True)])
                for member in (first, second):
                    await data_of(member, 11)
                await until(lambda: first.duplicates == 1, "the copy was withheld")
                assert value("fabric_members") == 2
            assert value("fabric_members") == 1
            assert value("fabric_member_delivered_total") == 22
        assert value("fabric_members") == 0
        assert value("fabric_member_delivered_total") == 22
        assert value("fabric_member_duplicates_total") == 2
        assert value("fabric_member_missed_total") == 0
