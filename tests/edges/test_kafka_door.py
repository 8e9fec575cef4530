"""The Kafka edge against peers that know the protocol to the byte, and against those that do not."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from time import monotonic
from typing import Any

import pytest
import pytest_asyncio
from kio.static.primitive import i8, i16, i32, i32Timedelta, i64

from fabric import subjects
from fabric.errors import ConfigInvalid, PortInUse
from fabric.jetstream import views
from fabric.jetstream.server import api
from fabric_bridges.edge import House
from fabric_bridges.kafka import edge
from fabric_codecs.kafka.apis import SERVED
from fabric_codecs.kafka.records import Record, decode_batch
from helpers.http_door import TOKEN
from helpers.kafka_raw import RawClient, raw_client, request_frame, schema
from helpers.kafka_world import WAIT_S, KafkaWorld, kafka_world
from helpers.server import RunningServer

API_VERSIONS = schema("api_versions", 3).ApiVersionsRequest(
    client_software_name="n", client_software_version="1"
)
EVERYTHING = schema("metadata", 5).MetadataRequest(topics=None, allow_auto_topic_creation=False)


@pytest_asyncio.fixture
async def world(server: RunningServer) -> AsyncIterator[KafkaWorld]:
    async with kafka_world(server) as world:
        yield world


def metadata(*topics: str) -> Any:
    module = schema("metadata", 5)
    named = tuple(module.MetadataRequestTopic(name=topic) for topic in topics)
    return module.MetadataRequest(topics=named, allow_auto_topic_creation=False)


def offsets(topic: str, timestamp: int, partition: int = 0) -> Any:
    module = schema("list_offsets", 3)
    asked = module.ListOffsetsPartition(partition_index=i32(partition), timestamp=i64(timestamp))
    return module.ListOffsetsRequest(
        replica_id=i32(-1),
        isolation_level=i8(0),
        topics=(module.ListOffsetsTopic(name=topic, partitions=(asked,)),),
    )


def fetch(*asked: tuple[str, int, int], version: int = 11, wait_s: float = 0.0, **settings: Any) -> Any:
    """(topic, partition, offset) each."""
    module = schema("fetch", version)
    partition_max = settings.pop("partition_max_bytes", 1 << 20)
    topics = tuple(
        module.FetchTopic(
            topic=topic,
            partitions=(
                module.FetchPartition(
                    partition=i32(partition), fetch_offset=i64(offset), partition_max_bytes=i32(partition_max)
                ),
            ),
        )
        for topic, partition, offset in asked
    )
    values = {"min_bytes": i32(1), "max_bytes": i32(1 << 20), "forgotten_topics_data": (), **settings}
    if version < 7:
        values.pop("forgotten_topics_data")
        values.update(replica_id=i32(-1), isolation_level=i8(1))
    return module.FetchRequest(max_wait=i32Timedelta(timedelta(seconds=wait_s)), topics=topics, **values)


def partition_of(answer: Any) -> Any:
    ((partition,),) = [topic.partitions for topic in answer.responses]
    return partition


def records_of(partition: Any) -> list[Record]:
    return decode_batch(partition.records).records if partition.records else []


async def filled(world: KafkaWorld, client: RawClient, channel: str, *data: bytes) -> None:
    """A channel with these messages, and its topic when it shows them all."""
    await world.publish(channel, *data)
    assert (await client.ask(metadata(channel))).topics[0].error_code == 0
    answer = await client.ask(fetch((channel, 0, 0), wait_s=WAIT_S, min_bytes=i32(60 + 10 * len(data))))
    assert len(records_of(partition_of(answer))) == len(data)


def refused(world: KafkaWorld, reason: str) -> float:
    return world.metrics.value("fabric_edge_refusals_total", edge="kafka", reason=reason)


# Who is there


async def test_versions_to_come_are_answered_with_the_list_and_the_connection_goes_on(
    world: KafkaWorld,
) -> None:
    async with raw_client(world.edge.address, logged_in=False) as client:
        newer = schema("api_versions", 4).ApiVersionsRequest(
            client_software_name="n", client_software_version="1"
        )
        answer = await client.ask(newer, answer_version=0)
        assert answer.error_code == 35
        assert {key.api_key for key in answer.api_keys} == set(SERVED)
        assert (await client.ask(API_VERSIONS)).error_code == 0


@pytest.mark.parametrize("version", [0, 1])
async def test_the_token_opens_the_door_once(world: KafkaWorld, version: int) -> None:
    async with raw_client(world.edge.address, logged_in=False) as client:
        handshake = schema("sasl_handshake", version).SaslHandshakeRequest(mechanism="PLAIN")
        assert (await client.ask(handshake)).mechanisms == ("PLAIN",)
        plain = b"\0user\0" + TOKEN.encode()
        if version == 0:  # the token is the frame, and so is the answer
            client.send(plain)
            assert await client.receive() == b""
        else:
            authenticate = schema("sasl_authenticate", 1).SaslAuthenticateRequest(auth_bytes=plain)
            assert (await client.ask(authenticate)).error_code == 0
        assert (await client.ask(EVERYTHING)).brokers[0].node_id == 1
        client.send(request_frame(handshake))
        assert await client.closed()
    assert refused(world, "illegal_state") == 1


@pytest.mark.parametrize(
    "plain", [b"\0user\0wrong", b"\0user\0", b"", TOKEN.encode(), b"\0a\0b\0" + TOKEN.encode(), b"\0u\0\xff"]
)
@pytest.mark.parametrize("version", [0, 1])
async def test_a_wrong_token_is_answered_with_error_58_and_the_door_closes(
    world: KafkaWorld, version: int, plain: bytes
) -> None:
    async with raw_client(world.edge.address, logged_in=False) as client:
        await client.ask(schema("sasl_handshake", version).SaslHandshakeRequest(mechanism="PLAIN"))
        if version == 0:
            client.send(plain)
        else:
            module = schema("sasl_authenticate", 1)
            answer = await client.ask(module.SaslAuthenticateRequest(auth_bytes=plain))
            assert answer.error_code == 58
            assert "token" in answer.error_message
        assert await client.closed()
    assert refused(world, "unauthenticated") == 1


async def test_another_mechanism_is_refused_with_the_one_there_is(world: KafkaWorld) -> None:
    async with raw_client(world.edge.address, logged_in=False) as client:
        scram = schema("sasl_handshake", 1).SaslHandshakeRequest(mechanism="SCRAM-SHA-256")
        answer = await client.ask(scram)
        assert (answer.error_code, answer.mechanisms) == (33, ("PLAIN",))
        assert await client.closed()


@pytest.mark.parametrize("request_", [EVERYTHING, metadata("d.never"), fetch(("t", 0, 0)), offsets("t", -1)])
async def test_nothing_is_told_or_made_without_a_token(world: KafkaWorld, request_: Any) -> None:
    async with raw_client(world.edge.address, logged_in=False) as client:
        client.send(request_frame(request_))
        assert await client.closed()
    assert refused(world, "unauthenticated") == 1
    async with raw_client(world.edge.address) as client:
        assert "d.never" not in {topic.name for topic in (await client.ask(EVERYTHING)).topics}


# What breaks the protocol, or asks for more than there is


def api_frame(key: int, version: int, rest: bytes = b"") -> bytes:
    return key.to_bytes(2) + version.to_bytes(2) + b"\0\0\0\7\xff\xff" + rest


@pytest.mark.parametrize(
    "frame",
    [
        api_frame(10, 1, b"\0\1g\0"),
        api_frame(1, 12),
        api_frame(1, 3),
        api_frame(999, 0),
        api_frame(0xFFFF, 0),
    ],
)
async def test_what_is_not_served_closes_the_connection_as_kafka_does(
    world: KafkaWorld, frame: bytes
) -> None:
    async with raw_client(world.edge.address) as client:
        client.send(frame)
        assert await client.closed()
    assert refused(world, "not_served") == 1
    assert world.metrics.value("fabric_edge_malformed_total", edge="kafka") == 0


MALFORMED = {
    "negative length": b"\xff\xff\xff\xff",
    "length over the bound": b"\x7f\xff\xff\xff",
    "an HTTP request": b"GET / HTTP/1.1\r\n\r\n",
    "empty frame": b"\0\0\0\0",
    "header cut short": b"\0\0\0\3\0\1\0",
    "body missing": b"\0\0\0\x0a" + api_frame(1, 11),
    "a byte too many": b"\0\0\0\x10" + api_frame(3, 5, b"\xff\xff\xff\xff\1\0"),
    "array larger than the frame": b"\0\0\0\x0f" + api_frame(3, 5, b"\x7f\xff\xff\xff\1"),
}


@pytest.mark.parametrize("case", MALFORMED)
@pytest.mark.parametrize("logged_in", [True, False])
async def test_a_malformed_frame_ends_its_own_connection_alone_and_is_counted(
    world: KafkaWorld, case: str, logged_in: bool
) -> None:
    channel = f"d.{case.replace(' ', '-')}.{logged_in}"
    async with raw_client(world.edge.address) as other:
        await other.ask(metadata(channel))
        other.send(request_frame(fetch((channel, 0, 0), wait_s=WAIT_S)))
        async with raw_client(world.edge.address, logged_in=logged_in) as client:
            client.send_bytes(MALFORMED[case])
            assert await client.closed()
        await world.publish(channel, b"x")
        answer = other.read_answer(await other.receive(), fetch((channel, 0, 0)))
        assert [record.value for record in records_of(partition_of(answer))] == [b"x"]
    malformed = world.metrics.value("fabric_edge_malformed_total", edge="kafka")
    # Before the token a body is not even read: who sends one is refused for being a stranger.
    assert malformed + refused(world, "unauthenticated") == 1
    assert malformed == 1 or not logged_in


async def test_a_peer_that_leaves_in_the_middle_of_a_frame_is_no_fault(world: KafkaWorld) -> None:
    async with raw_client(world.edge.address) as client:
        client.send_bytes(b"\0\0\0\x20\0\1")
    async with raw_client(world.edge.address) as client:
        assert (await client.ask(API_VERSIONS)).error_code == 0
    assert world.metrics.value("fabric_edge_malformed_total", edge="kafka") == 0


async def test_bounds_of_size_time_and_number_are_kept(server: RunningServer) -> None:
    bounds = {"login_timeout_s": 0.05, "idle_timeout_s": 0.05, "connections_max": 2, "login_bytes_max": 100}
    async with kafka_world(server, **bounds) as world:
        async with raw_client(world.edge.address, logged_in=False) as slow:
            assert await slow.closed()
        assert refused(world, "login_timeout") == 1
        async with raw_client(world.edge.address) as idle:
            assert await idle.closed()
        async with raw_client(world.edge.address, logged_in=False) as talker:
            talker.send_bytes((101).to_bytes(4))
            assert await talker.closed()
        assert world.metrics.value("fabric_edge_malformed_total", edge="kafka") == 1
    async with kafka_world(server, connections_max=2) as world:
        async with raw_client(world.edge.address), raw_client(world.edge.address):
            assert world.metrics.value("fabric_edge_connections", edge="kafka") == 2
            async with raw_client(world.edge.address, logged_in=False) as third:
                assert await third.closed()
        assert refused(world, "connections") == 1
        async with raw_client(world.edge.address) as again:
            assert (await again.ask(API_VERSIONS)).error_code == 0


async def test_requests_sent_ahead_are_answered_in_order_even_in_one_packet(world: KafkaWorld) -> None:
    async with raw_client(world.edge.address) as client:
        asked = [metadata("d.ahead"), EVERYTHING, fetch(("d.ahead", 0, 0)), API_VERSIONS] * 5
        frames = [request_frame(body, correlation_id=number) for number, body in enumerate(asked)]
        client.send_bytes(b"".join(len(frame).to_bytes(4) + frame for frame in frames))
        got = [int.from_bytes((await client.receive())[:4]) for _ in asked]
    assert got == list(range(len(asked)))


# Metadata and offsets


async def test_metadata_tells_the_address_the_client_came_by_or_the_one_configured(
    server: RunningServer,
) -> None:
    async with kafka_world(server) as world, raw_client(world.edge.address) as client:
        (broker,) = (await client.ask(EVERYTHING)).brokers
        assert f"{broker.host}:{broker.port}" == world.edge.address
    advertised = {"advertised_host": "fabric.example", "advertised_port": 19092}
    async with kafka_world(server, **advertised) as world, raw_client(world.edge.address) as client:
        (broker,) = (await client.ask(EVERYTHING)).brokers
        assert (broker.host, broker.port) == ("fabric.example", 19092)


async def test_metadata_names_what_is_wrong_with_each_topic_and_shows_the_others(
    world: KafkaWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with raw_client(world.edge.address) as client:
        answer = await client.ask(metadata("d.m1", "a..b", "d.m1", "no such name"))
        told = [(topic.name, topic.error_code, len(topic.partitions)) for topic in answer.topics]
        assert told == [("d.m1", 0, 1), ("a..b", 3, 0), ("no such name", 3, 0)]
        monkeypatch.setattr(views, "VIEWS_MAX", 0)
        answer = await client.ask(metadata("d.m2", "d.m1"))
        assert [(topic.name, topic.error_code) for topic in answer.topics] == [("d.m2", 44), ("d.m1", 0)]


async def test_offsets_of_both_ends_and_of_what_cannot_be_asked(world: KafkaWorld) -> None:
    async with raw_client(world.edge.address) as client:
        await filled(world, client, "d.o1", b"1", b"2")

        async def told(body: Any) -> tuple[int, int]:
            ((partition,),) = [topic.partitions for topic in (await client.ask(body)).topics]
            return partition.error_code, partition.offset

        assert await told(offsets("d.o1", -2)) == (0, 0)
        assert await told(offsets("d.o1", -1)) == (0, 2)
        assert await told(offsets("d.o1", 0)) == (0, 0)
        assert await told(offsets("d.o1", 2**42)) == (0, -1)
        assert await told(offsets("d.o1", -3)) == (35, -1)
        assert await told(offsets("d.o1", -1, partition=1)) == (3, -1)
        assert await told(offsets("d.never", -1)) == (3, -1)


# Fetch


@pytest.mark.parametrize("version", range(4, 12))
async def test_fetch_in_every_version_brings_records_and_the_last_stable_offset(
    world: KafkaWorld, version: int
) -> None:
    async with raw_client(world.edge.address) as client:
        channel = f"d.v{version}"
        await filled(world, client, channel, b"1", b"2", b"3")
        partition = partition_of(await client.ask(fetch((channel, 0, 1), version=version)))
        assert [(record.offset, record.value) for record in records_of(partition)] == [(1, b"2"), (2, b"3")]
        assert (partition.high_watermark, partition.last_stable_offset) == (3, 3)


async def test_fetch_tells_each_partitions_error_at_once_and_gives_the_others(world: KafkaWorld) -> None:
    async with raw_client(world.edge.address) as client:
        await filled(world, client, "d.f1", b"1", b"2")
        began = monotonic()
        asked = [("d.f1", 0, 0), ("d.f1", 0, 3), ("d.f1", 0, -1), ("d.f1", 1, 0), ("d.never", 0, 0)]
        answer = await client.ask(fetch(*asked, wait_s=WAIT_S, min_bytes=i32(1 << 20)))
        assert monotonic() - began < WAIT_S / 2
        partitions = [partition for topic in answer.responses for partition in topic.partitions]
        assert [partition.error_code for partition in partitions] == [0, 1, 1, 3, 3]
        assert [len(records_of(partition)) for partition in partitions] == [2, 0, 0, 0, 0]
        assert (partitions[1].log_start_offset, partitions[1].high_watermark) == (0, 2)
        assert "d.never" not in {topic.name for topic in (await client.ask(EVERYTHING)).topics}


async def test_fetch_waits_for_its_time_for_enough_bytes_or_for_growth(world: KafkaWorld) -> None:
    async with raw_client(world.edge.address) as client:
        await filled(world, client, "d.w1", b"1")
        began = monotonic()
        partition = partition_of(await client.ask(fetch(("d.w1", 0, 1), wait_s=0.1)))
        assert 0.1 <= monotonic() - began < WAIT_S / 2
        assert (partition.error_code, partition.records, partition.high_watermark) == (0, b"", 1)
        body = fetch(("d.w1", 0, 1), wait_s=WAIT_S, min_bytes=i32(2000))
        client.send(request_frame(body))
        await world.publish("d.w1", b"a" * 1000)
        await world.publish("d.w1", b"b" * 1000)
        answer = client.read_answer(await client.receive(), body)
        assert [len(record.value or b"") for record in records_of(partition_of(answer))] == [1000, 1000]
        assert monotonic() - began < WAIT_S / 2


async def test_fetch_without_partitions_is_answered_at_once_and_sessions_are_not_granted(
    world: KafkaWorld,
) -> None:
    async with raw_client(world.edge.address) as client:
        answer = await client.ask(fetch(wait_s=WAIT_S))
        assert (answer.error_code, answer.session_id, answer.responses) == (0, 0, ())
        answer = await client.ask(fetch(("d.s1", 0, 0), session_id=i32(5), session_epoch=i32(1)))
        assert (answer.error_code, answer.session_id) == (70, 0)


@pytest.mark.parametrize("limit", ["max_bytes", "partition_max_bytes"])
async def test_fetch_stops_at_its_size_but_always_gets_on(world: KafkaWorld, limit: str) -> None:
    async with raw_client(world.edge.address) as client:
        channel = f"d.{limit}"
        await filled(world, client, channel, *(bytes([65 + at]) * 5000 for at in range(4)))
        for size, count in ((12_000, 2), (1, 1), (0, 1), (5500, 1), (1 << 20, 4)):
            asked = fetch((channel, 0, 0), wait_s=WAIT_S, **{limit: i32(size)})
            partition = partition_of(await client.ask(asked))
            assert len(records_of(partition)) == count, size
            assert len(partition.records) <= max(size, 6000)


async def test_fetch_shares_its_size_among_partitions(world: KafkaWorld) -> None:
    async with raw_client(world.edge.address) as client:
        for channel in ("d.p1", "d.p2"):
            await filled(world, client, channel, *(b"x" * 5000 for _ in range(4)))
        answer = await client.ask(fetch(("d.p1", 0, 0), ("d.p2", 0, 0), max_bytes=i32(23_000)))
        counts = [len(records_of(partition)) for topic in answer.responses for partition in topic.partitions]
        assert counts == [4, 1]
        answer = await client.ask(fetch(("d.p1", 0, 0), ("d.p2", 0, 0), max_bytes=i32(6000)))
        assert [len(records_of(topic.partitions[0])) for topic in answer.responses] == [1, 1]


async def test_what_retention_took_is_out_of_range_with_the_bounds(world: KafkaWorld) -> None:
    async with raw_client(world.edge.address) as client:
        await filled(world, client, "d.r1", b"1", b"2", b"3")
        await api(world.session.connection, "STREAM.PURGE.K_d%2Er1_0", {"seq": 3})
        partition = partition_of(await client.ask(fetch(("d.r1", 0, 0))))
        assert (partition.error_code, partition.log_start_offset, partition.high_watermark) == (1, 2, 3)
        partition = partition_of(await client.ask(fetch(("d.r1", 0, 2))))
        assert [record.value for record in records_of(partition)] == [b"3"]


async def test_a_removed_topic_is_unknown_until_it_is_named_again(world: KafkaWorld) -> None:
    async with raw_client(world.edge.address) as client:
        await filled(world, client, "d.gone", b"1")
        await api(world.session.connection, "STREAM.DELETE.K_d%2Egone_0")
        for _ in range(2):
            assert partition_of(await client.ask(fetch(("d.gone", 0, 0)))).error_code == 3
        await client.ask(metadata("d.gone"))
        partition = partition_of(await client.ask(fetch(("d.gone", 0, 0), wait_s=WAIT_S)))
        assert [record.value for record in records_of(partition)] == [b"1"]


async def test_a_message_that_cannot_be_read_whole_does_not_stand_in_the_way(world: KafkaWorld) -> None:
    subject = subjects.durable("stranger", "d.u1")
    header = b"NATS/1.0\r\nce-id: 1\r\nFab-Native: not base64\r\n\r\n"
    await world.session.connection.request(subject, b"poison", header=header)
    async with raw_client(world.edge.address) as client:
        await world.publish("d.u1", b"after")
        await client.ask(metadata("d.u1"))
        asked = fetch(("d.u1", 0, 0), wait_s=WAIT_S, min_bytes=i32(300))
        poison, after = records_of(partition_of(await client.ask(asked)))
        assert (poison.value, after.value) == (b"poison", b"after")
        assert poison.headers[0][0] == "fab-unreadable"
    assert world.metrics.value("fabric_edge_malformed_total", edge="kafka") >= 1


async def test_a_producer_that_waits_for_no_answer_is_told_by_closing(world: KafkaWorld) -> None:
    module = schema("produce", 7)
    data = module.PartitionProduceData(index=i32(0), records=b"batch")
    topics = (module.TopicProduceData(name="d.x", partition_data=(data,)),)
    async with raw_client(world.edge.address) as client:
        body = module.ProduceRequest(
            acks=i16(0), timeout=i32Timedelta(timedelta(seconds=1)), topic_data=topics, transactional_id=None
        )
        client.send(request_frame(body))
        assert await client.closed()
    assert refused(world, "read_only") == 1


# The listener's life


async def test_stopping_lets_an_answer_under_way_be_given_and_closes_the_rest(server: RunningServer) -> None:
    async with kafka_world(server) as world:
        async with raw_client(world.edge.address) as polling, raw_client(world.edge.address) as idle:
            await polling.ask(metadata("d.stop"))
            body = fetch(("d.stop", 0, 0), wait_s=0.2)
            polling.send(request_frame(body))
            assert (await idle.ask(API_VERSIONS)).error_code == 0
            began = monotonic()
            await world.edge.stop(grace_s=WAIT_S)
            assert monotonic() - began < WAIT_S / 2
            assert polling.read_answer(await polling.receive(), body).error_code == 0
            assert await polling.closed()
            assert await idle.closed()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*world.edge.address.split(":"))
        await world.edge.stop()
        assert world.metrics.value("fabric_edge_connections", edge="kafka") == 0


async def test_stopping_cuts_what_outlives_the_grace(server: RunningServer) -> None:
    async with kafka_world(server) as world, raw_client(world.edge.address) as polling:
        await polling.ask(metadata("d.cut"))
        polling.send(request_frame(fetch(("d.cut", 0, 0), wait_s=WAIT_S)))
        async with raw_client(world.edge.address) as other:
            await other.ask(API_VERSIONS)
        began = monotonic()
        await world.edge.stop(grace_s=0.05)
        assert monotonic() - began < WAIT_S / 2
        assert await polling.closed()


async def test_a_taken_port_says_which(world: KafkaWorld) -> None:
    second = edge({"port": world.port})
    house = House(world.fabric, world.journal, None, None, world.metrics)  # type: ignore[arg-type]
    with pytest.raises(PortInUse, match=str(world.port)):
        await second.start(house)
    assert second.address == f"127.0.0.1:{world.port}"
    with pytest.raises(ConfigInvalid, match="cannot listen"):
        await edge({"host": "192.0.2.1"}).start(house)


@pytest.mark.parametrize("settings", [{"prot": 1}, {"port": -1}, {"port": "x"}, {"idle_timeout_s": 0}])
def test_settings_that_cannot_be_are_refused_by_their_key(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigInvalid, match=next(iter(settings))):
        edge(settings)
