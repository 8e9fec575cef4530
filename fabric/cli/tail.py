"""`fabric tail`: the messages of a channel or pattern, as they come."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal, cast

import click

from fabric.cli.client import Target, client_options, connected, run
from fabric.cli.output import emit, note
from fabric_codecs.envelope import Envelope

__all__ = ["command"]

Since = Literal["now", "beginning"] | int | datetime
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SHOWN_CHARS_MAX = 500  # of a message's data, for people; --json has it whole


class SinceType(click.ParamType[Since]):
    """now, beginning, a sequence number, an age (10m) or a time (2026-11-21T08:00:00+00:00)."""

    name = "since"

    def convert(self, value: str, param: click.Parameter | None, context: click.Context | None) -> Since:
        if value in ("now", "beginning"):
            return cast(Literal["now", "beginning"], value)
        if value.isdigit():
            return int(value)
        if value[:-1].isdigit() and value[-1] in _UNITS:
            return datetime.now(UTC) - timedelta(seconds=int(value[:-1]) * _UNITS[value[-1]])
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is none of: {self.__doc__}", param, context)
        return moment if moment.tzinfo else moment.astimezone()


@click.command("tail")
@click.argument("pattern")
@click.option("--since", type=SinceType(), default="now", show_default=True, help=SinceType.__doc__)
@click.option("-n", "--count", type=click.IntRange(min=1), help="End after this many messages.")
@client_options
def command(pattern: str, since: Since, count: int | None, target: Target, as_json: bool) -> None:
    """Print the messages of PATTERN (`*` is one level, a final `>` this and all below) until Ctrl-C.

    \b fabric tail 'greenhouse.>' --since 10m
    """
    show = _emit_json if as_json else _echo
    try:
        run(_tail(target, pattern, since, count, show))
    except KeyboardInterrupt:
        return  # the usual end


async def _tail(
    target: Target, pattern: str, since: Since, count: int | None, show: Callable[[Envelope], None]
) -> None:
    async with connected(target) as fabric, fabric.channel(pattern).join(since=since) as member:
        note(f"listening on {pattern}; Ctrl-C stops")
        shown = 0
        async for envelope in member:
            show(envelope)
            shown += 1
            if shown == count:
                return


def _echo(envelope: Envelope) -> None:
    time = (envelope.time or "")[11:23]
    text = envelope.data.decode("utf-8", "replace")
    cut = (
        f"{text[:_SHOWN_CHARS_MAX]}... ({len(envelope.data):,} bytes)"
        if len(text) > _SHOWN_CHARS_MAX
        else text
    )
    click.echo(f"{time} {envelope.subject} {envelope.source} {cut}")


def _emit_json(envelope: Envelope) -> None:
    facts: dict[str, object] = dict(envelope.attributes())
    try:
        facts["data"] = envelope.data.decode()
    except UnicodeDecodeError:
        facts["data_base64"] = envelope.data  # msgspec writes bytes as base64, as CloudEvents does
    if envelope.stream:
        facts["position"] = f"{envelope.stream}:{envelope.sequence}"
    emit(facts)
