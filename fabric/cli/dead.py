"""`fabric dead ls|show|redrive`: what was given up, why, and back with it."""

import click

from fabric.cli.client import Target, client_options, connected, run
from fabric.cli.output import emit, exit_code, note, report
from fabric.client import Fabric
from fabric.client.dead import DeadLetter, Kind
from fabric.errors import FabricError

__all__ = ["command"]

KINDS = ("queue", "inbox", "member")

_kind = click.option("--kind", type=click.Choice(KINDS), help="Only what these gave up.")
_holder = click.option(
    "--holder", metavar="NAME", help="Only what the queue, inbox or member of that name gave up."
)


@click.group("dead")
def command() -> None:
    """Dead letters: list them, look into one, put messages back to where they came from."""


@command.command("ls")
@_kind
@_holder
@client_options
def ls(kind: Kind | None, holder: str | None, target: Target, as_json: bool) -> None:
    """List dead letters, oldest first: number, holder, cause."""
    letters = run(_letters(target, kind, holder))
    for letter in letters:
        if as_json:
            emit(_facts(letter))
        else:
            tries = f"{letter.attempts} attempt{'s' if letter.attempts != 1 else ''}"
            click.echo(f"{letter.number}  {letter.kind} {letter.holder}  {tries}: {letter.cause}")
    if not letters and not as_json:
        note("no dead letters")


@command.command("show")
@click.argument("number", type=click.IntRange(min=1))
@client_options
def show(number: int, target: Target, as_json: bool) -> None:
    """Show dead letter NUMBER with its payload and its earlier lives."""
    letter = run(_letter(target, number))
    facts = _facts(letter)
    if as_json:
        emit(facts)
        return
    for name, value in facts.items():
        click.echo(f"{name:<12} {value}")


@command.command("redrive")
@click.argument("numbers", nargs=-1, type=click.IntRange(min=1))
@_kind
@_holder
@click.option("--all", "everything", is_flag=True, help="All there are, or all of --kind and --holder.")
@client_options
def redrive(
    numbers: tuple[int, ...],
    kind: Kind | None,
    holder: str | None,
    everything: bool,
    target: Target,
    as_json: bool,
) -> int:
    """Put the messages of letters NUMBERS back, or those of --holder, or --all. A refused one keeps its
    letter.

    \\b fabric dead redrive 17 fabric dead redrive --holder reports
    """
    if bool(numbers) == bool(everything or kind or holder):
        raise click.UsageError("name the letters by number, or by --kind, --holder or --all")
    return run(_redrive(target, numbers, kind, holder, as_json=as_json))


async def _letters(target: Target, kind: Kind | None, holder: str | None) -> list[DeadLetter]:
    async with connected(target) as fabric:
        return await _select(fabric, kind, holder)


async def _select(fabric: Fabric, kind: Kind | None, holder: str | None) -> list[DeadLetter]:
    return [letter async for letter in fabric.dead.letters(kind=kind, holder=holder)]


async def _letter(target: Target, number: int) -> DeadLetter:
    async with connected(target) as fabric:
        return await fabric.dead.letter(number)


async def _redrive(
    target: Target, numbers: tuple[int, ...], kind: Kind | None, holder: str | None, *, as_json: bool
) -> int:
    worst = 0
    async with connected(target) as fabric:
        chosen = numbers or [letter.number for letter in await _select(fabric, kind, holder)]
        for number in chosen:
            try:
                receipt = await fabric.dead.redrive(number)
            except FabricError as error:  # the others may fare better
                report(error, as_json=as_json)
                worst = max(worst, exit_code(error))
                continue
            if as_json:
                emit({"number": number, "id": receipt.id, "position": f"{receipt.stream}:{receipt.sequence}"})
            else:
                click.echo(f"{number} is back as {receipt.stream}:{receipt.sequence} (id {receipt.id})")
    return worst


def _facts(letter: DeadLetter) -> dict[str, object]:
    envelope = letter.envelope
    facts: dict[str, object] = {
        "number": letter.number,
        "kind": letter.kind,
        "holder": letter.holder,
        "cause": letter.cause,
        "attempts": letter.attempts,
        "ancestors": letter.ancestors,
        "buried_by": letter.buried_by,
        "buried_at": letter.buried_at,
        "from": f"{letter.origin.stream}:{letter.origin.sequence}",
        "id": envelope.id,
        "source": envelope.source,
        "type": envelope.get("datacontenttype"),
    }
    try:
        facts["data"] = envelope.data.decode()
    except UnicodeDecodeError:
        facts["data_base64"] = envelope.data  # msgspec writes bytes as base64, as CloudEvents does
    return facts
