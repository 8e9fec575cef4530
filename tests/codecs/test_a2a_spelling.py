"""A2A 0.3 and 1.0: the same message in two spellings."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric_codecs.a2a.spelling import METHODS, OLD_STATES, to_new, to_old
from fabric_codecs.errors import CodecError
from helpers.json_envelopes import packed


def rpc(**members: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 7, **members}


def sent(*parts: object, method: str = "SendMessage", **more: object) -> dict[str, object]:
    message = {"messageId": "m-1", "role": "ROLE_USER", "parts": list(parts), **more}
    return rpc(method=method, params={"message": message})


def status(state: str, **more: object) -> dict[str, object]:
    return {"taskId": "t-1", "contextId": "c-1", "status": {"state": state}, **more}


TASK = {"id": "t-1", "contextId": "c-1", "status": {"state": "TASK_STATE_WORKING"}}
RAW = base64.b64encode(b"\xff\0").decode()


STATES = st.sampled_from(sorted(OLD_STATES))
PARTS = st.lists(
    st.builds(lambda text: {"text": text}, st.text(st.characters(exclude_categories=("Cs",)), max_size=5))
    | st.just({"data": {"n": 1.0}})
    | st.just({"raw": RAW, "mediaType": "image/png", "filename": "f"})
    | st.just({"url": "https://x", "metadata": {"k": 9007199254740993}}),
    max_size=3,
)


@given(STATES, PARTS)
def test_0_3_and_back_is_the_same_message(state: str, parts: list[object]) -> None:
    words = {"messageId": "m", "role": "ROLE_AGENT", "parts": parts, "vendor": 1}
    artifact = {"artifactId": "a", "parts": parts}
    for message in (
        sent(*parts, contextId="c"),
        rpc(result={"message": words}),
        rpc(result={"statusUpdate": status(state, status={"state": state, "message": words})}),
        rpc(
            result={"artifactUpdate": {"taskId": "t", "contextId": "c", "artifact": artifact, "append": True}}
        ),
        rpc(
            result={"task": {**TASK, "status": {"state": state}, "artifacts": [artifact], "history": [words]}}
        ),
    ):
        assert json.loads(to_new(to_old(packed(message)))) == message


@pytest.mark.parametrize("new", METHODS)
def test_methods_have_a_name_in_both_versions(new: str) -> None:
    message = packed(rpc(method=new, params={"id": "t"}))
    assert json.loads(to_old(message))["method"] == METHODS[new]
    assert to_new(to_old(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        rpc(method="ListTasks", params={}),
        sent(role="ROLE_UNSPECIFIED"),
        rpc(result={"statusUpdate": status("TASK_STATE_ODD")}),
    ],
)
def test_what_0_3_has_no_word_for_is_refused(message: dict[str, object]) -> None:
    with pytest.raises(CodecError, match="no name in the other version"):
        to_old(packed(message))


def test_a_task_that_was_asked_for_is_no_deeper_in_1_0() -> None:
    message = packed(rpc(result={"kind": "task", **TASK, "status": {"state": "working"}}))
    assert json.loads(to_new(message))["result"] == {"task": TASK}
    assert json.loads(to_new(message, method="tasks/get"))["result"] == TASK
