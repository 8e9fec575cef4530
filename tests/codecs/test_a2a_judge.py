"""A2A against the official SDK, with generated protobuf messages: every operation over JSON-RPC and HTTP,
every item of a stream, what they write we read, and what we write they read."""

import json
from typing import Any

import pytest
from a2a.types import a2a_pb2
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fabric_codecs.a2a.lift import lift
from fabric_codecs.a2a.lower import lower
from fabric_codecs.a2a.messages import read_item, read_message, write_message
from fabric_codecs.a2a.operations import OPERATIONS, Operation
from fabric_codecs.a2a.rest import Call, read_request, write_request
from helpers.a2a_protos import protos_of
from helpers.golden_readers import EDGE
from helpers.json_envelopes import packed

SERVICE = a2a_pb2.DESCRIPTOR.services_by_name["A2AService"]
IDS = st.integers(-9, 2**53) | st.text("aü7", max_size=9)
calmly = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def request_of(operation: Operation) -> Any:
    return getattr(a2a_pb2, SERVICE.methods_by_name[operation.name].input_type.name)


def drawn(operation: Operation, data: st.DataObject) -> Any:
    """A request; a configuration is of a task, which its path names and the schema leaves open."""
    request = data.draw(protos_of(request_of(operation)))
    if "taskId" in operation.required and not request.task_id:
        request.task_id = "t"
    return request


def parsed(raw: bytes, kind: Any) -> Any:
    return json_format.Parse(raw, kind())


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
@calmly
@given(data=st.data(), id=IDS)
def test_any_request_of_the_sdk_is_read_and_comes_back_over_http(
    operation: Operation, data: st.DataObject, id: int | str
) -> None:
    request = drawn(operation, data)
    params = json_format.MessageToDict(request)
    raw = packed({"jsonrpc": "2.0", "id": id, "method": operation.name, "params": params})
    found = read_message(raw)
    assert (found.operation, write_message(found)) == (operation, raw)
    sent = write_request(Call(operation, packed(params)))
    again = read_request(sent.verb, sent.target, sent.body)
    assert again.operation == operation
    assert parsed(again.params, request_of(operation)) == request


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
@calmly
@given(data=st.data(), id=IDS)
def test_any_request_of_the_sdk_is_the_same_request_after_lift_and_lower(
    operation: Operation, data: st.DataObject, id: int | str
) -> None:
    request = drawn(operation, data)
    params = json_format.MessageToDict(request)
    raw = packed({"jsonrpc": "2.0", "id": id, "method": operation.name, "params": params})
    left = json.loads(lower(lift(raw, **EDGE).message).message)
    assert (left["method"], left["id"]) == (operation.name, id)
    again = json_format.ParseDict(left["params"], request_of(operation)())
    if "message" not in params:
        assert again == request
        return
    assert again.message.message_id == request.message.message_id
    assert again.message.context_id == request.message.context_id
    assert again.message.task_id == request.message.task_id
    assert len(again.message.parts) == len(request.message.parts)
    assert again.configuration == request.configuration


@calmly
@given(protos_of(a2a_pb2.StreamResponse), IDS)
def test_any_item_of_the_sdk_is_read_and_leaves_as_the_same(response: Any, id: int | str) -> None:
    said = json_format.MessageToDict(response)
    (kind,) = said
    item = read_item(packed(said))
    assert (item.kind, json.loads(item.raw)) == (kind, said[kind])
    raw = packed({"jsonrpc": "2.0", "id": id, "result": said})
    left = json.loads(lower(lift(raw, **EDGE).message).message)
    assert left["id"] == id
    if "result" in left:  # a task that ended badly is a failure, with the task inside
        again = json_format.ParseDict(left["result"], a2a_pb2.StreamResponse())
        assert again.WhichOneof("payload") == response.WhichOneof("payload")
        if kind != "message":
            assert again == response
    else:
        assert said[kind]["status"]["state"] in (
            "TASK_STATE_FAILED",
            "TASK_STATE_REJECTED",
            "TASK_STATE_CANCELED",
        )
