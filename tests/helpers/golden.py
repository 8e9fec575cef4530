"""Golden vectors: bytes and what they mean, in JSON, so that a codec in any language can be held to them.

In: a file of `tests/codecs/golden`. Out: its rows, and for MQTT the packets of this codebase that they
describe.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from fabric_codecs.mqtt import packets as mqtt
from fabric_codecs.mqtt.properties import Properties

FOLDER = Path(__file__).parents[1] / "codecs" / "golden"
VERSIONS = {"3.1.1": 4, "5": 5, "unknown": 0}


def golden(name: str) -> dict[str, Any]:
    """The vectors of one protocol."""
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return document


class Good(NamedTuple):
    """Bytes of one packet, and the packet."""

    version: int
    data: bytes
    packet: mqtt.Packet


class Bad(NamedTuple):
    """Bytes that are refused, with clause and reason code."""

    version: int
    data: bytes
    clause: str
    reason: int


def mqtt_vectors() -> tuple[list[Good], list[Bad]]:
    """`mqtt.json` as packets."""
    rows = golden("mqtt")
    valid = [
        Good(VERSIONS[row["version"]], bytes.fromhex(row["hex"]), _packet(row["packet"]))
        for row in rows["valid"]
    ]
    malformed = [
        Bad(VERSIONS[row["version"]], bytes.fromhex(row["hex"]), row["clause"], row["code"])
        for row in rows["malformed"]
    ]
    return valid, malformed


def _packet(row: dict[str, Any]) -> mqtt.Packet:
    packet: mqtt.Packet = getattr(mqtt, row["type"].capitalize())(**_fields(row))
    return packet


def _fields(row: dict[str, Any]) -> dict[str, Any]:
    return dict(_field(name, value) for name, value in row.items() if name != "type")


def _field(name: str, value: Any) -> tuple[str, Any]:
    if name.endswith("_hex"):
        return name.removesuffix("_hex"), bytes.fromhex(value)
    if name == "properties":
        return name, Properties(**_fields(value))
    if name == "will":
        return name, mqtt.Will(**_fields(value))
    if name == "subscriptions":
        return name, tuple(mqtt.Subscription(**one) for one in value)
    if isinstance(value, list):
        return name, tuple(tuple(one) if isinstance(one, list) else one for one in value)
    return name, value
