"""`fabric demo`: the story, its causal tree and its verdict."""

import secrets
import tempfile
from pathlib import Path

import click

from fabric.cli.client import run
from fabric.cli.output import emit, json_option, note
from fabric.errors import ConfigInvalid

__all__ = ["command"]


@click.command("demo")
@click.option("--keep", is_flag=True, help="Leave everything running to play with, until Ctrl-C.")
@json_option
def command(keep: bool, as_json: bool) -> None:
    """One story through MCP, A2A, MQTT and Kafka with stock clients; exit status 1 names the leg that
    failed."""
    try:
        from fabric.demo import story  # noqa: F401 - only to say early, and in one line, what is missing
    except ModuleNotFoundError as error:
        hint = "type: pip install 'agent-message-fabric[demo]'"
        raise ConfigInvalid("fabric demo", f"the package {error.name} is missing; {hint}") from None
    with tempfile.TemporaryDirectory(prefix="fabric-demo-") as home:
        failed = run(_demo(Path(home), keep=keep, as_json=as_json))
    if failed:
        raise SystemExit(1)


async def _demo(home: Path, *, keep: bool, as_json: bool) -> list[str]:
    from fabric.demo.legs import judge
    from fabric.demo.story import linger, open_stage, play
    from fabric.demo.tree import draw

    conversation = f"demo-{secrets.token_hex(4)}"
    async with open_stage(home, note) as stage:
        evidence = await play(stage, conversation, note)
        verdicts = judge(evidence)
        if as_json:
            emit({"conversation": conversation, "legs": verdicts, "records": len(evidence.journal)})
        else:
            click.echo("\n" + "\n".join(draw(evidence.story)) + "\n")
            for leg, problem in verdicts.items():
                mark = "ok    " if problem is None else "FAILED"
                click.echo(f"  {mark}  {leg:<20} {problem or _seen(leg, evidence.doors)}".rstrip())
        failed = [leg for leg, problem in verdicts.items() if problem is not None]
        click.echo(f"\n{'the story is whole' if not failed else 'FAILED: ' + ', '.join(failed)}", err=as_json)
        if keep and not failed:
            await linger(stage, click.echo)
    return failed


def _seen(leg: str, doors: dict[str, str]) -> str:
    edge, _, what = leg.partition(" ")
    return f"refused: {doors.get(edge, '')}" if what == "wrong token" else ""
