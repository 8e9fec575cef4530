"""Agents of the fabric as A2A agents: the registry's card -> the card that A2A clients read."""

from fabric.client import AgentCard
from fabric_codecs.a2a.card import CardSkill, card_document

__all__ = ["a2a_card"]


def a2a_card(card: AgentCard, url: str) -> dict[str, object]:
    """The card of one agent, answering at `url`. Its own skills come first, then each tool as a skill."""
    own = [
        CardSkill(skill.id, skill.name or skill.id, skill.description, skill.tags or (skill.id,))
        for skill in card.skills
    ]
    taken = {skill.id for skill in own}
    tools = [
        CardSkill(tool.name, tool.name, tool.description, ("tool", tool.contract.side_effects))
        for tool in card.tools
        if tool.name not in taken
    ]
    return card_document(
        name=card.name,
        description=card.description or f"{card.name}, an agent of the message fabric",
        version=card.version or "0",
        url=url,
        skills=[*own, *tools],
    )
