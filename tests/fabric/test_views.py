"""Kafka topics as JetStream views, on a real server: dense offsets, every kind of source, waiting, limits."""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

import pytest
import pytest_asyncio

from fabric import subjects
from fabric.errors import ConfigInvalid, LimitExceeded, NoSuchTopic
from fabric.jetstream import tail, views
from fabric.jetstream.connection import Connection, NoResponders
from fabric.jetstream.read import LogReader
from fabric.jetstream.server import api
from fabric.jetstream.views import View, Views
from fabric_codecs.envelope import Envelope
from helpers.server import RunningServer

WAIT_S = 10.0


class World:
    """A node's connection, and what the tests do with it."""

    def __init__(self, server: RunningServer) -> None:
        self.connection = Connection(
            [server.url], name="views", inbox="_INBOX.views", credentials=server.node_creds
        )
        self.reader = LogReader(self.connection, inbox="_INBOX.views.r")
        self.made: list[Views] = []

    def views(self, **configured: str) -> Views:
        made = Views(self.connection, self.reader, configured, inbox="_INBOX.views")
        self.made.append(made)
        return made

    async def publish(self, channel: str, data: bytes, source: str = "me") -> None:
        envelope = Envelope(data, id=data.decode()[:8], source=f"/nats/{source}", type="t", subject=channel)
        await self._store(subjects.durable(source, channel), envelope)

    async def journal(self, bucket: int, data: bytes) -> None:
        envelope = Envelope(data, id="j", source="/nats/me", type="t")
        await self._store(subjects.journal("me", bucket), envelope)

    async def _store(self, subject: str, envelope: Envelope) -> None:
        reply = await self.connection.request(subject, envelope.data, header=envelope.nats_header())
        assert b'"seq"' in reply.data, reply.data

    async def remove(self, stream: str) -> None:
        await api(self.connection, f"STREAM.DELETE.{stream}")

    async def close(self) -> None:
        for made in self.made:
            made.close()
        await self.connection.close()


async def opened(server: RunningServer) -> World:
    world = World(server)
    await world.connection.open()
    return world


@pytest_asyncio.fixture
async def world(server: RunningServer) -> AsyncIterator[World]:
    world = await opened(server)
    yield world
    for stream in {view.stream for made in world.made for view in made._views.values()}:
        await world.remove(stream)
    await world.close()


async def read_until(view: View, count: int) -> list[bytes]:
    """The data of the first `count` records, in order, with offsets 0, 1, 2 ... without holes."""
    assert await view.wait(count - 1, WAIT_S), f"{view.topic} never held {count} records"
    records = await view.read(0, max_bytes=1 << 20)
    assert [record.offset for record in records] == list(range(count))
    return [record.envelope.data for record in records]


async def test_a_channels_history_and_future_appear_with_dense_offsets(world: World) -> None:
    for data in (b"1", b"2"):
        await world.publish("v1.north", data)
        await world.publish("v1.south", b"noise")
    (view,) = await world.views().open("v1.north")
    assert await read_until(view, 2) == [b"1", b"2"]
    await world.publish("v1.north", b"3", source="other")
    assert await read_until(view, 3) == [b"1", b"2", b"3"]
    assert await view.bounds() == (0, 3)


async def test_a_record_keeps_its_envelope_and_tells_when_it_was_stored(world: World) -> None:
    await world.publish("v2.north", b"21.5")
    (view,) = await world.views().open("v2.north")
    await read_until(view, 1)
    (record,) = await view.read(0, max_bytes=1)
    assert record.envelope.attributes() == {
        "id": "21.5",
        "source": "/nats/me",
        "type": "t",
        "subject": "v2.north",
    }
    assert record.envelope.header("Nats-Stream-Source") is not None
    assert await view.offset_at(record.time_ms) == 0
    assert await view.offset_at(record.time_ms + 1) is None
    assert await view.offset_at(0) == 0


@pytest.mark.parametrize(
    ("root", "pattern", "shown"),
    [
        ("v3a", "v3a.>", {"v3a", "v3a.a", "v3a.v3a", "v3a.v3a.c"}),
        ("v3b", "v3b.*", {"v3b.a", "v3b.v3b"}),
        ("v3c", "*.v3c", {"v3c.v3c"}),
        ("v3d", "v3d.*.>", {"v3d.a", "v3d.v3d", "v3d.v3d.c"}),
        ("v3e", "v3e.v3e", {"v3e.v3e"}),
    ],
)
async def test_a_pattern_shows_the_channels_that_match_it_over_all_shards(
    world: World, root: str, pattern: str, shown: set[str]
) -> None:
    channels = (root, f"{root}.a", f"{root}.{root}", f"{root}.{root}.c", f"other.{root}.c")
    for channel in channels:
        await world.publish(channel, channel.encode())
    (view,) = await world.views(topic=pattern).open("topic")
    assert {data.decode() for data in await read_until(view, len(shown))} == shown
    await world.publish(min(shown), b"late")
    assert (await read_until(view, len(shown) + 1))[-1] == b"late"


async def test_the_journal_is_shown_whole_from_every_bucket(world: World) -> None:
    for bucket in (0, 3, 1023):
        await world.journal(bucket, str(bucket).encode())
    (view,) = await world.views(whole="journal").open("whole")
    ours: list[bytes] = []
    offset = 0
    while len(ours) < 3:  # the session's server keeps other tests' records too
        assert await view.wait(offset, WAIT_S)
        records = await view.read(offset, max_bytes=1 << 20)
        ours += [record.envelope.data for record in records if record.envelope.id == "j"]
        offset = records[-1].offset + 1
    assert ours == [b"0", b"3", b"1023"]


async def test_configured_topics_are_made_at_start_and_others_when_they_are_opened(world: World) -> None:
    made = world.views(tale="journal", climate="v5.>")
    before = set(await made.names())
    await made.start()
    await made.open("v5.north_1")
    assert set(await made.names()) - before == {"climate", "tale", "v5.north_1"}
    assert (await made.open("v5.north_1")) == (await made.open("v5.north_1"))


async def test_all_of_many_records_are_read_in_pages_of_the_size_asked(world: World) -> None:
    for number in range(25):
        await world.publish("v6", f"{number:04}".encode() * 100)
    (view,) = await world.views().open("v6")
    assert await view.wait(24, WAIT_S)
    assert len(await view.read(0, max_bytes=1 << 20, max_records=10)) == 10
    assert [record.offset for record in await view.read(20, max_bytes=1 << 20)] == [20, 21, 22, 23, 24]
    one_at_least = await view.read(3, max_bytes=1)
    assert [record.offset for record in one_at_least] == [3]
    some = await view.read(0, max_bytes=3000)
    assert 1 < len(some) < 25
    assert await view.read(25, max_bytes=1 << 20) == []


@pytest.mark.parametrize("offset", [-1, -(2**40), 3, 2**40])
async def test_an_offset_outside_the_log_is_a_lookup_error_that_names_the_bounds(
    world: World, offset: int
) -> None:
    channel = f"v7.{offset}"
    await world.publish(channel, b"1")
    await world.publish(channel, b"2")
    (view,) = await world.views().open(channel)
    await read_until(view, 2)
    with pytest.raises(LookupError, match="outside 0 to 2"):
        await view.read(offset, max_bytes=1000)


async def test_offsets_survive_retention_and_what_it_took_is_out_of_bounds(world: World) -> None:
    for data in (b"1", b"2", b"3"):
        await world.publish("v8", data)
    (view,) = await world.views().open("v8")
    await read_until(view, 3)
    await api(world.connection, f"STREAM.PURGE.{view.stream}", {"seq": 3})
    assert await view.bounds() == (2, 3)
    assert [record.envelope.data for record in await view.read(2, max_bytes=1000)] == [b"3"]
    with pytest.raises(LookupError, match="outside 2 to 3"):
        await view.read(1, max_bytes=1000)
    await api(world.connection, f"STREAM.PURGE.{view.stream}")
    assert await view.bounds() == (3, 3)
    assert await view.read(3, max_bytes=1000) == []
    assert await view.offset_at(0) is None


async def test_waiting_ends_with_growth_or_with_the_time_and_never_early(world: World) -> None:
    (view,) = await world.views().open("v9")
    began = monotonic()
    assert not await view.wait(0, 0.05)
    assert monotonic() - began >= 0.05
    waiting = [asyncio.create_task(view.wait(offset, WAIT_S)) for offset in (0, 0, 1)]
    await world.publish("v9", b"1")
    assert await asyncio.wait_for(asyncio.gather(*waiting[:2]), WAIT_S) == [True, True]
    assert not waiting[2].done()
    await world.publish("v9", b"2")
    assert await asyncio.wait_for(waiting[2], WAIT_S)
    assert await view.wait(0, 0)


async def test_a_waiter_is_told_by_the_consumer_long_before_the_next_look(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "RECHECK_S", WAIT_S * 2)
    (view,) = await world.views().open("v10")
    for number in range(20):
        assert not await view.wait(number, 0)
        waiting = asyncio.create_task(view.wait(number, WAIT_S))
        await world.publish("v10", b"x")
        assert await waiting


async def test_growth_is_noticed_without_the_consumer_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "RECHECK_S", 0.02)
    (view,) = await world.views().open("v11")
    assert not await view.wait(0, 0.01)
    consumers = await api(world.connection, f"CONSUMER.NAMES.{view.stream}", {})
    for consumer in consumers["consumers"]:
        await api(world.connection, f"CONSUMER.DELETE.{view.stream}.{consumer}")
    waiting = asyncio.create_task(view.wait(0, WAIT_S))
    await world.publish("v11", b"x")
    assert await waiting
    assert not view._tail.is_watching  # the dead one was given up; the next wait makes another
    assert not await view.wait(1, 0.01)
    assert view._tail.is_watching


async def test_nobody_is_watched_for_after_the_last_waiter_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "LINGER_S", 0.0)
    (view,) = await world.views().open("v12")
    assert not await view.wait(0, 0.01)
    async with asyncio.timeout(WAIT_S):
        while view._tail.is_watching:  # noqa: ASYNC110  a timer ends it, and nobody is told
            await asyncio.sleep(0)


async def test_a_removed_topic_says_so_and_begins_anew_when_it_is_opened_again(world: World) -> None:
    made = world.views()
    await world.publish("v13", b"1")
    await world.publish("v13", b"2")
    (view,) = await made.open("v13")
    await read_until(view, 2)
    await world.remove(view.stream)
    with pytest.raises(NoSuchTopic, match="removed"):
        await view.bounds()
    (again,) = await made.open("v13")
    assert await read_until(again, 2) == [b"1", b"2"]
    assert not await again.wait(2, 0.01)


async def test_a_stream_made_again_behind_our_back_does_not_keep_waiters_from_waiting(world: World) -> None:
    made, other = world.views(), world.views()
    await world.publish("v14", b"1")
    await world.publish("v14", b"2")
    (view,) = await made.open("v14")
    await read_until(view, 2)
    await world.remove(view.stream)
    await api(world.connection, f"STREAM.PURGE.CH_{subjects.shard('v14')}", {"filter": "fab.ch.*.me.v14"})
    await other.open("v14")
    assert await view.read(0, max_bytes=100) == []
    assert not await view.wait(0, 0.01)


@pytest.mark.parametrize("topic", ["", ".", "a..b", "a b", "a/b", "ä", "a*", "x" * 250])
async def test_a_name_that_no_channel_has_is_no_topic(world: World, topic: str) -> None:
    with pytest.raises(NoSuchTopic):
        await world.views().open(topic)


async def test_a_name_whose_stream_would_be_too_long_is_no_topic(world: World) -> None:
    longest = ".".join(["a" * 16] * 12)  # within Kafka's and the channels' limits, and 245 bytes as a stream
    await world.views().open(longest)
    with pytest.raises(NoSuchTopic, match="255"):
        await world.views().open(".".join(["a" * 15] * 15))


@pytest.mark.parametrize(
    ("topic", "shown"), [("a topic", "x"), ("topic", ""), ("topic", "a..b"), ("topic", "a.>.b"), ("..", "x")]
)
async def test_a_configured_topic_that_cannot_be_one_is_refused_at_once(
    world: World, topic: str, shown: str
) -> None:
    with pytest.raises(ConfigInvalid, match=r"\[kafka\] topics"):
        world.views(**{topic: shown})


async def test_a_topic_is_never_pointed_at_something_else(world: World) -> None:
    await world.views(climate="v15.>").start()
    await world.views(climate="v15.>").start()
    with pytest.raises(ConfigInvalid, match="use another topic name"):
        await world.views(climate="journal").start()


async def test_there_are_no_more_views_than_the_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = world.views()
    monkeypatch.setattr(views, "VIEWS_MAX", len(await made.names()) + 2)
    await made.open("v16")
    await made.open("v17")
    with pytest.raises(LimitExceeded, match="kafka topics"):
        await made.open("v18")
    await made.open("v16")


async def test_a_view_outlives_a_crash_of_the_server_and_is_waited_for_again(
    private_server: RunningServer,
) -> None:
    world = await opened(private_server)
    try:
        await world.publish("v19", b"1")
        (view,) = await world.views().open("v19")
        assert await read_until(view, 1) == [b"1"]
        assert not await view.wait(1, 0)
        waiting = asyncio.create_task(view.wait(1, 30.0))
        await private_server.kill_and_restart()
        await world.connection.wait_up(WAIT_S)
        async with asyncio.timeout(WAIT_S):
            while True:
                try:
                    await world.publish("v19", b"2")
                    break
                except NoResponders:  # JetStream is not up yet
                    continue
        assert await waiting
        assert (await read_until(view, 2))[0] == b"1"
    finally:
        await world.close()
