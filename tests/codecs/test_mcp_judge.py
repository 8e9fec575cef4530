"""MCP against the official types, with generated messages, both directions: what they write we read, lift and
lower; what we write they read."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from mcp_types import methods as judge
from pydantic import BaseModel, TypeAdapter

from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.mcp.lift import lift
from fabric_codecs.mcp.lower import lower
from fabric_codecs.mcp.messages import read_message, write_message
from fabric_codecs.mcp.methods import MODERN
from helpers.golden_readers import EDGE
from helpers.json_envelopes import envelopes, packed
from helpers.mcp_models import values_of

CALLS = [
    (speaker, name, revision, model)
    for speaker, tables in (
        ("client", (judge.CLIENT_REQUESTS, judge.CLIENT_NOTIFICATIONS)),
        ("server", (judge.SERVER_REQUESTS, judge.SERVER_NOTIFICATIONS)),
    )
    for table in tables
    for (name, revision), model in table.items()
]
RESULTS = [
    (speaker, name, revision, model)
    for speaker, table in (("server", judge.SERVER_RESULTS), ("client", judge.CLIENT_RESULTS))
    for (name, revision), model in table.items()
]
IDS = st.integers(-9, 2**53) | st.text("aü7", max_size=9)
calmly = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))


def name_of(value: object) -> str:
    return value if isinstance(value, str) else getattr(value, "__name__", "result")


def written(model: Any, value: object) -> Any:
    """What the SDK writes for a value: its members by alias, nothing for what was never said."""
    taken = TypeAdapter(model).validate_python(value)
    assert isinstance(taken, BaseModel)
    return json.loads(taken.model_dump_json(by_alias=True, exclude_unset=True))


@pytest.mark.parametrize(("speaker", "name", "revision", "model"), CALLS, ids=name_of)
@calmly
@given(data=st.data())
def test_any_call_of_the_official_types_is_read_lifted_and_lowered(
    speaker: str, name: str, revision: str, model: Any, data: st.DataObject
) -> None:
    said = written(model, data.draw(values_of(model))) | {"jsonrpc": "2.0", "method": name}
    if name == "notifications/cancelled":  # which the schemas before 2025-11-25 require and the SDK does not
        assume("requestId" in said["params"])
    raw = packed(said)
    found = read_message(raw, revision=revision, speaker=speaker)
    assert found.method is not None
    assert (found.method.name, write_message(found)) == (name, raw)
    if revision != MODERN:
        return
    with suppress(CodecError):  # a bound of ours, or a name that no attribute holds
        again = json.loads(lower(lift(raw, **EDGE).message).message)
        _says_the_same(again, said, model)


def _says_the_same(again: Any, said: Any, model: Any) -> None:
    assert (again["method"], again.get("id")) == (said["method"], said.get("id"))
    TypeAdapter(model).validate_python(again)
    for member in said.get("params", {}).keys() - {"_meta"}:
        assert again["params"][member] == said["params"][member]


@pytest.mark.parametrize(("speaker", "name", "revision", "model"), RESULTS, ids=name_of)
@calmly
@given(data=st.data(), id=IDS)
def test_any_result_of_the_official_types_is_read_lifted_and_lowered(
    speaker: str, name: str, revision: str, model: Any, data: st.DataObject, id: int | str
) -> None:
    result = written(model, data.draw(values_of(model)))
    raw = packed({"jsonrpc": "2.0", "id": id, "result": result})
    found = read_message(raw, revision=revision, speaker=speaker, answers=name)
    assert write_message(found) == raw
    if revision != MODERN or speaker != "server":
        return
    lowered = lower(lift(raw, **EDGE).message)
    again = json.loads(lowered.message)
    assert again["id"] == id
    if "result" in again:
        TypeAdapter(model).validate_python(again["result"])


@calmly
@given(envelopes(("request", "event", "presence", "status", "artifact", "response", "progress", "cancel")))
def test_what_we_write_is_a_message_to_the_official_types(envelope: Envelope) -> None:
    with suppress(CodecError):  # progress without its number, a cancel of nothing: MCP has no such message
        _is_taken(json.loads(lower(envelope).message))


def _is_taken(message: Any) -> None:
    if "method" not in message:
        if "result" in message:
            TypeAdapter(judge.SERVER_RESULTS["tools/call", MODERN]).validate_python(message["result"])
        return
    tables = [judge.CLIENT_REQUESTS, judge.SERVER_NOTIFICATIONS, judge.CLIENT_NOTIFICATIONS]
    model = next(table[message["method"], MODERN] for table in tables if (message["method"], MODERN) in table)
    model.model_validate(message)
