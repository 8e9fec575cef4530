"""Every operation of A2A in both bindings and both versions. The judge is the official SDK: its protobuf
descriptors for the table, ProtoJSON for the messages, its own conversions for 0.3."""

import json
import re
from typing import Any

import pytest
from a2a.compat.v0_3 import types as old_types
from a2a.types import a2a_pb2
from google.api import annotations_pb2
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from fabric_codecs.a2a.faults import Fault, error_data
from fabric_codecs.a2a.lift import lift
from fabric_codecs.a2a.lower import lower
from fabric_codecs.a2a.messages import read_item, read_message, with_metadata, write_message
from fabric_codecs.a2a.operations import OPERATIONS, Operation, find_operation
from fabric_codecs.a2a.rest import Call, read_error, read_request, status_of, write_error, write_request
from fabric_codecs.a2a.spelling import METHODS, to_old
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from helpers.json_envelopes import NOW_US, envelopes, malformed, packed

SERVICE = a2a_pb2.DESCRIPTOR.services_by_name["A2AService"]
MESSAGE = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x"}]}
VALUES: dict[str, object] = {"message": MESSAGE, "id": "t/1 ü:x", "taskId": "task-1"}


def smallest(operation: Operation) -> dict[str, object]:
    return {name: VALUES[name] for name in operation.required}


def rpc(method: str, params: object, **more: object) -> bytes:
    return packed({"jsonrpc": "2.0", "id": 7, "method": method, "params": params, **more})


# ---- The table


def test_the_table_is_that_of_the_service_description() -> None:
    assert {operation.name for operation in OPERATIONS} == {method.name for method in SERVICE.methods}
    for operation in OPERATIONS:
        described = SERVICE.methods_by_name[operation.name]
        rule = described.GetOptions().Extensions[annotations_pb2.http]
        verb = rule.WhichOneof("pattern")
        path = re.sub(
            r"\{(\w+)=\*\}",
            lambda found: "{" + found[1].replace("task_id", "taskId") + "}",
            getattr(rule, verb),
        )
        assert verb.upper() in (operation.verb, *operation.verbs_too)
        assert (operation.path, operation.streams) == (path, described.server_streaming)
        assert operation.query.keys() | operation.required.keys() <= {
            field.json_name for field in described.input_type.fields
        }


def test_every_operation_has_the_name_that_0_3_gave_it() -> None:
    assert {operation.name: operation.old_name for operation in OPERATIONS if operation.old_name} == METHODS
    assert find_operation("message/send") is find_operation("SendMessage")


# ---- JSON-RPC


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_what_was_read_is_written_byte_for_byte(operation: Operation) -> None:
    raw = rpc(operation.name, smallest(operation) | {"x": [1.50, 2**70]}, vendor={})
    raw = raw.replace(b"1.5,", b"1.50 ,")
    found = read_message(raw)
    assert (found.operation, found.version, write_message(found)) == (operation, "1.0", raw)
    for name in operation.required:
        params = {key: value for key, value in smallest(operation).items() if key != name}
        with pytest.raises(CodecError, match=f"{name} is missing") as refused:
            read_message(rpc(operation.name, params))
        assert refused.value.reason == Fault.INVALID_PARAMS


def test_answers_tell_their_version_by_their_kind() -> None:
    assert read_message(b'{"jsonrpc":"2.0","id":1,"result":{"kind":"task"}}').version == "0.3"
    assert read_message(b'{"jsonrpc":"2.0","id":1,"result":{"task":{}}}').version == "1.0"
    assert read_message(b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}').operation is None


@pytest.mark.parametrize(
    ("message", "reason", "said"),
    [
        (rpc("NoSuch", {}), -32601, "no method"),
        (b'{"jsonrpc":"2.0","method":"GetTask"}', -32600, "no notifications"),
        (rpc("GetTask", {"id": 7}), -32602, "of type number"),
        (rpc("SendMessage", {"message": []}), -32602, "of type array"),
        (rpc("tasks/get", {}), -32602, "id is missing"),
        (rpc("tasks/pushNotificationConfig/set", {}), -32602, "taskId is missing"),
        (b"[]", -32600, "a batch"),
        (b"{", -32700, "name in double quotes"),
    ],
)
def test_a_malformed_message_is_refused_with_the_reason(message: bytes, reason: int, said: str) -> None:
    with pytest.raises(CodecError, match=said) as refused:
        read_message(message)
    assert refused.value.reason == reason


def test_a_message_cut_or_bent_anywhere_is_refused_with_the_place() -> None:
    for broken in malformed(rpc("SendMessage", {"message": MESSAGE})):
        with pytest.raises(CodecError) as refused:
            read_message(broken)
        assert 0 <= refused.value.offset <= len(broken)


# ---- Items of streams

STATUS = {"state": "TASK_STATE_WORKING"}


@pytest.mark.parametrize(
    ("result", "kind", "version"),
    [
        ({"task": {"id": "t", "status": STATUS}}, "task", "1.0"),
        ({"message": MESSAGE}, "message", "1.0"),
        ({"statusUpdate": {"taskId": "t", "status": STATUS}}, "statusUpdate", "1.0"),
        ({"artifactUpdate": {"taskId": "t", "artifact": {}}}, "artifactUpdate", "1.0"),
        ({"kind": "artifact-update", "taskId": "t", "artifact": {}}, "artifactUpdate", "0.3"),
        ({"kind": "status-update", "taskId": "t", "status": {}}, "statusUpdate", "0.3"),
    ],
)
def test_an_item_is_one_of_four(result: dict[str, object], kind: str, version: str) -> None:
    item = read_item(packed(result))
    assert (item.kind, item.version) == (kind, version)
    assert json.loads(item.raw) == (result if version == "0.3" else result[kind])


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({}, "here are none"),
        ({"task": {}, "message": {}}, "task and message"),
        ({"kind": "odd"}, "of kind 'odd'"),
        ({"task": {"id": "t"}}, "task.status is no object"),
        ({"message": MESSAGE | {"parts": {}}}, "parts is no array"),
        ({"statusUpdate": {"status": {}}}, "taskId is no string"),
        ({"task": []}, "task is no object"),
    ],
)
def test_an_item_that_is_none_is_refused(result: object, said: str) -> None:
    with pytest.raises(CodecError, match=said):
        read_item(packed(result))


def test_a_hop_changes_its_own_metadata_and_no_other_byte() -> None:
    raw = b'{ "id":"t","metadata":{ "a": 1.50 },"x":[ ]}'
    assert with_metadata(raw, {"k": b"1"}) == b'{ "id":"t","metadata":{ "a": 1.50 ,"k":1},"x":[ ]}'
    assert with_metadata(b'{"id":"t"}', {"k": b"1"}) == b'{"id":"t","metadata":{"k":1}}'


# ---- HTTP+JSON


@pytest.mark.parametrize("tenant", ["", "acme ü"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_a_call_goes_over_http_and_comes_back(operation: Operation, tenant: str) -> None:
    query = {"historyLength": 3, "includeArtifacts": True, "contextId": "c&1", "pageSize": 2}
    params = smallest(operation) | {name: value for name, value in query.items() if name in operation.query}
    sent = write_request(Call(operation, packed(params), tenant), prefix="")
    again = read_request(sent.verb, sent.target, sent.body)
    assert (again.operation, again.tenant) == (operation, tenant)
    assert json.loads(again.params) == params | ({"tenant": tenant} if tenant else {})


def test_a_body_stays_as_it_is_beside_what_the_path_says() -> None:
    body = b'{ "url":"https://x", "n": 1.50 }'
    call = read_request("POST", "/v1/tasks/t-1/pushNotificationConfigs?A2A-Version=1.0", body)
    assert call.params == b'{ "url":"https://x", "n": 1.50 ,"taskId":"t-1"}'
    assert read_request("GET", "/tasks/t:subscribe").operation.name == "SubscribeToTask"


@pytest.mark.parametrize(
    ("verb", "target", "body", "reason", "said"),
    [
        ("GET", "/nothing", b"", -32601, "no operation has the path"),
        ("PUT", "/tasks/t", b"", -32601, "no operation takes PUT"),
        ("GET", "/tasks/", b"", -32601, "no operation has the path"),
        ("POST", "/tasks/t:fly", b"", -32601, "no operation has the path"),
        ("POST", "/tasks/:cancel", b"", -32601, "no operation has the path"),
        ("GET", "/tasks/%ff", b"", -32602, "not UTF-8"),
        ("POST", "/message:send", b"{", -32700, "name in double quotes"),
        ("POST", "/message:send", b"{}", -32602, "message is no object"),
        ("POST", "/message:send", b"[]", -32700, "no object"),
        ("GET", "/tasks/t?historyLength=x", b"", -32602, "a number is needed"),
        ("GET", "/tasks?includeArtifacts=1", b"", -32602, "a boolean is needed"),
        ("GET", "/tasks/t?historyLength=1&historyLength=2", b"", -32602, "twice"),
        ("GET", "/tasks?" + "&".join(f"a{n}=1" for n in range(40)), b"", -32602, "cannot be read"),
        ("GET", "/tasks?contextId=%ff", b"", -32602, "cannot be read"),
        ("POST", "/tasks/t:cancel", b'{"id":"u"}', -32602, "another in the body"),
        ("GET", "/tasks/" + "x" * 9000, b"", -32602, "allowed are"),
    ],
)
def test_a_malformed_request_is_refused_with_the_reason(
    verb: str, target: str, body: bytes, reason: int, said: str
) -> None:
    with pytest.raises(CodecError, match=said) as refused:
        read_request(verb, target, body)
    assert refused.value.reason == reason


@pytest.mark.parametrize("fault", Fault)
def test_an_error_keeps_its_code_over_http(fault: Fault) -> None:
    status, body = write_error(int(fault), "no", error_data(fault.name))
    assert status == status_of(int(fault))[0]
    assert read_error(body)[:2] == (int(fault), "no")


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"error":{}}',
        b'{"error":{"code":"x","message":"y"}}',
        b'{"error":{"code":1.5,"message":"y"}}',
        b"[",
    ],
)
def test_a_body_that_is_no_error_is_refused(body: bytes) -> None:
    with pytest.raises(CodecError):
        read_error(body)


def test_an_error_of_somebody_else_keeps_its_status() -> None:
    assert (
        read_error(b'{"error":{"code":429,"message":"slow","details":[{"domain":"x","reason":"Y"}]}}')[0]
        == 429
    )


# ---- The judge: ProtoJSON of the official SDK

STRUCT = st.dictionaries(
    st.text("abc", min_size=1), st.integers(-9, 9) | st.text("xyz") | st.booleans(), max_size=2
)
WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)


@st.composite
def messages(draw: Any) -> a2a_pb2.Message:
    message = a2a_pb2.Message(
        message_id=draw(WORDS), role=draw(st.sampled_from([1, 2])), context_id=draw(WORDS)
    )
    for _ in range(draw(st.integers(1, 2))):
        part = message.parts.add(media_type=draw(st.sampled_from(["", "text/csv"])))
        match draw(st.integers(0, 3)):
            case 0:
                part.text = draw(st.text(st.characters(exclude_categories=("Cs",)), max_size=8))
            case 1:
                part.raw = draw(st.binary(max_size=8))
            case 2:
                part.url = "https://x"
            case _:
                json_format.ParseDict(draw(STRUCT), part.data.struct_value)
    message.metadata.update(draw(STRUCT))
    return message


@given(messages())
def test_what_the_sdk_sends_is_lifted_and_what_leaves_says_the_same(message: a2a_pb2.Message) -> None:
    request = a2a_pb2.SendMessageRequest(message=message)
    raw = rpc("SendMessage", json.loads(json_format.MessageToJson(request)))
    envelope = lift(raw, source="/a2a/x", fresh_id="f", now_us=NOW_US).message
    if message.role == a2a_pb2.ROLE_USER or len(message.parts) == 1:
        left = json.loads(lower(envelope).message)["params"]
        again = json_format.ParseDict(left, a2a_pb2.SendMessageRequest()).message
        assert (again.message_id, again.context_id, again.role) == (
            message.message_id,
            message.context_id,
            message.role,
        )
        assert [content(part) for part in again.parts] == [content(part) for part in message.parts]


def content(part: a2a_pb2.Part) -> object:
    """What a part holds; bytes that are said to be text may come as text."""
    return part.url or part.raw or part.text.encode() or json_format.MessageToDict(part.data)


@given(envelopes(("request", "event", "presence")))
def test_what_we_send_is_a_request_to_the_sdk(envelope: Envelope) -> None:
    params = json.loads(lower(envelope).message)["params"]
    request = json_format.ParseDict(params, a2a_pb2.SendMessageRequest())
    assert request.message.message_id == envelope.id


@given(envelopes(("response", "progress", "status", "artifact")))
def test_what_we_answer_is_an_item_to_the_sdk(envelope: Envelope) -> None:
    result = json.loads(lower(envelope, task_id="t", context_id="c").message)["result"]
    item = json_format.ParseDict(result, a2a_pb2.StreamResponse())
    assert (
        read_item(packed(result)).kind
        == json_format.MessageToDict(item, preserving_proto_field_name=False).popitem()[0]
    )


@given(envelopes(("request", "event", "response", "status")))
def test_what_we_send_in_0_3_is_taken_by_the_sdks_types_of_0_3(envelope: Envelope) -> None:
    message = json.loads(lower(envelope, version="0.3", task_id="t", context_id="c").message)
    if "method" in message:
        old_types.MessageSendParams.model_validate(message["params"])
        return
    kinds = {"message": old_types.Message, "status-update": old_types.TaskStatusUpdateEvent}
    kinds[message["result"]["kind"]].model_validate(message["result"])


@given(messages())
def test_a_message_of_the_sdk_is_one_in_0_3(message: a2a_pb2.Message) -> None:
    raw = rpc("SendMessage", {"message": json_format.MessageToDict(message)})
    old = json.loads(to_old(raw))["params"]["message"]
    read = old_types.Message.model_validate(old)
    assert (read.message_id, read.role.value) == (message.message_id, {1: "user", 2: "agent"}[message.role])
    assert len(read.parts) == len(message.parts)
