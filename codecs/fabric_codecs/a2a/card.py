"""An agent's card (A2A 1.0.1, section 4.4): what a client reads before it sends anything."""

from collections.abc import Sequence

import msgspec

from fabric_codecs.a2a.events import LOSS_EXTENSION
from fabric_codecs.a2a.wire import MEDIA_TYPES, VERSION

__all__ = ["CardSkill", "card_document", "write_card", "write_cards"]


class CardSkill(msgspec.Struct, frozen=True):
    """Something an agent can do; for each of its tools one, with the tool's name as id."""

    id: str
    name: str
    description: str
    tags: tuple[str, ...]


def card_document(
    *, name: str, description: str, version: str, url: str, skills: Sequence[CardSkill]
) -> dict[str, object]:
    """The card of one agent, answering at `url` over JSON-RPC with a bearer token."""
    loss = {
        "uri": LOSS_EXTENSION,
        "description": "what a translation could not carry, in metadata under this key",
    }
    return {
        "name": name,
        "description": description,
        "version": version,
        "supportedInterfaces": [
            {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": VERSION},
        ],
        "capabilities": {"streaming": True, "pushNotifications": False, "extensions": [loss]},
        "securitySchemes": {"bearer": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}},
        "securityRequirements": [{"schemes": {"bearer": {"list": []}}}],
        "defaultInputModes": list(MEDIA_TYPES),
        "defaultOutputModes": list(MEDIA_TYPES),
        "skills": skills,
    }


def write_card(card: dict[str, object]) -> bytes:
    """The body of `/.well-known/agent-card.json`."""
    return msgspec.json.encode(card)


def write_cards(cards: Sequence[dict[str, object]]) -> bytes:
    """The cards of all agents, in one page."""
    return msgspec.json.encode({"agents": cards})
