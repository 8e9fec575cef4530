"""Envelope -> MCP: results, failures, progress and tools, checked by the official models."""

import json
import math
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import CallToolResult, EmbeddedResource, TextContent, Tool
from mcp_types.jsonrpc import JSONRPCNotification

from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.losses import Loss, LossCode
from fabric_codecs.mcp.lower import lower
from fabric_codecs.mcp.progress import Rising, rising
from fabric_codecs.mcp.tools import NAME_CHARS_MAX, lower_tool, split_tool_name, tool_name
from fabric_codecs.mcp.wire import LEGACY, MODERN, write_discovered, write_initialized, write_tools

SERVER = b'{"name":"s","version":"1"}'
NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="."), min_size=1, max_size=8)


def answer(data: bytes, kind: str = "response", **attributes: str) -> Envelope:
    values = {"id": "r-1", "source": "/nats/a", "type": f"io.agentfabric.{kind}", "fabkind": kind}
    return Envelope(data, **{**values, **attributes})


def result_of(
    envelope: Envelope, revision: str = MODERN, losses: tuple[Loss, ...] = ()
) -> tuple[Any, CallToolResult]:
    lowered = lower(envelope, revision=revision, request_id=b"1", server_info=SERVER, losses=losses)
    return lowered, CallToolResult.model_validate(json.loads(lowered.message)["result"])


def progress_of(
    data: bytes, after: float = -math.inf, token: bytes = b'"p"'
) -> tuple[Rising, dict[str, Any]]:
    step = rising(answer(data, "progress"), after=after)
    lowered = lower(step.envelope, progress_token=token, losses=step.losses)
    sent = JSONRPCNotification.model_validate_json(lowered.message)
    assert sent.method == "notifications/progress"
    assert sent.params is not None
    return step, {name: value for name, value in sent.params.items() if name != "_meta"}


@pytest.mark.parametrize(
    ("data", "content_type", "text", "structured"),
    [
        (b'{"a": 1.50 }', "application/json", '{"a": 1.50 }', {"a": 1.5}),
        (b'{"n":9007199254740993}', "application/json", '{"n":9007199254740993}', {"n": 2**53 + 1}),
        (b'{"@id":1}', "application/ld+json; charset=utf-8", '{"@id":1}', {"@id": 1}),
        ('"grün\\n"'.encode(), "application/json", "grün\n", None),
        (b"21.5", "application/json", "21.5", None),
        (b"[1, 2]", "application/json", "[1, 2]", None),
        (b"null", "application/json", "null", None),
        ("grün".encode(), "text/plain", "grün", None),
        (b'{"a":1}', "text/plain", '{"a":1}', None),
    ],
)
@pytest.mark.parametrize("revision", [MODERN, *LEGACY])
def test_an_answer_becomes_text_and_an_object_is_structured_too(
    data: bytes, content_type: str, text: str, structured: object, revision: str
) -> None:
    lowered, result = result_of(answer(data, datacontenttype=content_type), revision)
    assert result.content == [TextContent(type="text", text=text)]
    is_json = "json" in content_type
    # From 2026-07-28 on any JSON value may be structured (changelog, 12); before, an object alone.
    assert result.structured_content == (json.loads(data) if is_json and revision == MODERN else structured)
    assert not result.is_error
    assert lowered.losses == ()
    if structured is not None:
        assert b'"structuredContent":' + data in lowered.message  # the very bytes


def test_an_answer_without_a_media_type_is_json() -> None:
    assert result_of(answer(b'{"a":1}'))[1].structured_content == {"a": 1}


def test_an_empty_answer_has_no_content() -> None:
    assert result_of(answer(b""))[1].content == []


@pytest.mark.parametrize("content_type", ["application/pdf", "application/octet-stream", "text/plain"])
def test_bytes_that_are_no_text_become_a_resource(content_type: str) -> None:
    lowered, result = result_of(answer(b"\x89PNG\xff", datacontenttype=content_type))
    (block,) = result.content
    assert isinstance(block, EmbeddedResource)
    assert json.loads(block.resource.model_dump_json())["blob"] == "iVBOR/8="
    assert lowered.losses == ()


@pytest.mark.parametrize("kind", ["image", "audio"])
def test_an_image_and_a_sound_are_what_they_are(kind: str) -> None:
    (block,) = result_of(answer(b"\x89PNG\xff", datacontenttype=f"{kind}/x"))[1].content
    assert block.model_dump(exclude_none=True) == {"type": kind, "data": "iVBOR/8=", "mime_type": f"{kind}/x"}


def test_json_that_is_none_becomes_text_and_says_that_it_was_guessed() -> None:
    lowered, result = result_of(answer(b"not json", datacontenttype="application/json"))
    assert result.content == [TextContent(type="text", text="not json")]
    assert lowered.codes == "CONTENT_TYPE_GUESSED"
    assert result.meta is not None
    assert result.meta["io.agentfabric/loss"] == ["CONTENT_TYPE_GUESSED"]


def test_the_revision_decides_what_a_result_has_beside() -> None:
    modern = json.loads(result_of(answer(b"1"), MODERN)[0].message)["result"]
    legacy = json.loads(result_of(answer(b"1"), LEGACY[0])[0].message)["result"]
    assert modern["resultType"] == "complete"
    assert modern["_meta"]["io.modelcontextprotocol/serverInfo"] == json.loads(SERVER)
    assert "resultType" not in legacy
    assert "io.modelcontextprotocol/serverInfo" not in legacy["_meta"]


def test_losses_of_the_way_here_of_the_edge_and_of_mcp_itself_are_all_said_once() -> None:
    envelope = answer(b"1", fabloss="QOS_DOWNGRADED,UNHEARD_OF").with_native([("k", b"v")])
    coalesced = Loss(LossCode.STREAM_COALESCED, "progress", "3 steps")
    lowered, result = result_of(envelope, losses=(coalesced,))
    assert lowered.codes == "STREAM_COALESCED"
    assert result.meta is not None
    assert result.meta["io.agentfabric/loss"] == [
        "QOS_DOWNGRADED",
        "UNHEARD_OF",
        "STREAM_COALESCED",
    ]
    assert result.meta["io.agentfabric/native"] == [["k", "v"]]


def test_the_story_can_be_followed_from_the_result() -> None:
    _, result = result_of(answer(b"1", correlationid='story "1"'))
    assert result.meta is not None
    assert result.meta["io.agentfabric/conversation"] == 'story "1"'
    assert result.meta["io.agentfabric/id"] == "r-1"


def test_a_failure_of_the_tool_is_a_result_with_its_own_words() -> None:
    failure = b'{"code":"too_hot","message":"it is \\"hot\\"","retriable":true,"data":{"n": 1.50}}'
    lowered, result = result_of(answer(failure, "error"))
    assert result.is_error
    assert result.content == [TextContent(type="text", text='it is "hot"')]
    assert b'"io.agentfabric/error":' + failure in lowered.message


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"7"])
def test_a_failure_that_cannot_be_read_is_a_codec_error(data: bytes) -> None:
    with pytest.raises(CodecError):
        lower(answer(data, "error"), revision=MODERN, server_info=SERVER)


def test_progress_is_passed_on_with_the_clients_token() -> None:
    step, params = progress_of(b'{"progress":0.50,"total":10,"message":"half"}', token=b"7")
    assert params == {"progressToken": 7, "progress": 0.5, "total": 10, "message": "half"}
    assert b'"progress":0.50' in step.envelope.data
    assert (step.value, step.losses) == (0.5, ())


def test_progress_without_total_or_message_has_none() -> None:
    assert progress_of(b'{"progress":1,"total":null,"message":null}')[1] == {
        "progressToken": "p",
        "progress": 1,
    }


@given(st.lists(st.floats(-1e300, 1e300) | st.integers(-(10**15), 10**15), min_size=1, max_size=20))
def test_whatever_an_agent_reports_the_client_hears_it_rise(reported: list[float]) -> None:
    after = -math.inf
    for value in reported:
        step, params = progress_of(json.dumps({"progress": value}).encode(), after)
        assert params["progress"] > after
        assert (float(params["progress"]) == value) is (step.losses == ())
        assert [loss.code for loss in step.losses] == [LossCode.PROGRESS_SYNTHETIC] * (value <= after)
        after = step.value


@pytest.mark.parametrize(
    "data", [b"", b"7", b"{}", b'{"progress":"1"}', b'{"progress":null}', b'{"progress":1e400}']
)
def test_progress_that_is_none_is_a_codec_error(data: bytes) -> None:
    with pytest.raises(CodecError):
        progress_of(data)


# Tools


@dataclass
class Contract:
    side_effects: str = "writes"
    idempotent: bool = False


@dataclass
class Spec:
    name: str = "heat"
    description: str = "Heat it."
    input_schema: dict[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    output_schema: dict[str, Any] | None = None
    contract: Contract = field(default_factory=Contract)


@pytest.mark.parametrize(
    ("agent", "tool", "name"),
    [
        ("thermostat", "set_temperature", "thermostat.set_temperature"),
        ("a-1", "B_2", "a-1.B_2"),
        ("my agent", "heat", "my..20agent.heat"),
        ("a", " b ", "a...20b..20"),
        ("é", "日", "..C3..A9...E6..97..A5"),
        ("a/b", "%", "a..2Fb...25"),
        ("20", "20", "20.20"),
    ],
)
def test_a_tool_has_an_mcp_name_that_leads_back_to_it(agent: str, tool: str, name: str) -> None:
    assert tool_name(agent, tool) == name
    assert split_tool_name(name) == (agent, tool)


@given(NAMES, NAMES)
def test_the_way_back_finds_every_tool(agent: str, tool: str) -> None:
    try:
        name = tool_name(agent, tool)
    except CodecError:
        assert len(agent.encode() + tool.encode()) * 4 + 1 > NAME_CHARS_MAX
        return
    assert split_tool_name(name) == (agent, tool)
    assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")


@given(st.text("ab.2.0FE", max_size=16))
def test_no_two_names_lead_to_one_tool(name: str) -> None:
    try:
        parts = split_tool_name(name)
    except CodecError:
        return
    assert tool_name(*parts) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "a",
        "a.",
        ".b",
        "a.b.c",
        "a..b",
        "a..2.b",
        "a..41.b",
        "a..2f.b",
        "..C3.b",
        "a.b ",
        "a/b.c",
        "a.é",
        "a.b\n",
    ],
)
def test_a_name_that_is_no_tools_is_refused(name: str) -> None:
    with pytest.raises(CodecError, match="names no tool"):
        split_tool_name(name)


def test_a_name_of_the_limit_fits_and_one_more_does_not() -> None:
    assert len(tool_name("a", "b" * 126)) == NAME_CHARS_MAX
    with pytest.raises(CodecError, match="129 characters"):
        tool_name("a", "b" * 127)


@pytest.mark.parametrize(
    ("contract", "hints"),
    [
        (Contract("none"), (True, False, True)),
        (Contract("reads"), (True, False, False)),
        (Contract("writes"), (False, False, False)),
        (Contract("writes", idempotent=True), (False, False, True)),
        (Contract("irreversible"), (False, True, False)),
    ],
)
def test_the_contract_becomes_hints(contract: Contract, hints: tuple[bool, bool, bool]) -> None:
    tool = Tool.model_validate_json(lower_tool("a", Spec(contract=contract)).message)
    said = tool.annotations
    assert said is not None
    assert (said.read_only_hint, said.destructive_hint, said.idempotent_hint) == hints
    assert (tool.name, tool.description) == ("a.heat", "Heat it.")
    assert tool.meta is not None
    assert tool.meta["io.agentfabric/contract"]["side_effects"] == contract.side_effects


def test_schemas_are_declared_as_they_are() -> None:
    schema = {
        "type": "object",
        "properties": {"x": {"$ref": "#/$defs/X"}},
        "$defs": {"X": {"type": "integer"}},
    }
    lowered = lower_tool("a", Spec(input_schema=schema, output_schema=schema))
    tool = Tool.model_validate_json(lowered.message)
    assert (tool.input_schema, tool.output_schema, lowered.losses) == (schema, schema, ())


def test_a_schema_that_is_no_objects_is_replaced_and_said() -> None:
    lowered = lower_tool("a", Spec(input_schema={}))
    assert Tool.model_validate_json(lowered.message).input_schema == {"type": "object"}
    assert lowered.codes == "SCHEMA_SYNTHESISED"


def test_lists_and_introductions_are_what_the_official_models_read() -> None:
    from mcp_types import DiscoverResult, InitializeResult, ListToolsResult

    tools = [lower_tool("a", Spec()).message]
    for revision in (MODERN, *LEGACY):
        listed = ListToolsResult.model_validate_json(
            write_tools(revision, tools, cursor="a.heat", server_info=SERVER)
        )
        assert [tool.name for tool in listed.tools] == ["a.heat"]
        assert listed.next_cursor == "a.heat"
    last = json.loads(write_tools(MODERN, [], cursor="", server_info=SERVER))
    assert "nextCursor" not in last
    assert MODERN in DiscoverResult.model_validate_json(write_discovered(SERVER, "hi")).supported_versions
    begun = InitializeResult.model_validate_json(write_initialized(LEGACY[0], SERVER, "hi"))
    assert (begun.protocol_version, begun.server_info.name) == (LEGACY[0], "s")
