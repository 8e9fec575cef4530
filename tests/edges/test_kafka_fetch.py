"""What a Kafka client is told of topics and offsets, and what its Fetch requests bring, to the byte."""

from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

import pytest
import pytest_asyncio
from kio.static.primitive import i32

from fabric import subjects
from fabric.jetstream import views
from fabric.jetstream.server import api
from helpers import kafka_raw as raw
from helpers.kafka_world import WAIT_S, KafkaWorld, kafka_world
from helpers.server import RunningServer


@pytest_asyncio.fixture
async def world(server: RunningServer) -> AsyncIterator[KafkaWorld]:
    async with kafka_world(server) as world:
        yield world


async def filled(world: KafkaWorld, client: raw.RawClient, channel: str, *data: bytes) -> None:
    """A channel with these messages, and its topic when it shows them all."""
    await world.publish(channel, *data)
    assert (await client.ask(raw.metadata(channel))).topics[0].error_code == 0
    answer = await client.ask(raw.fetch((channel, 0, 0), wait_s=WAIT_S, min_bytes=i32(60 + 10 * len(data))))
    assert len(raw.records_of(raw.partition_of(answer))) == len(data)


async def test_metadata_tells_the_address_the_client_came_by_or_the_one_configured(
    server: RunningServer,
) -> None:
    async with kafka_world(server) as world, raw.raw_client(world.edge.address) as client:
        (broker,) = (await client.ask(raw.EVERYTHING)).brokers
        assert f"{broker.host}:{broker.port}" == world.edge.address
    advertised = {"advertised_host": "fabric.example", "advertised_port": 19092}
    async with kafka_world(server, **advertised) as world, raw.raw_client(world.edge.address) as client:
        (broker,) = (await client.ask(raw.EVERYTHING)).brokers
        assert (broker.host, broker.port) == ("fabric.example", 19092)


async def test_metadata_names_what_is_wrong_with_each_topic_and_shows_the_others(
    world: KafkaWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with raw.raw_client(world.edge.address) as client:
        answer = await client.ask(raw.metadata("d.m1", "a..b", "d.m1", "no such name"))
        told = [(topic.name, topic.error_code, len(topic.partitions)) for topic in answer.topics]
        assert told == [("d.m1", 0, 1), ("a..b", 3, 0), ("no such name", 3, 0)]
        monkeypatch.setattr(views, "VIEWS_MAX", 0)
        answer = await client.ask(raw.metadata("d.m2", "d.m1"))
        assert [(topic.name, topic.error_code) for topic in answer.topics] == [("d.m2", 44), ("d.m1", 0)]


async def test_offsets_of_both_ends_and_of_what_cannot_be_asked(world: KafkaWorld) -> None:
    async with raw.raw_client(world.edge.address) as client:
        await filled(world, client, "d.o1", b"1", b"2")

        async def told(body: Any) -> tuple[int, int]:
            ((partition,),) = [topic.partitions for topic in (await client.ask(body)).topics]
            return partition.error_code, partition.offset

        assert await told(raw.offsets("d.o1", -2)) == (0, 0)
        assert await told(raw.offsets("d.o1", -1)) == (0, 2)
        assert await told(raw.offsets("d.o1", 0)) == (0, 0)
        for future in (2**42, 2**63 - 1):
            assert await told(raw.offsets("d.o1", future)) == (0, -1)
        assert await told(raw.offsets("d.o1", -3)) == (35, -1)
        assert await told(raw.offsets("d.o1", -1, partition=1)) == (3, -1)
        assert await told(raw.offsets("d.never", -1)) == (3, -1)


# Fetch


@pytest.mark.parametrize("version", range(4, 12))
async def test_fetch_in_every_version_brings_records_and_the_last_stable_offset(
    world: KafkaWorld, version: int
) -> None:
    async with raw.raw_client(world.edge.address) as client:
        channel = f"d.v{version}"
        await filled(world, client, channel, b"1", b"2", b"3")
        partition = raw.partition_of(await client.ask(raw.fetch((channel, 0, 1), version=version)))
        assert [(record.offset, record.value) for record in raw.records_of(partition)] == [
            (1, b"2"),
            (2, b"3"),
        ]
        assert (partition.high_watermark, partition.last_stable_offset) == (3, 3)


async def test_fetch_tells_each_partitions_error_at_once_and_gives_the_others(world: KafkaWorld) -> None:
    async with raw.raw_client(world.edge.address) as client:
        await filled(world, client, "d.f1", b"1", b"2")
        began = monotonic()
        asked = [
            ("d.f1", 0, 0),
            ("d.f1", 0, 3),
            ("d.f1", 0, -1),
            ("d.f1", 0, 2**63 - 1),
            ("d.f1", 1, 0),
            ("d.never", 0, 0),
        ]
        answer = await client.ask(raw.fetch(*asked, wait_s=WAIT_S, min_bytes=i32(1 << 20)))
        assert monotonic() - began < WAIT_S / 2
        partitions = [partition for topic in answer.responses for partition in topic.partitions]
        assert [partition.error_code for partition in partitions] == [0, 1, 1, 1, 3, 3]
        assert [len(raw.records_of(partition)) for partition in partitions] == [2, 0, 0, 0, 0, 0]
        assert (partitions[1].log_start_offset, partitions[1].high_watermark) == (0, 2)
        assert "d.never" not in {topic.name for topic in (await client.ask(raw.EVERYTHING)).topics}


async def test_fetch_waits_for_its_time_for_enough_bytes_or_for_growth(world: KafkaWorld) -> None:
    async with raw.raw_client(world.edge.address) as client:
        await filled(world, client, "d.w1", b"1")
        began = monotonic()
        partition = raw.partition_of(await client.ask(raw.fetch(("d.w1", 0, 1), wait_s=0.1)))
        assert 0.1 <= monotonic() - began < WAIT_S / 2
        assert (partition.error_code, partition.records, partition.high_watermark) == (0, b"", 1)
        body = raw.fetch(("d.w1", 0, 1), wait_s=WAIT_S, min_bytes=i32(2000))
        client.send(raw.request_frame(body))
        await world.publish("d.w1", b"a" * 1000)
        await world.publish("d.w1", b"b" * 1000)
        answer = client.read_answer(await client.receive(), body)
        assert [len(record.value or b"") for record in raw.records_of(raw.partition_of(answer))] == [
            1000,
            1000,
        ]
        assert monotonic() - began < WAIT_S / 2


async def test_fetch_without_partitions_is_answered_at_once_and_sessions_are_not_granted(
    world: KafkaWorld,
) -> None:
    async with raw.raw_client(world.edge.address) as client:
        answer = await client.ask(raw.fetch(wait_s=WAIT_S))
        assert (answer.error_code, answer.session_id, answer.responses) == (0, 0, ())
        answer = await client.ask(raw.fetch(("d.s1", 0, 0), session_id=i32(5), session_epoch=i32(1)))
        assert (answer.error_code, answer.session_id) == (70, 0)


@pytest.mark.parametrize("limit", ["max_bytes", "partition_max_bytes"])
async def test_fetch_stops_at_its_size_but_always_gets_on(world: KafkaWorld, limit: str) -> None:
    async with raw.raw_client(world.edge.address) as client:
        channel = f"d.{limit}"
        await filled(world, client, channel, *(bytes([65 + at]) * 5000 for at in range(4)))
        for size, count in ((12_000, 2), (1, 1), (0, 1), (5500, 1), (1 << 20, 4)):
            asked = raw.fetch((channel, 0, 0), wait_s=WAIT_S, **{limit: i32(size)})
            partition = raw.partition_of(await client.ask(asked))
            assert len(raw.records_of(partition)) == count, size
            assert len(partition.records) <= max(size, 6000)


async def test_fetch_shares_its_size_among_partitions(world: KafkaWorld) -> None:
    async with raw.raw_client(world.edge.address) as client:
        for channel in ("d.p1", "d.p2"):
            await filled(world, client, channel, *(b"x" * 5000 for _ in range(4)))
        answer = await client.ask(raw.fetch(("d.p1", 0, 0), ("d.p2", 0, 0), max_bytes=i32(23_000)))
        counts = [
            len(raw.records_of(partition)) for topic in answer.responses for partition in topic.partitions
        ]
        assert counts == [4, 1]
        answer = await client.ask(raw.fetch(("d.p1", 0, 0), ("d.p2", 0, 0), max_bytes=i32(6000)))
        assert [len(raw.records_of(topic.partitions[0])) for topic in answer.responses] == [1, 1]


async def test_what_retention_took_is_out_of_range_with_the_bounds(world: KafkaWorld) -> None:
    async with raw.raw_client(world.edge.address) as client:
        await filled(world, client, "d.r1", b"1", b"2", b"3")
        await api(world.session.connection, "STREAM.PURGE.K_d%2Er1_0", {"seq": 3})
        partition = raw.partition_of(await client.ask(raw.fetch(("d.r1", 0, 0))))
        assert (partition.error_code, partition.log_start_offset, partition.high_watermark) == (1, 2, 3)
        partition = raw.partition_of(await client.ask(raw.fetch(("d.r1", 0, 2))))
        assert [record.value for record in raw.records_of(partition)] == [b"3"]


async def test_a_removed_topic_is_unknown_until_it_is_named_again(world: KafkaWorld) -> None:
    async with raw.raw_client(world.edge.address) as client:
        await filled(world, client, "d.gone", b"1")
        await api(world.session.connection, "STREAM.DELETE.K_d%2Egone_0")
        for _ in range(2):
            assert raw.partition_of(await client.ask(raw.fetch(("d.gone", 0, 0)))).error_code == 3
        await client.ask(raw.metadata("d.gone"))
        partition = raw.partition_of(await client.ask(raw.fetch(("d.gone", 0, 0), wait_s=WAIT_S)))
        assert [record.value for record in raw.records_of(partition)] == [b"1"]


async def test_a_message_that_cannot_be_read_whole_does_not_stand_in_the_way(world: KafkaWorld) -> None:
    subject = subjects.durable("stranger", "d.u1")
    header = b"NATS/1.0\r\nce-id: 1\r\nFab-Native: not base64\r\n\r\n"
    await world.session.connection.request(subject, b"poison", header=header)
    async with raw.raw_client(world.edge.address) as client:
        await world.publish("d.u1", b"after")
        await client.ask(raw.metadata("d.u1"))
        asked = raw.fetch(("d.u1", 0, 0), wait_s=WAIT_S, min_bytes=i32(300))
        poison, after = raw.records_of(raw.partition_of(await client.ask(asked)))
        assert (poison.value, after.value) == (b"poison", b"after")
        assert poison.headers[0][0] == "fab-unreadable"
    assert world.metrics.value("fabric_edge_malformed_total", edge="kafka") >= 1
