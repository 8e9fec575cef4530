"""`fabric bench NAME --json FILE [--quick]`: run it, print the table, keep every run as JSON.

In: a bench's name. Out: a table, a file, and exit code 1 when a message was lost, came twice or out of order
(a missed goal is told, not punished: machines differ). Above: `fabric.cli`. Below: scenarios, place, report.
"""

import asyncio
import importlib
import json
from pathlib import Path
from typing import Any

import click
import uvloop

from fabric_bench.place import serve
from fabric_bench.report import Result, commit, machine, table, versions
from fabric_bench.worker import RunFailed

__all__ = ["bench", "command"]

BENCHES = (
    "durable",
    "live",
    "call",
    "catchup",
    "fanout",
    "inbox",
    "queue",
    "storm",
    "register",
    "join",
    "translate",
)
ROUNDS, ROUNDS_QUICK = 5, 3


@click.command("bench", help="Measure against nats-py and a raw socket in the same run.")
@click.argument("name", type=click.Choice(BENCHES))
@click.option("--json", "file", type=click.Path(path_type=Path, dir_okay=False), help="Keep every run here.")
@click.option("--quick", is_flag=True, help="The same rows with fewer messages: within a minute.")
@click.option("--url", default="", help="A NATS server instead of an embedded one; its streams are EMPTIED.")
@click.option("--creds", default="", help="Credentials for --url that may do everything.")
def command(name: str, file: Path | None, quick: bool, url: str, creds: str) -> None:
    """The command line's side."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        document, results = runner.run(bench(name, quick=quick, url=url, creds=creds))
    click.echo(table(results))
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document, indent=1) + "\n")
        click.echo(f"every run: {file}")
        if draw := getattr(importlib.import_module(f"fabric_bench.scenarios.{name}"), "draw", None):
            click.echo(draw(results, file.with_suffix(".png")))
    if not all(result.is_sound for result in results):
        raise RunFailed("messages were lost, came twice or out of order: these figures do not count")


async def bench(
    name: str, *, quick: bool = False, url: str = "", creds: str = ""
) -> tuple[dict[str, Any], list[Result]]:
    """Run one bench; the document for the file, and the rows. Raises RunFailed, FabricError."""
    scenario = importlib.import_module(f"fabric_bench.scenarios.{name}")
    before = machine()
    async with serve(url, creds) as server:
        results: list[Result] = await scenario.run(
            server, rounds=ROUNDS_QUICK if quick else ROUNDS, quick=quick
        )
        place = server.what
    document = {
        "bench": name,
        "quick": quick,
        "commit": commit(),
        "machine": before | place,
        "versions": versions(),
        "rows": [result.document() for result in results],
    }
    return document, results


if __name__ == "__main__":
    command()
