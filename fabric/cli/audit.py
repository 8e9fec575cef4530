"""`fabric audit`: how each durable member, inbox and queue accounts for what it was given, and what the logs
say to that.

In: `Fabric.audit`. Out: a table, or one JSON value for each holder; exit code 1 when a sum does not hold."""

import click

from fabric.cli.client import Target, client_options, connected, run
from fabric.cli.output import emit, note
from fabric.client import Finding

__all__ = ["command"]

COLUMNS = ("accepted", "delivered", "expired", "dead", "truncated", "unknown")
HEAD = ("holder", "state", *COLUMNS, "in flight", "waiting", "sum")


@click.command("audit")
@click.argument("who", metavar="[NAME]", required=False)
@client_options
def command(who: str | None, target: Target, as_json: bool) -> None:
    """Show and check the accounts of all who hold messages, or of those called NAME or owned by it.

    Each message that a holder accepted is delivered, expired, dead, truncated or in flight; what a crash hid
    is unknown. The sum holds when the log still has what is in flight. Ends with 1 when one does not hold.
    """
    findings = run(_findings(target, who))
    if as_json:
        for finding in findings:
            emit(finding)
    elif findings:
        _show([HEAD, *map(_row, findings)])
    if not findings:
        note("nobody holds messages here" + (f" under the name {who!r}" if who else ""))
    for finding in findings:
        if finding.problem:
            note(f"{_holder(finding)}: its log could not be asked: {finding.problem}")
    if any(finding.balanced is False for finding in findings):
        raise SystemExit(1)


async def _findings(target: Target, who: str | None) -> list[Finding]:
    async with connected(target) as fabric:
        found = await fabric.audit()
    return [one for one in found if who is None or who in (one.name, one.owner)]


def _holder(finding: Finding) -> str:
    return f"{finding.kind} {finding.name}" + (
        "" if finding.owner == finding.name else f" of {finding.owner}"
    )


def _row(finding: Finding) -> tuple[str, ...]:
    counts = (str(getattr(finding.account, column)) for column in COLUMNS)
    waiting = "?" if finding.waiting is None else str(finding.waiting)
    verdict = {True: "holds", False: "DOES NOT HOLD", None: "?"}[finding.balanced]
    return (_holder(finding), finding.state, *counts, str(finding.in_flight), waiting, verdict)


def _show(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        click.echo("  ".join(cells).rstrip())
