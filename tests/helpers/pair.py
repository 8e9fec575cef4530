"""A caller and an agent with some tools, on connections of their own, for tests of calls.

Tools: `add` returns, `count` reports progress, `fail` raises, `hang` waits to be cancelled, `size` is large.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fabric.client import Agent, AgentLimits, Call, Fabric, ToolError
from helpers.lane import opened
from helpers.server import RunningServer

__all__ = ["Pair", "pair"]


@dataclass
class Pair:
    """`started` and `ended` tell of the tool `hang`: that it runs, and why it was cancelled."""

    caller: Fabric
    agent: Agent
    started: asyncio.Event
    ended: list[str]


@asynccontextmanager
async def pair(
    server: RunningServer, name: str, *, url: str | None = None, **limits: Any
) -> AsyncIterator[Pair]:
    async with (
        opened(server, f"{name}-caller", url=url) as caller,
        opened(server, name) as fabric,
        fabric.agent(name, limits=AgentLimits(**limits)) as me,
    ):
        made = Pair(caller, me, asyncio.Event(), [])

        @me.tool
        async def add(a: int, b: int = 1) -> int:
            return a + b

        @me.tool
        async def count(call: Call, to: int) -> str:
            for number in range(to):
                call.progress(number, to, f"step {number}")
            return "done"

        @me.tool
        async def fail(how: str) -> None:
            if how == "typed":
                raise ToolError("too_hot", "it burns", retriable=True, data={"celsius": 99})
            raise RuntimeError("secret detail of mine")

        @me.tool
        async def hang() -> None:
            made.started.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as cancelled:
                made.ended.append(str(cancelled))
                raise

        @me.tool
        async def size(data: str = "", answer: int = 0) -> str:
            return "x" * (answer or len(data))

        yield made
