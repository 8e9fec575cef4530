"""The MQTT edge byte by byte, over real sockets: what a broken, slow, silent or greedy device meets."""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from fabric.edge import House
from fabric.errors import ConfigInvalid, PortInUse
from fabric_bridges.mqtt import edge as edge_of
from fabric_codecs.mqtt import packets as mqtt
from fabric_codecs.mqtt.encode import encode
from helpers.mqtt_world import VERSIONS, WAIT_S, MqttWorld, code_of, hello, mqtt_world, subscribed
from helpers.server import RunningServer


@pytest_asyncio.fixture
async def world(server: RunningServer) -> AsyncIterator[MqttWorld]:
    async with mqtt_world(server) as world:
        yield world


# ---- a device that breaks the rules ----


@VERSIONS
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x00\x00", 0x81),
        (b"\x30\x80\x00", 0x81),
        (b"\x36\x05\x00\x01a\x00\x01", 0x81),
        (b"\x30\x05\x00\x03a/#", 0x90),
        (b"\xf1\x00", 0x81),
        (b"\x62\x02\x00\x00", 0x82),
        (b"\x30\xff\xff\xff\x7f", 0x95),
    ],
)
async def test_a_malformed_packet_ends_its_own_connection_alone(
    world: MqttWorld, version: int, data: bytes, reason: int
) -> None:
    async with world.device("neighbour", version) as neighbour, world.device("broken", version) as broken:
        broken.writer.write(data)
        last = await broken.ended()
        assert [code_of(packet) for packet in last] == ([reason] if version == 5 else [])
        assert await neighbour.ask(mqtt.Pingreq()) == mqtt.Pingresp()
    assert world.malformed == 1


@VERSIONS
async def test_a_packet_of_a_flow_that_was_never_begun_ends_the_connection(
    world: MqttWorld, version: int
) -> None:
    async with world.device("ahead", version) as device:
        last = await (device.send(mqtt.Pubrel(1)), device)[1].ended()
        assert [code_of(packet) for packet in last] == ([0x82] if version == 5 else [])


async def test_packets_before_a_malformed_one_are_answered_first(world: MqttWorld) -> None:
    async with world.device("broken", 5) as device:
        device.writer.write(encode(mqtt.Pingreq(), 5) + b"\x00\x00" + encode(mqtt.Pingreq(), 5))
        assert [type(packet) for packet in await device.ended()] == [mqtt.Pingresp, mqtt.Disconnect]


async def test_the_last_word_arrives_although_the_device_keeps_talking(world: MqttWorld) -> None:
    async with world.device("chatty", 5) as device:
        device.writer.write(b"\x00\x00" + b"x" * 500_000)
        assert [code_of(packet) for packet in await device.ended()] == [0x81]


@pytest.mark.parametrize(
    "noise", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"\x10\x00", b"\xc0"]
)
async def test_who_does_not_speak_mqtt_is_closed(world: MqttWorld, noise: bytes) -> None:
    async with world.raw() as stranger:
        stranger.writer.write(noise)
        assert await stranger.ended() == []
    assert world.malformed == 1


@pytest.mark.parametrize(("level", "answer"), [(3, b"\x20\x02\x00\x01"), (6, b"\x20")])
async def test_another_protocol_version_is_refused_in_words(
    world: MqttWorld, level: int, answer: bytes
) -> None:
    async with world.raw() as device:
        device.writer.write(b"\x10\x0d\x00\x04MQTT" + bytes([level]) + b"\x02\x00\x00\x00\x01a")
        async with asyncio.timeout(WAIT_S):
            got = await device.reader.read()
    assert got.startswith(answer)
    if level == 6:
        assert got[3] == 0x84


@VERSIONS
async def test_a_wrong_token_is_refused(world: MqttWorld, version: int) -> None:
    for token in (b"guess", b"\xff\xfe", b""):
        async with world.raw(version) as device:
            answer = await device.ask(hello("thief", version, password=token))
            assert code_of(answer) == (0x86 if version == 5 else 4)
            assert await device.receive() is None
    assert world.refusals("unauthenticated") == 3


async def test_a_client_id_that_is_no_name_is_refused(world: MqttWorld) -> None:
    for version, code in ((5, 0x85), (4, 2)):
        async with world.raw(version) as device:
            assert code_of(await device.ask(hello("ü" * 100, version))) == code


@VERSIONS
async def test_an_empty_client_id_is_given_one(world: MqttWorld, version: int) -> None:
    async with world.raw(version) as device, world.channel("q.auto").join() as member:
        connack = await device.ask(hello("", version))
        assert isinstance(connack, mqtt.Connack)
        device.send(mqtt.Publish("q/auto", b"1", 1, packet_id=1))
        async with asyncio.timeout(WAIT_S):
            source = (await anext(member)).source
    assert source.startswith("/mqtt/auto-")
    if version == 5:
        assert source == f"/mqtt/{connack.properties.assigned_client_id}"


# ---- time ----


async def test_a_silent_device_is_told_and_closed(server: RunningServer) -> None:
    async with mqtt_world(server) as world:
        loop = asyncio.get_running_loop()
        async with world.device("silent", 5, keep_alive_s=1) as device:
            began = loop.time()
            assert [code_of(packet) for packet in await device.ended()] == [0x8D]
            assert 1.4 < loop.time() - began < 2.5
        assert world.refusals("keep_alive") == 1


async def test_a_server_keep_alive_is_told_and_kept(server: RunningServer) -> None:
    async with mqtt_world(server, keep_alive_max_s=1) as world, world.raw() as device:
        connack = await device.ask(hello("forever", 5, keep_alive_s=0))
        assert isinstance(connack, mqtt.Connack)
        assert connack.properties.server_keep_alive_s == 1
        assert [code_of(packet) for packet in await device.ended()] == [0x8D]


async def test_who_never_connects_is_closed(server: RunningServer) -> None:
    async with mqtt_world(server, connect_timeout_s=0.2) as world, world.raw() as stranger:
        stranger.writer.write(b"\x10")
        assert await stranger.ended() == []
        assert world.refusals("connect_timeout") == 1


async def test_a_device_that_reads_nothing_is_cut_and_its_neighbour_lives(server: RunningServer) -> None:
    async with (
        mqtt_world(server, stall_timeout_s=0.3) as world,
        world.device("quick", 5) as quick,
        world.device("stuck", 5) as stuck,
    ):
        stuck.writer.transport.pause_reading()
        await subscribed(quick, mqtt.Subscription("q/stall", 0))
        stuck.send(mqtt.Subscribe(1, (mqtt.Subscription("q/stall", 0),)))
        cut = asyncio.create_task(stuck.writer.wait_closed())
        while not world.refusals("stalled"):
            await world.channel("q.stall").publish(b"x" * 500_000)
            packet = await quick.receive()
            assert isinstance(packet, mqtt.Publish)
        assert await quick.ask(mqtt.Pingreq()) == mqtt.Pingresp()
        stuck.writer.transport.abort()
        await asyncio.wait({cut}, timeout=WAIT_S)


# ---- one client id, many connections ----


@VERSIONS
async def test_a_second_connection_takes_the_client_id_over(world: MqttWorld, version: int) -> None:
    async with world.device("twin", version) as first, world.device("twin", version) as second:
        last = await first.ended()
        assert [code_of(packet) for packet in last] == ([0x8E] if version == 5 else [])
        assert await second.ask(mqtt.Pingreq()) == mqtt.Pingresp()
        async with world.device("twin", version):
            await second.ended()


async def test_connections_over_the_limit_hear_that_the_server_is_busy(server: RunningServer) -> None:
    async with mqtt_world(server, connections_max=2) as world:
        async with world.device("a", 5), world.device("b", 5):
            for version, code in ((5, 0x89), (4, 3)):
                async with world.raw(version) as late:
                    assert code_of(await late.ask(hello("late", version))) == code
                    await late.ended()
        assert world.refusals("connections") == 2


async def test_hundreds_of_idle_devices_cost_no_task(server: RunningServer) -> None:
    async with mqtt_world(server) as world:
        before = len(asyncio.all_tasks())
        writers = []
        for number in range(300):
            reader, writer = await asyncio.open_connection(world.host, world.port)
            writer.write(encode(hello(f"idle-{number}", 5), 5))
            assert (await reader.readexactly(1)) == b"\x20"
            writers.append(writer)
        assert world.metrics.value("fabric_edge_connections", edge="mqtt") == 300
        assert len(asyncio.all_tasks()) == before
        for writer in writers:
            writer.close()


# ---- the edge as a whole ----


async def test_a_reset_is_no_error(world: MqttWorld) -> None:
    async with world.device("reset", 5) as device:
        raw = device.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        device.writer.transport.abort()
    async with world.device("next", 5) as device:
        assert await device.ask(mqtt.Pingreq()) == mqtt.Pingresp()


async def test_stopping_settles_what_was_taken_and_says_goodbye(server: RunningServer) -> None:
    async with mqtt_world(server) as world, world.device("bye", 5) as device, world.device("old", 4) as old:
        device.send(*(mqtt.Publish("q/bye", b"x", 1, packet_id=n) for n in range(1, 51)))
        assert await device.receive() == mqtt.Puback(1)
        await world.edge.stop(2.0)
        last = await device.ended()
        assert last[:-1] == [mqtt.Puback(number) for number in range(2, 51)]
        assert code_of(last[-1]) == 0x8B
        assert await old.ended() == []
        await world.edge.stop(2.0)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(world.host, world.port)


async def test_a_taken_port_is_named(world: MqttWorld) -> None:
    second = edge_of({"port": world.port})
    with pytest.raises(PortInUse) as caught:
        await second.start(House(world.fabric, world.journal, None, None, world.metrics))  # type: ignore[arg-type]
    assert caught.value.port == world.port
    assert caught.value.holder.endswith(f"(pid {os.getpid()})")


def test_a_setting_that_cannot_be_is_named() -> None:
    for settings in ({"prot": 1}, {"port": 70_000}, {"receive_maximum": 0}, {"qos0_delivery": "maybe"}):
        with pytest.raises(ConfigInvalid) as caught:
            edge_of(settings)
        assert next(iter(settings)) in str(caught.value)


def test_an_address_is_known_before_and_after_the_start() -> None:
    assert edge_of({"port": 1884}).address == "mqtt://127.0.0.1:1884"
