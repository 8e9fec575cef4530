"""A call's envelopes as events of a task: read by the official protobuf model, and back by `lift`."""

import json
from typing import Any

import pytest
from a2a.types import StreamResponse, Task, TaskState
from google.protobuf.json_format import MessageToDict, ParseDict
from hypothesis import given
from hypothesis import strategies as st

from fabric_codecs.a2a.events import lower_events
from fabric_codecs.a2a.lift import WHOLE
from fabric_codecs.a2a.spelling import to_old
from fabric_codecs.a2a.task import as_item, is_artifact, state_of, submitted, turn_of, write_task
from fabric_codecs.bounds import JSON_DEPTH_MAX
from fabric_codecs.core.jsonrpc import write_result
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.losses import Loss, LossCode, Translation
from helpers.a2a_messages import lifted, status
from helpers.json_envelopes import NUMBERS, TEXT, envelopes, json_values, packed

TASK = {"task_id": "t-1", "context_id": "c-1"}
KINDS = ("progress", "status", "artifact", "response", "error")
LOST = Loss(LossCode.STREAM_COALESCED, "progress", "3 reports were folded")


def envelope(kind: str, data: bytes, **attributes: str) -> Envelope:
    given: dict[str, Any] = {
        "id": "e-2",
        "source": "/nats/thermostat",
        "type": f"io.agentfabric.{kind}",
        "subject": "thermostat.warm",
        "time": "2026-11-21T04:00:00.123456Z",
        "fabkind": kind,
        "causationid": "m-1",
        "correlationid": "story-1",
        "datacontenttype": "application/json",
    }
    return Envelope(data, **given | attributes)


def events(sent: Envelope, **named: Any) -> Translation[tuple[bytes, ...]]:
    return lower_events(sent, **TASK, **named)


def read(event: bytes) -> StreamResponse:
    """As a strict receiver reads it: unknown members are errors."""
    return ParseDict(json.loads(event), StreamResponse(), ignore_unknown_fields=False)


def back(event: bytes, version: str = "1.0") -> Envelope:
    message = write_result(b"7", event)
    return lifted(message if version == "1.0" else to_old(message))


# ---- What a client sees


def test_progress_is_a_working_status_with_its_words_and_numbers() -> None:
    (event,) = events(envelope("progress", b'{"progress":1,"total":4,"message":"one"}')).message
    update = read(event).status_update
    assert (update.task_id, update.context_id) == ("t-1", "c-1")
    assert update.status.state == TaskState.TASK_STATE_WORKING
    assert update.status.timestamp.nanos == 123456000
    assert update.status.message.parts[0].text == "one"
    assert MessageToDict(update.metadata) == {
        "io.agentfabric/id": "e-2",
        "io.agentfabric/causationid": "m-1",
        "io.agentfabric/conversation": "story-1",
        "io.agentfabric/progress": 1,
        "io.agentfabric/total": 4,
        "io.agentfabric/source": "/nats/thermostat",
        "io.agentfabric/subject": "thermostat.warm",
        "io.agentfabric/time": "2026-11-21T04:00:00.123456Z",
    }


def test_progress_without_words_has_no_message() -> None:
    (event,) = events(envelope("progress", b'{"progress":0.5,"total":null,"message":null}')).message
    assert not read(event).status_update.status.HasField("message")


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b'"warm"', {"text": "warm", "mediaType": "text/plain"}),
        (b'"\\u0041"', {"text": "A", "mediaType": "text/plain"}),
        (b'""', {"text": "", "mediaType": "text/plain"}),
        (b'{"a": 1.50}', {"data": {"a": 1.5}, "mediaType": "application/json"}),
        (b"[1,2]", {"data": [1, 2], "mediaType": "application/json"}),
        (b"7", {"data": 7, "mediaType": "application/json"}),
        (b"false", {"data": False, "mediaType": "application/json"}),
        (b'{"a":9007199254740992}', {"data": {"a": 9007199254740992}, "mediaType": "application/json"}),
        (
            b'{"a":9007199254740993}',
            {"raw": "eyJhIjo5MDA3MTk5MjU0NzQwOTkzfQ==", "mediaType": "application/json"},
        ),
        (b"0.1234567890123456789", {"raw": "MC4xMjM0NTY3ODkwMTIzNDU2Nzg5", "mediaType": "application/json"}),
        (b"1e400", {"raw": "MWU0MDA=", "mediaType": "application/json"}),
        (b"9" * 5000, {"raw": "OTk5" * 1666 + "OTk=", "mediaType": "application/json"}),
        (
            b"1e-9999999999999999999",
            {"raw": "MWUtOTk5OTk5OTk5OTk5OTk5OTk5OQ==", "mediaType": "application/json"},
        ),
        (b'["9007199254740993"]', {"data": ["9007199254740993"], "mediaType": "application/json"}),
    ],
)
def test_result_takes_the_form_that_keeps_its_value(data: bytes, part: dict[str, object]) -> None:
    translation = events(envelope("response", data))
    artifact, done = translation.message
    assert json.loads(artifact)["artifactUpdate"]["artifact"]["parts"] == [part]
    assert read(artifact).artifact_update.last_chunk
    assert read(done).status_update.status.state == TaskState.TASK_STATE_COMPLETED
    assert translation.losses == ()
    assert back(artifact).data == data


def test_data_of_a_result_stand_in_the_event_byte_for_byte() -> None:
    data = b'{ "later" : 1.10, "a":"\\u0041" }'
    assert data in events(envelope("response", data)).message[0]


@pytest.mark.parametrize("data", [b"null", b" null "])
def test_result_that_is_nothing_completes_without_an_artifact(data: bytes) -> None:
    (done,) = events(envelope("response", data)).message
    assert read(done).status_update.status.state == TaskState.TASK_STATE_COMPLETED
    assert (back(done).kind, back(done).data) == ("response", b"null")


@pytest.mark.parametrize(
    ("data", "media_type", "part", "codes"),
    [
        (b"warm", "text/markdown", {"text": "warm", "mediaType": "text/markdown"}, ""),
        (b"\xff", "text/plain", {"raw": "/w==", "mediaType": "text/plain"}, ""),
        (b"\x00\x01", "image/png", {"raw": "AAE=", "mediaType": "image/png"}, ""),
        (b"{}", "application/x+json", {"data": {}, "mediaType": "application/x+json"}, ""),
        (b"{", "application/json", {"text": "{", "mediaType": "application/json"}, "CONTENT_TYPE_GUESSED"),
        (b"", "application/json", {"text": "", "mediaType": "application/json"}, ""),
    ],
)
def test_result_of_another_media_type_keeps_its_bytes(
    data: bytes, media_type: str, part: dict[str, object], codes: str
) -> None:
    translation = events(envelope("response", data, datacontenttype=media_type))
    assert json.loads(translation.message[0])["artifactUpdate"]["artifact"]["parts"] == [part]
    assert translation.codes == codes
    again = back(translation.message[0])
    assert (again.data, again.get("datacontenttype")) == (data, media_type)


@pytest.mark.parametrize(
    ("code", "state"),
    [("too_hot", "FAILED"), ("internal", "FAILED"), ("refused", "REJECTED"), ("cancelled", "CANCELED")],
)
def test_error_ends_the_task_in_the_state_of_its_code(code: str, state: str) -> None:
    data = packed({"code": code, "message": "no", "retriable": True, "data": {"n": [1]}})
    (event,) = events(envelope("error", data)).message
    update = read(event).status_update
    assert TaskState.Name(update.status.state) == f"TASK_STATE_{state}"
    assert update.status.message.parts[0].text == "no"
    facts = MessageToDict(update.metadata)
    assert (facts["io.agentfabric/code"], facts["io.agentfabric/retriable"]) == (code, True)
    assert facts["io.agentfabric/data"] == {"n": [1]}
    assert back(event).data == data


FAILURES = [
    b'{"code":"x","message":"m","retriable":false,"data":null}',
    b'{"code":"x","message":"m","retriable":false}',
    b'{ "code":"x","message":"m","retriable":false}',
    b'{"code":"x","message":"m","retriable":false,"more":1}',
    b'{"message":"m","code":"x","retriable":false}',
    b'{"code":"x","message":"","retriable":false}',
    b'{"code":7,"message":["m"],"retriable":1}',
    b'{"code":"x","code":"y"}',
    b"{}",
    b'"x"',
    b"[]",
    b"{",
    b"\xff",
    b"",
]


@pytest.mark.parametrize("data", FAILURES)
def test_whatever_an_error_holds_fails_the_task_and_comes_back_as_it_was(data: bytes) -> None:
    (event,) = events(envelope("error", data)).message
    assert state_of(event) == "TASK_STATE_FAILED"
    assert read(event)
    assert (back(event).kind, back(event).data) == ("error", data)


STEPS = [
    b'{"progress":1}',
    b'{"progress":1,"total":null,"message":null}',
    b'{"progress":1, "message":"x"}',
    b'{"total":2,"progress":1}',
    b'{"progress":1,"total":2,"step":"x"}',
    b'{"progress":"1"}',
    b'{"progress":1,"progress":2}',
    b'{"status":"completed"}',
    b'"half"',
]


@pytest.mark.parametrize("data", STEPS)
def test_whatever_a_progress_holds_the_task_goes_on_and_it_comes_back_as_it_was(data: bytes) -> None:
    (event,) = events(envelope("progress", data)).message
    assert state_of(event) == "TASK_STATE_WORKING"
    assert (back(event).kind, back(event).data) == ("progress", data)


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("working", "WORKING"),
        ("input_required", "INPUT_REQUIRED"),
        ("auth_required", "AUTH_REQUIRED"),
        ("completed", "WORKING"),
        ("cancelled", "WORKING"),
        ("unheard of", "WORKING"),
    ],
)
def test_status_says_its_state_and_ends_nothing(said: str, state: str) -> None:
    data = packed({"status": said})
    (event,) = events(envelope("status", data, datacontenttype="application/mcp+json")).message
    assert state_of(event) == f"TASK_STATE_{state}"
    assert (back(event).kind, back(event).data) == ("status", data)


def test_update_of_another_agent_goes_on_under_the_ids_of_this_task() -> None:
    theirs = status("TASK_STATE_INPUT_REQUIRED", metadata={"k": 1.0})
    sent = lifted({"jsonrpc": "2.0", "id": 1, "result": {"statusUpdate": theirs}})
    told = lower_events(sent, task_id="mine", context_id="c-1")
    assert told.codes == "TASK_ID_ALIASED"
    ours = json.loads(told.message[0])["statusUpdate"]
    assert ours["metadata"].pop("io.agentfabric/loss")[0]["code"] == "TASK_ID_ALIASED"
    assert ours == theirs | {"taskId": "mine"}
    same = lower_events(sent, task_id="t-1", context_id="c-1")
    assert (same.message, same.losses) == ((packed({"statusUpdate": theirs}),), ())


def test_update_in_the_spelling_of_0_3_is_content_like_any_other() -> None:
    sent = lifted({"jsonrpc": "2.0", "id": 1, "result": {"kind": "status-update", **status("working")}})
    (event,) = events(sent).message
    assert read(event).status_update.task_id == "t-1"
    assert (back(event).kind, back(event).data) == ("status", sent.data)


@pytest.mark.parametrize("kind", ["request", "event", "cancel"])
def test_kind_that_no_caller_is_sent_is_refused(kind: str) -> None:
    with pytest.raises(CodecError, match=f"'{kind}' tells a caller nothing"):
        events(envelope(kind, b"{}"))


def test_losses_are_told_with_the_answer_and_with_the_end() -> None:
    artifact, done = events(envelope("response", b"1"), losses=(LOST,)).message
    told = [{"code": "STREAM_COALESCED", "field": "progress", "outcome": "3 reports were folded"}]
    for update in (read(artifact).artifact_update, read(done).status_update):
        assert MessageToDict(update.metadata)["io.agentfabric/loss"] == told


@pytest.mark.parametrize(
    ("kind", "data"), [("response", b"null"), ("response", b'"x"'), ("error", FAILURES[0])]
)
@pytest.mark.parametrize("media_type", ["application/problem+json", "application/json"])
def test_content_type_that_no_part_says_is_told(kind: str, data: bytes, media_type: str) -> None:
    (event, *_) = events(envelope(kind, data, datacontenttype=media_type)).message
    assert (back(event).data, back(event).get("datacontenttype")) == (data, media_type)


# ---- There and back


KEPT = ("id", "type", "time", "subject", "fabkind", "correlationid", "causationid", "partitionkey", "ext1")


@st.composite
def answers(draw: Any) -> Envelope:
    """What an agent sends, and what it could send."""
    sent: Envelope = draw(envelopes(KINDS))
    shapes = {
        "progress": {"progress": NUMBERS, "total": st.none() | NUMBERS, "message": st.none() | TEXT},
        "error": {"code": TEXT, "message": TEXT, "retriable": st.booleans(), "data": json_values},
    }
    if sent.kind not in shapes or draw(st.booleans()):
        return sent
    data = draw(st.fixed_dictionaries({}, optional=shapes[sent.kind]))
    return sent.replace(packed(data), datacontenttype="application/json")


@given(sent=answers())
def test_the_first_event_comes_back_as_the_envelope_that_it_was(sent: Envelope) -> None:
    told = events(sent)
    assert told.losses == ()
    again = back(told.message[0])
    assert again.data == sent.data
    assert again.get("datacontenttype") == sent.get("datacontenttype")
    expected = {name: sent.get(name) for name in KEPT}
    if sent.correlationid is None:
        expected["correlationid"] = "c-1"
    assert {name: again.get(name) for name in KEPT} == expected
    ours = [entry for entry in again.native if not entry[0].startswith("metadata/io.agentfabric/")]
    assert ours == sent.native


@given(sent=answers())
def test_in_the_spelling_of_0_3_kind_and_ids_come_back(sent: Envelope) -> None:
    first, *_ = events(sent).message
    again = back(first, "0.3")
    assert again.get("fabver") == "0.3"
    assert (again.kind, again.id, again.subject) == (sent.kind, sent.id, sent.subject)


@pytest.mark.parametrize(
    ("data", "media_type"), [(b'{"a": 1}', "application/json"), (b"\xff", "image/png"), (b"x", "text/csv")]
)
def test_in_the_spelling_of_0_3_a_result_comes_back(data: bytes, media_type: str) -> None:
    artifact, done = events(envelope("response", data, datacontenttype=media_type)).message
    again = back(artifact, "0.3")
    assert (again.data, again.get("datacontenttype")) == (data, media_type)
    assert json.loads(to_old(write_result(b"7", done)))["result"]["final"] is True


def test_the_end_of_a_response_is_a_status_and_no_second_response() -> None:
    artifact, done = events(envelope("response", b"1")).message
    assert (back(artifact).kind, back(done).kind) == ("response", "status")
    assert back(done).id == "f-1"
    assert back(done).get("datacontenttype") == WHOLE
    assert MessageToDict(read(done).status_update.metadata) == {
        "io.agentfabric/fabkind": "status",
        "io.agentfabric/causationid": "m-1",
        "io.agentfabric/conversation": "story-1",
    }


# ---- The task as it is now


TURN = b'{"messageId":"m-1","role":"ROLE_USER","later": 1.0,"parts":[{"text":"hi"}],"contextId":"x"}'
BEGUN = submitted(**TASK, time="2026-11-21T04:00:00Z")
TURNED = turn_of(TURN, **TASK)


def test_turn_has_the_ids_of_the_task_and_all_that_it_said() -> None:
    expected = json.loads(TURN) | {"contextId": "c-1", "taskId": "t-1"}
    assert json.loads(TURNED) == expected
    assert b'"later":1.0' in TURNED


def test_submitted_task_is_its_history() -> None:
    raw = write_task(BEGUN, [], [TURNED], **TASK)
    task = ParseDict(json.loads(raw), Task(), ignore_unknown_fields=True)
    assert (task.id, task.context_id, task.status.state) == ("t-1", "c-1", TaskState.TASK_STATE_SUBMITTED)
    assert task.history[0].parts[0].text == "hi"
    assert json.loads(write_task(BEGUN, [], [], **TASK)).keys() == {"id", "contextId", "status"}


def test_completed_task_has_its_artifacts_and_the_marks_of_the_answer() -> None:
    (part,) = events(envelope("artifact", b"0", id="e-1")).message
    artifact, done = events(envelope("response", b"[1.0]")).message
    assert [is_artifact(event) for event in (part, artifact, done)] == [True, True, False]
    raw = write_task(done, [part, artifact], [], **TASK)
    task = read(as_item(raw)).task
    assert [one.artifact_id for one in task.artifacts] == ["e-1", "result"]
    assert MessageToDict(task.metadata)["io.agentfabric/id"] == "e-2"
    assert b"[1.0]" in raw
    again = back(as_item(raw))
    assert (again.kind, again.id, again.data) == ("response", "e-2", raw)


def test_result_as_deep_as_results_may_be_stands_in_a_task() -> None:
    deep = b"[" * JSON_DEPTH_MAX + b"]" * JSON_DEPTH_MAX
    artifact, done = events(envelope("response", deep)).message
    assert deep in write_task(done, [artifact], [], **TASK)


def test_failed_task_has_the_marks_of_the_failure_and_comes_back_as_one() -> None:
    (part,) = events(envelope("artifact", b"0", id="e-1")).message
    (failed,) = events(envelope("error", b'{"code":"too_hot","message":"no","retriable":false}')).message
    raw = write_task(failed, [part], [], **TASK)
    assert MessageToDict(read(as_item(raw)).task.metadata)["io.agentfabric/code"] == "too_hot"
    again = back(as_item(raw))
    failure = json.loads(again.data)
    assert (again.kind, failure["code"], failure["message"]) == ("error", "too_hot", "no")
    assert failure["data"] == json.loads(raw)
