"""What no attribute of an envelope carries: where a lower of A2A puts it, and when it is lost."""

import json
from typing import Any

import pytest

from fabric_codecs.a2a.events import lower_events
from fabric_codecs.a2a.lower import lower
from fabric_codecs.losses import LossCode
from helpers.a2a_messages import lifted, rpc, sent, status
from helpers.json_envelopes import envelope

NATIVE = "io.agentfabric/native"
STEP = {"io.agentfabric/id": "e-1", "io.agentfabric/progress": 1, "k": [1]}


def lowered(message: object, **named: Any) -> Any:
    return json.loads(lower(lifted(message), **named).message)


def metadata_of(message: Any) -> Any:
    return message["params"]["message"]["metadata"]


# ---- back to where it came from


@pytest.mark.parametrize(
    "message",
    [
        {**sent({"text": "a"}, x=1, taskId="t-9", metadata={"k": 1}), "y": 2},
        rpc(
            method="SendMessage",
            params={
                "message": {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": "a"}]},
                "metadata": {"k": 1},
                "tenant": "t",
                "configuration": {"returnImmediately": True},
            },
        ),
        rpc(
            result={
                "message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"data": 1}], "x": 1},
                "w": 2,
            }
        ),
        rpc(result={"statusUpdate": {**status("TASK_STATE_WORKING"), "metadata": STEP}, "w": 2}),
        rpc(
            result={
                "artifactUpdate": {
                    "taskId": "t-1",
                    "contextId": "c-1",
                    "artifact": {"artifactId": "e-1", "parts": [{"text": "a"}]},
                    "metadata": {"io.agentfabric/id": "e-1", "k": 1},
                },
                "w": 2,
            }
        ),
        rpc(result={"task": {"id": "t", "status": {}}, "w": 2}),
    ],
)
def test_members_that_nobody_knows_go_back_to_their_places(message: dict[str, Any]) -> None:
    def unmarked(body: Any) -> Any:
        """Without marks, times and the media type that a lower adds."""
        if isinstance(body, dict):
            kept = {name: unmarked(value) for name, value in body.items()}
            return {
                name: value
                for name, value in kept.items()
                if name not in ("mediaType", "timestamp")
                and not name.startswith("io.agentfabric/")
                and value != {}
            }
        return [unmarked(one) for one in body] if isinstance(body, list) else body

    assert unmarked(lowered(message)) == unmarked(message)


@pytest.mark.parametrize("context", ["c-2", 7])
def test_a_context_that_is_not_the_conversation_stays_beside_it(context: object) -> None:
    message = lowered(
        sent({"text": "a"}, contextId=context, metadata={"io.agentfabric/conversation": "talk"})
    )
    assert message["params"]["message"]["contextId"] == context
    assert metadata_of(message)["io.agentfabric/conversation"] == "talk"


def test_the_callers_context_comes_first_and_nothing_is_forgotten_for_it() -> None:
    came = sent({"text": "a"}, contextId="c-2", metadata={"io.agentfabric/conversation": "talk"})
    message = lowered(came, context_id="mine")
    assert message["params"]["message"]["contextId"] == "mine"
    assert metadata_of(message)["io.agentfabric/conversation"] == "talk"
    assert metadata_of(message)[NATIVE] == [["message/contextId", '"c-2"']]
    same = lowered(sent({"text": "a"}, contextId="c-2"), context_id="c-2")
    assert "io.agentfabric/conversation" not in metadata_of(same)


def test_an_event_waits_for_nothing_whatever_its_params_had() -> None:
    beside = envelope(b"1", [("params/tenant", b'"t"')], fabkind="event")
    assert json.loads(lower(beside).message)["params"]["configuration"] == {"returnImmediately": True}
    own = envelope(b"1", [("params/configuration", b"{}")], fabkind="event")
    assert json.loads(lower(own).message)["params"]["configuration"] == {}


# ---- in the list of those that have no place


TAKEN = [
    ("message/messageId", b"1"),
    ("message/parts", b"2"),
    ("message/metadata", b"3"),
    ("params/message", b"4"),
    ("params/metadata", b"5"),
    ("result/x", b"6"),
    ("kafka", None),
    ("rpc/y", b"no JSON"),
]


def test_what_would_stand_where_something_else_does_is_listed() -> None:
    message = json.loads(lower(envelope(b"1", TAKEN, fabkind="request")).message)
    assert metadata_of(message)[NATIVE] == [[name, value and value.decode()] for name, value in TAKEN]
    again = lifted(json.dumps(message).encode()).native
    assert [entry for entry in again if "io.agentfabric" not in entry[0]] == TAKEN


def test_a_response_of_the_callers_task_lists_another_task() -> None:
    sent_back = envelope(b"1", [("message/taskId", b'"t-2"'), ("result/message", b"1")], fabkind="response")
    message = json.loads(lower(sent_back, task_id="t-1").message)["result"]["message"]
    assert message["taskId"] == "t-1"
    assert message["metadata"][NATIVE] == [["message/taskId", '"t-2"'], ["result/message", "1"]]
    assert json.loads(lower(sent_back).message)["result"]["message"]["taskId"] == "t-2"


def test_a_request_begins_a_task_of_its_own() -> None:
    message = json.loads(lower(envelope(fabkind="request"), task_id="t-1").message)["params"]["message"]
    assert "taskId" not in message


@pytest.mark.parametrize("kind", ["progress", "status", "artifact", "response", "error"])
def test_the_events_of_a_task_have_room_for_metadata_alone(kind: str) -> None:
    entries = [("rpc/y", b"1"), ("message/x", b"2"), ("metadata/k", b"3"), ("result/w", b"4")]
    first = lower_events(envelope(b"{}", entries, fabkind=kind), task_id="t", context_id="c").message[0]
    (update,) = json.loads(first).values()
    assert update["metadata"]["k"] == 3
    assert update["metadata"][NATIVE] == [["rpc/y", "1"], ["message/x", "2"], ["result/w", "4"]]


def test_what_an_answer_had_beside_it_is_told_once() -> None:
    answer = envelope(b"{}", [("kafka", b"1"), ("metadata/k", b"3")], fabkind="response")
    result, end = lower_events(answer, task_id="t", context_id="c").message
    assert NATIVE in json.loads(result)["artifactUpdate"]["metadata"]
    assert json.loads(end)["statusUpdate"]["metadata"] == {"io.agentfabric/fabkind": "status"}


@pytest.mark.parametrize("kind", ["progress", "artifact"])
def test_an_update_stands_where_a_member_of_its_name_did(kind: str) -> None:
    name = "artifactUpdate" if kind == "artifact" else "statusUpdate"
    update = json.loads(lower(envelope(b"{}", [(f"result/{name}", b"1")], fabkind=kind)).message)["result"][
        name
    ]
    assert update["metadata"][NATIVE] == [[f"result/{name}", "1"]]


# ---- nowhere


@pytest.mark.parametrize(
    "message",
    [
        sent({"text": "a"}, {"text": "b"}),
        rpc(method="GetTask", params={"id": "t"}),
        rpc(method="CancelTask", params={"id": "t"}),
        rpc(result={"task": {"id": "t", "status": {"state": "TASK_STATE_FAILED"}}}),
        rpc(result={"tasks": []}),
    ],
)
def test_a_message_that_came_whole_loses_headers_of_others(message: dict[str, Any]) -> None:
    came = lifted(message)
    assert lower(came).losses == ()
    assert lower(came.with_native([("rpc/y", b"1")])).losses == ()
    (lost,) = lower(came.with_native([("kafka", b"1")])).losses
    assert (lost.code, lost.field) == (LossCode.NO_METADATA, "native")


def test_an_update_that_is_passed_on_loses_headers_of_others() -> None:
    came = lifted(rpc(result={"statusUpdate": status("TASK_STATE_WORKING"), "w": 2}))
    (passed,) = lower_events(came, task_id="t-1", context_id="c-1").message
    assert json.loads(passed)["w"] == 2
    lost = lower_events(came.with_native([("rpc/y", b"1")]), task_id="t-1", context_id="c-1").losses
    assert [loss.field for loss in lost] == ["native"]


def test_an_error_of_json_rpc_has_no_metadata() -> None:
    for message in (
        rpc(error={"code": -32001, "message": "no task"}),
        rpc(error={"code": 1, "message": "x"}),
    ):
        assert [loss.code for loss in lower(lifted(message)).losses] == [LossCode.NO_METADATA]


def test_a_whole_cancel_without_a_method_cancels_its_task() -> None:
    cancel = envelope(b'{"id":"t"}', datacontenttype="application/a2a+json", fabkind="cancel", subject="t")
    message = json.loads(lower(cancel).message)
    assert (message["method"], message["params"]["id"]) == ("CancelTask", "t")
