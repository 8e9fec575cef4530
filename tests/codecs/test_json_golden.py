"""MCP and A2A against their golden vectors, both directions."""

from typing import Any, Final

import pytest

from fabric_codecs.a2a.lift import lift as lift_a2a
from fabric_codecs.a2a.lower import lower as lower_a2a
from fabric_codecs.envelope import Envelope
from fabric_codecs.mcp.lift import lift as lift_mcp
from fabric_codecs.mcp.lower import lower as lower_mcp
from helpers.golden import golden
from helpers.golden_readers import EDGE

CODECS: Final[dict[str, Any]] = {"mcp": (lift_mcp, lower_mcp), "a2a": (lift_a2a, lower_a2a)}


def rows(part: str) -> list[Any]:
    return [(name, row) for name in CODECS for row in golden(name)[part]]


def told(row: dict[str, Any]) -> Envelope:
    data = bytes.fromhex(row["data_hex"]) if "data_hex" in row else row["data"].encode()
    built = Envelope(data, **row["attributes"])
    return (
        built.with_native([(name, entry(value)) for name, value in row["native"]])
        if "native" in row
        else built
    )


def entry(value: str | None) -> bytes | None:
    if value is None:
        return None
    return bytes.fromhex(value.removeprefix("hex:")) if value.startswith("hex:") else value.encode()


def say(envelope: Envelope) -> tuple[bytes, dict[str, str], list[Any]]:
    return envelope.data, envelope.attributes(), envelope.native


@pytest.mark.parametrize(("protocol", "row"), rows("lift"))
def test_a_message_is_the_envelope_that_the_vector_says_and_leaves_as_it_says(
    protocol: str, row: dict[str, Any]
) -> None:
    lift, lower = CODECS[protocol]
    envelope = lift(row["message"].encode(), **EDGE).message
    assert say(envelope) == say(told(row["envelope"]))
    assert lower(envelope).message.decode() == row.get("again", row["message"])


@pytest.mark.parametrize(("protocol", "row"), rows("lower"))
def test_an_envelope_is_the_message_that_the_vector_says(protocol: str, row: dict[str, Any]) -> None:
    lift, lower = CODECS[protocol]
    envelope = told(row["envelope"])
    lowered = lower(envelope)
    assert (lowered.message.decode(), lowered.codes) == (row["message"], row["losses"])
    again = lift(lowered.message, **EDGE).message
    if envelope.kind != "cancel":
        assert again.data == envelope.data
