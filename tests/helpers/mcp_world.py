"""An MCP edge on a real server with a real agent behind it, and stock MCP clients at its door."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from fabric.client import Agent, Call
from fabric_bridges.mcp import edge
from fabric_bridges.mcp.listener import McpEdge
from fabric_codecs.mcp.wire import MODERN
from helpers.edge_world import WAIT_S, EdgeWorld
from helpers.http_door import BEARER, TOKEN
from helpers.server import RunningServer

ACCEPT = {"Accept": "application/json, text/event-stream"}
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "by hand", "version": "1"},
}


class McpWorld(EdgeWorld):
    """An agent with tools for each kind of answer, behind an MCP edge."""

    def __init__(self, server: RunningServer, settings: Mapping[str, Any]) -> None:
        super().__init__(server, "mcp")
        self.edge: McpEdge = edge({"port": 0, **settings})
        self.requests: list[Any] = []  # the request envelopes that the agent saw

    def tool(self, name: str) -> str:
        return f"{self.agent_name}.{name}"

    def card(self) -> dict[str, Any]:
        return {"description": "has tools"}

    def offer(self, agent: Agent) -> None:
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
            return await self.held()

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


def settings(**values: object) -> pytest.MarkDecorator:
    """Settings of the edge for one test."""
    return pytest.mark.parametrize("world", [values], indirect=True)
