"""MCP -> Envelope: what a `tools/call` says is in the request, byte for byte, and nothing is lost in
silence."""

import json
from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_codecs.bounds import MCP_META_BYTES_MAX
from fabric_codecs.core.jsonrpc import id_of_corr, read_rpc
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.mcp.lift import lift as lift_mcp
from fabric_codecs.mcp.wire import (
    LEGACY,
    MODERN,
    meta_of,
    read_cancelled,
    read_cursor,
    read_offered_version,
    stated_version,
)
from helpers.json_envelopes import NOW_US

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def message(params: str = "{}", id: str = "1", method: str = "tools/call") -> bytes:
    return f'{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}'.encode()


def lift(params: str, id: str = "1") -> Envelope:
    raw = message(params, id)
    return lift_mcp(
        raw, target="a.b", fresh_id="e-1", source="/mcp/ann", revision=MODERN, now_us=NOW_US
    ).message


def with_meta(**meta: object) -> Envelope:
    return lift(json.dumps({"name": "a.b", "_meta": meta}))


def test_a_call_becomes_a_request() -> None:
    request = lift('{"name":"a.b","arguments":{"x": 1.50 , "y":[]}}', id='"seven"')
    assert request.data == b'{"x": 1.50 , "y":[]}'
    assert request.attributes() == {
        "id": "e-1",
        "source": "/mcp/ann",
        "type": "io.agentfabric.request",
        "subject": "a.b",
        "datacontenttype": "application/json",
        "time": "2026-11-21T04:00:00.000000Z",
        "fabkind": "request",
        "fabproto": "mcp",
        "fabver": "2026-07-28",
        "fabmethod": "tools/call",
        "fabcorr": "czpzZXZlbg==",
    }
    assert request.native == []


def test_arguments_that_are_absent_are_none() -> None:
    assert lift('{"name":"a.b"}').data == b"{}"


@given(st.integers() | TEXT)
def test_the_id_keeps_its_type(value: int | str) -> None:
    request = lift('{"name":"a.b"}', id=json.dumps(value))
    assert json.loads(id_of_corr(request.get("fabcorr") or "")) == value
    assert b64decode(request.get("fabcorr") or "")[:2] == (b"i:" if isinstance(value, int) else b"s:")


def test_known_meta_becomes_attributes() -> None:
    meta = {
        "traceparent": TRACE,
        "tracestate": "a=1,b=2",
        "io.agentfabric/conversation": "story",
        "io.agentfabric/causationid": "m-7",
    }
    request = with_meta(**meta)
    attributes = ("traceparent", "tracestate", "correlationid", "causationid")
    assert [request.get(name) for name in attributes] == [TRACE, "a=1,b=2", "story", "m-7"]
    assert request.native == []


def test_what_means_only_this_hop_stays_here() -> None:
    request = with_meta(
        progressToken=1,
        **{
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientInfo": {"name": "c", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/logLevel": "debug",
        },
    )
    assert request.native == []
    assert request.data == b"{}"


def test_everything_else_rides_along_raw_and_in_order() -> None:
    request = lift(
        '{"name":"a.b","requestState":"x","_meta":{"b/c": [1, 2],"baggage":"k=v","n":null},"task":{ }}'
    )
    assert request.native == [
        ("params/requestState", b'"x"'),
        ("params/task", b"{ }"),
        ("_meta/b/c", b"[1, 2]"),
        ("_meta/baggage", b'"k=v"'),
        ("_meta/n", b"null"),
    ]


@pytest.mark.parametrize(
    "trace",
    [
        "",
        "00",
        TRACE[:-1],
        TRACE.upper(),
        "ff" + TRACE[2:],
        "00-" + "0" * 32 + TRACE[35:],
        TRACE + "\n",
        TRACE + "-a\tb",
        7,
        None,
    ],
)
def test_a_trace_that_is_none_is_kept_as_it_came_and_leads_nowhere(trace: object) -> None:
    request = with_meta(traceparent=trace)
    assert request.get("traceparent") is None
    assert request.native == [("_meta/traceparent", json.dumps(trace).encode())]


@pytest.mark.parametrize("conversation", ["", "x" * 257, "a\nb", "a\x7fb", 7, None, ["x"]])
def test_a_conversation_that_is_none_is_refused(conversation: object) -> None:
    with pytest.raises(CodecError, match="conversation"):
        with_meta(**{"io.agentfabric/conversation": conversation})


def test_a_conversation_may_have_any_letters() -> None:
    request = with_meta(**{"io.agentfabric/conversation": "gespräch \U0001f600" + "x" * 200})
    assert Envelope.from_nats(b"", request.nats_header(), b"").correlationid == request.correlationid


def test_meta_beyond_the_bound_is_refused_with_the_bound() -> None:
    room = MCP_META_BYTES_MAX - 32
    assert with_meta(k="x" * room).native
    with pytest.raises(CodecError, match="allowed are 16,384"):
        with_meta(k="x" * (room + 32))


@pytest.mark.parametrize(
    "params",
    [
        "{}",
        '{"name":7}',
        '{"name":"a.b","arguments":[]}',
        '{"name":"a.b","arguments":null}',
        '{"name":"a.b","_meta":[]}',
        '{"name":"a.b","_meta":{"progressToken":null}}',
        '{"name":"a.b","_meta":{"progressToken":{}}}',
        '{"name":"a.b","name":"c.d"}',
        '{"name":"a.b","_meta":{"x":1,"x":2}}',
    ],
)
def test_params_of_the_wrong_form_are_refused(params: str) -> None:
    with pytest.raises(CodecError) as refused:
        lift(params)
    assert refused.value.reason in (-32600, -32602)


@pytest.mark.parametrize(
    ("meta", "missing"),
    [
        ("", "protocolVersion and io.modelcontextprotocol/clientCapabilities"),
        ('"_meta":{}', "protocolVersion and io.modelcontextprotocol/clientCapabilities"),
        ('"_meta":{"io.modelcontextprotocol/protocolVersion":"x"}', "clientCapabilities"),
        ('"_meta":{"io.modelcontextprotocol/clientCapabilities":{}}', "protocolVersion"),
    ],
)
def test_a_modern_request_without_its_meta_is_told_what_is_missing(meta: str, missing: str) -> None:
    with pytest.raises(CodecError, match=missing) as refused:
        stated_version(read_rpc(message("{" + meta + "}")))
    assert refused.value.reason == -32602


def test_params_of_the_other_methods_are_read() -> None:
    assert read_cursor(read_rpc(message('{"cursor":"c"}'))) == "c"
    assert read_cursor(read_rpc(b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}')) == ""
    assert read_offered_version(read_rpc(message('{"protocolVersion":"2025-11-25"}'))) == LEGACY[0]
    assert read_cancelled(read_rpc(message('{"requestId":"7","reason":"late"}'))) == (b'"7"', "late")
    assert read_cancelled(read_rpc(message('{"requestId":7}')))[0] == b"7"
    assert meta_of(read_rpc(b'{"jsonrpc":"2.0","id":1,"method":"ping"}')) is None
    for read in (read_offered_version, read_cancelled):
        with pytest.raises(CodecError, match="missing"):
            read(read_rpc(message("{}")))
