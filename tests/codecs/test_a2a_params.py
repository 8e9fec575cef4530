"""Reading the params of A2A requests, writing cards and errors; the official protobuf model is the judge."""

import base64
import json
from typing import Any

import msgspec
import pytest
from a2a.types import (
    AgentCard,
    GetTaskRequest,
    Message,
    Part,
    Role,
    SendMessageConfiguration,
    SendMessageRequest,
)
from google.protobuf.json_format import MessageToJson, ParseDict

from fabric_codecs.a2a.card import CardSkill, card_document, version_is_served, write_card, write_cards
from fabric_codecs.a2a.faults import Fault, error_data
from fabric_codecs.a2a.params import read_parts, read_send, read_task_query
from fabric_codecs.errors import CodecError


def sent(**message: Any) -> bytes:
    fields = {"messageId": "m-1", "role": "ROLE_USER", "parts": [{"text": "hi"}]} | message
    return json.dumps({"message": fields}).encode()


def test_what_the_official_model_writes_is_read_whole() -> None:
    request = SendMessageRequest(
        message=Message(
            message_id="m-1",
            role=Role.ROLE_USER,
            context_id="c-1",
            task_id="t-1",
            parts=[
                Part(text="hi", media_type="text/plain"),
                Part(raw=b"\0\1", media_type="image/png", filename="a.png"),
                Part(url="https://example.org/a.pdf"),
            ],
        ),
        configuration=SendMessageConfiguration(
            accepted_output_modes=["text/plain"], history_length=3, return_immediately=True
        ),
    )
    send = read_send(MessageToJson(request).encode())
    assert (send.message.message_id, send.message.context_id, send.message.task_id) == ("m-1", "c-1", "t-1")
    text, raw, link = send.message.parts
    assert (text.text, text.media_type) == ("hi", "text/plain")
    assert base64.b64decode(raw.raw or "") == b"\0\1"
    assert (raw.filename, link.url) == ("a.png", "https://example.org/a.pdf")
    assert send.configuration is not None
    assert (send.configuration.history_length, send.configuration.return_immediately) == (3, True)


def test_numbers_and_unknown_members_of_data_keep_their_bytes() -> None:
    send = read_send(
        b'{"message":{"messageId":"m","role":"ROLE_USER","later":1,'
        b'"parts":[{"data": {"n": 9007199254740993, "x" : 1.10}}]}}'
    )
    assert bytes(send.message.parts[0].data) == b'{"n": 9007199254740993, "x" : 1.10}'  # type: ignore[arg-type]


def test_null_stands_for_a_member_that_is_not_there() -> None:
    send = read_send(
        b'{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"a","filename":null}],'
        b'"contextId":null,"metadata":null},"configuration":null,"metadata":null}'
    )
    assert (send.message.context_id, send.configuration) == (None, None)


def test_parts_are_the_same_whatever_space_stands_between_them() -> None:
    send = read_send(sent(parts=[{"text": "a"}, {"data": {"n": 1}}]))
    assert read_parts(b'[ {"text":"a"},{"data":{"n": 1}} ]') == send.message.parts
    assert read_parts(b'[{"text":"a"},{"data":{"n":2}}]') != send.message.parts


def test_data_null_is_content() -> None:
    send = read_send(sent(parts=[{"data": None}]))
    assert bytes(send.message.parts[0].data) == b"null"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("params", "place"),
    [
        (None, "params"),
        (b"{}", "message"),
        (b'{"message":[]}', "params.message"),
        (sent(messageId=7), "params.message.messageId"),
        (sent(messageId=""), "messageId"),
        (sent(messageId="x" * 65), "65 characters, allowed are 64"),
        (sent(role="user"), "role"),
        (sent(role="ROLE_AGENT"), "role"),
        (sent(parts=None), "parts"),
        (sent(parts=[]), "parts"),
        (sent(parts=[{"kind": "text"}]), r"parts\[0\] has 0"),
        (sent(parts=[{"text": "a"}, {"text": "a", "data": 1}]), r"parts\[1\] has 2"),
        (sent(parts=[{"text": ["a"]}]), "params.message.parts"),
        (
            b'{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"a"}]},"configuration":7}',
            "configuration",
        ),
        (b"{", "params"),
    ],
)
def test_params_that_break_a_rule_name_the_place(params: bytes | None, place: str) -> None:
    with pytest.raises(CodecError, match=place) as caught:
        read_send(params)
    assert caught.value.reason == Fault.INVALID_PARAMS


@pytest.mark.parametrize(
    "modes", [["application/json"], ["image/png", "text/plain; charset=utf-8"], ["*/*"], []]
)
def test_output_modes_that_a_call_can_serve_are_taken(modes: list[str]) -> None:
    params = json.loads(sent()) | {"configuration": {"acceptedOutputModes": modes}}
    assert read_send(json.dumps(params).encode()).message.message_id == "m-1"


def test_output_modes_that_no_call_serves_are_refused() -> None:
    params = json.loads(sent()) | {"configuration": {"acceptedOutputModes": ["image/png", "audio/ogg"]}}
    with pytest.raises(CodecError, match=r"image/png, audio/ogg") as caught:
        read_send(json.dumps(params).encode())
    assert caught.value.reason == Fault.CONTENT_TYPE_NOT_SUPPORTED


def test_task_query_is_read_as_the_official_model_writes_it() -> None:
    query = read_task_query(MessageToJson(GetTaskRequest(id="t-1", history_length=2)).encode())
    assert (query.id, query.history_length) == ("t-1", 2)


@pytest.mark.parametrize("params", [None, b"{}", b'{"id":""}', b'{"id":7}', b'{"id":"t","historyLength":-1}'])
def test_task_query_without_a_usable_id_or_length_is_refused(params: bytes | None) -> None:
    with pytest.raises(CodecError) as caught:
        read_task_query(params)
    assert caught.value.reason == Fault.INVALID_PARAMS


@pytest.mark.parametrize(
    ("header", "served"),
    [
        ("1.0", True),
        (" 1.0 ", True),
        ("1.0.7", True),
        ("", False),
        ("1", False),
        ("0.3", False),
        ("1.1", False),
    ],
)
def test_only_major_and_minor_of_a_version_count(header: str, served: bool) -> None:
    assert version_is_served(header) is served


def test_card_is_written_as_the_official_model_reads_it() -> None:
    skill = CardSkill("add", "add", "adds", ("tool",))
    document = card_document(name="n", description="d", version="1", url="http://h/a2a/n", skills=[skill])
    card = ParseDict(json.loads(write_card(document)), AgentCard())
    assert (card.name, card.supported_interfaces[0].url, card.skills[0].tags) == (
        "n",
        "http://h/a2a/n",
        ["tool"],
    )
    assert card.security_schemes["bearer"].http_auth_security_scheme.scheme == "Bearer"
    assert "bearer" in card.security_requirements[0].schemes
    assert json.loads(write_cards([document]))["agents"][0]["name"] == "n"


def test_error_details_are_an_array_of_typed_objects() -> None:
    details = msgspec.json.decode(
        error_data("TASK_NOT_FOUND", {"task": "t"}, retry_after_ms=1500, field="params.id", problem="gone")
    )
    kinds = [detail["@type"].rpartition(".")[2] for detail in details]
    assert kinds == ["ErrorInfo", "BadRequest", "RetryInfo"]
    assert details[0] == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "TASK_NOT_FOUND",
        "domain": "a2a-protocol.org",
        "metadata": {"task": "t"},
    }
    assert details[2]["retryDelay"] == "1.5s"
