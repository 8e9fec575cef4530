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

from fabric.client import Agent, Call, Skill
from fabric_bridges.a2a import edge
from fabric_bridges.a2a.listener import A2aEdge
from helpers.edge_world import WAIT_S, EdgeWorld
from helpers.http_door import BEARER
from helpers.server import RunningServer

VERSION = {"A2A-Version": "1.0"}


class A2aWorld(EdgeWorld):
    """An agent with tools for each kind of answer, behind an A2A edge."""

    def __init__(self, server: RunningServer, settings: Mapping[str, Any]) -> None:
        super().__init__(server, "a2a")
        self.edge: A2aEdge = edge({"port": 0, **settings})

    @property
    def url(self) -> str:
        """The agent's base address."""
        return f"{self.edge.address}/{self.agent_name}"

    def card(self) -> dict[str, Any]:
        skills = [Skill("climate", "Climate", "keeps it warm", ("warm",))]
        return {"skills": skills, "description": "helps", "version": "7"}

    def offer(self, agent: Agent) -> None:
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
            return await self.held()

        @agent.tool
        async def huge() -> dict[str, int]:
            """A number that no double holds."""
            return {"n": 2**53 + 1}

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

    async def read_card(self) -> AgentCard:
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
