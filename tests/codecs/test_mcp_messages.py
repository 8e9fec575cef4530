"""Every message of MCP in every revision: what is taken, what is refused, and that no byte changes. The
judge is the official SDK's table of types, `mcp_types.methods`."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import methods as judge
from pydantic import TypeAdapter, ValidationError

from fabric_codecs.bounds import JSONRPC_BATCH_MAX
from fabric_codecs.errors import CodecError
from fabric_codecs.mcp.messages import (
    Message,
    read_batch,
    read_message,
    with_meta,
    write_batch,
    write_message,
)
from fabric_codecs.mcp.methods import METHODS, MODERN, REVISIONS, find_method
from helpers.json_envelopes import json_values, malformed, packed

META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}
INFO = {"name": "n", "version": "1"}
TEXT = {"type": "text", "text": "x"}

# A value for every member that some row needs; where methods differ, by method.
VALUES: dict[str, object] = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": INFO,
    "serverInfo": INFO,
    "supportedVersions": [MODERN],
    "name": "t",
    "uri": "a:b",
    "taskId": "t-1",
    "status": "working",
    "inputResponses": {},
    "notifications": {},
    "ref": {"type": "ref/prompt", "name": "p"},
    "argument": {"name": "a", "value": "b"},
    "level": "info",
    "data": [1],
    "messages": [],
    "maxTokens": 9,
    "message": "m",
    "requestedSchema": {"type": "object", "properties": {}},
    "requestId": 7,
    "progressToken": "p",
    "progress": 0.5,
    "elicitationId": "e",
    "content": [],
    "contents": [],
    "tools": [],
    "prompts": [],
    "resources": [],
    "resourceTemplates": [],
    "completion": {"values": []},
    "tasks": [],
    "roots": [],
    "role": "assistant",
    "model": "m",
    "action": "accept",
    "resultType": "complete",
    "ttlMs": 5,
    "cacheScope": "public",
    "_meta": {"io.modelcontextprotocol/subscriptionId": 1},
}
SPECIAL: dict[tuple[str, str], object] = {("sampling/createMessage", "content"): TEXT}
JUDGED = {
    ("client", True): judge.CLIENT_REQUESTS,
    ("client", False): judge.CLIENT_NOTIFICATIONS,
    ("server", True): judge.SERVER_REQUESTS,
    ("server", False): judge.SERVER_NOTIFICATIONS,
}
RESULTS = {"client": judge.SERVER_RESULTS, "server": judge.CLIENT_RESULTS}  # by who asked
ROWS = [
    (method, revision, speaker)
    for method in METHODS
    for revision in method.revisions
    for speaker in method.speakers
]


def value_of(method: str, name: str) -> object:
    return SPECIAL.get((method, name), VALUES[name])


def call(name: str, revision: str, speaker: str, /, **changes: object) -> dict[str, Any]:
    """The smallest message of a method."""
    method = find_method(name, revision=revision, speaker=speaker)
    assert method is not None
    params: dict[str, object] = {member: value_of(name, member) for member in method.params}
    if name == "elicitation/create":
        params["requestedSchema"] = VALUES["requestedSchema"]
    if revision == MODERN and method.is_request:
        params["_meta"] = META
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": name, "params": params | changes}
    return message | ({"id": 7} if method.is_request else {})


def answer(name: str, revision: str, speaker: str) -> dict[str, Any]:
    """The smallest result of a method that `speaker` asked for."""
    method = find_method(name, revision=revision, speaker=speaker)
    assert method is not None
    required = method.required_result(revision)
    result = {member: value_of(name, member) for member in required}
    if revision == MODERN:
        result["resultType"] = "complete"
    return {"jsonrpc": "2.0", "id": 7, "result": result}


def read(message: object, revision: str = MODERN, speaker: str = "client", **named: Any) -> Message:
    raw = message if isinstance(message, bytes) else packed(message)
    return read_message(raw, revision=revision, speaker=speaker, **named)


def taken_by_judge(model: Any, message: object) -> bool:
    try:
        TypeAdapter(model).validate_python(message)
    except ValidationError:
        return False
    return True


def without(message: dict[str, Any], room: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The message with one member of its params or result left out, each in turn."""
    for name in message[room]:
        yield name, message | {room: {key: value for key, value in message[room].items() if key != name}}


# ---- The table


def test_the_table_has_the_methods_of_the_official_sdk_and_tasks() -> None:
    for (speaker, is_request), table in JUDGED.items():
        ours = {
            (method.name, revision)
            for method, revision, one in ROWS
            if one == speaker and method.is_request == is_request and "tasks" not in method.name
        }
        assert ours == set(table)


@pytest.mark.parametrize(("method", "revision", "speaker"), ROWS)
def test_the_smallest_message_is_taken_by_us_and_by_the_judge(
    method: Any, revision: str, speaker: str
) -> None:
    message = call(method.name, revision, speaker)
    assert read(message, revision, speaker).method is method
    model = JUDGED[speaker, method.is_request].get((method.name, revision))
    if model is not None:
        assert taken_by_judge(model, message)


# What only one of the two refuses; docs/decisions/codec-proof.md has the clauses.
# Its union with an input_required result takes any result type there.
LAXER_UNION = {(name, MODERN) for name in ("tools/call", "prompts/get", "resources/read")}
LAXER_JUDGE = {("notifications/cancelled", "requestId")}


@pytest.mark.parametrize(("method", "revision", "speaker"), ROWS)
def test_a_message_without_a_required_member_is_refused_by_both(
    method: Any, revision: str, speaker: str
) -> None:
    model = JUDGED[speaker, method.is_request].get((method.name, revision))
    for name, message in without(call(method.name, revision, speaker), "params"):
        refused = name in method.params or name == "_meta"
        if refused:
            with pytest.raises(CodecError, match=f"{name}.* missing"):
                read(message, revision, speaker)
        else:
            read(message, revision, speaker)
        if model is not None and refused and (method.name, name) not in LAXER_JUDGE:
            assert not taken_by_judge(model, message)


@pytest.mark.parametrize(("method", "revision", "speaker"), [row for row in ROWS if row[0].is_request])
def test_results_are_taken_and_refused_as_the_judge_does(method: Any, revision: str, speaker: str) -> None:
    message = answer(method.name, revision, speaker)
    replier = "server" if speaker == "client" else "client"
    assert read(message, revision, replier, answers=method.name).method is method
    model = RESULTS[speaker].get((method.name, revision))
    if model is not None:
        assert taken_by_judge(model, message["result"])
    for name, broken in without(message, "result"):
        if name == "resultType":  # absent means complete, says the prose; the schema requires it
            read(broken, revision, replier, answers=method.name)
            continue
        with pytest.raises(CodecError, match=f"{name} is missing"):
            read(broken, revision, replier, answers=method.name)
        if model is not None and (method.name, revision) not in LAXER_UNION:
            assert not taken_by_judge(model, broken["result"])


# ---- Both directions


@given(
    st.sampled_from(ROWS),
    st.integers() | st.text(st.characters(exclude_categories=("Cs",)), max_size=9),
    st.dictionaries(st.text("xyz", min_size=3), json_values, max_size=3),
)
def test_what_was_read_is_written_byte_for_byte(row: Any, id: int | str, unknown: dict[str, object]) -> None:
    method, revision, speaker = row
    message = call(method.name, revision, speaker, **unknown) | unknown
    if method.is_request:
        message["id"] = id
    raw = json.dumps(message, indent=1).encode()
    found = read_message(raw, revision=revision, speaker=speaker)
    assert write_message(found) == raw
    assert found.rpc.id is None or (json.loads(found.rpc.id), type(json.loads(found.rpc.id))) == (
        id,
        type(id),
    )


def test_a_hop_changes_its_own_members_and_no_other_byte() -> None:
    raw = b'{ "method":"ping","jsonrpc":"2.0", "params":{"x": 1.50,"_meta":{ "k":1, "traceparent":"a"} }}'
    changed = with_meta(raw, {"traceparent": b'"b"', "io.agentfabric/loss": b"[]"})
    assert changed == raw.replace(b'"a"}', b'"b","io.agentfabric/loss":[]}')
    assert with_meta(b'{"jsonrpc":"2.0","id":1,"method":"ping"}', {"k": b"1"}).endswith(
        b'"params":{"_meta":{"k":1}}}'
    )
    assert with_meta(b'{"jsonrpc":"2.0","id":1,"result":{}}', {"k": b"1"}).endswith(
        b'"result":{"_meta":{"k":1}}}'
    )
    with pytest.raises(CodecError, match="an error has no _meta"):
        with_meta(b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}', {"k": b"1"})


@pytest.mark.parametrize(
    ("name", "about"),
    [
        ("tools/call", "t"),
        ("prompts/get", "t"),
        ("resources/read", "a:b"),
        ("tasks/get", "t-1"),
        ("tools/list", None),
    ],
)
def test_a_request_says_what_it_is_about(name: str, about: str | None) -> None:
    assert read(call(name, MODERN, "client")).about == about


@pytest.mark.parametrize(
    ("result", "taken"),
    [
        ({"resultType": "input_required", "requestState": "s"}, True),
        ({"resultType": "task", "taskId": "t", "status": "working"}, True),
        ({"resultType": "task", "status": "working"}, False),
        ({"resultType": "com.example/odd"}, True),
        ({"resultType": "complete"}, False),
    ],
)
def test_a_result_that_is_no_final_one_holds_what_its_type_says(
    result: dict[str, object], taken: bool
) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "result": result}
    if taken:
        assert read(message, speaker="server", answers="tools/call")
    else:
        with pytest.raises(CodecError, match="missing"):
            read(message, speaker="server", answers="tools/call")


# ---- Batches


def test_batches_are_of_2025_03_26_alone() -> None:
    ping = packed(call("ping", "2025-03-26", "client"))
    batch = b" [" + ping + b", " + ping + b"]"
    found = read_batch(batch, revision="2025-03-26", speaker="client")
    assert [one.raw for one in found] == [ping, ping]
    assert write_batch(found) == b"[" + ping + b"," + ping + b"]"
    assert [one.raw for one in read_batch(ping, revision="2025-03-26", speaker="client")] == [ping]
    for revision in set(REVISIONS) - {"2025-03-26"}:
        with pytest.raises(CodecError, match="does not have"):
            read_batch(batch, revision=revision, speaker="client")


@pytest.mark.parametrize(
    ("batch", "reason", "offset"),
    [
        (b"[]", -32600, 0),
        (b"[1]", -32600, 1),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}, {"jsonrpc":"1.0"}]', -32600, 54),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}', -32700, 41),
        (b"[" + b",".join([b"{}"] * (JSONRPC_BATCH_MAX + 1)) + b"]", -32600, 3 * JSONRPC_BATCH_MAX + 1),
    ],
)
def test_a_malformed_batch_is_refused_with_the_place(batch: bytes, reason: int, offset: int) -> None:
    with pytest.raises(CodecError) as refused:
        read_batch(batch, revision="2025-03-26", speaker="client")
    assert (refused.value.reason, refused.value.offset) == (reason, offset)


# ---- Malformed


@pytest.mark.parametrize(
    ("message", "revision", "speaker", "reason", "said"),
    [
        ({"jsonrpc": "2.0", "id": 1, "method": "no/such"}, MODERN, "client", -32601, "has no method"),
        ({"jsonrpc": "2.0", "id": 1, "method": "initialize"}, MODERN, "client", -32601, "has no method"),
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, MODERN, "server", -32601, "has no method"),
        ({"jsonrpc": "2.0", "id": 1, "method": "roots/list"}, MODERN, "server", -32601, "has no method"),
        ({"jsonrpc": "2.0", "id": 1, "method": "tasks/list"}, MODERN, "client", -32601, "has no method"),
        ({"jsonrpc": "2.0", "method": "tools/list"}, MODERN, "client", -32600, "is a request"),
        (
            {"jsonrpc": "2.0", "id": 1, "method": "notifications/initialized"},
            "2025-06-18",
            "client",
            -32600,
            "is a notification",
        ),
        (
            {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
            MODERN,
            "client",
            -32602,
            "_meta is missing",
        ),
        (call("tools/call", MODERN, "client", name=7), MODERN, "client", -32602, "of type number, string"),
        (
            call("tools/call", MODERN, "client", _meta={}),
            MODERN,
            "client",
            -32602,
            "protocolVersion is missing",
        ),
        (call("tools/call", MODERN, "client", _meta=[]), MODERN, "client", -32602, "of type array"),
        (
            call("notifications/progress", MODERN, "server", progressToken=[]),
            MODERN,
            "server",
            -32602,
            "string or number",
        ),
        ({"jsonrpc": "2.0", "id": 1, "error": {"message": "m"}}, MODERN, "server", -32600, "code is missing"),
        (
            {"jsonrpc": "2.0", "id": 1, "error": {"code": 1.5, "message": "m"}},
            MODERN,
            "server",
            -32600,
            "no integer",
        ),
        (
            {"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": 2}},
            MODERN,
            "server",
            -32600,
            "string is needed",
        ),
        ({"jsonrpc": "2.0", "id": 1, "method": "ping"}, "2024-01-01", "client", -32022, "is none of"),
    ],
)
def test_a_malformed_message_is_refused_with_the_reason(
    message: object, revision: str, speaker: str, reason: int, said: str
) -> None:
    with pytest.raises(CodecError, match=said) as refused:
        read(message, revision, speaker)
    assert (refused.value.reason, bool(refused.value.clause)) == (reason, True)


def test_a_notification_that_nobody_knows_is_let_be() -> None:
    assert read({"jsonrpc": "2.0", "method": "notifications/com.example"}).method is None


@pytest.mark.parametrize("name", ["tools/call", "subscriptions/listen", "notifications/cancelled"])
def test_a_message_cut_or_bent_anywhere_is_refused_with_the_place(name: str) -> None:
    for broken in malformed(packed(call(name, MODERN, "client"))):
        with pytest.raises(CodecError) as refused:
            read(broken)
        assert 0 <= refused.value.offset <= len(broken)
