"""An HTTP edge on a real server with a real agent behind it: what MCP's and A2A's worlds have in common."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from fabric.client import Agent, Fabric, Session, ToolError
from fabric.client.gate import Gate
from fabric.config import LimitsSettings
from fabric.edge import Edge, House
from helpers.http_door import Counted, OneToken
from helpers.noted import Noted
from helpers.server import RunningServer

__all__ = ["WAIT_S", "EdgeWorld", "NoTopics"]

WAIT_S = 20.0

_numbers = itertools.count()


class EdgeWorld:
    """The edge and what stands around it. The agent's name is new in each world: they share a server."""

    edge: Edge

    def __init__(self, server: RunningServer, protocol: str) -> None:
        number = next(_numbers)
        self.agent_name = f"{protocol}-helper-{number}"
        self.edge_session = Session(
            [server.url], name=f"{protocol}-edge-{number}", credentials=server.node_creds
        )
        self.agent_session = Session(
            [server.url], name=f"{protocol}-agent-{number}", credentials=server.creds
        )
        self.gate = Gate(LimitsSettings())
        self.journal, self.metrics = Noted(), Counted()
        self.handler_started = asyncio.Event()
        self.handler_cancelled = asyncio.Event()
        self.handler_done = asyncio.Event()
        self.release = asyncio.Event()  # lets `held` return

    async def start(self) -> None:
        for session in (self.edge_session, self.agent_session):
            await session.open()
        fabric = Fabric(self.edge_session, "node", gate=self.gate)
        await self.edge.start(House(fabric, self.journal, OneToken(), NoTopics(), self.metrics))

    async def stop(self) -> None:
        await self.edge.stop(0.2)
        for session in (self.agent_session, self.edge_session):
            await session.close()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Self]:
        """Edge and agent up."""
        await self.start()
        try:
            async with self.agent():
                yield self
        finally:
            await self.stop()

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[None]:
        """The agent, live, with its tools."""
        agent = Fabric(self.agent_session, self.agent_name).agent(self.agent_name, **self.card())
        self.offer(agent)

        @agent.tool
        async def fail() -> None:
            """Fail with a code of its own."""
            raise ToolError("too_hot", "it is too hot here", data={"celsius": 99})

        @agent.tool
        async def nothing() -> None:
            """Return nothing."""

        async with agent:
            yield

    def card(self) -> dict[str, Any]:
        """What the agent says of itself."""
        raise NotImplementedError

    def offer(self, agent: Agent) -> None:
        """Add the tools that one protocol's tests want."""
        raise NotImplementedError

    async def held(self) -> str:
        """What a tool does that waits until the test says so."""
        self.handler_started.set()
        try:
            await asyncio.wait_for(self.release.wait(), WAIT_S)
        except asyncio.CancelledError:
            self.handler_cancelled.set()
            raise
        self.handler_done.set()
        return "waited"


class NoTopics:
    """For an edge that has no use for topics."""

    async def open(self, topic: str) -> Any:
        raise AssertionError(topic)

    async def names(self) -> Any:
        raise AssertionError
