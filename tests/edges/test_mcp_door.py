"""The MCP edge at its door: what is malformed, too large, not allowed in; and how it ends."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from fabric.errors import ConfigInvalid, PortInUse
from fabric_bridges.mcp import edge
from helpers.mcp_world import WAIT_S, McpWorld, modern, post, settings
from helpers.server import RunningServer


@pytest_asyncio.fixture
async def world(server: RunningServer, request: pytest.FixtureRequest) -> AsyncIterator[McpWorld]:
    async with McpWorld(server, getattr(request, "param", {})).opened() as made:
        yield made


MALFORMED = {
    "nothing": (b"", -32700),
    "no JSON": (b"{", -32700),
    "two documents": (b"{}{}", -32700),
    "not UTF-8": (b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', -32700),
    "too deep": (
        b'{"jsonrpc":"2.0","id":1,"method":"m","params":' + b'{"a":' * 99 + b"1" + b"}" * 100,
        -32700,
    ),
    "a batch": (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600),
    "no version": (b'{"id":1,"method":"ping"}', -32600),
    "a null id": (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600),
    "a name twice": (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', -32600),
    "params in an array": (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}', -32602),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_body_is_answered_and_counted_and_harms_nobody(world: McpWorld, name: str) -> None:
    body, code = MALFORMED[name]
    answer = await post(world, {"content": body, "headers": {"Content-Type": "application/json"}})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert world.metrics.value("fabric_edge_malformed_total", edge="mcp") == 1
    good = await post(world, modern("tools/call", name=world.tool("add"), arguments={"a": 1, "b": 1}))
    assert good.json()["result"]["structuredContent"] == {"sum": 2}


async def test_the_answer_to_a_broken_request_names_its_id_when_it_has_one(world: McpWorld) -> None:
    message = {
        "content": b'{"jsonrpc":"2.0","id":"seven","method":7}',
        "headers": {"Content-Type": "application/json"},
    }
    assert (await post(world, message)).json()["id"] == "seven"


async def test_a_wrong_token_is_401_and_the_edge_hears_nothing(world: McpWorld) -> None:
    answer = await post(world, modern("tools/list"), Authorization="Bearer wrong")
    assert answer.status_code == 401
    assert "Bearer" in answer.headers["www-authenticate"]


async def test_a_page_of_a_foreign_site_is_403(world: McpWorld) -> None:
    assert (await post(world, modern("tools/list"), Origin="https://evil.example")).status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Accept": "application/json"}, 406),
        ({"Accept": "text/html"}, 406),
        ({"Accept": "*/*"}, 200),
    ],
)
async def test_media_types_are_checked(world: McpWorld, headers: dict[str, str], status: int) -> None:
    assert (await post(world, modern("tools/list"), **headers)).status_code == status


@settings(body_bytes_max=2000)
async def test_a_body_over_the_limit_is_413(world: McpWorld) -> None:
    answer = await post(world, modern("tools/call", name="a.b", arguments={"x": "y" * 2000}))
    assert answer.status_code == 413


async def test_arguments_over_the_payload_limit_are_refused_with_the_limit(world: McpWorld) -> None:
    answer = await post(
        world, modern("tools/call", name=world.tool("echo"), arguments={"text": "y" * (3 << 20)})
    )
    assert answer.json()["error"]["data"]["code"] == "limit_exceeded"
    assert "allowed are" in answer.json()["error"]["message"]


async def test_stopping_tells_the_waiting_client_when_to_come_back(world: McpWorld) -> None:
    calling = asyncio.create_task(post(world, modern("tools/call", name=world.tool("wait"))))
    await asyncio.wait_for(world.handler_started.wait(), WAIT_S)
    await asyncio.wait_for(world.edge.stop(0.05), WAIT_S)
    answer = await calling
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["error"]["data"]["reason"] == "closing"
    await asyncio.wait_for(world.handler_cancelled.wait(), WAIT_S)


async def test_a_second_edge_on_the_port_says_whose_it_is(world: McpWorld, server: RunningServer) -> None:
    port = int(world.edge.address.removesuffix("/mcp").rpartition(":")[2])
    second = McpWorld(server, {"port": port})
    with pytest.raises(PortInUse, match=f"mcp edge cannot listen on 127.0.0.1:{port}"):
        await second.start()
    await second.stop()


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(ConfigInvalid, match="deadline_ms"):
        edge({"deadline_ms": 5})
