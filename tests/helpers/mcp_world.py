"""An MCP edge on a real server with a real agent behind it, and stock MCP clients at its door."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from fabric.client import Call, Fabric, Session, ToolError
from fabric_bridges.edge import House
from fabric_bridges.mcp import edge
from fabric_bridges.mcp.listener import McpEdge
from fabric_codecs.mcp.wire import MODERN
from helpers.http_door import BEARER, TOKEN, Counted, OneToken
from helpers.noted import Noted
from helpers.server import RunningServer

WAIT_S = 20.0
ACCEPT = {"Accept": "application/json, text/event-stream"}
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "by hand", "version": "1"},
}

_worlds = itertools.count()


class McpWorld:
    """The edge and what stands around it. The agent's name is new in each world: they share a server."""

    def __init__(self, server: RunningServer, settings: Mapping[str, Any]) -> None:
        number = next(_worlds)
        self.agent_name = f"tooled-{number}"
        self.edge_session = Session([server.url], name=f"mcp-edge-{number}", credentials=server.node_creds)
        self.agent_session = Session([server.url], name=f"mcp-agent-{number}", credentials=server.creds)
        self.journal, self.metrics = Noted(), Counted()
        self.edge: McpEdge = edge({"port": 0, **settings})
        self.handler_cancelled = asyncio.Event()
        self.handler_started = asyncio.Event()
        self.handler_done = asyncio.Event()
        self.release = asyncio.Event()  # lets the tool `wait` return
        self.requests: list[Any] = []  # the request envelopes that the agent saw

    async def start(self) -> None:
        for session in (self.edge_session, self.agent_session):
            await session.open()
        fabric: Any = Fabric(self.edge_session, "node")
        topics: Any = None  # the MCP edge has no use for Kafka's views
        await self.edge.start(House(fabric, self.journal, OneToken(), topics, self.metrics))

    async def stop(self) -> None:
        await self.edge.stop(0.2)
        for session in (self.agent_session, self.edge_session):
            await session.close()

    def tool(self, name: str) -> str:
        return f"{self.agent_name}.{name}"

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[None]:
        """The agent, live, with its tools."""
        agent = Fabric(self.agent_session, self.agent_name).agent(self.agent_name, description="has tools")

        @agent.tool(side_effects="none")
        async def echo(text: str, call: Call) -> str:
            """Say it again."""
            self.requests.append(call.request)
            return text

        @agent.tool(side_effects="irreversible", idempotent=True, cost=2.5, errors=["too_hot"])
        async def add(a: int, b: int) -> dict[str, int]:
            """Add two integers."""
            return {"sum": a + b}

        @agent.tool
        async def count(steps: list[float], call: Call) -> dict[str, int]:
            """Report each step."""
            for step in steps:
                call.progress(step, 10, f"at {step:g}")
            return {"counted": len(steps)}

        @agent.tool
        async def wait(call: Call) -> str:
            """Report once, then wait until the test says so."""
            call.progress(1)
            self.handler_started.set()
            try:
                await asyncio.wait_for(self.release.wait(), WAIT_S)
            except asyncio.CancelledError:
                self.handler_cancelled.set()
                raise
            self.handler_done.set()
            return "waited"

        @agent.tool
        async def fail() -> None:
            """Fail with a code of its own."""
            raise ToolError("too_hot", "it is too hot here", data={"celsius": 99})

        @agent.tool
        async def nothing() -> None:
            """Return nothing."""

        async with agent:
            yield

    @asynccontextmanager
    async def client(self, mode: str, token: str = TOKEN) -> AsyncIterator[Client]:
        """The official SDK's client."""
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(headers=headers, timeout=WAIT_S) as http:
            transport = streamable_http_client(self.edge.address, http_client=http)
            async with Client(transport, mode=mode, read_timeout_seconds=WAIT_S) as client:
                yield client

    @asynccontextmanager
    async def http(self, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
        """A plain HTTP client with token and media types."""
        async with httpx.AsyncClient(headers=BEARER | ACCEPT | headers, timeout=WAIT_S) as http:
            yield http


def modern(method: str, *, id: object = 1, meta: object = META, **params: object) -> dict[str, Any]:
    """A modern request: the keyword arguments of `httpx.AsyncClient.post`."""
    body = {"jsonrpc": "2.0", "id": id, "method": method, "params": {**params, "_meta": meta}}
    headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": method, "Content-Type": "application/json"}
    if "name" in params:
        headers["Mcp-Name"] = str(params["name"])
    return {"content": json.dumps(body), "headers": headers}


def legacy(method: str, *, id: object = 1, **params: object) -> dict[str, Any]:
    """A legacy request, likewise; `id` None makes it a notification."""
    body = {"jsonrpc": "2.0", "method": method, "params": params} | ({} if id is None else {"id": id})
    return {"content": json.dumps(body), "headers": {"Content-Type": "application/json"}}


def events(body: str) -> list[Any]:
    """The messages of a stream of server-sent events."""
    return [
        json.loads(line.removeprefix("data: ")) for line in body.splitlines() if line.startswith("data: ")
    ]


async def post(world: McpWorld, message: dict[str, Any], **headers: str) -> httpx.Response:
    """Send one of the above, with headers added or replaced."""
    async with world.http() as http:
        return await http.post(
            world.edge.address, content=message["content"], headers=message["headers"] | headers
        )


@asynccontextmanager
async def opened(server: RunningServer, settings: Mapping[str, Any]) -> AsyncIterator[McpWorld]:
    """A world with its edge and its agent up."""
    world = McpWorld(server, settings)
    await world.start()
    async with world.agent():
        yield world
    await world.stop()


def settings(**values: object) -> pytest.MarkDecorator:
    """Settings of the edge for one test."""
    return pytest.mark.parametrize("world", [values], indirect=True)
