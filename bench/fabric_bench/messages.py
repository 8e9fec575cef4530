"""The messages that codecs are measured with: one per protocol with the same data, or many different ones.

In: how much data, and of which form. Out: bytes, as each protocol's own programs write them: a call, or a
reading in seven headers. Above: `codec_work`, `scenarios.translate`.
"""

import random
from dataclasses import dataclass
from typing import Final, Literal, get_args

from fabric_codecs.kafka.builder import BatchBuilder
from fabric_codecs.kafka.records import Record
from fabric_codecs.mqtt.encode import encode
from fabric_codecs.mqtt.packets import Publish
from fabric_codecs.mqtt.properties import Properties
from fabric_codecs.translate.lift import Protocol
from fabric_codecs.translate.message import translate

__all__ = [
    "FORMS",
    "FRESH_ID",
    "NOW_US",
    "ORIGIN",
    "TOPIC",
    "Form",
    "data_of",
    "different",
    "specimens",
]

Form = Literal["json", "text", "binary"]
FORMS: Final[tuple[Form, ...]] = get_args(Form)
MEDIA: dict[Form, str] = {
    "json": "application/json",
    "text": "text/plain",
    "binary": "application/octet-stream",
}
# What no message says of itself, and who translates has to say.
ORIGIN, NOW_US, FRESH_ID, TOPIC = "/nats/bench", 1_790_000_000_000_000, "e-1", "greenhouse.heat"
SEED = 5
PLACES = ("heat", "light", "water", "air", "door")


@dataclass(frozen=True)
class _Said:
    """What a message says, whatever protocol says it."""

    data: bytes
    media: str = MEDIA["json"]
    number: int = 7
    talk: str = "talk-1"
    trace: str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    subject: str = TOPIC


def data_of(size: int, form: Form = "json") -> bytes:
    """A reading in `size` bytes (41 at least, in JSON); text with a line break every 64 characters; all 256
    bytes."""
    if form == "json":
        return _reading("north", 21.5, b"x" * (size - 41))
    if form == "text":
        return ((b"x" * 63 + b"\n") * (size // 64 + 1))[:size]
    return (bytes(range(255, -1, -1)) * (size // 256 + 1))[:size]


def specimens(size: int, form: Form = "json") -> dict[Protocol, bytes]:
    """One message of each protocol with that data. What JSON has to wrap is as the fabric wraps it."""
    said = _Said(data_of(size, form), MEDIA[form])
    packets: dict[Protocol, bytes] = {
        "mqtt5": _mqtt5(said),
        "mqtt311": encode(Publish("greenhouse/heat", said.data), 4),
        "kafka": _kafka(said),
    }
    if form == "json":
        return {"mcp": _mcp(said), "a2a": _a2a(said), **packets}
    return {"mcp": _wrapped(packets["kafka"], "mcp"), "a2a": _wrapped(packets["kafka"], "a2a"), **packets}


def different(count: int, size: int) -> dict[Protocol, list[bytes]]:
    """`count` messages of each protocol, no two alike: other ids, traces and talks, fifty subjects, data of
    half to one and a half times `size`, with and without escapes. The same in every run."""
    chance = random.Random(SEED)
    said = [_by_chance(chance, number, size) for number in range(count)]
    return {
        "mcp": [_mcp(one) for one in said],
        "a2a": [_a2a(one) for one in said],
        "mqtt5": [_mqtt5(one) for one in said],
        "mqtt311": [encode(Publish(one.subject.replace(".", "/"), one.data), 4) for one in said],
        "kafka": [_kafka(one) for one in said],
    }


def _by_chance(chance: random.Random, number: int, size: int) -> _Said:
    letters = bytes(chance.choices(range(97, 123), k=chance.randint(size // 2, size * 3 // 2) - 41))
    text = letters.replace(b"q", b'\\"').replace(b"z", "ü".encode()) if number % 4 == 0 else letters
    zone = chance.choice(("north", "south", "east", "west", "seedling bench"))
    return _Said(
        data=_reading(zone, chance.randint(-200, 400) / 10, text),
        number=number,
        talk=f"talk-{chance.randrange(1 << 40)}",
        trace=f"00-{chance.randrange(1, 1 << 128):032x}-{chance.randrange(1, 1 << 64):016x}-01",
        subject=f"greenhouse.{chance.choice(PLACES)}-{chance.randrange(10)}",
    )


def _reading(zone: str, celsius: float, text: bytes) -> bytes:
    return b'{"zone":"%b","celsius":%b,"text":"%b"}' % (zone.encode(), str(celsius).encode(), text)


def _mcp(said: _Said) -> bytes:
    return (
        b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"%b","arguments":%b,"_meta":'
        b'{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},'
        b'"traceparent":"%b","io.agentfabric/conversation":"%b"}}}'
    ) % (said.number, said.subject.encode(), said.data, said.trace.encode(), said.talk.encode())


def _a2a(said: _Said) -> bytes:
    return (
        b'{"jsonrpc":"2.0","id":"r-%d","method":"SendMessage","params":{"message":{"messageId":"m-%d","role":'
        b'"ROLE_USER","contextId":"%b","parts":[{"data":%b,"mediaType":"application/json"}],"metadata":'
        b'{"io.agentfabric/subject":"%b","io.agentfabric/traceparent":"%b"}}}}'
    ) % (
        said.number,
        said.number,
        said.talk.encode(),
        said.data,
        said.subject.encode(),
        said.trace.encode(),
    )


def _attributes(said: _Said) -> tuple[tuple[str, str], ...]:
    return (
        ("specversion", "1.0"),
        ("id", f"reading-{said.number}"),
        ("type", "com.example.reading"),
        ("source", "/nats/t1"),
        ("correlationid", said.talk),
        ("traceparent", said.trace),
    )


def _mqtt5(said: _Said) -> bytes:
    properties = Properties(content_type=said.media, user=_attributes(said))
    return encode(Publish(said.subject.replace(".", "/"), said.data, properties=properties), 5)


def _kafka(said: _Said) -> bytes:
    headers: list[tuple[str, bytes | None]] = [("content-type", said.media.encode())]
    headers += [(f"ce_{name}", value.encode()) for name, value in _attributes(said)]
    batch = BatchBuilder(0)
    batch.add(Record(0, NOW_US // 1000, b"north", said.data, headers))
    return batch.build()


def _wrapped(batch: bytes, target: Protocol) -> bytes:
    return translate(
        batch, "kafka", target, origin=ORIGIN, now_us=NOW_US, fresh_id=FRESH_ID, topic=TOPIC
    ).message
