"""Routes: what a way from one protocol to another can cost, before any message has taken it.

One table says which protocols can say a thing and which can keep it; a route loses what its source says and
its target does not keep. `explain` reads the table, `translate` finds out for each message: a test holds that
no message ever costs more than its route explains. Above: `fabric translate --explain`, and whoever sets up a
route.

QoS is missing on purpose: it belongs to a hop, and the edge that delivers knows it (QOS_DOWNGRADED there).
"""

from typing import Final, NamedTuple

from fabric_codecs.losses import Loss, LossCode
from fabric_codecs.translate.lift import PROTOCOLS, Protocol

__all__ = ["TRAITS", "Trait", "explain"]

STRUCTURED: Final = "structured"  # MQTT 3.1.1 whose payloads are CloudEvents in JSON
JSON_RPC: Final = frozenset({"mcp", "a2a"})
EVERYBODY: Final = frozenset({*PROTOCOLS, STRUCTURED})
WITH_METADATA: Final = EVERYBODY - {"mqtt311"}


class Trait(NamedTuple):
    """Something that a message can have. `said_by`: whose messages can have it; `kept_by`: whose can have it
    after a translation, as it was."""

    loss: Loss
    said_by: frozenset[str]
    kept_by: frozenset[str]
    is_metadata: bool = True  # lost with everything else where there is no metadata at all


TRAITS: Final = (
    Trait(
        Loss(LossCode.NO_METADATA, "attributes", "everything beside topic and payload is left behind"),
        said_by=WITH_METADATA,
        kept_by=WITH_METADATA,
        is_metadata=False,
    ),
    Trait(
        Loss(
            LossCode.CONTENT_TYPE_GUESSED, "datacontenttype", "guessed from the payload; MQTT 3.1.1 has none"
        ),
        said_by=frozenset({"mqtt311"}),
        kept_by=frozenset({"mqtt5", "mqtt311"}),  # from packet to packet nothing has to be known
        is_metadata=False,
    ),
    Trait(
        Loss(
            LossCode.CONTENT_TYPE_GUESSED, "data", "said to be JSON; if it is none it goes as text or bytes"
        ),
        said_by=WITH_METADATA,
        kept_by=EVERYBODY - JSON_RPC,
    ),
    Trait(
        Loss(LossCode.EXPIRY_UNENFORCED, "expirytime", "told beside the message; nobody there enforces it"),
        said_by=WITH_METADATA,
        kept_by=frozenset({"mqtt5", STRUCTURED}),
    ),
    Trait(
        Loss(
            LossCode.NO_METADATA, "fabreply", "where no MQTT topic has its name it is told, and not answered"
        ),
        said_by=frozenset({"mcp", "a2a", "kafka", STRUCTURED}),
        kept_by=EVERYBODY - {"mqtt5"},
    ),
    Trait(
        Loss(LossCode.NO_METADATA, "fabcorr", "what is no base64 cannot be Correlation Data; it is told"),
        said_by=frozenset({"mcp", "a2a", "kafka", STRUCTURED}),
        kept_by=EVERYBODY - {"mqtt5"},
    ),
    Trait(
        Loss(LossCode.HEADER_BINARY, "native", "values that are no text are folded into fab-native"),
        said_by=frozenset({"mcp", "a2a", "kafka", STRUCTURED}),
        kept_by=EVERYBODY - {"mqtt5"},
    ),
    Trait(
        Loss(
            LossCode.NO_METADATA,
            "attributes",
            "a failure that came as a JSON-RPC error is one, without metadata",
        ),
        said_by=WITH_METADATA,
        kept_by=EVERYBODY - JSON_RPC,
    ),
    Trait(
        Loss(
            LossCode.NO_METADATA,
            "native",
            "beside a JSON-RPC message that came whole, other headers have no place",
        ),
        said_by=WITH_METADATA,
        kept_by=EVERYBODY - JSON_RPC,
    ),
    Trait(
        Loss(LossCode.TASK_ID_ALIASED, "task", "what names no task stands under its own id"),
        said_by=EVERYBODY - {"a2a"},
        kept_by=EVERYBODY - {"a2a"},
        is_metadata=False,
    ),
)


def explain(source: Protocol, target: Protocol, *, structured: bool = False) -> tuple[Loss, ...]:
    """What messages on this route can lose, whatever they are; empty: nothing, ever. `structured` as in
    `translate`: MQTT 3.1.1 payloads are CloudEvents then, and keep everything."""
    if source == target:
        return ()
    source_form, target_form = _form(source, structured), _form(target, structured)
    has_metadata = target_form in WITH_METADATA
    return tuple(
        trait.loss
        for trait in TRAITS
        if source_form in trait.said_by
        and target_form not in trait.kept_by
        and (has_metadata or not trait.is_metadata)
    )


def _form(protocol: Protocol, structured: bool) -> str:
    return STRUCTURED if structured and protocol == "mqtt311" else protocol
