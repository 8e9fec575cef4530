"""A Kafka edge on a real server, with stock clients on its door."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer
from confluent_kafka import Consumer, Message

from fabric.client import Fabric, Session
from fabric.edge import House
from fabric.jetstream.server import ApiError, api
from fabric.jetstream.views import Views
from fabric_bridges.kafka import edge
from fabric_bridges.kafka.listener import KafkaEdge
from helpers.http_door import TOKEN, Counted, OneToken
from helpers.noted import Noted
from helpers.server import RunningServer

T = TypeVar("T")

WAIT_S = 20.0


class KafkaWorld:
    """The edge and what stands around it."""

    def __init__(self, server: RunningServer) -> None:
        self.session = Session([server.url], name="kafka-edge-test", credentials=server.node_creds)
        self.fabric = Fabric(self.session, "device-1")
        self.journal = Noted()
        self.metrics = Counted()
        self.edge: KafkaEdge

    async def publish(self, channel: str, *data: bytes, **attributes: str) -> None:
        for value in data:
            await self.fabric.channel(channel).publish(value, **attributes)

    @property
    def port(self) -> int:
        return int(self.edge.address.rpartition(":")[2])

    @asynccontextmanager
    async def aiokafka(self, token: str = TOKEN, **settings: Any) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.edge.address,
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="PLAIN",
            sasl_plain_username="anybody",
            sasl_plain_password=token,
            enable_auto_commit=False,
            **settings,
        )
        try:
            await consumer.start()
            yield consumer
        finally:
            await consumer.stop()

    @asynccontextmanager
    async def confluent(self, token: str = TOKEN, **settings: Any) -> AsyncIterator["Confluent"]:
        consumer = Consumer(
            {
                "bootstrap.servers": self.edge.address,
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": "PLAIN",
                "sasl.username": "anybody",
                "sasl.password": token,
                "group.id": "not-used",
                "enable.auto.commit": False,
                **settings,
            }
        )
        try:
            yield Confluent(consumer)
        finally:
            await asyncio.to_thread(consumer.close)


class Confluent:
    """librdkafka's consumer, its blocking calls on a thread."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer

    async def read(self, count: int) -> list[Message]:
        """The next `count` messages; fails when they do not come."""
        messages: list[Message] = []
        async with asyncio.timeout(WAIT_S):
            while len(messages) < count:
                messages += await self.run(self.consumer.consume, count - len(messages), 1.0)
        return messages

    async def run(self, call: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.to_thread(call, *arguments)


@asynccontextmanager
async def kafka_world(
    server: RunningServer, topics: dict[str, str] | None = None, **settings: Any
) -> AsyncIterator[KafkaWorld]:
    """An edge on a free port."""
    world = KafkaWorld(server)
    await world.session.open()
    views = Views(world.session.connection, world.session.reader, topics or {}, inbox=world.session.inbox)
    try:
        await views.start()
        world.edge = edge({"port": 0, **settings})
        await world.edge.start(House(world.fabric, world.journal, OneToken(), views, world.metrics))
        try:
            yield world
        finally:
            await world.edge.stop()
    finally:
        views.close()
        for view in views._views.values():  # the session's server has room for 128
            with suppress(ApiError):
                await api(world.session.connection, f"STREAM.DELETE.{view.stream}")
        await world.session.close()
