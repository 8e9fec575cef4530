"""Every error of the fabric has words in every protocol."""

import inspect

import pytest

from fabric import errors
from fabric.errors import FabricError, Refused
from fabric_bridges.refusal import TABLE, retry_after_s, words

CLASSES = [
    one
    for _, one in inspect.getmembers(errors, inspect.isclass)
    if issubclass(one, FabricError) and one is not Refused
]
OURS = {"config_invalid", "port_in_use", "server_failed"}  # met where a node starts, never by a peer


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_a_peer_can_meet_has_a_row(error: type[FabricError]) -> None:
    assert error.code in TABLE or error.code in OURS


@pytest.mark.parametrize(
    "reason",
    [
        "full",
        "rate",
        "timeout",
        "too_large",
        "denied",
        "closing",
        "unreachable",
        "conflict",
        "loop",
        "budget",
    ],
)
def test_every_reason_of_a_refusal_has_a_row(reason: str) -> None:
    assert words(Refused(reason)) == TABLE[f"refused.{reason}"]


def test_an_unknown_error_is_our_own_fault() -> None:
    assert words(Refused("moonlight")).http == 500


def test_codes_lie_in_the_range_of_their_protocol() -> None:
    for row in TABLE.values():
        assert row.jsonrpc in (-32602, -32603) or row.jsonrpc == row.http
        assert 400 <= row.http < 600
        assert 0x80 <= row.mqtt5 <= 0xA2
        assert 1 <= row.mqtt311 <= 5
        assert -1 <= row.kafka <= 100
        assert row.kafka != 0


@pytest.mark.parametrize(("after_ms", "seconds"), [(0, 1), (1, 1), (1000, 1), (1001, 2)])
def test_waiting_is_told_in_whole_seconds(after_ms: int, seconds: int) -> None:
    assert retry_after_s(Refused("full", retry_after_ms=after_ms)) == seconds
    assert retry_after_s(errors.PermissionDenied("x")) == 0
