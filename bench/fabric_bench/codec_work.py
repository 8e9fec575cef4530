"""What is measured of codecs: a loop over messages as a program has it, and a message to give it.

In: a size. Out: tasks, one a row, with ours and the floors. The clock and the counter of instructions run the
same loops. Imports no SDK: the counter could not wait for those. Above: `scenarios.translate`,
`instructions`. Below: messages, floors.
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

from fabric_bench.floors.raw_codec import FLOOR, IN_JSON, bare
from fabric_bench.messages import FRESH_ID, NOW_US, ORIGIN, TOPIC, Form, specimens
from fabric_codecs.envelope import Envelope
from fabric_codecs.kafka.builder import BatchBuilder
from fabric_codecs.kafka.records import Record, decode_batch
from fabric_codecs.mqtt.encode import encode
from fabric_codecs.mqtt.packets import Publish
from fabric_codecs.mqtt.properties import Properties
from fabric_codecs.mqtt.wire import decode
from fabric_codecs.translate.lift import PROTOCOLS, Protocol, lift
from fabric_codecs.translate.lower import lower
from fabric_codecs.translate.message import translate

__all__ = ["BARE_SIZE", "PAIRS", "SIZES", "Part", "Task", "Way", "Work", "each", "tasks", "translation"]

SIZES = (64, 256, 4096, 65536)
BARE_SIZE = 65536  # where each byte counts: there ours stands beside what has to be done to each
PAIRS = [(source, target) for source in PROTOCOLS for target in PROTOCOLS if source != target]

Way = Literal["translate", "decode", "encode"]
Work = Callable[[Iterable[Any]], None]


class Part(NamedTuple):
    """A participant: `work` does it to each of what it is given, and `one` is something to give."""

    work: Work
    one: Any


class Task(NamedTuple):
    """A row to be measured, with ours and the floors. Reading and writing one protocol has no target."""

    row: str
    what: str
    way: Way
    size: int
    form: Form
    source: Protocol
    target: Protocol | None
    parts: dict[str, Part]


def each(function: Callable[[Any], object]) -> Work:
    """A loop that calls `function` and does nothing else."""

    def work(ones: Iterable[Any]) -> None:
        for one in ones:
            function(one)

    return work


def translation(source: Protocol, target: Protocol) -> Work:
    """Ours, as a program calls it."""

    def work(messages: Iterable[bytes]) -> None:
        for message in messages:
            translate(message, source, target, origin=ORIGIN, now_us=NOW_US, fresh_id=FRESH_ID, topic=TOPIC)

    return work


def tasks(size: int) -> list[Task]:
    """All that is measured at a size."""
    found = [_pair(source, target, size, "json") for source, target in PAIRS]
    if size == BARE_SIZE:
        found += [_pair(*pair, size, form) for form in ("text", "binary") for pair in PAIRS if _wraps(*pair)]
    for protocol, message in specimens(size).items():
        found += _codec(protocol, size, message)
    return found


def _wraps(source: Protocol, target: Protocol) -> bool:
    """Whether what is not JSON has to be wrapped into it, or unwrapped."""
    return (source in IN_JSON) != (target in IN_JSON)


def _pair(source: Protocol, target: Protocol, size: int, form: Form) -> Task:
    message = specimens(size, form)[source]
    parts = {"ours": Part(translation(source, target), message)}
    if form == "json":
        parts["floor"] = Part(each(FLOOR[source]), message)
    if size == BARE_SIZE:
        name, floor, given = bare(source, target, size, form)
        parts[name] = Part(each(floor), given)
    row = f"translate.{source}.{target}.{size}" + ("" if form == "json" else f".{form}")
    return Task(row, f"{source} to {target}, {form}", "translate", size, form, source, target, parts)


def _codec(protocol: Protocol, size: int, message: bytes) -> list[Task]:
    """To bytes and from them: a packet, records, or an envelope where JSON is the form."""
    floor = Part(each(FLOOR[protocol]), message)
    ways: tuple[Way, Way] = ("decode", "encode")
    return [
        Task(
            row=f"codec.{protocol}.{way}.{size}",
            what=f"{way} {protocol}",
            way=way,
            size=size,
            form="json",
            source=protocol,
            target=None,
            parts={"ours": ours, "floor": floor},
        )
        for way, ours in zip(ways, _CODECS[protocol](protocol, message), strict=True)
    ]


def _of_json(protocol: Protocol, message: bytes) -> tuple[Part, Part]:
    def read(messages: Iterable[bytes]) -> None:
        for message in messages:
            lift(message, protocol, origin=ORIGIN, now_us=NOW_US, fresh_id=FRESH_ID, topic=TOPIC)

    def write(envelopes: Iterable[Envelope]) -> None:
        for envelope in envelopes:
            lower(envelope, protocol, now_us=NOW_US)

    envelope = lift(message, protocol, origin=ORIGIN, now_us=NOW_US, fresh_id=FRESH_ID, topic=TOPIC).message
    return Part(read, message), Part(write, envelope)


def _of_mqtt(protocol: Protocol, message: bytes) -> tuple[Part, Part]:
    version = 5 if protocol == "mqtt5" else 4

    def read(packets: Iterable[bytes]) -> None:
        for packet in packets:
            decode(packet, version)

    def write(packets: Iterable[Publish]) -> None:
        for packet in packets:
            encode(packet, version)

    read_one = decode(message, version)
    assert isinstance(read_one, Publish)
    properties = Properties(**read_one.properties.asdict())  # as a program makes them: not the bytes it read
    packet = Publish(read_one.topic, read_one.payload, properties=properties)
    return Part(read, message), Part(write, packet)


def _of_kafka(_: Protocol, message: bytes) -> tuple[Part, Part]:
    def read(batches: Iterable[bytes]) -> None:
        for batch in batches:
            _ = decode_batch(batch).records

    def write(records: Iterable[Record]) -> None:
        for record in records:
            batch = BatchBuilder(0)
            batch.add(record)
            batch.build()

    return Part(read, message), Part(write, decode_batch(message).records[0])


_CODECS: dict[Protocol, Callable[[Protocol, bytes], tuple[Part, Part]]] = {
    "mcp": _of_json,
    "a2a": _of_json,
    "mqtt5": _of_mqtt,
    "mqtt311": _of_mqtt,
    "kafka": _of_kafka,
}
