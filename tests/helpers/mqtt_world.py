"""An MQTT edge over a real server, with the fabric beside it, and a device that speaks byte-exact MQTT."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from fabric.client import Channel, Fabric
from fabric.connect import connect
from fabric.edge import House
from fabric_bridges.mqtt.config import MqttEdgeSettings
from fabric_bridges.mqtt.listener import MqttEdge
from fabric_codecs.mqtt import packets as mqtt
from fabric_codecs.mqtt.encode import encode
from fabric_codecs.mqtt.properties import Properties
from fabric_codecs.mqtt.wire import Decoder
from helpers.edge_world import NoTopics
from helpers.http_door import TOKEN, Counted, OneToken
from helpers.noted import Crossing, Noted
from helpers.server import RunningServer

__all__ = [
    "VERSIONS",
    "WAIT_S",
    "Device",
    "MqttWorld",
    "code_of",
    "codes",
    "hello",
    "mqtt_world",
    "subscribed",
]

WAIT_S = 10.0
VERSIONS = pytest.mark.parametrize("version", [4, 5])


class Device:
    """A raw connection: sends packets or bytes, receives packets, sees the end of the stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, version: int) -> None:
        self.reader, self.writer, self.version = reader, writer, version
        self._decoder = Decoder(version)
        self._packets: list[mqtt.Packet] = []

    def send(self, *packets: mqtt.Packet) -> None:
        self.writer.write(b"".join(encode(packet, self.version) for packet in packets))

    async def receive(self) -> mqtt.Packet | None:
        """The next packet, or None at the end of the stream."""
        async with asyncio.timeout(WAIT_S):
            while not self._packets:
                data = await self.reader.read(1 << 16)
                if not data:
                    return None
                self._packets += self._decoder.feed(data)
        return self._packets.pop(0)

    async def ended(self) -> list[mqtt.Packet]:
        """Everything until the edge closes."""
        found = []
        while (packet := await self.receive()) is not None:
            found.append(packet)
        return found

    async def ask(self, *packets: mqtt.Packet) -> mqtt.Packet | None:
        self.send(*packets)
        return await self.receive()


class MqttWorld:
    """A running edge and what it was lent."""

    def __init__(self, fabric: Fabric, edge: MqttEdge, journal: Noted, metrics: Counted) -> None:
        self.fabric, self.edge, self.journal, self.metrics = fabric, edge, journal, metrics
        self.host, _, port = edge.address.removeprefix("mqtt://").rpartition(":")
        self.port = int(port)

    def channel(self, name: str) -> Channel:
        return self.fabric.channel(name)

    def refusals(self, reason: str) -> float:
        return self.metrics.value("fabric_edge_refusals_total", edge="mqtt", reason=reason)

    @property
    def malformed(self) -> float:
        return self.metrics.value("fabric_edge_malformed_total", edge="mqtt")

    def crossings(self, hop: str) -> list[Crossing]:
        """What the journal has of one hop."""
        return [crossing for crossing in self.journal.crossings if crossing.hop == hop]

    @asynccontextmanager
    async def raw(self, version: int = 5) -> AsyncIterator[Device]:
        """A socket that has said nothing."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            yield Device(reader, writer, version)
        finally:
            writer.close()
            with suppress(ConnectionError):  # the edge cut it first, as some tests want
                await asyncio.wait_for(writer.wait_closed(), WAIT_S)

    @asynccontextmanager
    async def device(self, client_id: str, version: int = 5, **connect: Any) -> AsyncIterator[Device]:
        """A connected device."""
        async with self.raw(version) as device:
            answer = await device.ask(hello(client_id, version, **connect))
            assert isinstance(answer, mqtt.Connack)
            assert answer.code == 0, answer
            yield device


def codes(crossing: Crossing) -> list[str]:
    """The losses of a crossing."""
    return [loss.code.value for loss in crossing.losses]


def code_of(packet: mqtt.Packet | None) -> int:
    """What an answer says."""
    assert isinstance(packet, mqtt.Connack | mqtt.Puback | mqtt.Disconnect), packet
    return packet.code


async def subscribed(device: Device, *subscriptions: mqtt.Subscription, ids: tuple[int, ...] = ()) -> None:
    """Subscribe, and be granted all of it."""
    answer = await device.ask(mqtt.Subscribe(1, subscriptions, Properties(subscription_ids=ids)))
    assert isinstance(answer, mqtt.Suback)
    assert all(code < 0x80 for code in answer.codes)


def hello(client_id: str, version: int, **connect: Any) -> mqtt.Connect:
    """A CONNECT with the right token."""
    return mqtt.Connect(client_id, version, username=client_id, **({"password": TOKEN.encode()} | connect))


@asynccontextmanager
async def mqtt_world(server: RunningServer, **settings: Any) -> AsyncIterator[MqttWorld]:
    """A fabric and an MQTT edge on a free port."""
    async with connect("mqtt-node", url=server.url, credentials=server.node_creds) as fabric:
        journal, metrics = Noted(), Counted()
        edge = MqttEdge(MqttEdgeSettings(**({"port": 0} | settings)))
        await edge.start(House(fabric, journal, OneToken(), NoTopics(), metrics))
        try:
            yield MqttWorld(fabric, edge, journal, metrics)
        finally:
            await edge.stop(1.0)
