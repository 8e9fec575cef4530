"""`fabric ls`: who is live."""

import click

from fabric.cli.client import Target, client_options, connected, run
from fabric.cli.output import emit, note
from fabric.client import AgentCard

__all__ = ["command"]


@click.command("ls")
@click.option("--skill", metavar="SKILL", help="Only agents with this skill.")
@client_options
def command(skill: str | None, target: Target, as_json: bool) -> None:
    """List the live agents, their skills and tools."""
    cards = run(_cards(target, skill))
    if as_json:
        for card in cards:
            emit(card)
        return
    for card in cards:
        skills = f"  [{', '.join(skill.id for skill in card.skills)}]" if card.skills else ""
        click.echo(f"{card.name}{skills}  {card.description}".rstrip())
        for tool in card.tools:
            click.echo(f"  {card.name}.{tool.name}  {tool.description.partition(chr(10))[0]}".rstrip())
    if not cards:
        note("no agent is live" + (f" with the skill {skill!r}" if skill else ""))


async def _cards(target: Target, skill: str | None) -> list[AgentCard]:
    async with connected(target) as fabric:
        return sorted([card async for card in fabric.find(skill=skill)], key=lambda card: card.name)
