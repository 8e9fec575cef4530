"""Stock MQTT clients on the edge, over real sockets: aiomqtt with 5 and 3.1.1, and paho's own loop."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import aiomqtt
import paho.mqtt.client as paho
import pytest
import pytest_asyncio
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties

from fabric.client import Member
from fabric_codecs.envelope import Envelope
from fabric_codecs.mqtt.packets import Subscribe, Subscription
from helpers.http_door import TOKEN
from helpers.mqtt_world import WAIT_S, MqttWorld, codes, mqtt_world
from helpers.server import RunningServer

VERSIONS = {4: aiomqtt.ProtocolVersion.V311, 5: aiomqtt.ProtocolVersion.V5}


@pytest_asyncio.fixture
async def world(server: RunningServer) -> AsyncIterator[MqttWorld]:
    async with mqtt_world(server) as world:
        yield world


def client(world: MqttWorld, name: str, version: int, **settings: Any) -> aiomqtt.Client:
    """A stock client with the right token, unless told otherwise."""
    base: dict[str, Any] = {"identifier": name, "username": name, "password": TOKEN, "timeout": WAIT_S}
    return aiomqtt.Client(world.host, world.port, protocol=VERSIONS[version], **(base | settings))


async def next_of(member: Member) -> Envelope:
    async with asyncio.timeout(WAIT_S):
        return await anext(member)


async def next_message(device: aiomqtt.Client) -> aiomqtt.Message:
    async with asyncio.timeout(WAIT_S):
        return await anext(aiter(device.messages))


def publish_properties(**said: Any) -> PahoProperties:
    properties = PahoProperties(PacketTypes.PUBLISH)
    for name, value in said.items():
        setattr(properties, name, value)
    return properties


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [0, 1])
async def test_what_a_device_publishes_reaches_the_channel(world: MqttWorld, version: int, qos: int) -> None:
    name = f"pub-{version}-{qos}"
    async with world.channel(f"m.{name}").join() as member, client(world, name, version) as device:
        await device.publish(f"m/{name}", b'{"celsius": 21.5}', qos=qos, timeout=WAIT_S)
        envelope = await next_of(member)
    assert envelope.data == b'{"celsius": 21.5}'
    assert envelope.source == f"/mqtt/{name}"
    assert envelope.subject == f"m.{name}"
    assert (envelope.stream is None) == (qos == 0), "QoS 0 is live, QoS 1 is kept"
    (crossing,) = world.crossings("mqtt.in")
    assert crossing.peer == name
    assert crossing.position == (f"{envelope.stream}:{envelope.sequence}" if qos else "")
    assert codes(crossing) == (["CONTENT_TYPE_GUESSED"] if version == 4 else [])


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [0, 1])
async def test_what_the_fabric_publishes_reaches_the_device(world: MqttWorld, version: int, qos: int) -> None:
    name = f"sub-{version}-{qos}"
    async with client(world, name, version) as device:
        await device.subscribe(f"m/{name}/+", qos=qos)
        receipt = await world.channel(f"m.{name}.set").publish({"on": True})
        message = await next_message(device)
    assert (message.topic.value, message.qos, message.retain) == (f"m/{name}/set", qos, False)
    assert json.loads(message.payload) == {"on": True}
    (crossing,) = world.crossings("mqtt.out")
    assert crossing.peer == name
    assert crossing.envelope.id == receipt.id
    assert crossing.position == f"{receipt.stream}:{receipt.sequence}"
    if version == 5:
        assert message.properties.ContentType == "application/json"
        assert ("id", receipt.id) in message.properties.UserProperty
    assert codes(crossing) == ["NO_METADATA"] * (version == 4) + ["QOS_DOWNGRADED"] * (qos == 0)


async def test_a_command_is_answered_with_its_correlation_and_cause(world: MqttWorld) -> None:
    async with client(world, "ask-5", 5) as device, world.channel("m.ask.reply").join() as replies:
        await device.subscribe("m/ask/set", qos=1)
        receipt = await world.channel("m.ask.set").publish(
            {"on": True}, fabreply="m.ask.reply", correlationid="talk-1"
        )
        command = await next_message(device)
        answer = publish_properties(
            CorrelationData=command.properties.CorrelationData, ContentType="text/plain"
        )
        await device.publish(command.properties.ResponseTopic, b"done", qos=1, properties=answer)
        envelope = await next_of(replies)
    assert envelope.data == b"done"
    assert (envelope.kind, envelope.type) == ("response", "io.agentfabric.response")
    assert (envelope.causationid, envelope.correlationid) == (receipt.id, "talk-1")
    assert envelope.get("datacontenttype") == "text/plain"


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="only Linux lets a server say so")
async def test_an_answer_is_not_held_back_by_delayed_acknowledgements(world: MqttWorld) -> None:
    took: list[float] = []
    async with client(world, "prompt", 5) as device, world.channel("m.prompt.reply").join() as replies:
        await device.subscribe("m/prompt/set", qos=1)
        for _ in range(10):
            began = asyncio.get_running_loop().time()
            await world.channel("m.prompt.set").publish(b"1")
            await next_message(device)
            await device.publish("m/prompt/reply", b"1", qos=1)
            await next_of(replies)
            took.append(asyncio.get_running_loop().time() - began)
    assert min(took) < 0.03, "a kernel holds an acknowledgement back for 40 ms"


async def test_a_device_of_3_1_1_is_recognised_by_its_reply_topic(world: MqttWorld) -> None:
    reply = "m.ask3.reply.talk-2"
    async with client(world, "ask-4", 4) as device, world.channel(reply).join() as replies:
        await device.subscribe("m/ask3/set", qos=1)
        asking = world.channel("m.ask3.set")
        receipt = await asking.publish(b"talk-2", fabreply=reply, fabcorr="QUJD", correlationid="talk-2")
        command = await next_message(device)
        await device.publish(f"m/ask3/reply/{command.payload.decode()}", b"21.5", qos=1)
        envelope = await next_of(replies)
    assert (envelope.causationid, envelope.correlationid, envelope.kind) == (receipt.id, "talk-2", "response")
    assert envelope.get("fabcorr") == "QUJD", "as whoever waits for it asked"


async def test_an_answer_of_another_device_has_no_cause(world: MqttWorld) -> None:
    async with (
        client(world, "asked", 5) as device,
        client(world, "stranger", 5) as stranger,
        world.channel("m.other.reply").join() as replies,
    ):
        await device.subscribe("m/other/set", qos=1)
        await world.channel("m.other.set").publish(b"1", fabreply="m.other.reply")
        command = await next_message(device)
        data = command.properties.CorrelationData
        await stranger.publish(
            "m/other/reply", b"x", qos=1, properties=publish_properties(CorrelationData=data)
        )
        envelope = await next_of(replies)
    assert envelope.source == "/mqtt/stranger"
    assert envelope.causationid is None


async def test_devices_of_both_versions_talk_to_each_other(world: MqttWorld) -> None:
    async with client(world, "old", 4) as old, client(world, "new", 5) as new:
        await old.subscribe("m/talk/old", qos=1)
        await new.subscribe("m/talk/#", qos=1)
        said = publish_properties(UserProperty=[("a", "1"), ("b", "2"), ("a", "1")], MessageExpiryInterval=60)
        await new.publish("m/talk/old", "grüß".encode(), qos=1, properties=said)
        at_old = await next_message(old)
        at_new = await next_message(new)
        await old.publish("m/talk", b"21.5", qos=1)
        from_old = await next_message(new)
    assert at_old.payload == at_new.payload == "grüß".encode()
    theirs = [pair for pair in at_new.properties.UserProperty if pair[0] in ("a", "b")]
    assert theirs == [("a", "1"), ("b", "2"), ("a", "1")]
    assert 0 < at_new.properties.MessageExpiryInterval <= 60
    assert from_old.topic.value == "m/talk", "# includes the level above it"
    assert from_old.properties.ContentType == "application/json"
    assert ("fab-loss", "CONTENT_TYPE_GUESSED") in from_old.properties.UserProperty


async def test_topics_survive_whatever_their_levels_hold(world: MqttWorld) -> None:
    topics = ["m/odd/a.b", "m/odd//x", "m/odd/*", "m/odd/>", "m/odd/ü ö", "m/odd/%", "m/odd/"]
    async with client(world, "odd", 5) as device:
        await device.subscribe("m/odd/#", qos=1)
        for topic in topics:
            await device.publish(topic, b"x", qos=1)
        heard = {(await next_message(device)).topic.value for _ in topics}
    assert heard == set(topics)


@pytest.mark.parametrize("version", [4, 5])
async def test_a_wrong_token_is_refused(world: MqttWorld, version: int) -> None:
    with pytest.raises(aiomqtt.MqttError) as caught:
        async with client(world, "thief", version, password="guess"):
            pass
    assert "Bad user name or password" in str(caught.value)
    assert world.refusals("unauthenticated") == 1


async def test_a_full_device_does_not_stop_its_neighbour(world: MqttWorld) -> None:
    async with client(world, "quick", 5) as quick, world.device("stuck", 5) as stuck:
        await quick.subscribe("m/flood/+", qos=1)
        await stuck.ask(
            Subscribe(1, (Subscription("m/flood/+", 1),))
        )  # and never reads or acknowledges again
        for number in range(300):
            await world.channel("m.flood.a").publish(str(number).encode() + b" " * 2_000)
        heard = [int((await next_message(quick)).payload) for _ in range(300)]
    assert heard == list(range(300))


def test_paho_publishes_and_hears_itself(server: RunningServer) -> None:
    """paho's own network thread, without asyncio on its side."""
    heard: list[bytes] = []
    ready, done = threading.Event(), threading.Event()

    def run(host: str, port: int) -> None:
        device = paho.Client(CallbackAPIVersion.VERSION2, "paho", protocol=paho.MQTTv5)
        device.username_pw_set("paho", TOKEN)
        device.on_subscribe = lambda *_: ready.set()
        device.on_message = lambda *said: (heard.append(said[2].payload), len(heard) == 50 and done.set())
        device.connect(host, port)
        device.loop_start()
        device.subscribe("m/paho/+", 1)
        assert ready.wait(WAIT_S)
        for number in range(50):
            device.publish("m/paho/a", str(number).encode(), 1)
        assert done.wait(WAIT_S)
        device.disconnect()
        device.loop_stop()

    async def main() -> None:
        async with mqtt_world(server) as world:
            await asyncio.to_thread(run, world.host, world.port)

    asyncio.run(main())
    assert heard == [str(number).encode() for number in range(50)]
