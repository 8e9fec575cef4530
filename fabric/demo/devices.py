"""The two devices of the demo, stock MQTT clients: a vent that speaks MQTT 5 and a valve that speaks
3.1.1."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

__all__ = ["devices"]

V5, V311 = aiomqtt.ProtocolVersion.V5, aiomqtt.ProtocolVersion.V311


@asynccontextmanager
async def devices(host: str, port: int, token: str) -> AsyncIterator[None]:
    """Both devices, subscribed and answering until the block ends."""
    running = []
    ready = [asyncio.Event(), asyncio.Event()]
    async with asyncio.TaskGroup() as group:
        for work, event in zip((vent, valve), ready, strict=True):
            running.append(group.create_task(work(host, port, token, event)))
        try:
            async with asyncio.timeout(10):
                for event in ready:
                    await event.wait()
            yield
        finally:
            for task in running:
                task.cancel()


async def vent(host: str, port: int, token: str, ready: asyncio.Event) -> None:
    """MQTT 5: answers where the Response Topic says, with the Correlation Data it was given."""
    async with aiomqtt.Client(
        host, port, identifier="vent-1", protocol=V5, password=token, username="vent-1"
    ) as client:
        await client.subscribe("devices/vent/command", qos=1)
        ready.set()
        async for message in client.messages:
            asked: Any = message.properties  # paho makes up its attributes at run time
            answering: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            answering.CorrelationData = asked.CorrelationData
            answering.ContentType = "application/json"
            answer = json.dumps({"open": json.loads(_bytes(message))["open"]})
            await client.publish(asked.ResponseTopic, answer, qos=1, properties=answering)


async def valve(host: str, port: int, token: str, ready: asyncio.Event) -> None:
    """MQTT 3.1.1: nothing but a payload, so its reply topic is made of the call's id that the order names."""
    async with aiomqtt.Client(
        host, port, identifier="valve-1", protocol=V311, password=token, username="valve-1"
    ) as client:
        await client.subscribe("devices/valve/command", qos=1)
        ready.set()
        async for message in client.messages:
            order = json.loads(_bytes(message))
            await client.publish(
                f"devices/valve/reply/{order['call']}", json.dumps({"closed": order["closed"]}), qos=1
            )


def _bytes(message: aiomqtt.Message) -> bytes:
    assert isinstance(message.payload, bytes)
    return message.payload
