"""`translate.<source>.<target>.<bytes>` and `codec.<protocol>.<decode|encode>.<bytes>`: us per message.

All twenty pairs and every codec, with 64 B to 64 KiB of data and six headers or their like. Against the way
through the official SDKs (`peers.sdk`) and the floor (`floors.raw_codec`): msgspec with raw pass-through for
JSON, one scan and one copy for the rest. `codec.mqtt5` is against the `mqtt5` codec in Rust, `codec.kafka`
against aiokafka's Cython. One process, no server. Every translation is opened again and its data compared
before anything is timed. Above: runner.
"""

import time
from collections.abc import Callable
from typing import Any, get_args

from fabric_bench.floors.raw_codec import FLOOR
from fabric_bench.peers import sdk
from fabric_bench.place import Server
from fabric_bench.plans import Measured
from fabric_bench.report import Goal, Result, Row, in_turn
from fabric_codecs.kafka.builder import BatchBuilder
from fabric_codecs.kafka.records import Record, decode_batch
from fabric_codecs.mqtt.encode import encode
from fabric_codecs.mqtt.packets import Publish
from fabric_codecs.mqtt.properties import Properties
from fabric_codecs.mqtt.wire import decode
from fabric_codecs.translate.lift import Protocol, lift
from fabric_codecs.translate.lower import lower
from fabric_codecs.translate.message import translate

__all__ = ["run"]

SIZES = (64, 256, 4096, 65536)
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
NOW_US = 1_790_000_000_000_000
KNOWN: dict[str, Any] = {
    "origin": "/nats/bench",
    "now_us": NOW_US,
    "fresh_id": "e-1",
    "topic": "greenhouse.heat",
}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SLICE_S, SLICE_QUICK_S = 0.05, 0.006  # how long one participant is timed in one round
SDK_TIMES = 15
WORST_US = 1.5

Work = Callable[[], object]


async def run(server: Server, *, rounds: int, quick: bool) -> list[Result]:
    """All rows. The server takes no part: codecs know none."""
    slice_s = SLICE_QUICK_S if quick else SLICE_S
    results = []
    for size in SIZES:
        messages = specimens(size)
        for source in PROTOCOLS:
            for target in PROTOCOLS:
                if source != target:
                    row, parts = _pair(source, target, size, messages[source])
                    results.append(await _measured(row, parts, rounds, slice_s))
        for protocol in PROTOCOLS:
            for row, parts in _codec(protocol, size, messages[protocol]):
                results.append(await _measured(row, parts, rounds, slice_s))
    return results


def specimens(size: int) -> dict[Protocol, bytes]:
    """One message of each protocol with that much data: a call, or a reading in six headers."""
    head, tail = b'{"zone":"north","celsius":21.5,"text":"', b'"}'
    data = head + b"x" * max(0, size - len(head) - len(tail)) + tail
    user = (
        ("specversion", "1.0"),
        ("id", "reading-7"),
        ("type", "com.example.reading"),
        ("source", "/nats/t1"),
        ("correlationid", "talk-1"),
        ("traceparent", TRACE),
    )
    headers: list[tuple[str, bytes | None]] = [("content-type", b"application/json")]
    headers += [(f"ce_{name}", value.encode()) for name, value in user]
    batch = BatchBuilder(0)
    batch.add(Record(0, NOW_US // 1000, b"north", data, headers))
    properties = Properties(content_type="application/json", user=user)
    return {
        "mcp": (
            b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"greenhouse.heat","arguments":%b,"_meta":'
            b'{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},'
            b'"traceparent":"%b","io.agentfabric/conversation":"talk-1"}}}'
        )
        % (data, TRACE.encode()),
        "a2a": (
            b'{"jsonrpc":"2.0","id":"r-7","method":"SendMessage","params":{"message":{"messageId":"m-1","role":'
            b'"ROLE_USER","contextId":"talk-1","parts":[{"data":%b,"mediaType":"application/json"}],"metadata":'
            b'{"io.agentfabric/subject":"greenhouse.heat"}}}}'
        )
        % data,
        "mqtt5": encode(Publish("greenhouse/heat", data, properties=properties), 5),
        "mqtt311": encode(Publish("greenhouse/heat", data), 4),
        "kafka": batch.build(),
    }


def _pair(source: Protocol, target: Protocol, size: int, message: bytes) -> tuple[Row, dict[str, Work]]:
    goals = (Goal("", WORST_US), Goal("sdk", 1 / SDK_TIMES)) if size == 256 else ()
    row = Row(
        id=f"translate.{source}.{target}.{size}",
        what=f"{source} to {target}, {size} B of data",
        unit="us",
        better="lower",
        goals=goals,
    )
    _check(source, target, message)
    read, write = sdk.READ[source], sdk.WRITE[target]
    floor = FLOOR[source]
    return row, {
        "ours": lambda: translate(message, source, target, **KNOWN),
        "sdk": lambda: write(read(message)),
        "floor": lambda: floor(message),
    }


def _check(source: Protocol, target: Protocol, message: bytes) -> None:
    sent = lift(message, source, **KNOWN).message.data
    translated = translate(message, source, target, **KNOWN).message
    if lift(translated, target, **KNOWN).message.data != sent:
        raise AssertionError(f"from {source} to {target} the data did not arrive as it was sent")


def _codec(protocol: Protocol, size: int, message: bytes) -> list[tuple[Row, dict[str, Work]]]:
    goals = (Goal("sdk", 1.0),) if protocol in ("mqtt5", "kafka") else ()
    decoding, encoding = _ours(protocol, message)
    floor = FLOOR[protocol]
    parts: dict[str, dict[str, Work]] = {
        "decode": {"ours": decoding, "floor": lambda: floor(message)},
        "encode": {"ours": encoding, "floor": lambda: floor(message)},
    }
    if protocol in sdk.DECODE:
        read = sdk.DECODE[protocol]
        parts["decode"]["sdk"] = lambda: read(message)
        parts["encode"]["sdk"] = sdk.ENCODE[protocol](message)
    return [(_codec_row(protocol, what, size, goals), found) for what, found in parts.items()]


def _codec_row(protocol: Protocol, what: str, size: int, goals: tuple[Goal, ...]) -> Row:
    return Row(
        id=f"codec.{protocol}.{what}.{size}",
        what=f"{what} {protocol}, {size} B of data",
        unit="us",
        better="lower",
        goals=goals,
    )


def _ours(protocol: Protocol, message: bytes) -> tuple[Work, Work]:
    """Bytes to what a program works with, and back: a packet, records, an envelope where JSON is a form."""
    if protocol in ("mqtt5", "mqtt311"):
        version = 5 if protocol == "mqtt5" else 4
        read = decode(message, version)
        assert isinstance(read, Publish)
        fields = read.properties.asdict()
        packet = Publish(read.topic, read.payload, properties=Properties(**fields))  # as a program builds it
        return lambda: decode(message, version), lambda: encode(packet, version)
    if protocol == "kafka":
        record = decode_batch(message).records[0]
        return lambda: decode_batch(message).records, lambda: _built(record)
    envelope = lift(message, protocol, **KNOWN).message
    return lambda: lift(message, protocol, **KNOWN), lambda: lower(envelope, protocol, now_us=NOW_US)


def _built(record: Record) -> bytes:
    batch = BatchBuilder(0)
    batch.add(record)
    return batch.build()


async def _measured(row: Row, parts: dict[str, Work], rounds: int, slice_s: float) -> Result:
    def timed(work: Work) -> Callable[[], Any]:
        async def one() -> Measured:
            return Measured(values={row.id: _per_call_us(work, slice_s)})

        return one

    return Result(row, await in_turn(rounds, {name: timed(work) for name, work in parts.items()}))


def _per_call_us(work: Work, slice_s: float) -> float:
    """The best of five stretches that fill the slice: what else the machine does only ever adds."""
    clock = time.perf_counter
    begun = clock()
    work()
    count = max(1, int(slice_s / 5 / max(clock() - begun, 1e-7)))
    best = float("inf")
    for _ in range(5):
        begun = clock()
        for _ in range(count):
            work()
        best = min(best, (clock() - begun) / count)
    return best * 1e6
