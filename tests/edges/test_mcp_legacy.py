"""MCP 2025-11-25 byte by byte: sessions, their ends, and calls that outlive their connection."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio

from helpers.mcp_world import WAIT_S, McpWorld, legacy, post, settings
from helpers.server import RunningServer


@pytest_asyncio.fixture
async def world(server: RunningServer, request: pytest.FixtureRequest) -> AsyncIterator[McpWorld]:
    async with McpWorld(server, getattr(request, "param", {})).opened() as made:
        yield made


async def begin_session(world: McpWorld, http: httpx.AsyncClient) -> dict[str, str]:
    """Initialize, and the header that names the session."""
    params = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "x", "version": "1"},
    }
    answer = await http.post(world.edge.address, **legacy("initialize", **params))
    assert answer.json()["result"]["protocolVersion"] == "2025-11-25"
    return {"Mcp-Session-Id": answer.headers["mcp-session-id"], "Content-Type": "application/json"}


def connections(world: McpWorld) -> float:
    return world.metrics.value("fabric_edge_connections", edge="mcp")


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - a gauge has no event
        await asyncio.sleep(0)


async def test_a_legacy_request_needs_a_session(world: McpWorld) -> None:
    assert (await post(world, legacy("tools/list"))).status_code == 400
    gone = await post(world, legacy("tools/list"), **{"Mcp-Session-Id": "never-was"})
    assert gone.status_code == 404


async def test_a_session_ends_by_delete_and_its_calls_with_it(world: McpWorld) -> None:
    async with world.http() as http:
        session = await begin_session(world, http)
        await http.post(
            world.edge.address, **legacy("notifications/initialized", id=None) | {"headers": session}
        )
        calling = asyncio.create_task(
            http.post(
                world.edge.address, **legacy("tools/call", name=world.tool("wait")) | {"headers": session}
            )
        )
        await asyncio.wait_for(world.handler_started.wait(), WAIT_S)
        assert (await http.delete(world.edge.address, headers=session)).status_code == 204
        await asyncio.wait_for(world.handler_cancelled.wait(), WAIT_S)
        assert "the session was ended" in (await calling).json()["error"]["message"]
        again = await http.post(world.edge.address, **legacy("ping") | {"headers": session})
        assert again.status_code == 404


async def test_a_cancelled_notification_cancels_and_frees_the_id(world: McpWorld) -> None:
    async with world.http() as http:
        session = await begin_session(world, http)
        call = legacy("tools/call", id="c", name=world.tool("wait")) | {"headers": session}
        calling = asyncio.create_task(http.post(world.edge.address, **call))
        await asyncio.wait_for(world.handler_started.wait(), WAIT_S)
        twice = (await http.post(world.edge.address, **call)).json()
        assert "still running" in twice["error"]["message"]
        cancel = legacy("notifications/cancelled", id=None, requestId="c", reason="enough")
        assert (await http.post(world.edge.address, **cancel | {"headers": session})).status_code == 202
        await asyncio.wait_for(world.handler_cancelled.wait(), WAIT_S)
        answer = await calling
        assert (answer.status_code, answer.json()["error"]["code"]) == (200, 409)
        assert "enough" in answer.json()["error"]["message"]
        free = legacy("tools/call", id="c", name=world.tool("nothing")) | {"headers": session}
        assert "result" in (await http.post(world.edge.address, **free)).json()


async def test_a_legacy_call_goes_on_when_its_client_leaves(world: McpWorld) -> None:
    async with world.http() as http:
        session = await begin_session(world, http)
        message = legacy("tools/call", name=world.tool("wait"), _meta={"progressToken": 1})
        async with http.stream(
            "POST", world.edge.address, content=message["content"], headers=session
        ) as answer:
            assert "notifications/progress" in await asyncio.wait_for(anext(answer.aiter_text()), WAIT_S)
        await asyncio.wait_for(until(lambda: connections(world) == 0), WAIT_S)
        # Another call to the same agent and back: a cancellation would have arrived before it.
        other = legacy("tools/call", id=2, name=world.tool("nothing")) | {"headers": session}
        assert "result" in (await http.post(world.edge.address, **other)).json()
        world.release.set()
        await asyncio.wait_for(world.handler_done.wait(), WAIT_S)
    assert not world.handler_cancelled.is_set()


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (legacy("resources/list"), -32601),
        (legacy("server/discover"), -32601),
        (legacy("tools/call"), -32602),
        (legacy("tools/call", name="nobody-there.x"), -32602),
    ],
)
async def test_legacy_errors_come_with_status_200(
    world: McpWorld, message: dict[str, Any], code: int
) -> None:
    async with world.http() as http:
        session = await begin_session(world, http)
        answer = await http.post(world.edge.address, content=message["content"], headers=session)
    assert (answer.status_code, answer.json()["error"]["code"]) == (200, code)


async def test_an_unknown_revision_is_answered_with_our_newest_legacy_one(world: McpWorld) -> None:
    answer = await post(world, legacy("initialize", protocolVersion="2024-11-05"))
    assert answer.json()["result"]["protocolVersion"] == "2025-11-25"
    older = await post(world, legacy("initialize", protocolVersion="2025-06-18"))
    assert older.json()["result"]["protocolVersion"] == "2025-06-18"
    assert (await post(world, legacy("initialize"))).json()["error"]["code"] == -32602


@settings(sessions_max=1)
async def test_one_session_too_many_is_refused_with_when_to_come_back(world: McpWorld) -> None:
    async with world.http() as http:
        await begin_session(world, http)
        answer = await http.post(world.edge.address, **legacy("initialize", protocolVersion="2025-11-25"))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert answer.json()["error"]["data"]["reason"] == "full"
    assert answer.json()["error"]["data"]["retry_after_ms"] == 1000
