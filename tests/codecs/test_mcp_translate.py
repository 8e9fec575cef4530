"""MCP messages and envelopes of any origin: what each becomes in the other form, and nothing is lost
unsaid."""

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.mcp.lift import WHOLE
from fabric_codecs.mcp.lower import lower
from helpers.json_envelopes import envelope, envelopes, packed
from helpers.mcp_messages import MODERN_META, call, lifted, result, rpc, text_block

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


# ---- lift


def test_a_call_becomes_a_request_with_the_very_bytes_of_its_arguments() -> None:
    raw = (
        b'{"jsonrpc":"2.0","id":"s\\u00e9","method":"tools/call",'
        b'"params":{"name":"a.b","arguments":{"x": 1.50 },'
        b'"_meta":{"traceparent":"%b","io.agentfabric/conversation":"c-1","x/y":[1, 2]},"task":{ }}}'
    ) % TRACE.encode()
    request = lifted(raw, revision="2025-11-25")
    assert request.data == b'{"x": 1.50 }'
    assert request.attributes() == {
        "id": "f-1",
        "source": "/mcp/ann",
        "type": "io.agentfabric.request",
        "subject": "a.b",
        "time": "2026-11-21T04:00:00.000000Z",
        "datacontenttype": "application/json",
        "traceparent": TRACE,
        "correlationid": "c-1",
        "fabkind": "request",
        "fabproto": "mcp",
        "fabver": "2025-11-25",
        "fabmethod": "tools/call",
        "fabcorr": "czpzw6k=",
    }
    assert request.native == [("params/task", b"{ }"), ("_meta/x/y", b"[1, 2]")]


def test_a_modern_request_states_its_revision_and_the_hop_ends_here() -> None:
    meta = {
        **MODERN_META,
        "progressToken": 1,
        "io.modelcontextprotocol/clientInfo": {"name": "c", "version": "1"},
    }
    request = lifted(call({"_meta": meta}), target="x.y")
    assert (request.get("fabver"), request.subject, request.data, request.native) == (
        "2026-07-28",
        "x.y",
        b"{}",
        [],
    )


@pytest.mark.parametrize(
    ("members", "kind", "content_type", "data"),
    [
        ({"content": [text_block('say "hi"')]}, "response", "text/plain", b'say "hi"'),
        ({"content": [], "structuredContent": {"a": 1}}, "response", "application/json", b'{"a":1}'),
        (
            {"content": [text_block('{"a":1}')], "structuredContent": {"a": 1}},
            "response",
            "application/json",
            b'{"a":1}',
        ),
        (
            {"content": [{"type": "image", "data": "AAE=", "mimeType": "image/png"}]},
            "response",
            "image/png",
            b"\0\1",
        ),
        ({"content": []}, "response", None, b""),
        ({"tools": []}, "response", WHOLE, b'{"tools":[]}'),
        ({"resultType": "task", "taskId": "t"}, "status", WHOLE, b'{"resultType":"task","taskId":"t"}'),
        ({"content": [text_block("a"), text_block("b")]}, "response", WHOLE, None),
    ],
)
def test_a_result_is_what_it_says_or_whole(
    members: dict[str, object], kind: str, content_type: str | None, data: bytes | None
) -> None:
    answer = lifted(result(**members))
    assert (answer.kind, answer.get("datacontenttype")) == (kind, content_type)
    assert answer.data == (packed(members) if data is None else data)
    assert answer.get("fabcorr") == "aTo3"


@pytest.mark.parametrize(
    "name", ["source", "fabreply", "fabproto", "fabepoch", "fablive", "datacontenttype2", "A"]
)
def test_what_a_peer_may_not_say_of_itself_becomes_no_attribute_and_is_said_once(name: str) -> None:
    request = lifted(call({"_meta": {f"io.agentfabric/{name}": "\u00e9vil"}}))
    if name != "datacontenttype2":  # an attribute of another vocabulary
        assert request.native == [(f"_meta/io.agentfabric/{name}", '"\u00e9vil"'.encode())]
        assert request.get(name) != "\u00e9vil"
    pairs: list[str] = []
    json.loads(
        lower(request).message, object_pairs_hook=lambda members: pairs.extend(key for key, _ in members)
    )
    assert pairs.count(f"io.agentfabric/{name}") == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", "x" * 65),
        ("id", ""),
        ("time", "yesterday"),
        ("expirytime", "2026-01-01"),
        ("type", ""),
        ("partitionkey", "a\nb"),
    ],
)
def test_a_mark_that_is_no_such_attribute_is_kept_as_it_came(name: str, value: str) -> None:
    request = lifted(call({"_meta": {f"io.agentfabric/{name}": value}}))
    assert request.get(name) != value
    assert request.native == [(f"_meta/io.agentfabric/{name}", packed(value))]


def test_keys_hops_and_losses_are_marks() -> None:
    meta = {
        "io.agentfabric/idempotency-key": "k-1",
        "io.agentfabric/fabhops": "3",
        "io.agentfabric/loss": ["NO_METADATA"],
        "io.agentfabric/native": [["k", "v"], ["k", None], ["b", "/w==", "base64"]],
    }
    request = lifted(call({"_meta": meta}))
    assert [request.get(name) for name in ("fabkey", "fabhops", "fabloss")] == ["k-1", "3", "NO_METADATA"]
    assert request.native == [("k", b"v"), ("k", None), ("b", b"\xff")]
    again = json.loads(lower(request).message)["params"]["_meta"]
    assert meta.items() <= again.items()
    for odd in (["NO_\u00e9"], ["a b"], [7], {"code": "X"}):  # no codes: kept as they came
        request = lifted(call({"_meta": {"io.agentfabric/loss": odd}}))
        assert (request.get("fabloss"), len(request.native)) == (None, 1)


def test_header_bytes_that_no_writer_of_ours_gives_are_shown_as_the_envelope_shows_them() -> None:
    block = b"NATS/1.0\r\nce-id: \xe9\r\nce-source: /x/y\r\nce-type: t\r\nce-subject: a\xe9%FF\r\n\r\n"
    received = Envelope.from_nats(b"", block, b"1")
    meta = json.loads(lower(received).message)["params"]
    assert meta["_meta"]["io.agentfabric/id"] == received.id == "\u00e9"
    assert meta["uri"] == "fab://channel/" + quote(received.subject or "")


def test_text_that_says_more_than_the_structure_is_kept_beside_it() -> None:
    answer = lifted(result(content=[text_block('{"a": 1}')], structuredContent={"a": 1}, vendor=[1]))
    assert answer.data == b'{"a":1}'
    assert answer.native == [("result/content", packed([text_block('{"a": 1}')])), ("result/vendor", b"[1]")]
    odd = lifted(result(content="odd", structuredContent=[1]))
    assert (odd.data, odd.native) == (b"[1]", [("result/content", b'"odd"')])


def test_text_beside_a_structure_that_no_header_can_hold_makes_the_result_come_whole() -> None:
    members = {"content": [text_block("x" * 9000)], "structuredContent": {"a": 1}}
    answer = lifted(result(**members))
    assert (answer.get("datacontenttype"), answer.data, answer.native) == (WHOLE, packed(members), [])


def test_errors_are_failures_with_themselves_inside() -> None:
    error = {"code": -32602, "message": "no", "data": {"x": 1}}
    assert json.loads(lifted(rpc(id=1, error=error)).data) == {
        "code": "invalid_params", "message": "no", "retriable": False, "data": error,
    }  # fmt: skip
    failed = {"content": [text_block("busy")], "isError": True}
    assert json.loads(lifted(result(**failed)).data) == {
        "code": "tool_error", "message": "busy", "retriable": False, "data": failed,
    }  # fmt: skip


def test_notifications_become_progress_cancel_status_and_events() -> None:
    progress = lifted(
        rpc(method="notifications/progress", params={"progressToken": "t", "progress": 1, "total": 2, "x": 3})
    )
    assert (progress.kind, progress.data, progress.get("fabcorr")) == (
        "progress",
        b'{"progress":1,"total":2}',
        "czp0",
    )
    assert progress.native == [("params/x", b"3")]
    cancel = lifted(rpc(method="notifications/cancelled", params={"requestId": 5, "reason": "late"}))
    assert (cancel.kind, cancel.data, cancel.get("fabcorr")) == ("cancel", b'{"reason":"late"}', "aTo1")
    task = lifted(rpc(method="notifications/tasks", params={"taskId": "t", "status": "working"}))
    assert (task.kind, task.subject, task.get("datacontenttype")) == ("status", "t", WHOLE)
    event = lifted(rpc(method="notifications/resources/updated", params={"uri": "file:///x"}))
    assert (event.kind, event.subject, event.data) == ("event", "file:///x", b'{"uri":"file:///x"}')


def test_other_requests_come_whole_and_say_what_they_are_about() -> None:
    read = lifted(rpc(id=1, method="resources/read", params={"uri": "a:b", "_meta": {"k": 1}}))
    assert (read.kind, read.subject, read.get("fabmethod")) == ("request", "a:b", "resources/read")
    assert (read.data, read.native) == (b'{"uri":"a:b","_meta":{"k":1}}', [])
    assert lifted(rpc(id=1, method="ping")).data == b"{}"


# ---- lower


def test_an_event_is_a_resource_that_changed_with_its_data_beside() -> None:
    message = lower(envelope(b'{"t": 21.5}', subject="a/b c#d", fabproto="kafka")).message
    assert json.loads(message) == {
        "jsonrpc": "2.0",
        "method": "notifications/resources/updated",
        "params": {
            "uri": "fab://channel/a/b%20c%23d",
            "_meta": {
                "io.agentfabric/data": {"t": 21.5},
                "io.agentfabric/id": "e-1",
                "io.agentfabric/source": "/mqtt/t1",
                "io.agentfabric/fabproto": "kafka",
            },
        },
    }
    assert b'{"t": 21.5}' in message


def test_a_request_is_a_call_of_its_subject() -> None:
    message = lower(envelope(b'{"x":1}', fabkind="request", fabcorr="aTo3")).message
    assert json.loads(message) == call({"arguments": {"x": 1}, "_meta": {
        **MODERN_META, "io.agentfabric/id": "e-1", "io.agentfabric/source": "/mqtt/t1",
    }})  # fmt: skip
    legacy = json.loads(lower(envelope(fabkind="request"), revision="2025-11-25").message)
    assert (legacy["id"], MODERN_META.keys() & legacy["params"]["_meta"].keys()) == ("e-1", set())


@pytest.mark.parametrize(
    ("content_type", "data", "arguments", "form"),
    [
        ("application/json", b"21.5", {"data": 21.5}, "data"),
        (None, b"[1]", {"data": [1]}, "data"),
        ("text/csv", b"a,b", {"text": "a,b"}, "text"),
        ("image/png", b"\xff\0", {"data_base64": "/wA="}, "data_base64"),
        ("application/json", b"{bad", {"text": "{bad"}, "text"),
        ("application/json", b'{"a":1} 2', {"text": '{"a":1} 2'}, "text"),
    ],
)
def test_data_that_is_no_object_is_an_argument_by_itself(
    content_type: str | None, data: bytes, arguments: object, form: str
) -> None:
    said = {} if content_type is None else {"datacontenttype": content_type}
    message = lower(envelope(data, fabkind="request", **said)).message
    params = json.loads(message)["params"]
    assert (params["arguments"], params["_meta"]["io.agentfabric/argument"]) == (arguments, form)
    again = lifted(message)
    assert (again.data, again.get("datacontenttype")) == (data, content_type or "application/json")


def test_a_response_says_the_same_as_structure_and_as_text() -> None:
    message = json.loads(
        lower(envelope(b'{"a":1}', fabkind="response", fabcorr="czp4"), server_info=b'{"name":"n"}').message
    )
    assert message["id"] == "x"
    assert (
        message["result"]["structuredContent"]
        == json.loads(message["result"]["content"][0]["text"])
        == {"a": 1}
    )
    assert message["result"]["resultType"] == "complete"
    assert message["result"]["_meta"]["io.modelcontextprotocol/serverInfo"] == {"name": "n"}


def test_before_2026_only_objects_are_structured() -> None:
    modern = json.loads(lower(envelope(b"[1]", fabkind="response")).message)["result"]
    legacy = json.loads(lower(envelope(b"[1]", fabkind="response"), revision="2025-11-25").message)["result"]
    assert modern["structuredContent"] == [1]
    assert "structuredContent" not in legacy
    assert "resultType" not in legacy
    assert legacy["content"] == [text_block("[1]")]


def test_losses_are_told_earlier_ones_first() -> None:
    lowered = lower(
        envelope(
            b"{", datacontenttype="application/json", fabloss="NO_METADATA", expirytime="2026-11-21T04:00:00Z"
        )
    )
    told = json.loads(lowered.message)["params"]["_meta"]["io.agentfabric/loss"]
    assert told == ["NO_METADATA", "CONTENT_TYPE_GUESSED", "EXPIRY_UNENFORCED"]
    assert lowered.codes == "CONTENT_TYPE_GUESSED,EXPIRY_UNENFORCED"
    assert lifted(lowered.message).get("fabloss") == "NO_METADATA,CONTENT_TYPE_GUESSED,EXPIRY_UNENFORCED"


@pytest.mark.parametrize(
    "broken",
    [
        envelope(b"1", fabkind="error"),
        envelope(b'{"progress":"x"}', fabkind="progress"),
        envelope(b"{}", fabkind="cancel"),
        envelope(b"{}", fabkind="cancel", fabcorr="aTp4"),
    ],
)
def test_what_mcp_has_no_message_for_is_refused(broken: Envelope) -> None:
    with pytest.raises(CodecError):
        lower(broken)


# ---- there and back

WHOLES = [
    rpc(id=1, method="resources/read", params={"uri": "a:b", "x": 2**70}),
    rpc(id="1", method="tools/list", params={}),
    rpc(id=1, method="tasks/cancel", params={"taskId": "t"}),
    rpc(method="notifications/tasks", params={"taskId": "t", "status": "working", "_meta": {"x": 1.0}}),
    rpc(method="notifications/message", params={"level": "info", "data": [1]}),
    rpc(id=1, result={"tools": [], "ttlMs": 1}),
    rpc(id=1, result={"resultType": "input_required", "requestState": "x"}),
    rpc(id=1, result={"content": [text_block("a"), text_block("b")], "x": 1}),
    rpc(id=1, result={"content": [text_block("a")], "isError": True}),
    rpc(id=1, error={"code": -32601, "message": "no", "data": [1]}),
]


@pytest.mark.parametrize("message", WHOLES)
def test_what_comes_whole_leaves_byte_for_byte(message: dict[str, object]) -> None:
    assert lower(lifted(message)).message == packed(message)


def test_what_was_lost_is_spliced_into_a_whole_message() -> None:
    came = lifted(rpc(id=1, method="tools/list", params={"x": 1.50, "_meta": {"k": 1}}))
    message = lower(came.replace(fabloss="NO_METADATA")).message
    assert json.loads(message)["params"] == {
        "x": 1.5,
        "_meta": {"k": 1, "io.agentfabric/loss": ["NO_METADATA"]},
    }


KEPT = (
    "id",
    "type",
    "time",
    "subject",
    "fabkind",
    "datacontenttype",
    "correlationid",
    "causationid",
    "partitionkey",
    "ext1",
)


@given(envelopes(("request", "event", "presence", "status", "artifact")))
def test_there_and_back_keeps_what_no_loss_names(sent: Envelope) -> None:
    lowered = lower(sent)
    again = lifted(lowered.message)
    assert again.data == sent.data
    assert {name: again.get(name) for name in KEPT} == {name: sent.get(name) for name in KEPT}
    ours = [entry for entry in again.native if not entry[0].startswith("_meta/io.agentfabric/")]
    assert ours == sent.native
    assert lowered.losses == ()


@given(envelopes(("response",)), st.sampled_from(["2026-07-28", "2025-11-25"]))
def test_a_response_there_and_back_keeps_its_data(sent: Envelope, revision: str) -> None:
    again = lifted(lower(sent, revision=revision).message)
    assert again.data == sent.data
    assert {name: again.get(name) for name in KEPT} == {name: sent.get(name) for name in KEPT}
