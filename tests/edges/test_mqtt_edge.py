"""The MQTT edge byte by byte, over real sockets: what a broken, slow, silent or greedy device meets."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from fabric.errors import ConfigInvalid, PortInUse
from fabric_bridges.edge import House
from fabric_bridges.mqtt import edge as edge_of
from fabric_codecs.mqtt.encode import encode
from fabric_codecs.mqtt.packets import (
    Connack,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from fabric_codecs.mqtt.properties import Properties
from helpers.mqtt_world import WAIT_S, Device, MqttWorld, hello, mqtt_world
from helpers.server import RunningServer

VERSIONS = pytest.mark.parametrize("version", [4, 5])


@pytest_asyncio.fixture
async def world(server: RunningServer) -> AsyncIterator[MqttWorld]:
    async with mqtt_world(server) as world:
        yield world


async def subscribed(device: Device, *subscriptions: Subscription, ids: tuple[int, ...] = ()) -> None:
    answer = await device.ask(Subscribe(1, subscriptions, Properties(subscription_ids=ids)))
    assert isinstance(answer, Suback)
    assert all(code < 0x80 for code in answer.codes)


def code_of(packet: Packet | None) -> int:
    assert isinstance(packet, Connack | Puback | Disconnect), packet
    return packet.code


# ---- a device that breaks the rules ----


@VERSIONS
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x00\x00", 0x81),
        (b"\x30\x80\x00", 0x81),
        (b"\x36\x05\x00\x01a\x00\x01", 0x81),
        (b"\x30\x05\x00\x03a/#", 0x90),
        (b"\xf0\x00", 0x82),
        (b"\x62\x02\x00\x01", 0x82),
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
        assert await neighbour.ask(Pingreq()) == Pingresp()
    assert world.malformed == 1


async def test_packets_before_a_malformed_one_are_answered_first(world: MqttWorld) -> None:
    async with world.device("broken", 5) as device:
        device.writer.write(encode(Pingreq(), 5) + b"\x00\x00" + encode(Pingreq(), 5))
        assert [type(packet) for packet in await device.ended()] == [Pingresp, Disconnect]


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
        assert isinstance(connack, Connack)
        device.send(Publish("q/auto", b"1", 1, packet_id=1))
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
        assert isinstance(connack, Connack)
        assert connack.properties.server_keep_alive_s == 1
        assert [code_of(packet) for packet in await device.ended()] == [0x8D]


async def test_who_never_connects_is_closed(server: RunningServer) -> None:
    async with mqtt_world(server, connect_timeout_s=0.2) as world, world.raw() as stranger:
        stranger.writer.write(b"\x10")
        assert await stranger.ended() == []
        assert world.refusals("connect_timeout") == 1


# ---- one client id, many connections ----


@VERSIONS
async def test_a_second_connection_takes_the_client_id_over(world: MqttWorld, version: int) -> None:
    async with world.device("twin", version) as first, world.device("twin", version) as second:
        last = await first.ended()
        assert [code_of(packet) for packet in last] == ([0x8E] if version == 5 else [])
        assert await second.ask(Pingreq()) == Pingresp()
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


# ---- messages in ----


async def test_a_message_over_the_limit_is_refused(server: RunningServer) -> None:
    async with mqtt_world(server, packet_bytes_max=1000) as world, world.device("big", 5) as device:
        device.send(Publish("q/big", b"x" * 1000, 1, packet_id=1))
        assert [code_of(packet) for packet in await device.ended()] == [0x95]


async def test_a_message_that_the_fabric_cannot_store_is_refused_and_the_connection_lives(
    server: RunningServer,
) -> None:
    async with mqtt_world(server, packet_bytes_max=4 << 20) as world, world.device("big", 5) as device:
        puback = await device.ask(Publish("q/big", b"x" * (2 << 20), 1, packet_id=1))
        assert code_of(puback) == 0x97
        assert isinstance(puback, Puback)
        assert "allowed" in (puback.properties.reason_string or "")
        assert code_of(await device.ask(Publish("q/big", b"x", 1, packet_id=2))) == 0
        assert world.refusals("limit_exceeded") == 1


@pytest.mark.parametrize("topic", ["$SYS/uptime", "/".join("a" * 20)])
async def test_a_topic_that_no_channel_can_have_is_refused(world: MqttWorld, topic: str) -> None:
    async with world.device("lost", 5) as device:
        assert code_of(await device.ask(Publish(topic, b"", 1, packet_id=1))) == 0x90
        assert [code_of(packet) for packet in await (device.send(Publish(topic)), device)[1].ended()] == [
            0x90
        ]
    async with world.device("lost", 4) as old:
        old.send(Publish(topic, b"", 1, packet_id=1))
        assert await old.ended() == []


async def test_a_payload_that_breaks_its_format_is_refused(world: MqttWorld) -> None:
    broken = Publish("q/text", b"\xff", 1, packet_id=1, properties=Properties(payload_format=1))
    async with world.device("text", 5) as device:
        assert code_of(await device.ask(broken)) == 0x99


@VERSIONS
async def test_a_window_of_messages_is_acknowledged_in_order(world: MqttWorld, version: int) -> None:
    async with world.device("burst", version) as device:
        device.send(*(Publish(f"q/burst/{n % 7}", b"x", 1, packet_id=n) for n in range(1, 201)))
        answers = [await device.receive() for _ in range(200)]
    assert answers == [Puback(number) for number in range(1, 201)]
    assert len(world.crossings("mqtt.in")) == 200


async def test_version_4_may_send_more_than_the_window_and_is_read_slower(server: RunningServer) -> None:
    async with mqtt_world(server, receive_maximum=4) as world, world.device("eager", 4) as device:
        device.send(*(Publish("q/eager", b"x", 1, packet_id=n) for n in range(1, 101)), Pingreq())
        answers = [await device.receive() for _ in range(101)]
    assert [answer for answer in answers if answer != Pingresp()] == [Puback(n) for n in range(1, 101)]


# ---- messages out ----


async def test_no_local_withholds_a_devices_own_messages(world: MqttWorld) -> None:
    async with world.device("echo", 5) as device:
        await subscribed(device, Subscription("q/echo/a", 1, no_local=True), Subscription("q/echo/b", 1))
        device.send(Publish("q/echo/a", b"own", 1, packet_id=1), Publish("q/echo/b", b"own", 1, packet_id=2))
        await world.channel("q.echo.a").publish(b"other")
        got: list[bytes] = []
        while len(got) < 2:
            packet = await device.receive()
            if isinstance(packet, Publish):
                got.append(packet.payload)
        assert sorted(got) == [b"other", b"own"]


async def test_overlapping_subscriptions_get_a_copy_each_with_its_own_identifier(world: MqttWorld) -> None:
    async with world.device("both", 5) as device:
        await subscribed(device, Subscription("q/over/+", 1), ids=(7,))
        await subscribed(device, Subscription("q/over/a", 0), ids=(8,))
        await world.channel("q.over.a").publish(b"x")
        copies = [await device.receive(), await device.receive()]
    assert all(isinstance(copy, Publish) for copy in copies)
    ids = {(copy.qos, copy.properties.subscription_ids) for copy in copies if isinstance(copy, Publish)}
    assert ids == {(1, (7,)), (0, (8,))}


async def test_a_root_wildcard_does_not_show_dollar_topics(world: MqttWorld) -> None:
    async with world.device("root", 5) as device:
        await subscribed(device, Subscription("+/q-root", 1))
        await world.channel("$hidden.q-root").publish(b"hidden")
        await world.channel("seen.q-root").publish(b"seen")
        packet = await device.receive()
    assert isinstance(packet, Publish)
    assert packet.payload == b"seen"


async def test_an_expired_message_is_counted_and_not_delivered(world: MqttWorld) -> None:
    async with world.device("late", 5) as device:
        await subscribed(device, Subscription("q/late", 1))
        await world.channel("q.late").publish(b"stale", expirytime="2020-01-01T00:00:00Z")
        await world.channel("q.late").publish(b"fresh")
        packet = await device.receive()
    assert isinstance(packet, Publish)
    assert packet.payload == b"fresh"
    assert world.refusals("expired") == 1


async def test_a_message_over_the_clients_maximum_is_counted_and_not_sent(world: MqttWorld) -> None:
    small = Properties(maximum_packet_bytes=600)
    async with world.device("small", 5, properties=small) as device:
        await subscribed(device, Subscription("q/small", 1))
        await world.channel("q.small").publish(b"x" * 600)
        await world.channel("q.small").publish(b"y")
        packet = await device.receive()
    assert isinstance(packet, Publish)
    assert packet.payload == b"y"
    assert world.refusals("too_large") == 1


async def test_a_reason_string_is_left_out_where_it_does_not_fit(world: MqttWorld) -> None:
    async with world.device("tiny", 5, properties=Properties(maximum_packet_bytes=20)) as device:
        answer = await device.ask(Publish("$SYS/x", b"", 1, packet_id=1))
    assert answer == Puback(1, 0x90)


async def test_no_more_is_sent_than_the_client_acknowledges(world: MqttWorld) -> None:
    async with world.device("window", 5, properties=Properties(receive_maximum=3)) as device:
        await subscribed(device, Subscription("q/window", 1))
        for number in range(10):
            await world.channel("q.window").publish(str(number).encode())
        got = [await device.receive() for _ in range(3)]
        assert await device.ask(Pingreq()) == Pingresp(), "nothing more until a PUBACK"
        for packet in got:
            assert isinstance(packet, Publish)
            device.send(Puback(packet.packet_id))
        got += [await device.receive() for _ in range(3)]
    assert [packet.payload for packet in got if isinstance(packet, Publish)] == [
        b"0",
        b"1",
        b"2",
        b"3",
        b"4",
        b"5",
    ]


async def test_what_a_device_leaves_unacknowledged_is_counted(world: MqttWorld) -> None:
    gone = asyncio.Event()
    closed = world.edge.closed

    def told(connection: Any) -> None:
        closed(connection)
        gone.set()

    world.edge.closed = told  # type: ignore[method-assign]
    async with world.device("owing", 5) as device:
        await subscribed(device, Subscription("q/owing", 1))
        await world.channel("q.owing").publish(b"1")
        await world.channel("q.owing").publish(b"2")
        first, _ = await device.receive(), await device.receive()
        assert isinstance(first, Publish)
        device.send(Puback(first.packet_id), Disconnect())
    await asyncio.wait_for(gone.wait(), WAIT_S)
    assert world.refusals("unacknowledged") == 1


async def test_after_unsubscribe_nothing_comes(world: MqttWorld) -> None:
    async with world.device("left", 5) as device:
        await subscribed(device, Subscription("q/left", 1), Subscription("q/stay", 1))
        assert await device.ask(Unsubscribe(2, ("q/left", "q/never"))) == Unsuback(2, (0, 0x11))
        await world.channel("q.left").publish(b"1")
        await world.channel("q.stay").publish(b"2")
        packet = await device.receive()
    assert isinstance(packet, Publish)
    assert packet.topic == "q/stay"


async def test_subscribing_again_changes_the_options_without_a_second_copy(world: MqttWorld) -> None:
    async with world.device("again", 5) as device:
        await subscribed(device, Subscription("q/again", 0))
        await subscribed(device, Subscription("q/again", 1))
        await world.channel("q.again").publish(b"1")
        first = await device.receive()
        assert isinstance(first, Publish)
        assert first.qos == 1
        assert await device.ask(Pingreq()) == Pingresp()


# ---- the edge as a whole ----


async def test_a_reset_is_no_error(world: MqttWorld) -> None:
    async with world.device("reset", 5) as device:
        raw = device.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        device.writer.transport.abort()
    async with world.device("next", 5) as device:
        assert await device.ask(Pingreq()) == Pingresp()


async def test_stopping_settles_what_was_taken_and_says_goodbye(server: RunningServer) -> None:
    async with mqtt_world(server) as world, world.device("bye", 5) as device, world.device("old", 4) as old:
        device.send(*(Publish("q/bye", b"x", 1, packet_id=n) for n in range(1, 51)))
        assert await device.receive() == Puback(1)
        await world.edge.stop(2.0)
        last = await device.ended()
        assert last[:-1] == [Puback(number) for number in range(2, 51)]
        assert code_of(last[-1]) == 0x8B
        assert await old.ended() == []
        await world.edge.stop(2.0)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(world.host, world.port)


async def test_a_taken_port_is_named(world: MqttWorld) -> None:
    second = edge_of({"port": world.port})
    with pytest.raises(PortInUse) as caught:
        await second.start(House(world.fabric, world.journal, None, None, world.metrics))  # type: ignore[arg-type]
    assert str(world.port) in str(caught.value)


def test_a_setting_that_cannot_be_is_named() -> None:
    for settings in ({"prot": 1}, {"port": 70_000}, {"receive_maximum": 0}, {"qos0_delivery": "maybe"}):
        with pytest.raises(ConfigInvalid) as caught:
            edge_of(settings)
        assert next(iter(settings)) in str(caught.value)


def test_an_address_is_known_before_and_after_the_start() -> None:
    assert edge_of({"port": 1884}).address == "mqtt://127.0.0.1:1884"
