"""Messages through the MQTT edge, packet by packet: windows, limits, options and what is told of losses."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from fabric_codecs.mqtt import packets as mqtt
from fabric_codecs.mqtt.properties import Properties
from helpers.mqtt_world import VERSIONS, WAIT_S, MqttWorld, code_of, mqtt_world, subscribed
from helpers.server import RunningServer
from helpers.waiting import until


@pytest_asyncio.fixture
async def world(server: RunningServer) -> AsyncIterator[MqttWorld]:
    async with mqtt_world(server) as world:
        yield world


# ---- messages in ----


async def test_a_message_over_the_limit_is_refused(server: RunningServer) -> None:
    async with mqtt_world(server, packet_bytes_max=1000) as world, world.device("big", 5) as device:
        device.send(mqtt.Publish("q/big", b"x" * 1000, 1, packet_id=1))
        assert [code_of(packet) for packet in await device.ended()] == [0x95]


async def test_a_message_that_the_fabric_cannot_store_is_refused_and_the_connection_lives(
    server: RunningServer,
) -> None:
    async with mqtt_world(server, packet_bytes_max=4 << 20) as world, world.device("big", 5) as device:
        puback = await device.ask(mqtt.Publish("q/big", b"x" * (2 << 20), 1, packet_id=1))
        assert code_of(puback) == 0x97
        assert isinstance(puback, mqtt.Puback)
        assert "allowed" in (puback.properties.reason_string or "")
        assert code_of(await device.ask(mqtt.Publish("q/big", b"x", 1, packet_id=2))) == 0
        assert world.refusals("limit_exceeded") == 1


@pytest.mark.parametrize("topic", ["$SYS/uptime", "/".join("a" * 20)])
async def test_a_topic_that_no_channel_can_have_is_refused(world: MqttWorld, topic: str) -> None:
    async with world.device("lost", 5) as device:
        assert code_of(await device.ask(mqtt.Publish(topic, b"", 1, packet_id=1))) == 0x90
        assert [
            code_of(packet) for packet in await (device.send(mqtt.Publish(topic)), device)[1].ended()
        ] == [0x90]
    async with world.device("lost", 4) as old:
        old.send(mqtt.Publish(topic, b"", 1, packet_id=1))
        assert await old.ended() == []


async def test_a_payload_that_breaks_its_format_is_refused(world: MqttWorld) -> None:
    broken = mqtt.Publish("q/text", b"\xff", 1, packet_id=1, properties=Properties(payload_format=1))
    async with world.device("text", 5) as device:
        assert code_of(await device.ask(broken)) == 0x99


@VERSIONS
async def test_a_window_of_messages_is_acknowledged_in_order(world: MqttWorld, version: int) -> None:
    async with world.device("burst", version) as device:
        device.send(*(mqtt.Publish(f"q/burst/{n % 7}", b"x", 1, packet_id=n) for n in range(1, 201)))
        answers = [await device.receive() for _ in range(200)]
    assert answers == [mqtt.Puback(number) for number in range(1, 201)]
    assert len(world.crossings("mqtt.in")) == 200


async def test_a_flood_of_qos_0_in_one_write_is_taken_whole(world: MqttWorld) -> None:
    async with world.device("flood", 5) as device:
        device.send(*[mqtt.Publish("q/flood", b"")] * 3000, mqtt.Pingreq())
        assert await device.receive() == mqtt.Pingresp()
    assert len(world.crossings("mqtt.in")) == 3000


async def test_version_4_may_send_more_than_the_window_and_is_read_slower(server: RunningServer) -> None:
    async with mqtt_world(server, receive_maximum=4) as world, world.device("eager", 4) as device:
        device.send(*(mqtt.Publish("q/eager", b"x", 1, packet_id=n) for n in range(1, 101)), mqtt.Pingreq())
        answers = [await device.receive() for _ in range(101)]
    assert [answer for answer in answers if answer != mqtt.Pingresp()] == [
        mqtt.Puback(n) for n in range(1, 101)
    ]


# ---- messages out ----


async def test_no_local_withholds_a_devices_own_messages(world: MqttWorld) -> None:
    async with world.device("echo", 5) as device:
        await subscribed(
            device, mqtt.Subscription("q/echo/a", 1, no_local=True), mqtt.Subscription("q/echo/b", 1)
        )
        device.send(
            mqtt.Publish("q/echo/a", b"own a", 1, packet_id=1),
            mqtt.Publish("q/echo/b", b"own b", 1, packet_id=2),
        )
        await world.channel("q.echo.a").publish(b"other")
        got: list[bytes] = []
        while len(got) < 2:
            packet = await device.receive()
            if isinstance(packet, mqtt.Publish):
                got.append(packet.payload)
        assert sorted(got) == [b"other", b"own b"]


async def test_overlapping_subscriptions_get_a_copy_each_with_its_own_identifier(world: MqttWorld) -> None:
    async with world.device("both", 5) as device:
        await subscribed(device, mqtt.Subscription("q/over/+", 1), ids=(7,))
        await subscribed(device, mqtt.Subscription("q/over/a", 0), ids=(8,))
        await world.channel("q.over.a").publish(b"x")
        copies = [await device.receive(), await device.receive()]
    assert all(isinstance(copy, mqtt.Publish) for copy in copies)
    ids = {(copy.qos, copy.properties.subscription_ids) for copy in copies if isinstance(copy, mqtt.Publish)}
    assert ids == {(1, (7,)), (0, (8,))}


async def test_a_root_wildcard_does_not_show_dollar_topics(world: MqttWorld) -> None:
    async with world.device("root", 5) as device:
        await subscribed(device, mqtt.Subscription("+/q-root", 1))
        await world.channel("$hidden.q-root").publish(b"hidden")
        await world.channel("seen.q-root").publish(b"seen")
        packet = await device.receive()
    assert isinstance(packet, mqtt.Publish)
    assert packet.payload == b"seen"


async def test_an_expired_message_is_counted_and_not_delivered(world: MqttWorld) -> None:
    async with world.device("late", 5) as device:
        await subscribed(device, mqtt.Subscription("q/late", 1))
        await world.channel("q.late").publish(b"stale", expirytime="2020-01-01T00:00:00Z")
        await world.channel("q.late").publish(b"fresh")
        packet = await device.receive()
    assert isinstance(packet, mqtt.Publish)
    assert packet.payload == b"fresh"
    assert world.refusals("expired") == 1


async def test_a_message_over_the_clients_maximum_is_counted_and_not_sent(world: MqttWorld) -> None:
    small = Properties(maximum_packet_bytes=600)
    async with world.device("small", 5, properties=small) as device:
        await subscribed(device, mqtt.Subscription("q/small", 1))
        await world.channel("q.small").publish(b"x" * 600)
        await world.channel("q.small").publish(b"y")
        packet = await device.receive()
    assert isinstance(packet, mqtt.Publish)
    assert packet.payload == b"y"
    assert world.refusals("too_large") == 1


async def test_a_reason_string_is_left_out_where_it_does_not_fit(world: MqttWorld) -> None:
    async with world.device("tiny", 5, properties=Properties(maximum_packet_bytes=20)) as device:
        answer = await device.ask(mqtt.Publish("$SYS/x", b"", 1, packet_id=1))
    assert answer == mqtt.Puback(1, 0x90)


async def test_no_more_is_sent_than_the_client_acknowledges(world: MqttWorld) -> None:
    async with world.device("window", 5, properties=Properties(receive_maximum=3)) as device:
        await subscribed(device, mqtt.Subscription("q/window", 1))
        for number in range(10):
            await world.channel("q.window").publish(str(number).encode())
        got = [await device.receive() for _ in range(3)]
        assert await device.ask(mqtt.Pingreq()) == mqtt.Pingresp(), "nothing more until a PUBACK"
        for packet in got:
            assert isinstance(packet, mqtt.Publish)
            device.send(mqtt.Puback(packet.packet_id))
        got += [await device.receive() for _ in range(3)]
    assert [packet.payload for packet in got if isinstance(packet, mqtt.Publish)] == [
        b"0",
        b"1",
        b"2",
        b"3",
        b"4",
        b"5",
    ]


async def test_what_a_device_leaves_unacknowledged_is_counted(world: MqttWorld) -> None:
    async with world.device("owing", 5) as device:
        await subscribed(device, mqtt.Subscription("q/owing", 1))
        await world.channel("q.owing").publish(b"1")
        await world.channel("q.owing").publish(b"2")
        first, _ = await device.receive(), await device.receive()
        assert isinstance(first, mqtt.Publish)
        device.send(mqtt.Puback(first.packet_id), mqtt.Disconnect())
    await until(lambda: world.refusals("unacknowledged"), "the loss is counted")
    assert world.refusals("unacknowledged") == 1


async def test_after_unsubscribe_nothing_comes(world: MqttWorld) -> None:
    async with world.device("left", 5) as device:
        await subscribed(device, mqtt.Subscription("q/left", 1), mqtt.Subscription("q/stay", 1))
        assert await device.ask(mqtt.Unsubscribe(2, ("q/left", "q/never"))) == mqtt.Unsuback(2, (0, 0x11))
        await world.channel("q.left").publish(b"1")
        await world.channel("q.stay").publish(b"2")
        packet = await device.receive()
    assert isinstance(packet, mqtt.Publish)
    assert packet.topic == "q/stay"


async def test_subscribing_again_changes_the_options_without_a_second_copy(world: MqttWorld) -> None:
    async with world.device("again", 5) as device:
        await subscribed(device, mqtt.Subscription("q/again", 0))
        await subscribed(device, mqtt.Subscription("q/again", 1))
        await world.channel("q.again").publish(b"1")
        first = await device.receive()
        assert isinstance(first, mqtt.Publish)
        assert first.qos == 1
        assert await device.ask(mqtt.Pingreq()) == mqtt.Pingresp()


# ---- the server underneath fails ----


async def test_what_was_acknowledged_survives_a_crash_of_the_server(private_server: RunningServer) -> None:
    async with mqtt_world(private_server) as world, world.device("crash", 5) as device:
        device.send(*(mqtt.Publish("q/crash", b"%d" % n, 1, packet_id=n) for n in range(1, 51)))
        answers = [await device.receive() for _ in range(25)]
        crash = asyncio.create_task(private_server.kill_and_restart())
        device.send(*(mqtt.Publish("q/crash", b"%d" % n, 1, packet_id=n) for n in range(51, 101)))
        answers += [await device.receive() for _ in range(75)]
        await crash
        acknowledged = {
            packet.packet_id for packet in answers if isinstance(packet, mqtt.Puback) and not packet.code
        }
        assert len(answers) == 100
        assert acknowledged, "a crash of a second is waited out"
        kept: set[int] = set()
        async with world.channel("q.crash").join(since="beginning") as member, asyncio.timeout(WAIT_S):
            while not acknowledged <= kept:
                kept.add(int((await anext(member)).data))
