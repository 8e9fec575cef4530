"""`fabric doctor`: what is here, what it guarantees, and what is wrong."""

from collections.abc import AsyncIterator
from pathlib import Path

import click

from fabric.address import locate
from fabric.cli.checks import Finding, environment, running, settings
from fabric.cli.client import run
from fabric.cli.output import emit, json_option

__all__ = ["command"]

_MARKS = {"ok": ("ok", "green"), "note": ("--", "cyan"), "warn": ("!!", "yellow"), "fail": ("XX", "red")}


@click.command("doctor")
@click.option("--config", "file", type=click.Path(path_type=Path), help="Instead of ./fabric.toml.")
@click.option("--url", metavar="URL", help="Look at this NATS server instead of the fabric that runs here.")
@click.option("--creds", metavar="FILE", help="A credentials file for it.")
@json_option
def command(file: Path | None, url: str | None, creds: str | None, as_json: bool) -> None:
    """Check this machine, the configuration and the fabric that runs here; exit 1 when something needs
    mending."""
    failed = run(_report(file, url, creds, as_json=as_json))
    click.get_current_context().exit(1 if failed else 0)


async def _report(file: Path | None, url: str | None, creds: str | None, *, as_json: bool) -> bool:
    failed = False
    async for finding in _findings(file, url, creds):
        failed = failed or finding.status == "fail"
        emit(finding) if as_json else _echo(finding)
    return failed


async def _findings(file: Path | None, url: str | None, creds: str | None) -> AsyncIterator[Finding]:
    async for finding in environment():
        yield finding
    for finding in settings(file):
        yield finding
    address = locate(url, creds)
    if address is None:
        yield Finding("fabric", "note", "none is running here; `fabric up` starts one")
        return
    if address.pid:
        yield Finding("fabric", "ok", f"running (pid {address.pid})")
    async for finding in running(address):
        yield finding


def _echo(finding: Finding) -> None:
    mark, colour = _MARKS[finding.status]
    click.echo(f"{click.style(mark, fg=colour)}  {finding.check:14} {finding.says}")
