"""What a translation keeps: a message there and back, compared as envelopes.

In: a message, and two protocols. Out: assertions. Above: the tests of all twenty pairs.
"""

import re
from base64 import b64encode
from typing import Any

from fabric_codecs.envelope import Envelope
from fabric_codecs.losses import loss_codes
from fabric_codecs.translate.lift import PROTOCOLS, Protocol, lift
from fabric_codecs.translate.message import translate
from fabric_codecs.translate.routes import explain
from helpers.specimens import KNOWN

__all__ = ["PAIRS", "crossed", "holds", "meaning", "natives", "opened"]

PAIRS = [(source, target) for source in PROTOCOLS for target in PROTOCOLS if source != target]
# What names the hop and not the message: each crossing says its own.
OF_THE_HOP = {"source", "fabproto", "fabver", "fabmethod", "fabloss"}


def opened(message: bytes, protocol: Protocol) -> Envelope:
    """The envelope of a message, whose sender is believed."""
    return lift(message, protocol, trusted=True, **KNOWN).message


def crossed(message: bytes, source: Protocol, target: Protocol, **more: Any) -> tuple[bytes, str]:
    """The message in the other protocol, and the codes of what was lost."""
    translation = translate(message, source, target, **(KNOWN | more))
    return translation.message, loss_codes(translation.losses)


def meaning(envelope: Envelope) -> dict[str, str]:
    """Its attributes, but for those of the hop."""
    return {name: value for name, value in envelope.attributes().items() if name not in OF_THE_HOP}


def unsaid(envelope: Envelope) -> dict[str, set[str]]:
    """What is true of an envelope that does not say it, so that a protocol may say it for it: what data
    without a media type looks like, and that a request without a correlation is known by its id."""
    ids = (envelope.id, f"s:{envelope.id}")
    return {
        "datacontenttype": {"application/json", "text/plain", "application/octet-stream"},
        "fabcorr": {b64encode(id.encode()).decode() for id in ids},
    }


def natives(envelope: Envelope) -> list[tuple[str, bytes | None]]:
    """Without the marks of other hops, which a crossing keeps as native entries; those that Kafka's readers
    would take for attributes come back as what was said."""
    return [
        (re.sub(r"^ce_(?=.)", "fab-said-", name), value)
        for name, value in envelope.native
        if "io.agentfabric/" not in name
    ]


def holds(message: bytes, source: Protocol, target: Protocol) -> None:
    """There and back, all that no loss code names is as it was."""
    first = opened(message, source)
    topic = {"topic": first.subject} if source in ("mqtt311", "mqtt5") else {}  # else the one it came in
    there, codes = crossed(message, source, target, **topic)
    back, codes_back = crossed(there, target, source, trusted=True, **topic)
    second = opened(back, source)
    lost = {*codes.split(","), *codes_back.split(",")} - {""}
    explained = {loss.code.value for loss in (*explain(source, target), *explain(target, source))}
    assert lost <= explained
    assert second.data == first.data
    before, after = meaning(first), meaning(second)
    if "NO_METADATA" in lost and "mqtt311" in (source, target):
        assert after["subject"] == before["subject"]
        return
    if "CONTENT_TYPE_GUESSED" in lost:
        before.pop("datacontenttype", None)
        after.pop("datacontenttype", None)
    for name, values in unsaid(first).items():
        if name not in before and after.get(name) in values:
            del after[name]
    if target in ("mcp", "a2a"):
        # Their peers may not say where answers go and to what; what they say is kept, and not believed.
        for name in ("fabreply", "fabcorr"):
            if (value := before.get(name)) != after.get(name):
                assert f'"{value}"'.encode() in dict(second.native).values()
                before.pop(name, None)
                after.pop(name, None)
    assert after == before
    assert natives(second) == natives(first)
