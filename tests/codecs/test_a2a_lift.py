"""A2A messages as calls: which tool, which arguments, what is lost, who caused it."""

import base64
import json
from typing import Any

import pytest

from fabric_codecs.a2a.call import choose_tool, lift_call, tool_named
from fabric_codecs.a2a.faults import Fault
from fabric_codecs.a2a.params import read_send
from fabric_codecs.core.jsonrpc import Rpc, corr_of_id, read_rpc
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.losses import Translation


def sent(*parts: object, metadata: object = None, outer: object = None, **message: Any) -> Rpc:
    fields = {"messageId": "m-1", "role": "ROLE_USER", "parts": parts, "metadata": metadata} | message
    return asked({"message": fields, "metadata": outer})


def asked(params: dict[str, object]) -> Rpc:
    return read_rpc(
        json.dumps({"jsonrpc": "2.0", "id": "n:1", "method": "SendMessage", "params": params}).encode()
    )


def lift(rpc: Rpc, **changes: Any) -> Translation[Envelope]:
    given: dict[str, Any] = {
        "target": "thermostat.set",
        "source": "/a2a/planner",
        "context_id": "c-1",
        "now_us": 1_795_233_600_000_000,
    }
    return lift_call(rpc, read_send(rpc.params), **given | changes)


def raw(value: bytes, media_type: str | None = "application/json") -> dict[str, object]:
    return {"raw": base64.b64encode(value).decode(), "mediaType": media_type}


@pytest.mark.parametrize(
    ("asked", "offered", "chosen"),
    [
        ("add", ("ask", "add"), "add"),
        ("fly", ("ask", "add"), None),
        ("fly", ("add",), None),
        (None, ("add", "ask"), "ask"),
        (None, ("add",), "add"),
        (None, ("add", "fly"), None),
        (None, (), None),
        ("", ("add",), None),
    ],
)
def test_tool_is_the_one_named_else_ask_else_the_only_one(
    asked: str | None, offered: tuple[str, ...], chosen: str | None
) -> None:
    assert choose_tool(asked, offered) == chosen


def test_call_takes_its_attributes_from_message_and_edge() -> None:
    metadata = {"io.agentfabric/causationid": "e-0", "io.agentfabric/tool": "set", "other": [1]}
    envelope = lift(sent({"text": "warm"}, metadata=metadata), traceparent="00-aa-bb-01").message
    assert envelope.attributes() == {
        "id": "m-1",
        "source": "/a2a/planner",
        "type": "io.agentfabric.request",
        "time": "2026-11-21T04:00:00.000000Z",
        "subject": "thermostat.set",
        "datacontenttype": "application/json",
        "correlationid": "c-1",
        "causationid": "e-0",
        "traceparent": "00-aa-bb-01",
        "fabkind": "request",
        "fabproto": "a2a",
        "fabver": "1.0",
        "fabmethod": "SendMessage",
        "fabcorr": corr_of_id(b'"n:1"'),
    }


def test_conversation_in_metadata_comes_before_the_context() -> None:
    send = sent({"text": "a"}, metadata={"io.agentfabric/conversation": "story-1"})
    assert lift(send).message.correlationid == "story-1"


def test_metadata_of_the_message_comes_before_metadata_of_the_request() -> None:
    rpc = sent(
        {"text": "a"},
        metadata={"io.agentfabric/tool": "inner", "io.agentfabric/conversation": "near"},
        outer={
            "io.agentfabric/tool": "outer",
            "io.agentfabric/conversation": "far",
            "io.agentfabric/causationid": "e-1",
        },
    )
    envelope = lift(rpc).message
    assert tool_named(read_send(rpc.params)) == "inner"
    assert (envelope.correlationid, envelope.causationid) == ("near", "e-1")


def test_unknown_metadata_and_members_are_kept_beside_one_part_or_several() -> None:
    for parts in ([{"data": {"a": 1}}], [{"text": "please"}, {"data": {"a": 1}}]):
        rpc = sent(
            *parts, metadata={"com.example/x": [1.50]}, outer={"com.example/y": "z"}, extensions=["urn:x"]
        )
        envelope = lift(rpc).message
        assert envelope.data == b'{"a": 1}'
        assert dict(envelope.native) == {
            "metadata/com.example/x": b"[1.5]",
            "request/com.example/y": b'"z"',
            "message/extensions": b'["urn:x"]',
        }


@pytest.mark.parametrize("kind", ["event", "response", "cancel"])
def test_message_that_says_it_carries_something_else_is_a_call_all_the_same(kind: str) -> None:
    envelope = lift(sent({"text": "a"}, metadata={"io.agentfabric/fabkind": kind})).message
    assert (envelope.kind, envelope.type) == ("request", "io.agentfabric.request")
    assert envelope.get("fabcorr") == corr_of_id(b'"n:1"')


def test_mark_cannot_change_what_the_edge_knows() -> None:
    said = {
        "source": "/x/y",
        "fabproto": "mqtt",
        "subject": "a.b",
        "datacontenttype": "text/xml",
        "fabreply": "z",
    }
    metadata = {f"io.agentfabric/{name}": value for name, value in said.items()}
    envelope = lift(sent({"data": {}}, metadata=metadata)).message
    assert (envelope.source, envelope.subject) == ("/a2a/planner", "thermostat.set")
    assert (envelope.get("fabproto"), envelope.get("fabreply")) == ("a2a", None)
    assert envelope.get("datacontenttype") == "application/json"


@pytest.mark.parametrize(
    ("parts", "arguments"),
    [
        ([{"text": "warm"}], b'{"text":"warm"}'),
        ([{"text": "a"}, {"text": 'b"'}], b'{"text":"a\\nb\\""}'),
        ([{"text": ""}], b'{"text":""}'),
        ([{"data": {"celsius": 21.5}}], b'{"celsius": 21.5}'),
        ([{"data": {}}], b"{}"),
        ([raw(b' {"n":9007199254740993} ')], b'{"n":9007199254740993}'),
        ([raw(b'{"n":1}', "application/json; charset=utf-8")], b'{"n":1}'),
    ],
)
def test_parts_become_arguments(parts: list[object], arguments: bytes) -> None:
    translation = lift(sent(*parts))
    assert (translation.message.data, translation.losses) == (arguments, ())


@pytest.mark.parametrize(
    ("data", "arguments"),
    [
        (b'{"a":3.0}', b'{"a":3}'),
        (b'{"a":[3.0, -4.000 ,5.0]}', b'{"a":[3, -4 ,5]}'),
        (b'{"a":3.05,"b":3.0e2,"c":0.5}', b'{"a":3.05,"b":3.0e2,"c":0.5}'),
        (b'{"1.0":"2.0, 3.0]","q":"\\"4.0"}', b'{"1.0":"2.0, 3.0]","q":"\\"4.0"}'),
    ],
)
def test_whole_doubles_become_integers_and_nothing_else_changes(data: bytes, arguments: bytes) -> None:
    sent = b'{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"data":' + data + b"}]}}"
    rpc = read_rpc(b'{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":' + sent + b"}")
    assert lift(rpc).message.data == arguments


def test_first_object_is_taken_and_every_other_part_is_a_loss() -> None:
    parts = [
        {"text": "please"},
        {"data": [1]},
        {"data": {"a": 1}},
        {"data": {"a": 2}},
        {"url": "https://example.org/a.pdf"},
        raw(b"\0", "image/png") | {"filename": "a.png"},
    ]
    translation = lift(sent(*parts))
    assert json.loads(translation.message.data) == {"a": 1}
    assert [(loss.code, loss.field) for loss in translation.losses] == [
        ("PART_UNMAPPED", f"parts[{number}]") for number in (0, 1, 3, 4, 5)
    ]
    assert translation.losses[-1].outcome == "a.png does not reach the tool"


def test_equal_parts_are_told_apart() -> None:
    translation = lift(sent({"data": {}}, {"data": {}}))
    assert [loss.field for loss in translation.losses] == ["parts[1]"]


@pytest.mark.parametrize(
    "part", [{"url": "https://example.org"}, {"data": [1]}, {"data": None}, raw(b"x", "image/png")]
)
def test_message_without_content_for_a_tool_is_refused(part: object) -> None:
    with pytest.raises(CodecError, match="send text") as caught:
        lift(sent(part))
    assert caught.value.reason == Fault.CONTENT_TYPE_NOT_SUPPORTED


@pytest.mark.parametrize(
    "content", ["!", "é", base64.b64encode(b"{").decode(), base64.b64encode(b'{"a":1,"a":2}').decode()]
)
def test_raw_json_that_cannot_be_read_is_refused(content: str) -> None:
    with pytest.raises(CodecError, match="application/json cannot be read"):
        lift(sent({"raw": content, "mediaType": "application/json"}))


def test_metadata_of_a_part_that_is_taken_is_a_loss() -> None:
    (loss,) = lift(sent({"data": {}, "metadata": {"page": 2}})).losses
    assert (loss.code, loss.field) == ("PART_UNMAPPED", "parts[0].metadata")


@pytest.mark.parametrize("metadata", ["x", [], 7, {"io.agentfabric/tool": 7}])
def test_metadata_of_a_wrong_type_is_refused(metadata: object) -> None:
    with pytest.raises(CodecError, match=r"params\.message\.metadata") as caught:
        tool_named(read_send(sent({"text": "a"}, metadata=metadata).params))
    assert caught.value.reason == Fault.INVALID_PARAMS


@pytest.mark.parametrize("outer", [True, False])
def test_cause_that_is_no_text_is_refused_within_the_request(outer: bool) -> None:
    rpc = sent({"text": "a"}, **{"outer" if outer else "metadata": {"io.agentfabric/causationid": {}}})
    with pytest.raises(CodecError, match="causationid") as caught:
        lift(rpc)
    assert caught.value.reason == Fault.INVALID_PARAMS
    assert caught.value.offset == rpc.body.offset("params")


@pytest.mark.parametrize("field", ["causationid", "conversation"])
def test_line_break_in_an_attribute_cannot_enter_an_envelope(field: str) -> None:
    with pytest.raises(CodecError):
        lift(sent({"text": "a"}, metadata={f"io.agentfabric/{field}": "a\r\nb"}))
