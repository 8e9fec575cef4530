"""MCP 2026-07-28 byte by byte: every request by itself, its headers, its streams, its end."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from mcp.shared.inbound import InboundLadderRejection, classify_inbound_request

from fabric_codecs.mcp.wire import MODERN
from helpers.http_door import BEARER, raw_connection
from helpers.mcp_world import ACCEPT, META, WAIT_S, McpWorld, events, legacy, modern, post, settings
from helpers.server import RunningServer


@pytest_asyncio.fixture
async def world(server: RunningServer, request: pytest.FixtureRequest) -> AsyncIterator[McpWorld]:
    async with McpWorld(server, getattr(request, "param", {})).opened() as made:
        yield made


@pytest.mark.parametrize(
    ("message", "headers", "status", "code"),
    [
        (modern("tools/list"), {}, 200, 0),
        (modern("server/discover"), {}, 200, 0),
        (modern("tools/list", meta={}), {}, 400, -32602),
        (modern("tools/list", meta={"io.modelcontextprotocol/protocolVersion": MODERN}), {}, 400, -32602),
        (modern("tools/list"), {"Mcp-Method": "tools/call"}, 400, -32020),
        (modern("tools/list"), {"Mcp-Method": ""}, 400, -32020),
        (modern("tools/list"), {"MCP-Protocol-Version": "2025-11-25"}, 400, -32020),
        (modern("tools/call", name="a.b"), {"Mcp-Name": "a.c"}, 400, -32020),
        (modern("tools/call", name="a.b"), {"Mcp-Name": "=?base64?YS5i?="}, 400, -32602),
        (modern("tools/call", name="a.b"), {"Mcp-Name": "=?base64?YS5j?="}, 400, -32020),
        (modern("tools/call", name="a.b"), {"Mcp-Name": "=?base64?!?="}, 400, -32020),
        (
            modern("tools/list", meta=META | {"io.modelcontextprotocol/protocolVersion": "2027-01-01"}),
            {"MCP-Protocol-Version": "2027-01-01"},
            400,
            -32022,
        ),
        (modern("tools/list", meta=None), {"MCP-Protocol-Version": "2027-01-01"}, 400, -32602),
        (modern("initialize"), {}, 404, -32601),
        (modern("ping"), {}, 404, -32601),
        (modern("resources/list"), {}, 404, -32601),
        (modern("tools/call"), {"Mcp-Name": ""}, 400, -32602),
        (modern("tools/call", name="nobody-there.x"), {}, 400, -32602),
        (modern("tools/call", name="a.b", arguments=[1]), {}, 400, -32602),
        (modern("tools/list", cursor=7), {}, 400, -32602),
    ],
)
async def test_a_modern_request_is_held_to_its_rules(
    world: McpWorld, message: dict[str, Any], headers: dict[str, str], status: int, code: int
) -> None:
    answer = await post(world, message, **headers)
    body = answer.json()
    assert (answer.status_code, body.get("error", {}).get("code", 0)) == (status, code)
    assert body["id"] == 1
    # The official validator agrees on whether, and on why, as far as it goes.
    verdict = classify_inbound_request(
        json.loads(message["content"]),
        headers={k.lower(): v for k, v in (message["headers"] | headers).items()},
    )
    if isinstance(verdict, InboundLadderRejection):
        assert verdict.code == code
    else:
        assert code in (0, -32601, -32602)


async def test_a_version_that_is_no_text_is_an_invalid_param(world: McpWorld) -> None:
    answer = await post(
        world, modern("tools/list", meta=META | {"io.modelcontextprotocol/protocolVersion": 7})
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32602)


@pytest.mark.parametrize("header", ["MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"])
@pytest.mark.parametrize("times", [0, 2])
async def test_a_routing_header_is_there_once(world: McpWorld, header: str, times: int) -> None:
    message = modern("tools/call", name=world.tool("nothing"))
    value = message["headers"].pop(header)
    headers = [*message["headers"].items(), *[(header, value)] * times]
    async with world.http() as http:
        answer = await http.post(world.edge.address, content=message["content"], headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32020)
    assert header.lower() in answer.json()["error"]["message"]


async def test_an_unsupported_version_is_told_what_is_supported(world: McpWorld) -> None:
    meta = META | {"io.modelcontextprotocol/protocolVersion": "2030-01-01"}
    answer = await post(world, modern("tools/list", meta=meta), **{"MCP-Protocol-Version": "2030-01-01"})
    assert answer.json()["error"]["data"] == {
        "supported": ["2026-07-28", "2025-11-25", "2025-06-18"],
        "requested": "2030-01-01",
    }


async def test_modern_results_say_what_they_are_and_how_long_they_hold(world: McpWorld) -> None:
    discovered = (await post(world, modern("server/discover"))).json()["result"]
    assert discovered["supportedVersions"][0] == MODERN
    assert discovered["capabilities"] == {"tools": {}}
    listed = (await post(world, modern("tools/list"))).json()["result"]
    called = (await post(world, modern("tools/call", name=world.tool("nothing")))).json()["result"]
    for result in (discovered, listed, called):
        assert result["resultType"] == "complete"
        assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "agent-message-fabric"
    for result in (discovered, listed):
        assert result["ttlMs"] > 0
        assert result["cacheScope"] in ("public", "private")


@pytest.mark.parametrize("verb", ["GET", "DELETE", "PUT"])
async def test_the_modern_endpoint_is_for_posting(world: McpWorld, verb: str) -> None:
    async with world.http() as http:
        answer = await http.request(verb, world.edge.address, headers={"MCP-Protocol-Version": MODERN})
    assert answer.status_code == 405


async def test_a_modern_notification_is_accepted_and_does_nothing(world: McpWorld) -> None:
    message = legacy("notifications/cancelled", id=None, requestId=1)
    answer = await post(world, message, **{"MCP-Protocol-Version": MODERN})
    assert (answer.status_code, answer.content) == (202, b"")
    refused = await post(world, message, **{"MCP-Protocol-Version": "2030-01-01"})
    assert refused.json()["error"]["code"] == -32022


async def test_a_posted_response_answers_nothing(world: McpWorld) -> None:
    message = {
        "content": b'{"jsonrpc":"2.0","id":1,"result":{}}',
        "headers": {"Content-Type": "application/json"},
    }
    answer = await post(world, message, **{"MCP-Protocol-Version": MODERN})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32600)


@pytest.mark.parametrize("id", [1, -5, "1", "é", "", 2**53 + 1])
async def test_the_answer_has_the_id_of_the_request_with_its_type(world: McpWorld, id: object) -> None:
    answer = (await post(world, modern("tools/call", id=id, name=world.tool("nothing")))).json()
    assert (answer["id"], type(answer["id"])) == (id, type(id))


async def test_progress_asked_for_comes_as_a_stream_and_ends_with_the_result(world: McpWorld) -> None:
    meta = META | {"progressToken": "p-1"}
    message = modern("tools/call", meta=meta, name=world.tool("count"), arguments={"steps": [1, 2]})
    answer = await post(world, message)
    assert answer.headers["content-type"].startswith("text/event-stream")
    first, second, last = events(answer.text)
    assert first["params"].pop("_meta")["io.agentfabric/fabproto"] == "nats"
    assert first["params"] == {"progressToken": "p-1", "progress": 1.0, "total": 10.0, "message": "at 1"}
    assert second["params"]["progress"] == 2.0
    assert last["result"]["structuredContent"] == {"counted": 2}


async def test_progress_not_asked_for_is_not_sent(world: McpWorld) -> None:
    message = modern("tools/call", name=world.tool("count"), arguments={"steps": [1, 2]})
    answer = await post(world, message)
    assert answer.headers["content-type"] == "application/json"
    assert world.journal.kinds("mcp.out") == ["response"]


@settings(keep_alive_s=0.05)
async def test_a_long_silence_is_kept_alive_when_the_client_prefers_a_stream(world: McpWorld) -> None:
    message = modern("tools/call", name=world.tool("wait"))
    accept = {"Accept": "text/event-stream, application/json;q=0.5"}
    async with (
        world.http() as http,
        http.stream(
            "POST", world.edge.address, content=message["content"], headers=message["headers"] | accept
        ) as answer,
    ):
        lines = answer.aiter_lines()
        assert await asyncio.wait_for(anext(lines), WAIT_S) == ": keep-alive"
        world.release.set()
        rest = "\n".join([line async for line in lines])
    assert events(rest)[0]["result"]["content"] == [{"type": "text", "text": "waited"}]


async def test_closing_the_connection_of_a_modern_call_cancels_it(world: McpWorld) -> None:
    message = modern("tools/call", name=world.tool("wait"))
    head = "".join(f"{name}: {value}\r\n" for name, value in (message["headers"] | BEARER | ACCEPT).items())
    async with raw_connection(world.edge.address) as (_, writer):
        length = len(message["content"])
        writer.write(f"POST /mcp HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {length}\r\n\r\n".encode())
        writer.write(message["content"].encode())
        await asyncio.wait_for(world.handler_started.wait(), WAIT_S)
    await asyncio.wait_for(world.handler_cancelled.wait(), WAIT_S)


@settings(deadline_s=0.2)
async def test_a_deadline_that_passes_is_said_and_the_handler_is_told(world: McpWorld) -> None:
    answer = await post(world, modern("tools/call", name=world.tool("wait")))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["data"]["code"]) == (504, 504, "deadline_exceeded")
    assert world.tool("wait") in error["message"]
    await asyncio.wait_for(world.handler_cancelled.wait(), WAIT_S)
    assert world.journal.kinds("mcp.out") == ["error"]
    out = world.journal.crossings[-1].envelope
    assert out.causationid == world.journal.crossings[0].envelope.id
    assert out.correlationid == world.journal.crossings[0].envelope.correlationid


@settings(tools_page_max=4)
async def test_a_long_list_comes_in_pages(world: McpWorld) -> None:
    names: list[str] = []
    page: dict[str, Any] = {"nextCursor": ""}
    while "nextCursor" in page:
        page = (await post(world, modern("tools/list", cursor=page["nextCursor"]))).json()["result"]
        assert len(page["tools"]) <= 4
        names += [tool["name"] for tool in page["tools"]]
    assert names == sorted(set(names))
    assert {world.tool("echo"), world.tool("wait")} <= set(names)


@settings(calls_max=1)
async def test_one_call_too_many_is_refused_with_when_to_come_back(world: McpWorld) -> None:
    held = asyncio.create_task(post(world, modern("tools/call", name=world.tool("wait"))))
    await asyncio.wait_for(world.handler_started.wait(), WAIT_S)
    refused = await post(world, modern("tools/call", name=world.tool("nothing")))
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    data = refused.json()["error"]["data"]
    assert (data["reason"], data["retry_after_ms"], data["depth"]) == ("full", 1000, 1)
    world.release.set()
    assert "result" in (await held).json()
    assert "result" in (await post(world, modern("tools/call", name=world.tool("nothing")))).json()
