"""Stock consumers on the Kafka edge, over real sockets: aiokafka and confluent-kafka, assigned by hand."""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    AuthenticationFailedError,
    KafkaConnectionError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)
from confluent_kafka import OFFSET_BEGINNING, KafkaError
from confluent_kafka import TopicPartition as ConfluentPartition

from fabric.jetstream import tail
from fabric_codecs.envelope import Envelope
from helpers.http_door import TOKEN
from helpers.kafka_world import WAIT_S, KafkaWorld, kafka_world
from helpers.server import RunningServer


@pytest_asyncio.fixture
async def world(server: RunningServer) -> AsyncIterator[KafkaWorld]:
    async with kafka_world(server, {"k.everything": "k.all.>"}) as world:
        yield world


async def next_of(consumer: object, count: int) -> list:
    """The next `count` records of an aiokafka consumer."""
    async with asyncio.timeout(WAIT_S):
        return [await consumer.getone() for _ in range(count)]


async def test_aiokafka_reads_a_channel_from_offset_0_and_goes_on_as_it_grows(world: KafkaWorld) -> None:
    await world.publish("k.a1", b"1", b"2")
    partition = TopicPartition("k.a1", 0)
    async with world.aiokafka() as consumer:
        consumer.assign([partition])
        consumer.seek(partition, 0)
        records = await next_of(consumer, 2)
        await world.publish("k.a1", b"3")
        records += await next_of(consumer, 1)
        assert await consumer.position(partition) == 3
    assert [(record.offset, record.value) for record in records] == [(0, b"1"), (1, b"2"), (2, b"3")]


async def test_confluent_reads_a_channel_from_offset_0_and_goes_on_as_it_grows(world: KafkaWorld) -> None:
    await world.publish("k.c1", b"1", b"2")
    async with world.confluent() as client:
        await client.run(client.consumer.assign, [ConfluentPartition("k.c1", 0, 0)])
        messages = await client.read(2)
        await world.publish("k.c1", b"3")
        messages += await client.read(1)
    assert [message.error() for message in messages] == [None] * 3
    assert [(message.offset(), message.value()) for message in messages] == [(0, b"1"), (1, b"2"), (2, b"3")]


async def test_both_resume_from_an_offset_and_know_both_ends(world: KafkaWorld) -> None:
    await world.publish("k.r1", *(str(number).encode() for number in range(10)))
    partition = TopicPartition("k.r1", 0)
    async with world.aiokafka() as consumer:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        await next_of(consumer, 10)  # the view holds all ten
        assert await consumer.beginning_offsets([partition]) == {partition: 0}
        assert await consumer.end_offsets([partition]) == {partition: 10}
        consumer.seek(partition, 7)
        assert [record.value for record in await next_of(consumer, 3)] == [b"7", b"8", b"9"]
    async with world.confluent() as client:
        bounds = await client.run(client.consumer.get_watermark_offsets, ConfluentPartition("k.r1", 0))
        assert bounds == (0, 10)
        await client.run(client.consumer.assign, [ConfluentPartition("k.r1", 0, 8)])
        assert [message.value() for message in await client.read(2)] == [b"8", b"9"]


async def test_offsets_are_found_by_time(world: KafkaWorld) -> None:
    await world.publish("k.t1", b"1")
    partition = TopicPartition("k.t1", 0)
    async with world.aiokafka() as consumer:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        (first,) = await next_of(consumer, 1)
        await world.publish("k.t1", b"2")
        (second,) = await next_of(consumer, 1)
        for record in (first, second):
            found = await consumer.offsets_for_times({partition: record.timestamp})
            assert found[partition].timestamp == record.timestamp
            assert found[partition].offset <= record.offset
        assert await consumer.offsets_for_times({partition: second.timestamp + 3_600_000}) == {
            partition: None
        }


async def test_attributes_and_native_headers_arrive_with_order_duplicates_and_nulls(
    world: KafkaWorld,
) -> None:
    native = [("kafka.key", b"\xfe"), ("b", b"1"), ("a", None), ("b", b"\xff\x00"), ("b", b"1"), ("", b"")]
    envelope = Envelope(
        b"21.5", id="n1", source="/nats/device-1", type="com.example.measured", subject="k.h1",
        datacontenttype="text/plain", fabkind="event", fabproto="mqtt", traceparent="00-begin",
    ).with_native(native)  # fmt: skip
    await world.fabric.channel("k.h1").publish(envelope)
    async with world.aiokafka() as consumer:
        partition = TopicPartition("k.h1", 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        (record,) = await next_of(consumer, 1)
    async with world.confluent() as client:
        await client.run(client.consumer.assign, [ConfluentPartition("k.h1", 0, 0)])
        (message,) = await client.read(1)
    for headers in (list(record.headers), message.headers()):
        assert headers[0] == ("content-type", b"text/plain")
        assert ("ce_type", b"com.example.measured") in headers
        assert ("ce_traceparent", b"00-begin") in headers
        assert headers[-5:] == native[1:]
    assert record.key == message.key() == b"\xfe"
    assert record.value == message.value() == b"21.5"
    assert abs(record.timestamp - message.timestamp()[1]) == 0


async def test_null_data_arrives_as_a_tombstone_and_empty_data_does_not(world: KafkaWorld) -> None:
    await world.publish("k.n1", b"", fabnull="value", partitionkey="dev")
    await world.publish("k.n1", b"")
    async with world.aiokafka() as consumer:
        partition = TopicPartition("k.n1", 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        tombstone, empty = await next_of(consumer, 2)
    assert (tombstone.key, tombstone.value, empty.key, empty.value) == (b"dev", None, None, b"")


@pytest.mark.parametrize("isolation_level", ["read_committed", "read_uncommitted"])
async def test_both_isolation_levels_read_everything(world: KafkaWorld, isolation_level: str) -> None:
    channel = f"k.{isolation_level}"
    await world.publish(channel, b"1", b"2")
    async with world.aiokafka(isolation_level=isolation_level) as consumer:
        partition = TopicPartition(channel, 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        assert [record.value for record in await next_of(consumer, 2)] == [b"1", b"2"]
    async with world.confluent(**{"isolation.level": isolation_level}) as client:
        await client.run(client.consumer.assign, [ConfluentPartition(channel, 0, OFFSET_BEGINNING)])
        assert [message.value() for message in await client.read(2)] == [b"1", b"2"]


async def test_a_configured_pattern_is_read_with_several_topics_at_once(world: KafkaWorld) -> None:
    for channel in ("k.all.north", "k.all.south.deep", "k.other"):
        await world.publish(channel, channel.encode())
    partitions = [TopicPartition("k.everything", 0), TopicPartition("k.other", 0)]
    async with world.aiokafka() as consumer:
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        records = await next_of(consumer, 3)
    assert sorted((record.topic, record.value) for record in records) == [
        ("k.everything", b"k.all.north"),
        ("k.everything", b"k.all.south.deep"),
        ("k.other", b"k.other"),
    ]


async def test_the_journal_is_read_as_a_topic_and_reading_it_does_not_lengthen_it(
    server: RunningServer,
) -> None:
    async with kafka_world(server, {"story": "journal"}) as world:
        envelope = Envelope(b"5", id="s1", source="/mqtt/dev", type="t", subject="k.s1")
        world.session.journal.record(envelope, "mqtt.in", peer="dev-1")
        async with world.aiokafka() as consumer:
            partition = TopicPartition("story", 0)
            consumer.assign([partition])
            await consumer.seek_to_beginning(partition)
            async with asyncio.timeout(WAIT_S):
                record = await consumer.getone()
                while (
                    "ce_id",
                    b"s1",
                ) not in record.headers:  # the session's server keeps other tests' stories too
                    record = await consumer.getone()
        assert record.value == b"5"
        assert {("fab-hop", b"mqtt.in"), ("fab-peer", b"dev-1")} < set(record.headers)
        assert world.journal.crossings == []


async def test_what_is_handed_over_is_counted_with_its_losses(world: KafkaWorld) -> None:
    await world.publish("k.j1", b"1", expirytime="2999-01-01T00:00:00Z")
    await world.publish("k.j1", b"2")
    async with world.aiokafka() as consumer:
        partition = TopicPartition("k.j1", 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        expiring, plain = await next_of(consumer, 2)
    assert ("ce_fabloss", b"EXPIRY_UNENFORCED") in expiring.headers
    assert "ce_fabloss" not in dict(plain.headers)
    assert world.metrics.value("fabric_edge_messages_total", edge="kafka", direction="out") == 2
    lost = world.metrics.value(
        "fabric_translation_loss_total", source="nats", target="kafka", code="EXPIRY_UNENFORCED"
    )
    assert lost == 1


async def test_a_long_poll_is_answered_by_the_record_not_by_its_time(
    world: KafkaWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "RECHECK_S", WAIT_S)
    partition = TopicPartition("k.l1", 0)
    async with world.aiokafka(fetch_max_wait_ms=int(WAIT_S * 1000)) as consumer:
        consumer.assign([partition])
        consumer.seek(partition, 0)
        began = monotonic()
        for number in range(20):
            waiting = asyncio.create_task(consumer.getone())
            await world.publish("k.l1", str(number).encode())
            assert (await asyncio.wait_for(waiting, WAIT_S)).offset == number
        assert monotonic() - began < WAIT_S / 2


async def test_a_thousand_records_of_all_sizes_arrive_once_and_in_order(world: KafkaWorld) -> None:
    sizes = [(number * 7919) % 3000 for number in range(1000)]
    async with world.fabric.channel("k.b1").publisher() as out:
        for number, size in enumerate(sizes):
            await out.send(f"{number}:".encode() + b"x" * size)
    partition = TopicPartition("k.b1", 0)
    async with world.aiokafka(max_partition_fetch_bytes=20_000) as consumer:
        consumer.assign([partition])
        consumer.seek(partition, 0)
        records = await next_of(consumer, 1000)
    assert [record.offset for record in records] == list(range(1000))
    assert [len(record.value.partition(b":")[2]) for record in records] == sizes


async def test_a_record_larger_than_the_client_asks_for_still_comes(world: KafkaWorld) -> None:
    await world.publish("k.big", b"x" * 500_000, b"y")
    partition = TopicPartition("k.big", 0)
    async with world.aiokafka(max_partition_fetch_bytes=1000, fetch_max_bytes=1000) as consumer:
        consumer.assign([partition])
        consumer.seek(partition, 0)
        assert [len(record.value) for record in await next_of(consumer, 2)] == [500_000, 1]


async def test_an_offset_out_of_range_is_told_and_reset_where_the_client_wants_it(world: KafkaWorld) -> None:
    await world.publish("k.o1", b"1", b"2")
    partition = TopicPartition("k.o1", 0)
    async with world.aiokafka(auto_offset_reset="none") as consumer:
        consumer.assign([partition])
        consumer.seek(partition, 99)
        with pytest.raises(OffsetOutOfRangeError):
            await next_of(consumer, 1)
    async with world.confluent(**{"auto.offset.reset": "earliest"}) as client:
        await client.run(client.consumer.assign, [ConfluentPartition("k.o1", 0, 99)])
        assert [message.offset() for message in await client.read(2)] == [0, 1]


async def test_naming_a_channel_makes_its_topic_and_listing_shows_what_is_there(world: KafkaWorld) -> None:
    async with world.confluent() as client:
        before = await client.run(lambda: set(client.consumer.list_topics(timeout=WAIT_S).topics))
        assert "k.everything" in before
        assert "k.named" not in before
        named = await client.run(
            lambda: client.consumer.list_topics("k.named", timeout=WAIT_S).topics["k.named"]
        )
        assert (named.error, list(named.partitions)) == (None, [0])
        after = await client.run(lambda: set(client.consumer.list_topics(timeout=WAIT_S).topics))
        assert after == before | {"k.named"}


async def test_a_topic_that_no_channel_can_be_is_unknown(world: KafkaWorld) -> None:
    async with world.confluent() as client:
        topic = await client.run(lambda: client.consumer.list_topics("a..b", timeout=WAIT_S).topics["a..b"])
        assert topic.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART


async def test_a_wrong_token_is_refused_in_the_clients_own_words_and_counted(world: KafkaWorld) -> None:
    with pytest.raises((AuthenticationFailedError, KafkaConnectionError)):
        async with world.aiokafka(token="wrong"):
            pass
    failed: list[KafkaError] = []
    async with world.confluent(token="wrong", error_cb=failed.append) as client:
        async with asyncio.timeout(WAIT_S):
            while not failed:
                await client.run(client.consumer.poll, 0.1)
    assert KafkaError._AUTHENTICATION in {error.code() for error in failed}
    refused = world.metrics.value("fabric_edge_refusals_total", edge="kafka", reason="unauthenticated")
    assert refused >= 2
    assert world.metrics.value("fabric_edge_malformed_total", edge="kafka") == 0


async def test_a_producer_is_told_that_topics_are_read_only(world: KafkaWorld) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=world.edge.address,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_plain_username="x",
        sasl_plain_password=TOKEN,
    )
    await producer.start()
    try:
        with pytest.raises(TopicAuthorizationFailedError):
            await asyncio.wait_for(producer.send_and_wait("k.p1", b"x"), WAIT_S)
    finally:
        await producer.stop()


async def test_readers_do_not_wait_for_each_other(world: KafkaWorld) -> None:
    await world.publish("k.w1", b"1")
    quiet, busy = TopicPartition("k.quiet", 0), TopicPartition("k.w1", 0)
    async with world.aiokafka(fetch_max_wait_ms=10_000) as idle, world.aiokafka() as other:
        idle.assign([quiet])
        idle.seek(quiet, 0)
        waiting = asyncio.create_task(idle.getone())
        other.assign([busy])
        other.seek(busy, 0)
        assert (await next_of(other, 1))[0].value == b"1"
        await world.publish("k.quiet", b"at last")
        assert (await asyncio.wait_for(waiting, WAIT_S)).value == b"at last"
