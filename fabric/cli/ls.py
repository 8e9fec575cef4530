"""`fabric ls`: who is live, or what the queues hold."""

from typing import Any

import click

from fabric.cli.client import Target, client_options, connected, run
from fabric.cli.output import emit, note
from fabric.client import AgentCard

__all__ = ["command"]


@click.command("ls")
@click.option("--skill", metavar="SKILL", help="Only agents with this skill.")
@click.option("--queues", is_flag=True, help="The queues instead: how deep, and whose jobs wait.")
@client_options
def command(skill: str | None, queues: bool, target: Target, as_json: bool) -> None:
    """List the live agents, their skills and tools; or the queues."""
    if queues:
        _show_queues(run(_queues(target)), as_json=as_json)
    else:
        _show_agents(run(_cards(target, skill)), skill, as_json=as_json)


def _show_queues(states: list[dict[str, Any]], *, as_json: bool) -> None:
    for state in states:
        if as_json:
            emit(state)
            continue
        sources = ", ".join(f"{source} {count}" for source, count in state["sources"].items())
        click.echo(
            f"{state['name']}  {state['depth']} jobs, {state['in_hand']} with workers  {sources}".rstrip()
        )
    if not states and not as_json:
        note("no queue holds a job, and none is worked")


def _show_agents(cards: list[AgentCard], skill: str | None, *, as_json: bool) -> None:
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


async def _queues(target: Target) -> list[dict[str, Any]]:
    async with connected(target) as fabric:
        states: list[dict[str, Any]] = await fabric.session.ask("queue", fabric.token, {"list": True})
        return states


async def _cards(target: Target, skill: str | None) -> list[AgentCard]:
    async with connected(target) as fabric:
        return sorted([card async for card in fabric.find(skill=skill)], key=lambda card: card.name)
