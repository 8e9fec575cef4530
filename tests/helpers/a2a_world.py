"""An A2A edge on a real server with a real agent behind it, and stock A2A clients at its door."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from a2a.client import A2ACardResolver, Client, ClientConfig, ClientFactory
from a2a.types import AgentCard, Message, Part, Role, SendMessageRequest, StreamResponse, Task, TaskState
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Value

from fabric.client import Call, Fabric, Session, Skill, ToolError
from fabric_bridges.a2a import edge
from fabric_bridges.a2a.listener import A2aEdge
from fabric_bridges.edge import House
from helpers.http_door import BEARER, Counted, OneToken
from helpers.noted import Noted
from helpers.server import RunningServer

WAIT_S = 20.0
VERSION = {"A2A-Version": "1.0"}

_worlds = itertools.count()


class A2aWorld:
    """The edge and what stands around it. The agent's name is new in each world: they share a server."""

    def __init__(self, server: RunningServer, settings: Mapping[str, Any]) -> None:
        number = next(_worlds)
        self.agent_name = f"helper-{number}"
        self.edge_session = Session([server.url], name=f"a2a-edge-{number}", credentials=server.node_creds)
        self.agent_session = Session([server.url], name=f"a2a-agent-{number}", credentials=server.creds)
        self.journal, self.metrics = Noted(), Counted()
        self.edge: A2aEdge = edge({"port": 0, **settings})
        self.handler_cancelled = asyncio.Event()
        self.handler_started = asyncio.Event()
        self.release = asyncio.Event()  # lets the tool `wait` return

    @property
    def url(self) -> str:
        """The agent's base address."""
        return f"{self.edge.address}/{self.agent_name}"

    async def start(self) -> None:
        for session in (self.edge_session, self.agent_session):
            await session.open()
        fabric: Any = Fabric(self.edge_session, "node")
        topics: Any = None  # the A2A edge has no use for Kafka's views
        await self.edge.start(House(fabric, self.journal, OneToken(), topics, self.metrics))

    async def stop(self) -> None:
        await self.edge.stop(0.2)
        for session in (self.agent_session, self.edge_session):
            await session.close()

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[None]:
        """The agent, live, with its tools."""
        fabric = Fabric(self.agent_session, self.agent_name)
        skills = [Skill("climate", "Climate", "keeps it warm", ("warm",))]
        agent = fabric.agent(self.agent_name, skills=skills, description="helps", version="7")

        @agent.tool(side_effects="none")
        async def ask(text: str) -> str:
            """Answer in words."""
            return f"you said: {text}"

        @agent.tool
        async def add(a: int, b: int) -> dict[str, int]:
            """Add two integers."""
            return {"sum": a + b}

        @agent.tool
        async def count(steps: int, call: Call) -> dict[str, int]:
            """Report progress for each step."""
            for step in range(steps):
                call.progress(step + 1, steps, f"step {step + 1}")
            return {"counted": steps}

        @agent.tool
        async def wait() -> str:
            """Wait until the test says so."""
            self.handler_started.set()
            try:
                await asyncio.wait_for(self.release.wait(), WAIT_S)
            except asyncio.CancelledError:
                self.handler_cancelled.set()
                raise
            return "waited"

        @agent.tool
        async def fail() -> None:
            """Fail with a code of its own."""
            raise ToolError("too_hot", "it is too hot here", data={"celsius": 99})

        @agent.tool
        async def huge() -> dict[str, int]:
            """A number that no double holds."""
            return {"n": 2**53 + 1}

        @agent.tool
        async def nothing() -> None:
            """Return nothing."""

        async with agent:
            yield

    @asynccontextmanager
    async def client(self, *, streaming: bool = True, polling: bool = False) -> AsyncIterator[Client]:
        """The official SDK's client, made from the agent's own card."""
        async with httpx.AsyncClient(headers=BEARER, timeout=WAIT_S) as http:
            config = ClientConfig(streaming=streaming, polling=polling, httpx_client=http)
            yield ClientFactory(config).create(await A2ACardResolver(http, self.url).get_agent_card())

    @asynccontextmanager
    async def http(self) -> AsyncIterator[httpx.AsyncClient]:
        """A plain HTTP client with token and version."""
        async with httpx.AsyncClient(headers=BEARER | VERSION, timeout=WAIT_S) as http:
            yield http

    async def card(self) -> AgentCard:
        async with httpx.AsyncClient(headers=BEARER, timeout=WAIT_S) as http:
            return await A2ACardResolver(http, self.url).get_agent_card()


_messages = itertools.count()


def request(*parts: Part, tool: str | None = None, **message: Any) -> SendMessageRequest:
    """A SendMessage request as an SDK user builds it."""
    fields = {"message_id": f"m-{next(_messages)}", "role": Role.ROLE_USER} | message
    built = SendMessageRequest(message=Message(parts=list(parts), **fields))
    if tool is not None:
        built.message.metadata.update({"io.agentfabric/tool": tool})
    return built


def text(words: str) -> Part:
    return Part(text=words)


def data(value: object) -> Part:
    return Part(data=ParseDict(value, Value()))


async def collect(stream: AsyncIterator[StreamResponse]) -> list[StreamResponse]:
    """All items of a stream, within the bound."""
    async with asyncio.timeout(WAIT_S):
        return [item async for item in stream]


async def only_task(client: Client, asked: SendMessageRequest) -> Task:
    """The one task that a client without streaming gets."""
    (item,) = await collect(client.send_message(asked))
    return item.task


def state(task: Task) -> str:
    return TaskState.Name(task.status.state)
