"""`fabric call`: one call of an agent's tool."""

from typing import Any

import click
import msgspec

from fabric.cli.client import Target, client_options, connected, run
from fabric.cli.output import emit, note
from fabric.client import Progress, Reply
from fabric.errors import ConfigInvalid

__all__ = ["command"]


@click.command("call")
@click.argument("tool", metavar="AGENT.TOOL")
@click.argument("arguments", nargs=-1, metavar="[JSON | KEY=VALUE...]")
@click.option(
    "--deadline",
    "deadline_s",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait; then the agent is told to stop.",
)
@client_options
def command(tool: str, arguments: tuple[str, ...], deadline_s: float, target: Target, as_json: bool) -> None:
    """Call AGENT.TOOL and print its result; progress goes to stderr.

    \b fabric call thermostat.set_temperature device=north celsius=21.5
    """
    reply = run(_call(target, tool, _arguments(arguments), deadline_s))
    if as_json:
        emit(msgspec.Raw(reply.data or b"null"))
    else:
        click.echo(msgspec.json.format(reply.data, indent=2) if reply.data else b"")


async def _call(target: Target, tool: str, arguments: dict[str, Any], deadline_s: float) -> Reply:
    async with connected(target) as fabric:
        return await fabric.call(tool, arguments, deadline_s=deadline_s, on_progress=_show)


def _show(progress: Progress) -> None:
    total = f" of {progress.total:g}" if progress.total is not None else ""
    note(f"... {progress.progress:g}{total} {progress.message or ''}".rstrip())


def _arguments(words: tuple[str, ...]) -> dict[str, Any]:
    """One JSON object, or KEY=VALUE words whose values are JSON where they can be and text where not."""
    if len(words) == 1 and words[0].lstrip().startswith("{"):
        try:
            return msgspec.json.decode(words[0], type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise ConfigInvalid("the arguments", f"are no JSON object: {error}") from error
    arguments = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ConfigInvalid(f"the argument {word!r}", "must be KEY=VALUE, or all of them one JSON object")
        arguments[key] = _value(value)
    return arguments


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
