"""A2A messages and envelopes of any origin: what each becomes in the other form, in 1.0 and in 0.3."""

import base64
import json

import pytest
from hypothesis import given

from fabric_codecs.a2a.lift import WHOLE
from fabric_codecs.a2a.lower import lower
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.losses import LossCode
from fabric_codecs.translate.message import translate
from helpers.a2a_messages import lifted, old, rpc, sent, status
from helpers.json_envelopes import NOW_US, envelope, envelopes, packed

TASK = {"id": "t-1", "contextId": "c-1", "status": {"state": "TASK_STATE_WORKING"}}
RAW = base64.b64encode(b"\xff\0").decode()


# ---- lift


def test_a_message_becomes_a_request_with_what_its_one_part_holds() -> None:
    message = sent(
        {"data": {"x": 1.50}}, contextId="c-1", metadata={"k": [1], "io.agentfabric/causationid": "e-0"}
    )
    request = lifted(message, target="a.b", traceparent="00-a-b-01")
    assert request.data == b'{"x":1.5}'
    assert request.attributes() == {
        "id": "m-1",
        "source": "/a2a/ann",
        "type": "io.agentfabric.request",
        "subject": "a.b",
        "time": "2026-11-21T04:00:00.000000Z",
        "datacontenttype": "application/json",
        "traceparent": "00-a-b-01",
        "correlationid": "c-1",
        "causationid": "e-0",
        "fabkind": "request",
        "fabproto": "a2a",
        "fabver": "1.0",
        "fabmethod": "SendMessage",
        "fabcorr": "aTo3",
    }
    assert request.native == [("metadata/k", b"[1]")]


@pytest.mark.parametrize(
    ("part", "content_type", "data"),
    [
        ({"text": 'say "hi"'}, "text/plain", b'say "hi"'),
        ({"text": "a,b", "mediaType": "text/csv"}, "text/csv", b"a,b"),
        ({"data": [1, 2.0]}, "application/json", b"[1,2.0]"),
        ({"data": None, "mediaType": "application/x+json"}, "application/x+json", b"null"),
        ({"raw": RAW}, "application/octet-stream", b"\xff\0"),
        ({"raw": RAW, "mediaType": "image/png"}, "image/png", b"\xff\0"),
        ({"url": "https://x"}, WHOLE, None),
        ({"text": "x", "filename": "f"}, WHOLE, None),
        ({"text": "x", "metadata": {"k": 1}}, WHOLE, None),
    ],
)
def test_a_part_is_what_it_holds_or_the_message_comes_whole(
    part: object, content_type: str, data: bytes | None
) -> None:
    message = sent(part)
    request = lifted(message)
    assert request.get("datacontenttype") == content_type
    assert request.data == (packed(message["params"]["message"]) if data is None else data)  # type: ignore[index]


@pytest.mark.parametrize(
    ("part", "content_type", "data"),
    [
        ({"kind": "text", "text": "x"}, "text/plain", b"x"),
        ({"kind": "data", "data": {"a": 1}}, "application/json", b'{"a":1}'),
        ({"kind": "file", "file": {"bytes": RAW, "mimeType": "image/png"}}, "image/png", b"\xff\0"),
        ({"kind": "file", "file": {"uri": "https://x"}}, WHOLE, None),
        ({"text": "x"}, WHOLE, None),
    ],
)
def test_parts_of_0_3_are_read_by_their_kind(part: object, content_type: str, data: bytes | None) -> None:
    request = lifted(old(part))
    assert (request.get("datacontenttype"), request.get("fabver")) == (content_type, "0.3")
    if data is not None:
        assert (request.data, request.native) == (data, [])


def test_several_parts_come_whole_and_beside_them_what_the_request_said() -> None:
    message = sent({"text": "a"}, {"text": "b"}, contextId="c-1", taskId="t-1")
    message["params"] |= {"configuration": {"historyLength": 1}, "metadata": {"k": 1}}  # type: ignore[operator]
    request = lifted(message)
    assert (request.get("datacontenttype"), request.correlationid) == (WHOLE, "c-1")
    assert request.native == [("request/k", b"1"), ("params/configuration", b'{"historyLength":1}')]


@pytest.mark.parametrize(
    ("result", "kind", "method", "subject"),
    [
        ({"task": TASK}, "status", "task", "t-1"),
        (TASK, "status", "result", "t-1"),
        ({"statusUpdate": status("TASK_STATE_WORKING")}, "status", "statusUpdate", "t-1"),
        ({"statusUpdate": status("TASK_STATE_COMPLETED")}, "response", "statusUpdate", "t-1"),
        (
            {"artifactUpdate": {"taskId": "t-1", "contextId": "c-1", "artifact": {}}},
            "artifact",
            "artifactUpdate",
            "t-1",
        ),
        ({"kind": "status-update", **status("working")}, "status", "statusUpdate", "t-1"),
        ({"kind": "task", **TASK, "status": {"state": "completed"}}, "response", "task", "t-1"),
        ({"tasks": [], "nextPageToken": ""}, "response", "result", None),
    ],
)
def test_tasks_and_their_events_come_whole(
    result: object, kind: str, method: str, subject: str | None
) -> None:
    event = lifted(rpc(result=result))
    assert (event.kind, event.get("fabmethod"), event.subject) == (kind, method, subject)
    assert event.get("datacontenttype") == WHOLE


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("TASK_STATE_FAILED", "failed"),
        ("TASK_STATE_REJECTED", "refused"),
        ("TASK_STATE_CANCELED", "cancelled"),
    ],
)
def test_a_task_that_ended_badly_is_a_failure_with_itself_inside(state: str, code: str) -> None:
    update = status(state, status={"state": state, "message": {"parts": [{"text": "why"}]}})
    failure = json.loads(lifted(rpc(result={"statusUpdate": update})).data)
    assert failure == {"code": code, "message": "why", "retriable": False, "data": update}


@pytest.mark.parametrize(
    ("metadata", "message", "failure"),
    [
        ({}, None, ("failed", "the task is failed", False)),
        ({"code": "late", "retriable": True}, "too late", ("late", "too late", True)),
        ({"code": "", "retriable": False}, "", ("failed", "", False)),
        ({"code": 7, "retriable": "true"}, None, ("failed", "the task is failed", False)),
    ],
)
def test_a_failure_is_told_in_the_agents_own_words(
    metadata: dict[str, object], message: str | None, failure: tuple[str, str, bool]
) -> None:
    marks = {f"io.agentfabric/{name}": value for name, value in metadata.items()}
    said = {"message": {"parts": [{"text": message}, {"text": "and more"}]}} if message is not None else {}
    ended = status("", status={"state": "TASK_STATE_FAILED", **said}, metadata=marks)
    told = json.loads(lifted(rpc(result={"statusUpdate": ended})).data)
    assert (told["code"], told["message"], told["retriable"]) == failure


@pytest.mark.parametrize(
    "parts", [[{"raw": "!"}], [{"raw": 7}], [{"url": "https://x"}], [{"text": "a"}, {"text": "b"}], []]
)
def test_an_update_that_says_it_is_ours_and_has_no_such_content_comes_whole(parts: list[object]) -> None:
    artifact = {"taskId": "t-1", "artifact": {"artifactId": "a", "parts": parts}}
    update = {**artifact, "metadata": {"io.agentfabric/id": "e-1", "k": 1}}
    event = lifted(rpc(result={"artifactUpdate": update}))
    assert (event.data, event.get("datacontenttype"), event.native) == (packed(update), WHOLE, [])


def test_operations_come_whole_and_a_cancel_is_one() -> None:
    get = lifted(rpc(method="GetTask", params={"id": "t-1", "historyLength": 2}))
    assert (get.kind, get.subject, get.data) == ("request", "t-1", b'{"id":"t-1","historyLength":2}')
    assert [lifted(rpc(method=m, params={"id": "t"})).kind for m in ("CancelTask", "tasks/cancel")] == [
        "cancel"
    ] * 2


# ---- lower


def test_a_message_that_says_it_is_a_request_is_one_with_its_id() -> None:
    request = lifted(sent({"text": "a"}, metadata={"io.agentfabric/fabkind": "request"}))
    assert (request.kind, request.get("fabcorr")) == ("request", "aTo3")


def test_an_answer_of_0_3_comes_whole_with_the_id_and_the_context_of_its_message() -> None:
    result = {"kind": "message", "messageId": "m-9", "contextId": "c-1", "parts": []}
    event = lifted(rpc(result=result))
    assert (event.id, event.correlationid, event.data) == ("m-9", "c-1", packed(result))


def test_a_message_beside_an_answer_is_none_of_it() -> None:
    ours, other = ({"messageId": name, "parts": [{"text": name}]} for name in ("m-1", "m-2"))
    for message in (
        {"jsonrpc": "2.0", "id": 7, "result": {"message": ours}, "params": {"message": other}},
        {"jsonrpc": "2.0", "id": 7, "params": {"message": other}, "result": {"x": 1}},
    ):
        event = lifted(message)
        assert (event.id, event.data) == ("f-1", packed(message["result"]))


def test_an_event_is_a_message_that_waits_for_nothing() -> None:
    message = lower(envelope(b'{"t": 21.5}', subject="a.b", fabproto="kafka")).message
    assert json.loads(message) == {
        "jsonrpc": "2.0",
        "id": "e-1",
        "method": "SendMessage",
        "params": {
            "message": {
                "messageId": "e-1",
                "role": "ROLE_USER",
                "parts": [{"data": {"t": 21.5}}],
                "metadata": {
                    "io.agentfabric/source": "/mqtt/t1",
                    "io.agentfabric/subject": "a.b",
                    "io.agentfabric/fabkind": "event",
                    "io.agentfabric/fabproto": "kafka",
                },
            },
            "configuration": {"returnImmediately": True},
        },
    }
    assert b'{"t": 21.5}' in message
    assert lifted(message).get("fabcorr") is None  # the id of the request is nobody's correlation


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (
            b'{"n":9007199254740993}',
            {"raw": base64.b64encode(b'{"n":9007199254740993}').decode(), "mediaType": "application/json"},
        ),
        (b"1e400", {"raw": base64.b64encode(b"1e400").decode(), "mediaType": "application/json"}),
        (b"9007199254740992", {"data": 9007199254740992}),
        (b"0.1000000000000000", {"data": 0.1}),
    ],
)
def test_numbers_that_a_double_does_not_hold_go_as_bytes(data: bytes, part: object) -> None:
    message = lower(envelope(data)).message
    assert json.loads(message)["params"]["message"]["parts"] == [part]
    assert lifted(message).data == data


def test_numbers_keep_their_digits_on_the_way_from_another_json_message() -> None:
    call = rpc(method="tools/call", params={"name": "t", "arguments": {"x": 2**70}})
    message = translate(packed(call), "mcp", "a2a", origin="/x", now_us=NOW_US, fresh_id="e-1").message
    (part,) = json.loads(message)["params"]["message"]["parts"]
    assert base64.b64decode(part["raw"]) == packed({"x": 2**70})


def test_a_response_is_the_agents_message_in_its_context() -> None:
    result = json.loads(lower(envelope(b"1", fabkind="response", correlationid="c-1"), task_id="t").message)[
        "result"
    ]
    told = {name: result["message"][name] for name in ("messageId", "role", "contextId", "taskId", "parts")}
    assert told == {
        "messageId": "e-1",
        "role": "ROLE_AGENT",
        "contextId": "c-1",
        "taskId": "t",
        "parts": [{"data": 1}],
    }


def test_a_step_is_a_status_of_the_task_and_comes_back_as_a_step() -> None:
    step = b'{"progress":1,"total":3,"message":"on it"}'
    message = lower(envelope(step, fabkind="progress"), task_id="t-1", context_id="c-1").message
    update = json.loads(message)["result"]["statusUpdate"]
    assert (update["taskId"], update["contextId"], update["status"]["state"]) == (
        "t-1",
        "c-1",
        "TASK_STATE_WORKING",
    )
    again = lifted(message)
    assert (again.kind, again.data, again.subject) == ("progress", step, "t-1")


def test_a_status_of_an_mcp_task_is_said_in_a2as_words() -> None:
    data = b'{"taskId":"t","status":"input_required"}'
    message = lower(
        envelope(data, fabkind="status", datacontenttype="application/mcp+json", subject="t")
    ).message
    assert json.loads(message)["result"]["statusUpdate"]["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"


def test_an_update_outside_of_a_conversation_has_an_empty_context() -> None:
    update = json.loads(lower(envelope(b"{}", fabkind="status")).message)["result"]["statusUpdate"]
    assert update["contextId"] == ""  # which 1.0 and 0.3 require


def test_a_task_of_0_3_that_failed_leaves_byte_for_byte() -> None:
    message = packed(rpc(result={"kind": "task", "id": "t", "contextId": "c", "status": {"state": "failed"}}))
    assert lower(lifted(message), version="0.3").message == message


def test_an_envelope_without_a_task_says_that_its_id_stands_for_one() -> None:
    lowered = lower(Envelope(b"1", id="e-1", source="/x/y", type="t", fabkind="artifact"))
    assert [loss.code for loss in lowered.losses] == [LossCode.TASK_ID_ALIASED]
    assert json.loads(lowered.message)["result"]["artifactUpdate"]["taskId"] == "e-1"


def test_a_failure_of_ours_comes_back_as_it_was() -> None:
    failure = b'{"code":"refused","message":"busy","retriable":true,"data":{"depth":3}}'
    message = lower(envelope(failure, fabkind="error", fabcorr="aTo3")).message
    error = json.loads(message)["error"]
    assert (error["code"], error["message"], error["data"][0]["reason"]) == (-32603, "busy", "REFUSED")
    assert lifted(message).data == failure


def test_a_cancel_is_of_the_task_and_refused_without_one() -> None:
    message = json.loads(lower(envelope(b'{"reason":"late"}', fabkind="cancel", subject="t-1")).message)
    assert (message["method"], message["params"]["id"]) == ("CancelTask", "t-1")
    assert message["params"]["metadata"]["io.agentfabric/reason"] == "late"
    with pytest.raises(CodecError, match="names no task"):
        lower(Envelope(b"", id="e-1", source="/x/y", type="t", fabkind="cancel"))


def test_losses_are_told_with_field_and_outcome() -> None:
    lowered = lower(envelope(b"{", datacontenttype="application/json", fabloss="NO_METADATA"))
    told = json.loads(lowered.message)["params"]["message"]["metadata"]["io.agentfabric/loss"]
    assert [one["code"] for one in told] == ["NO_METADATA", "CONTENT_TYPE_GUESSED"]
    assert lifted(lowered.message).get("fabloss") == "NO_METADATA,CONTENT_TYPE_GUESSED"


# ---- there and back

WHOLES = [
    sent({"text": "a"}, {"url": "https://x"}),
    sent({"text": "a", "filename": "f"}, method="SendStreamingMessage", x=1),
    rpc(method="GetTask", params={"id": "t", "x": 2**70}),
    rpc(method="CancelTask", params={"id": "t"}),
    rpc(result={"task": TASK}),
    rpc(result={"task": {**TASK, "status": {"state": "TASK_STATE_FAILED"}}}),
    rpc(result={"statusUpdate": status("TASK_STATE_COMPLETED", x=1.0)}),
    rpc(result={"artifactUpdate": {"taskId": "t", "contextId": "c", "artifact": {"parts": []}}}),
    rpc(result=TASK),
    rpc(result={"tasks": []}),
    rpc(error={"code": -32001, "message": "no task", "data": [{"@type": "x"}]}),
]


# A `kind` that is nobody's business in 1.0.
WHOLES.append(rpc(result={"message": {"messageId": "m", "kind": "task", "parts": [{"url": "x"}]}}))


@pytest.mark.parametrize("message", WHOLES)
def test_what_comes_whole_leaves_byte_for_byte(message: dict[str, object]) -> None:
    assert lower(lifted(message)).message == packed(message)


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


@pytest.mark.parametrize("version", ["1.0", "0.3"])
@given(sent=envelopes(("request", "event", "presence", "response", "artifact", "status")))
def test_there_and_back_keeps_what_no_loss_names(version: str, sent: Envelope) -> None:
    lowered = lower(sent, version=version)
    again = lifted(lowered.message)
    if version == "1.0":
        assert again.data == sent.data
        assert {name: again.get(name) for name in KEPT} == {name: sent.get(name) for name in KEPT}
        ours = [entry for entry in again.native if not entry[0].startswith("metadata/io.agentfabric/")]
        assert ours == sent.native
    assert lowered.losses == ()
