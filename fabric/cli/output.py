"""What commands print: JSON lines for programs, text for people, and one line for an error."""

import sys
from typing import Any

import click
import msgspec

from fabric.errors import (
    ConfigInvalid,
    FabricError,
    InvalidName,
    LimitExceeded,
    NoSuchAgent,
    NoSuchLetter,
    NoSuchTool,
    NoSuchTopic,
    Refused,
    Unreachable,
)

__all__ = ["emit", "exit_code", "json_option", "note", "report"]

_MEND_IT = (ConfigInvalid, InvalidName, LimitExceeded)
_NOBODY_THERE = (Unreachable, NoSuchAgent, NoSuchLetter, NoSuchTool, NoSuchTopic)
_NEVER = {"denied": 1, "too_large": 2}  # refusals that the same message meets again

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON value a line.")


def emit(value: Any) -> None:
    """One JSON value on a line of stdout."""
    click.echo(msgspec.json.encode(value))


def note(text: str) -> None:
    """A line for the person watching, on stderr."""
    click.echo(text, err=True)


def report(error: FabricError, *, as_json: bool) -> None:
    """One line on stderr: the error's own sentence says the next step."""
    if as_json:
        facts = {"code": error.code, "message": str(error), "retriable": error.retriable}
        sys.stderr.buffer.write(msgspec.json.encode({"error": facts}) + b"\n")
    else:
        note(f"fabric: {error}")


def exit_code(error: FabricError) -> int:
    """The process's exit code for an error; the table is in `fabric.cli`."""
    if isinstance(error, _MEND_IT):
        return 2
    if isinstance(error, _NOBODY_THERE):
        return 3
    if isinstance(error, Refused) and error.reason in _NEVER:
        return _NEVER[error.reason]
    return 4 if error.retriable else 1
