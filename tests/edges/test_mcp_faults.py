"""Errors in MCP's words: code, HTTP status, when to come back, and what a program can act on."""

import json

import pytest

from fabric.errors import (
    CallCancelled,
    CallFailed,
    DeadlineExceeded,
    FabricError,
    InternalError,
    LimitExceeded,
    NoSuchAgent,
    NoSuchTool,
    Refused,
    Unreachable,
)
from fabric_bridges.mcp.faults import McpFault, fault_of
from fabric_codecs.errors import CodecError
from fabric_codecs.mcp.wire import LEGACY, MODERN

FULL = Refused("full", retry_after_ms=1500, depth=64, share=0.5)


@pytest.mark.parametrize(
    ("error", "code", "modern_status", "legacy_status", "retry_after"),
    [
        (FULL, 429, 429, 429, "2"),
        (Refused("rate"), 429, 429, 429, "1"),
        (Refused("closing", retry_after_ms=1), 503, 503, 503, "1"),
        (Refused("unreachable", unknown=True), 503, 503, 503, "1"),
        (Refused("denied"), 403, 403, 200, None),
        (Unreachable("nats://x", "gone"), 503, 503, 503, "1"),
        (DeadlineExceeded("a.b", 5), 504, 504, 200, None),
        (NoSuchAgent("a"), -32602, 400, 200, None),
        (NoSuchTool("a", "b", ("c",)), -32602, 400, 200, None),
        (LimitExceeded("bytes", allowed=1, actual=2), -32602, 400, 200, None),
        (CallFailed("a.b", "boom", "no"), 502, 502, 200, None),
        (CallCancelled("a.b", "why"), 409, 409, 200, None),
        (InternalError("ours"), -32603, 500, 200, None),
    ],
)
def test_an_error_has_its_code_its_status_and_its_time_to_come_back(
    error: FabricError, code: int, modern_status: int, legacy_status: int, retry_after: str | None
) -> None:
    fault = fault_of(error, tool="a.b")
    for revision, status in ((MODERN, modern_status), (LEGACY[0], legacy_status)):
        response = fault.response(b'"7"', revision)
        assert (response.status_code, response.headers.get("retry-after")) == (status, retry_after)
        body = json.loads(bytes(response.body))
        assert (body["id"], body["error"]["code"]) == ("7", code)
        assert body["error"]["message"].startswith("a.b: ")
        assert body["error"]["data"]["retriable"] == error.retriable
    # Our own codes stay out of what JSON-RPC and MCP keep for themselves, but for those that they define.
    assert code >= 400 or code in (-32602, -32603)


def test_a_refusal_says_what_a_program_needs_to_come_back() -> None:
    data = json.loads(fault_of(FULL).data or b"")
    expected = {"reason": "full", "retry_after_ms": 1500, "depth": 64, "share": 0.5, "unknown": False}
    assert data == {"code": "refused", "retriable": True} | expected


def test_a_missing_tool_says_which_there_are() -> None:
    data = json.loads(fault_of(NoSuchTool("a", "b", ("c", "d"))).data or b"")
    assert (data["agent"], data["tool"], data["known"]) == ("a", "b", ["c", "d"])


def test_a_failure_of_the_agent_speaks_with_the_agents_code() -> None:
    data = json.loads(fault_of(CallFailed("a.b", "too_hot", "no", remote_retriable=True)).data or b"")
    assert data == {"code": "too_hot", "retriable": True}


@pytest.mark.parametrize(("reason", "code"), [(None, -32602), (-32700, -32700), (-32600, -32600)])
def test_a_fault_in_the_bytes_says_where(reason: int | None, code: int) -> None:
    fault = fault_of(CodecError("a comma too many", protocol="mcp", offset=12, reason=reason))
    assert (fault.code, fault.status) == (code, 400)
    assert fault.message == "a comma too many (at byte 12)"


def test_an_answer_to_nobody_knows_no_id() -> None:
    assert json.loads(McpFault(-32700, "x").line(None))["id"] is None
