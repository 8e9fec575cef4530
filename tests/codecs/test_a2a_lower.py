"""A call's envelopes as events of a task, read back by the official protobuf model."""

import json
from typing import Any

import pytest
from a2a.types import StreamResponse, TaskState
from google.protobuf.json_format import MessageToDict, ParseDict

from fabric_codecs.a2a.events import (
    LOSS_EXTENSION,
    lower_error,
    lower_progress,
    lower_response,
    with_losses,
)
from fabric_codecs.a2a.model import StreamItem
from fabric_codecs.a2a.wire import write_item
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.translate.losses import Loss, LossCode

TASK = {"task_id": "t-1", "context_id": "c-1"}


def envelope(kind: str, data: bytes, **attributes: str) -> Envelope:
    given: dict[str, Any] = {
        "id": "e-2",
        "source": "/nats/thermostat",
        "type": f"io.agentfabric.{kind}",
        "time": "2026-11-21T04:00:00.123456Z",
        "fabkind": kind,
        "causationid": "m-1",
        "correlationid": "story-1",
        "datacontenttype": "application/json",
    }
    return Envelope(data, **given | attributes)


def read(item: StreamItem) -> StreamResponse:
    """As a strict receiver reads it: unknown members are errors."""
    return ParseDict(json.loads(write_item(item)), StreamResponse(), ignore_unknown_fields=False)


def test_progress_is_a_working_status_with_its_words_and_numbers() -> None:
    item = read(
        lower_progress(envelope("progress", b'{"progress":1,"total":4,"message":"one"}'), **TASK).message
    )
    update = item.status_update
    assert (update.task_id, update.context_id) == ("t-1", "c-1")
    assert update.status.state == TaskState.TASK_STATE_WORKING
    assert update.status.message.parts[0].text == "one"
    assert MessageToDict(update.metadata) == {
        "io.agentfabric/id": "e-2",
        "io.agentfabric/causationid": "m-1",
        "io.agentfabric/conversation": "story-1",
        "io.agentfabric/progress": 1,
        "io.agentfabric/total": 4,
    }


def test_progress_without_words_has_no_message() -> None:
    item = read(
        lower_progress(envelope("progress", b'{"progress":0.5,"total":null,"message":null}'), **TASK).message
    )
    assert not item.status_update.status.HasField("message")


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b'"warm"', {"text": "warm", "mediaType": "text/plain"}),
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
    translation = lower_response(envelope("response", data), **TASK)
    artifact, done = translation.message
    assert json.loads(write_item(artifact))["artifactUpdate"]["artifact"]["parts"] == [part]
    assert read(artifact).artifact_update.last_chunk
    assert read(done).status_update.status.state == TaskState.TASK_STATE_COMPLETED
    assert translation.losses == ()


@pytest.mark.parametrize("data", [b"null", b"", b" null "])
def test_result_that_is_nothing_completes_without_an_artifact(data: bytes) -> None:
    (done,) = lower_response(envelope("response", data), **TASK).message
    assert read(done).status_update.status.state == TaskState.TASK_STATE_COMPLETED


@pytest.mark.parametrize(
    ("data", "media_type", "part", "codes"),
    [
        (b"warm", "text/markdown", {"text": "warm", "mediaType": "text/markdown"}, ""),
        (b"\xff", "text/plain", {"raw": "/w==", "mediaType": "text/plain"}, "CONTENT_TYPE_GUESSED"),
        (b"\x00\x01", "image/png", {"raw": "AAE=", "mediaType": "image/png"}, ""),
        (b"{}", "application/cloudevents+json", {"data": {}, "mediaType": "application/json"}, ""),
    ],
)
def test_result_of_another_media_type_keeps_its_bytes(
    data: bytes, media_type: str, part: dict[str, object], codes: str
) -> None:
    translation = lower_response(envelope("response", data, datacontenttype=media_type), **TASK)
    artifact = json.loads(write_item(translation.message[0]))["artifactUpdate"]["artifact"]
    assert artifact["parts"] == [part]
    assert translation.codes == codes
    assert artifact.get("extensions", []) == ([LOSS_EXTENSION] if codes else [])


@pytest.mark.parametrize(
    ("code", "state"),
    [("too_hot", "FAILED"), ("internal", "FAILED"), ("refused", "REJECTED"), ("cancelled", "CANCELED")],
)
def test_error_ends_the_task_in_the_state_of_its_code(code: str, state: str) -> None:
    data = json.dumps({"code": code, "message": "no", "retriable": True, "data": {"n": [1]}}).encode()
    update = read(lower_error(envelope("error", data), **TASK).message).status_update
    assert TaskState.Name(update.status.state) == f"TASK_STATE_{state}"
    assert update.status.message.parts[0].text == "no"
    facts = MessageToDict(update.metadata)
    assert (facts["io.agentfabric/code"], facts["io.agentfabric/retriable"]) == (code, True)
    assert facts["io.agentfabric/data"] == {"n": [1]}


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"progress":"x"}', b'{"code":7}', b'{"data":' + b"[" * 100_000]
)
def test_envelope_that_holds_something_else_is_refused(data: bytes) -> None:
    lower = lower_progress if b"progress" in data else lower_error
    with pytest.raises(CodecError, match="e-2"):
        lower(envelope("error", data), **TASK)


@pytest.mark.parametrize("data", [b"{", b"nul", b'{"a":1,}', b'"\xff"', b"1 2"])
def test_result_that_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        lower_response(envelope("response", data), **TASK)


def test_losses_are_added_to_a_status_and_leave_its_metadata() -> None:
    (done,) = lower_response(envelope("response", b"null"), **TASK).message
    lost = Loss(LossCode.STREAM_COALESCED, "progress", "3 reports were folded")
    facts = MessageToDict(read(with_losses(done, (lost,))).status_update.metadata)
    assert facts[LOSS_EXTENSION] == [
        {"code": "STREAM_COALESCED", "field": "progress", "outcome": "3 reports were folded"}
    ]
    assert facts["io.agentfabric/id"] == "e-2"
    assert with_losses(done, ()) is done
