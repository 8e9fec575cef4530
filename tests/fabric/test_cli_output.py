"""Exit codes and error lines, for every error there is."""

import inspect

import pytest

from fabric import errors
from fabric.cli.output import exit_code, report
from fabric.errors import ConfigInvalid, FabricError, Refused

SAMPLES: list[tuple[FabricError, int]] = [
    (errors.InvalidName("channel", "a..b", "an empty level"), 2),
    (errors.LimitExceeded("payload", allowed=1, actual=2), 2),
    (errors.ConfigInvalid("fabric.toml", "no"), 2),
    (errors.NoSuchAgent("a"), 3),
    (errors.NoSuchTool("a", "t"), 3),
    (errors.NoSuchTopic("t"), 3),
    (errors.Unreachable("nats://x", "down"), 3),
    (errors.Refused("full"), 4),
    (errors.Refused("denied"), 1),
    (errors.Refused("too_large"), 2),
    (errors.DeadlineExceeded("a.t", 1), 4),
    (errors.NameInUse("a", "p"), 4),
    (errors.PermissionDenied("publish"), 1),
    (errors.Unauthenticated("NATS"), 1),
    (errors.PortInUse("nats", "h", 1, "x"), 1),
    (errors.CallFailed("a.t", "boom", "it broke"), 1),
    (errors.CallCancelled("a.t", "left"), 1),
    (errors.ServerTooOld("1", "2"), 1),
    (errors.ServerFailed("no", "/log"), 1),
    (errors.NoSuchLetter(7), 3),
    (errors.CursorAhead("CH_0", 9, 3), 1),
    (errors.NotHeld("j-1"), 1),
    (errors.Fenced("the inbox of a", "taken over"), 1),
    (errors.IdempotencyConflict("a.t", "order-7"), 1),
    (errors.OutcomeUnknown("a.t", "order-7"), 1),
    (errors.StreamBroken("a.t", "part 3 was lost"), 1),
    (errors.InternalError("oops"), 1),
]


@pytest.mark.parametrize(("error", "code"), SAMPLES, ids=lambda value: type(value).__name__)
def test_exit_code_says_whose_turn_it_is(error: FabricError, code: int) -> None:
    assert exit_code(error) == code


def test_every_error_has_a_documented_exit_code() -> None:
    known = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, FabricError)}
    assert known - {FabricError} == {type(error) for error, _ in SAMPLES}


def test_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    report(ConfigInvalid("fabric.toml", "no such key"), as_json=False)
    assert capsys.readouterr() == ("", "fabric: fabric.toml: no such key\n")


def test_error_as_json_says_whether_to_try_again(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    report(Refused("full", retry_after_ms=5), as_json=True)
    told = capsysbinary.readouterr().err
    assert told.startswith(b'{"error":{"code":"refused",')
    assert b'"retriable":true' in told
