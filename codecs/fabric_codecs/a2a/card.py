"""An agent's card (A2A 1.0.1, section 4.4): what a client reads before it sends anything."""

from collections.abc import Sequence

import msgspec

__all__ = [
    "CARD_PATH",
    "LOSS_EXTENSION",
    "MEDIA_TYPES",
    "VERSION",
    "CardSkill",
    "card_document",
    "version_is_served",
    "write_card",
    "write_cards",
]

VERSION = "1.0"  # as the A2A-Version header carries it: major and minor only (section 3.6)
CARD_PATH = "/.well-known/agent-card.json"
MEDIA_TYPES = ("application/json", "text/plain")  # what a call takes and gives
LOSS_EXTENSION = "io.agentfabric/loss"


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


def version_is_served(header: str) -> bool:
    """Whether a request's A2A-Version is ours. A patch level does not count; an empty one means 0.3."""
    major, _, rest = header.strip().partition(".")
    return f"{major}.{rest.partition('.')[0]}" == VERSION
