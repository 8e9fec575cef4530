"""The Kafka edge against peers that know the protocol to the byte, and against those that do not."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from time import monotonic
from typing import Any

import pytest
import pytest_asyncio
from kio.static.primitive import i16, i32, i32Timedelta

from fabric.edge import House
from fabric.errors import ConfigInvalid, PortInUse
from fabric_bridges.kafka import edge
from fabric_codecs.kafka.apis import SERVED
from helpers import kafka_raw as raw
from helpers.http_door import TOKEN
from helpers.kafka_world import WAIT_S, KafkaWorld, kafka_world
from helpers.server import RunningServer
from helpers.waiting import until


@pytest_asyncio.fixture
async def world(server: RunningServer) -> AsyncIterator[KafkaWorld]:
    async with kafka_world(server) as world:
        yield world


def refused(world: KafkaWorld, reason: str) -> float:
    return world.metrics.value("fabric_edge_refusals_total", edge="kafka", reason=reason)


# Who is there


async def test_versions_to_come_are_answered_with_the_list_and_the_connection_goes_on(
    world: KafkaWorld,
) -> None:
    async with raw.raw_client(world.edge.address, logged_in=False) as client:
        newer = raw.schema("api_versions", 4).ApiVersionsRequest(
            client_software_name="n", client_software_version="1"
        )
        answer = await client.ask(newer, answer_version=0)
        assert answer.error_code == 35
        assert {key.api_key for key in answer.api_keys} == set(SERVED)
        assert (await client.ask(raw.API_VERSIONS)).error_code == 0


@pytest.mark.parametrize("version", [0, 1])
async def test_the_token_opens_the_door_once(world: KafkaWorld, version: int) -> None:
    async with raw.raw_client(world.edge.address, logged_in=False) as client:
        handshake = raw.schema("sasl_handshake", version).SaslHandshakeRequest(mechanism="PLAIN")
        assert (await client.ask(handshake)).mechanisms == ("PLAIN",)
        plain = b"\0user\0" + TOKEN.encode()
        if version == 0:  # the token is the frame, and so is the answer
            client.send(plain)
            assert await client.receive() == b""
        else:
            authenticate = raw.schema("sasl_authenticate", 1).SaslAuthenticateRequest(auth_bytes=plain)
            assert (await client.ask(authenticate)).error_code == 0
        assert (await client.ask(raw.EVERYTHING)).brokers[0].node_id == 1
        client.send(raw.request_frame(handshake))
        assert await client.closed()
    assert refused(world, "illegal_state") == 1


@pytest.mark.parametrize(
    "plain", [b"\0user\0wrong", b"\0user\0", b"", TOKEN.encode(), b"\0a\0b\0" + TOKEN.encode(), b"\0u\0\xff"]
)
@pytest.mark.parametrize("version", [0, 1])
async def test_a_wrong_token_is_answered_with_error_58_and_the_door_closes(
    world: KafkaWorld, version: int, plain: bytes
) -> None:
    async with raw.raw_client(world.edge.address, logged_in=False) as client:
        await client.ask(raw.schema("sasl_handshake", version).SaslHandshakeRequest(mechanism="PLAIN"))
        if version == 0:
            client.send(plain)
        else:
            module = raw.schema("sasl_authenticate", 1)
            answer = await client.ask(module.SaslAuthenticateRequest(auth_bytes=plain))
            assert answer.error_code == 58
            assert "token" in answer.error_message
        assert await client.closed()
    assert refused(world, "unauthenticated") == 1


async def test_another_mechanism_is_refused_with_the_one_there_is(world: KafkaWorld) -> None:
    async with raw.raw_client(world.edge.address, logged_in=False) as client:
        scram = raw.schema("sasl_handshake", 1).SaslHandshakeRequest(mechanism="SCRAM-SHA-256")
        answer = await client.ask(scram)
        assert (answer.error_code, answer.mechanisms) == (33, ("PLAIN",))
        assert await client.closed()


@pytest.mark.parametrize(
    "request_", [raw.EVERYTHING, raw.metadata("d.never"), raw.fetch(("t", 0, 0)), raw.offsets("t", -1)]
)
async def test_nothing_is_told_or_made_without_a_token(world: KafkaWorld, request_: Any) -> None:
    async with raw.raw_client(world.edge.address, logged_in=False) as client:
        client.send(raw.request_frame(request_))
        assert await client.closed()
    assert refused(world, "unauthenticated") == 1
    async with raw.raw_client(world.edge.address) as client:
        assert "d.never" not in {topic.name for topic in (await client.ask(raw.EVERYTHING)).topics}


# What breaks the protocol, or asks for more than there is


def api_frame(key: int, version: int, rest: bytes = b"") -> bytes:
    return key.to_bytes(2) + version.to_bytes(2) + b"\0\0\0\7\xff\xff" + rest


@pytest.mark.parametrize(
    "frame",
    [
        api_frame(10, 1, b"\0\1g\0"),
        api_frame(1, 12, b"\0"),  # a flexible version: tags behind the header
        api_frame(1, 3),
        api_frame(999, 0),
        api_frame(0xFFFF, 0),
    ],
)
async def test_what_is_not_served_closes_the_connection_as_kafka_does(
    world: KafkaWorld, frame: bytes
) -> None:
    async with raw.raw_client(world.edge.address) as client:
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
    async with raw.raw_client(world.edge.address) as other:
        await other.ask(raw.metadata(channel))
        other.send(raw.request_frame(raw.fetch((channel, 0, 0), wait_s=WAIT_S)))
        async with raw.raw_client(world.edge.address, logged_in=logged_in) as client:
            client.send_bytes(MALFORMED[case])
            assert await client.closed()
        await world.publish(channel, b"x")
        answer = other.read_answer(await other.receive(), raw.fetch((channel, 0, 0)))
        assert [record.value for record in raw.records_of(raw.partition_of(answer))] == [b"x"]
    malformed = world.metrics.value("fabric_edge_malformed_total", edge="kafka")
    # Before the token a body is not even read: who sends one is refused for being a stranger.
    assert malformed + refused(world, "unauthenticated") == 1
    assert malformed == 1 or not logged_in


async def test_a_peer_that_leaves_in_the_middle_of_a_frame_is_no_fault(world: KafkaWorld) -> None:
    async with raw.raw_client(world.edge.address) as client:
        client.send_bytes(b"\0\0\0\x20\0\1")
    async with raw.raw_client(world.edge.address) as client:
        assert (await client.ask(raw.API_VERSIONS)).error_code == 0
    assert world.metrics.value("fabric_edge_malformed_total", edge="kafka") == 0


async def test_bounds_of_size_time_and_number_are_kept(server: RunningServer) -> None:
    bounds = {"login_timeout_s": 0.05, "idle_timeout_s": 0.05, "connections_max": 2, "login_bytes_max": 100}
    async with kafka_world(server, **bounds) as world:
        async with raw.raw_client(world.edge.address, logged_in=False) as slow:
            assert await slow.closed()
        assert refused(world, "login_timeout") == 1
        async with raw.raw_client(world.edge.address) as idle:
            assert await idle.closed()
        async with raw.raw_client(world.edge.address, logged_in=False) as talker:
            talker.send_bytes((101).to_bytes(4))
            assert await talker.closed()
        assert world.metrics.value("fabric_edge_malformed_total", edge="kafka") == 1
    async with kafka_world(server, connections_max=2) as world:
        async with raw.raw_client(world.edge.address), raw.raw_client(world.edge.address):
            assert world.metrics.value("fabric_edge_connections", edge="kafka") == 2
            async with raw.raw_client(world.edge.address, logged_in=False) as third:
                assert await third.closed()
        assert refused(world, "connections") == 1
        async with raw.raw_client(world.edge.address) as again:
            assert (await again.ask(raw.API_VERSIONS)).error_code == 0


async def test_a_peer_that_does_not_read_its_answer_is_cut_after_a_while(server: RunningServer) -> None:
    async with kafka_world(server, stall_timeout_s=0.1) as world:
        await world.publish("d.stall", *(b"x" * 1_000_000 for _ in range(7)))
        async with raw.raw_client(world.edge.address, receive_buffer_bytes=4096) as client:
            await client.ask(raw.metadata("d.stall"))
            asked = raw.fetch(
                ("d.stall", 0, 0), wait_s=WAIT_S, max_bytes=i32(8 << 20), partition_max_bytes=8 << 20
            )
            for _ in range(3):  # more than the kernel's buffers take
                client.send(raw.request_frame(asked))
            await until(
                lambda: not world.metrics.value("fabric_edge_connections", edge="kafka"), "the peer is cut"
            )


async def test_requests_sent_ahead_are_answered_in_order_even_in_one_packet(world: KafkaWorld) -> None:
    async with raw.raw_client(world.edge.address) as client:
        asked = [raw.metadata("d.ahead"), raw.EVERYTHING, raw.fetch(("d.ahead", 0, 0)), raw.API_VERSIONS] * 5
        frames = [raw.request_frame(body, correlation_id=number) for number, body in enumerate(asked)]
        client.send_bytes(b"".join(len(frame).to_bytes(4) + frame for frame in frames))
        got = [int.from_bytes((await client.receive())[:4]) for _ in asked]
    assert got == list(range(len(asked)))


async def test_a_producer_that_waits_for_no_answer_is_told_by_closing(world: KafkaWorld) -> None:
    module = raw.schema("produce", 7)
    data = module.PartitionProduceData(index=i32(0), records=b"batch")
    topics = (module.TopicProduceData(name="d.x", partition_data=(data,)),)
    async with raw.raw_client(world.edge.address) as client:
        body = module.ProduceRequest(
            acks=i16(0), timeout=i32Timedelta(timedelta(seconds=1)), topic_data=topics, transactional_id=None
        )
        client.send(raw.request_frame(body))
        assert await client.closed()
    assert refused(world, "read_only") == 1


# The listener's life


async def test_stopping_lets_an_answer_under_way_be_given_and_closes_the_rest(server: RunningServer) -> None:
    async with kafka_world(server) as world:
        async with raw.raw_client(world.edge.address) as polling, raw.raw_client(world.edge.address) as idle:
            await polling.ask(raw.metadata("d.stop"))
            body = raw.fetch(("d.stop", 0, 0), wait_s=0.2)
            polling.send(raw.request_frame(body))
            assert (await idle.ask(raw.API_VERSIONS)).error_code == 0
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
    async with kafka_world(server) as world, raw.raw_client(world.edge.address) as polling:
        await polling.ask(raw.metadata("d.cut"))
        polling.send(raw.request_frame(raw.fetch(("d.cut", 0, 0), wait_s=WAIT_S)))
        async with raw.raw_client(world.edge.address) as other:
            await other.ask(raw.API_VERSIONS)
        began = monotonic()
        await world.edge.stop(grace_s=0.05)
        assert monotonic() - began < WAIT_S / 2
        assert await polling.closed()


async def test_a_taken_port_says_which(world: KafkaWorld) -> None:
    second = edge({"port": world.port})
    house = House(world.fabric, world.journal, None, None, world.metrics)  # type: ignore[arg-type]
    with pytest.raises(PortInUse, match=rf"{world.port}.*pid {os.getpid()}"):
        await second.start(house)
    assert second.address == f"127.0.0.1:{world.port}"
    with pytest.raises(ConfigInvalid, match="cannot listen"):
        await edge({"host": "192.0.2.1"}).start(house)


@pytest.mark.parametrize("settings", [{"prot": 1}, {"port": -1}, {"port": "x"}, {"idle_timeout_s": 0}])
def test_settings_that_cannot_be_are_refused_by_their_key(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigInvalid, match=next(iter(settings))):
        edge(settings)
