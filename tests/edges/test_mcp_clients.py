"""The MCP edge as the official SDK's client sees it, in both eras, with a real agent on a real server."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
import pytest_asyncio
from mcp import MCPError
from mcp_types import TextContent

from helpers.mcp_world import WAIT_S, McpWorld
from helpers.server import RunningServer

ERAS = pytest.mark.parametrize("mode", ["2026-07-28", "auto", "legacy"])


@pytest_asyncio.fixture
async def world(server: RunningServer) -> AsyncIterator[McpWorld]:
    async with McpWorld(server, {}).opened() as made:
        yield made


def text_of(result: object) -> str:
    content = result.content  # type: ignore[attr-defined]
    assert [type(block) for block in content] == [TextContent]
    return str(content[0].text)


@ERAS
async def test_a_live_agents_tools_are_listed_with_schema_and_contract(world: McpWorld, mode: str) -> None:
    async with world.client(mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    mine = {name.partition(".")[2] for name in tools if name.startswith(f"{world.agent_name}.")}
    assert mine == {"echo", "add", "count", "wait", "fail", "nothing"}
    add = tools[world.tool("add")]
    assert add.description == "Add two integers."
    assert add.input_schema["type"] == "object"
    assert add.input_schema["required"] == ["a", "b"]
    assert add.output_schema is not None
    assert add.annotations is not None
    assert (add.annotations.read_only_hint, add.annotations.destructive_hint) == (False, True)
    assert add.meta is not None
    assert add.meta["io.agentfabric/contract"]["cost"] == 2.5
    echo = tools[world.tool("echo")]
    assert echo.annotations is not None
    assert (echo.annotations.read_only_hint, echo.annotations.destructive_hint) == (True, False)


@ERAS
async def test_auto_speaks_the_newest_revision_and_legacy_the_newest_of_its_own(
    world: McpWorld, mode: str
) -> None:
    async with world.client(mode) as client:
        assert client.protocol_version == ("2025-11-25" if mode == "legacy" else "2026-07-28")


@ERAS
async def test_a_call_returns_what_the_agent_returned(world: McpWorld, mode: str) -> None:
    async with world.client(mode) as client:
        await client.list_tools()  # the client checks results against the declared schema from then on
        added = await client.call_tool(world.tool("add"), {"a": 2, "b": 3})
        said = await client.call_tool(world.tool("echo"), {"text": "grüß \U0001f600"})
        nothing = await client.call_tool(world.tool("nothing"), {})
    assert (added.structured_content, text_of(added), added.is_error) == ({"sum": 5}, '{"sum":5}', False)
    # Any JSON value may be structured in 2026-07-28; before, an object alone.
    structured = None if mode == "legacy" else "grüß \U0001f600"
    assert (text_of(said), said.structured_content) == ("grüß \U0001f600", structured)
    assert text_of(nothing) == "null"


@ERAS
async def test_progress_arrives_in_order_and_strictly_increasing(world: McpWorld, mode: str) -> None:
    heard: list[tuple[float, float | None, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, total, message))

    async with world.client(mode) as client:
        steps = [1, 2.5, 2.5, 2, 4]
        result = await client.call_tool(world.tool("count"), {"steps": steps}, progress_callback=on_progress)
    assert result.structured_content == {"counted": 5}
    values = [value for value, _, _ in heard]
    assert all(low < high for low, high in pairwise(values))
    assert (values[0], values[1], values[4]) == (1, 2.5, 4)
    assert values[2] == pytest.approx(2.5)
    assert [(total, message) for _, total, message in heard] == [(10, f"at {step:g}") for step in steps]
    lost = [crossing.losses for crossing in world.journal.crossings if crossing.losses]
    assert [loss.code for losses in lost for loss in losses] == ["PROGRESS_SYNTHETIC"] * 2


@ERAS
async def test_a_tools_own_failure_is_a_result_that_the_model_can_read(world: McpWorld, mode: str) -> None:
    async with world.client(mode) as client:
        failed = await client.call_tool(world.tool("fail"), {})
        wrong = await client.call_tool(world.tool("add"), {"a": "two", "b": 3})
    assert failed.is_error
    assert text_of(failed) == "it is too hot here"
    assert failed.meta is not None
    assert failed.meta["io.agentfabric/error"] == {
        "code": "too_hot",
        "message": "it is too hot here",
        "retriable": False,
        "data": {"celsius": 99},
    }
    assert wrong.is_error
    assert "$.a" in text_of(wrong)


@ERAS
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("{agent}.paint", "has no tool 'paint'; it offers"),
        ("nobody-here.paint", "no agent 'nobody-here' is live"),
        ("paint", "tools are named agent.tool"),
    ],
)
async def test_an_unknown_tool_is_named(world: McpWorld, mode: str, name: str, words: str) -> None:
    name = name.format(agent=world.agent_name)
    async with world.client(mode) as client:
        with pytest.raises(MCPError) as refused:
            await client.call_tool(name, {})
    assert refused.value.code == -32602
    assert name in str(refused.value)
    assert words in str(refused.value)


@ERAS
@pytest.mark.parametrize("with_progress", [True, False])
async def test_giving_up_reaches_the_handler(world: McpWorld, mode: str, with_progress: bool) -> None:
    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        pass

    async with world.client(mode) as client:
        callback = on_progress if with_progress else None
        calling = asyncio.create_task(client.call_tool(world.tool("wait"), {}, progress_callback=callback))
        await asyncio.wait_for(world.handler_started.wait(), WAIT_S)
        calling.cancel()
        await asyncio.wait_for(world.handler_cancelled.wait(), WAIT_S)
        assert not world.handler_done.is_set()
        assert text_of(await client.call_tool(world.tool("echo"), {"text": "still here"})) == "still here"


@ERAS
async def test_a_wrong_token_gets_no_session_and_reaches_nobody(world: McpWorld, mode: str) -> None:
    with pytest.raises(BaseExceptionGroup) as refused:
        async with world.client(mode, token="wrong") as client:
            await client.list_tools()
    assert refused.group_contains(MCPError)
    assert world.metrics.value("fabric_edge_refusals_total", edge="mcp", reason="unauthenticated") > 0
    assert world.journal.crossings == []


@ERAS
async def test_what_crosses_is_journaled_with_its_cause(world: McpWorld, mode: str) -> None:
    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        pass

    async with world.client(mode) as client:
        meta = {"io.agentfabric/conversation": "story-1", "x/unknown": {"a": [1]}}
        await client.call_tool(
            world.tool("count"), {"steps": [1, 2]}, progress_callback=on_progress, meta=meta
        )
    hops = [(crossing.hop, crossing.envelope.kind) for crossing in world.journal.crossings]
    assert hops == [
        ("mcp.in", "request"),
        ("mcp.out", "progress"),
        ("mcp.out", "progress"),
        ("mcp.out", "response"),
    ]
    request, *answers = (crossing.envelope for crossing in world.journal.crossings)
    assert request.source == "/mcp/tester"
    assert request.subject == world.tool("count")
    assert request.get("fabver") == ("2025-11-25" if mode == "legacy" else "2026-07-28")
    assert request.json() == {"steps": [1, 2]}
    assert ("_meta/x/unknown", b'{"a":[1]}') in request.native
    assert {answer.causationid for answer in answers} == {request.id}
    assert {crossing.envelope.correlationid for crossing in world.journal.crossings} == {"story-1"}
    assert {crossing.peer for crossing in world.journal.crossings} == {"tester"}


async def test_the_agent_sees_who_calls_and_nothing_of_the_token(world: McpWorld) -> None:
    async with world.client("2026-07-28") as client:
        await client.call_tool(world.tool("echo"), {"text": "x"})
    (seen,) = world.requests
    assert seen.source == "/mcp/tester"
    assert seen.get("fabproto") == "mcp"
    assert b"let-me-in" not in seen.nats_header() + seen.data


async def test_many_calls_at_once_get_each_their_own_answer(world: McpWorld) -> None:
    async with world.client("2026-07-28") as client:
        results = await asyncio.gather(
            *(client.call_tool(world.tool("add"), {"a": n, "b": n}) for n in range(50))
        )
    assert [result.structured_content for result in results] == [{"sum": 2 * n} for n in range(50)]
