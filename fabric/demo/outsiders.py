"""The outsiders of the demo: the MCP client that asks, the Kafka consumers that read, and whoever comes with
a wrong token."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, cast

import aiomqtt
import confluent_kafka
import httpx
import httpx2
from aiokafka import AIOKafkaConsumer, TopicPartition
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

__all__ = ["McpAnswer", "Record", "ask", "read_with_aiokafka", "read_with_confluent", "wrong_tokens"]

READ_TIMEOUT_S = 15.0


class McpAnswer(NamedTuple):
    """What the MCP client got: the tools it was shown, the progress it was told, and the result."""

    tools: list[str]
    progress: list[tuple[float, float | None, str | None]]
    result: dict[str, Any]


class Record(NamedTuple):
    """One record as a Kafka client saw it."""

    offset: int
    value: bytes | None
    headers: list[tuple[str, bytes | None]]

    def header(self, name: str) -> str | None:
        """The first header of that name, as text."""
        return next(
            (value.decode() for key, value in self.headers if key == name and value is not None), None
        )


async def ask(url: str, token: str, tool: str, arguments: dict[str, Any], conversation: str) -> McpAnswer:
    """List the tools, call one with a progress token: the official MCP SDK over Streamable HTTP."""
    steps: list[tuple[float, float | None, str | None]] = []

    async def told(progress: float, total: float | None, message: str | None) -> None:
        steps.append((progress, total, message))

    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        tools = [tool.name for tool in (await client.list_tools()).tools]
        meta: Any = {"io.agentfabric/conversation": conversation}
        result = await client.call_tool(tool, arguments, progress_callback=told, meta=meta)
    if result.is_error or not isinstance(result.structured_content, dict):
        raise ValueError(f"the tool answered {result.content}")
    return McpAnswer(tools, steps, result.structured_content)


async def read_with_aiokafka(bootstrap: str, token: str, topic: str, count: int) -> list[Record]:
    """`count` records from offset 0."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_plain_username="pipeline",
        sasl_plain_password=token,
    )
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        records: list[Record] = []
        async with asyncio.timeout(READ_TIMEOUT_S):
            while len(records) < count:
                message = await consumer.getone()
                records.append(Record(message.offset, message.value, list(message.headers)))
    finally:
        await consumer.stop()
    return records


def read_with_confluent(bootstrap: str, token: str, topic: str, count: int) -> list[Record]:
    """The same through librdkafka; blocks, so run it in a thread."""
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "demo",
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "pipeline",
            "sasl.password": token,
            "enable.auto.commit": False,
        }
    )
    records: list[Record] = []
    try:
        consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
        deadline = time.monotonic() + READ_TIMEOUT_S
        while len(records) < count and time.monotonic() < deadline:
            message = consumer.poll(0.5)
            if message is None:
                continue
            if error := message.error():
                raise ValueError(error.str())
            headers = cast("list[tuple[str, bytes | None]]", message.headers() or [])
            records.append(Record(message.offset() or 0, message.value(), headers))
    finally:
        consumer.close()
    return records


async def wrong_tokens(addresses: dict[str, str], ports: dict[str, tuple[str, int]]) -> dict[str, str]:
    """Knock at all four doors with a wrong token; edge -> what it was told. A door that opens is "let in"."""
    wrong = "not-the-token"

    async def http(url: str) -> str:
        async with httpx.AsyncClient() as client:
            response = await client.post(url, json={}, headers={"Authorization": f"Bearer {wrong}"})
        return (
            f"HTTP {response.status_code}"
            if response.status_code == 401
            else f"let in: HTTP {response.status_code}"
        )

    async def mqtt() -> str:
        host, port = ports["mqtt"]
        try:
            async with aiomqtt.Client(
                host,
                port,
                identifier="stranger",
                protocol=aiomqtt.ProtocolVersion.V5,
                username="x",
                password=wrong,
            ):
                return "let in"
        except aiomqtt.MqttError as error:
            return str(error)

    async def kafka() -> str:
        consumer = AIOKafkaConsumer(
            bootstrap_servers="{}:{}".format(*ports["kafka"]),
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="PLAIN",
            sasl_plain_username="x",
            sasl_plain_password=wrong,
        )
        try:
            await consumer.start()
            return "let in"
        except Exception as error:  # aiokafka wraps an authentication failure in whatever it was doing
            return type(error).__name__
        finally:
            await consumer.stop()

    doors: dict[str, Callable[[], Awaitable[str]]] = {
        "mcp": lambda: http(addresses["mcp"]),
        "a2a": lambda: http(f"{addresses['a2a']}/agronomist"),
        "mqtt": mqtt,
        "kafka": kafka,
    }
    return {
        edge: await asyncio.wait_for(knock(), READ_TIMEOUT_S)
        for edge, knock in doors.items()
        if edge in addresses
    }
