"""`translate.<source>.<target>.<bytes>` and `codec.<protocol>.<decode|encode>.<bytes>`: us per message.

All twenty pairs and every codec, with 64 B to 64 KiB of JSON and six headers or their like; at 64 KiB also
text and bytes, which JSON has to wrap. Against the way through the official SDKs (`peers.sdk`) and a floor:
msgspec with raw pass-through, or a scan and a copy; at 64 KiB what has to be done to every byte, too.
`codec.mqtt5` is against the `mqtt5` codec in Rust, `codec.kafka` against aiokafka's Cython.
`translate.different.256` is what a thousand different messages take by a multiple of the same one a thousand
times, in the pair where it is most. One process, no server. Every translation is opened again and its data
compared before anything is timed. Above: runner. Below: codec_work, instructions.
"""

import time
from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any

from fabric_bench.codec_work import BARE_SIZE, PAIRS, SIZES, Part, Task, each, tasks, translation
from fabric_bench.instructions import count
from fabric_bench.messages import FORMS, FRESH_ID, NOW_US, ORIGIN, TOPIC, different, specimens
from fabric_bench.peers import sdk
from fabric_bench.place import Server
from fabric_bench.plans import Measured
from fabric_bench.report import Goal, Result, Row, in_turn
from fabric_codecs.translate.lift import Protocol, lift
from fabric_codecs.translate.message import translate

__all__ = ["goals_of", "run"]

SLICE_S, SLICE_QUICK_S = 0.05, 0.006  # how long one participant is timed in one round
STRETCH_S, STRETCHES_MIN = 0.001, 5
GOAL_SIZE, WORST_US, SDK_TIMES = 256, 1.5, 15
BARE_TIMES = 2  # what a pair may take of what has to be done to every byte
DIFFERENT = 1000


async def run(server: Server, *, rounds: int, quick: bool) -> list[Result]:
    """All rows. The server takes no part: codecs know none."""
    slice_s = SLICE_QUICK_S if quick else SLICE_S
    _check()
    counted = await count([GOAL_SIZE] if quick else SIZES)
    server.what["instructions"] = counted.by
    results = []
    for task in (task for size in SIZES for task in tasks(size)):
        rounds_done = await _timed(task.row, _with_sdk(task), rounds, slice_s)
        row = Row(id=task.row, what=task.what, unit="us", better="lower", goals=goals_of(task))
        results.append(Result(row, rounds_done, counted.rows.get(task.row, {})))
    return [*results, await _different(rounds, slice_s)]


def _check() -> None:
    """All data arrives as it was sent, whichever way."""
    for form in FORMS:
        messages = specimens(GOAL_SIZE, form)
        for source, target in PAIRS:
            sent, translated = _data(messages[source], source), _translated(messages[source], source, target)
            if _data(translated, target) != sent:
                raise AssertionError(f"from {source} to {target}, {form} did not arrive as it was sent")


def _data(message: bytes, protocol: Protocol) -> bytes:
    return lift(message, protocol, origin=ORIGIN, now_us=NOW_US, fresh_id=FRESH_ID, topic=TOPIC).message.data


def _translated(message: bytes, source: Protocol, target: Protocol) -> bytes:
    return translate(
        message, source, target, origin=ORIGIN, now_us=NOW_US, fresh_id=FRESH_ID, topic=TOPIC
    ).message


def _with_sdk(task: Task) -> dict[str, Part]:
    """The parts of a task, and of who uses SDKs where there is one: for JSON, as they wrap nothing else."""
    source, given = task.source, task.parts["ours"].one
    if task.target is not None:
        by_sdk = {"sdk": _by_sdk(source, task.target, given)} if task.form == "json" else {}
    elif source not in sdk.DECODE:
        by_sdk = {}
    elif task.way == "decode":
        by_sdk = {"sdk": Part(each(sdk.DECODE[source]), given)}
    else:
        message = specimens(task.size)[source]
        by_sdk = {"sdk": Part(each(sdk.ENCODE[source]), sdk.to_encode(source, message))}
    return task.parts | by_sdk


def _by_sdk(source: Protocol, target: Protocol, message: bytes) -> Part:
    read, write = sdk.READ[source], sdk.WRITE[target]

    def work(messages: Iterable[bytes]) -> None:
        for message in messages:
            write(read(message))

    return Part(work, message)


def goals_of(task: Task) -> tuple[Goal, ...]:
    """What a row must reach: at 256 B, at 64 KiB, and codecs that a fast library has, too."""
    if task.target is None:
        return (Goal("sdk", 1.0),) if task.source in ("mqtt5", "kafka") else ()
    if task.size == BARE_SIZE:
        return tuple(Goal(name, BARE_TIMES) for name in task.parts if name not in ("ours", "floor"))
    return (Goal("", WORST_US), Goal("sdk", 1 / SDK_TIMES)) if task.size == GOAL_SIZE else ()


async def _timed(row: str, parts: dict[str, Part], rounds: int, slice_s: float) -> list[dict[str, Measured]]:
    def timed(part: Part) -> Callable[[], Any]:
        async def one() -> Measured:
            return Measured(values={row: _per_message_us(part, slice_s)})

        return one

    return await in_turn(rounds, {name: timed(part) for name, part in parts.items()})


def _per_message_us(part: Part, slice_s: float) -> float:
    """The best of the stretches that fill the slice: what else the machine does only ever adds, and leaves
    some short ones alone."""
    once_s = max(min(_took_s(part, 1) for _ in range(STRETCHES_MIN)), 1e-7)
    number = max(1, int(STRETCH_S / once_s))
    stretches = max(STRETCHES_MIN, int(slice_s / (number * once_s)))
    return min(_took_s(part, number) for _ in range(stretches)) / number * 1e6


def _took_s(part: Part, number: int) -> float:
    begun = time.perf_counter()
    part.work(repeat(part.one, number))
    return time.perf_counter() - begun


async def _different(rounds: int, slice_s: float) -> Result:
    """One message again and again spoils caches of names and guesses of branches: the pair for which a
    thousand different ones make the largest difference."""
    many, single = different(DIFFERENT, GOAL_SIZE), specimens(GOAL_SIZE)
    name, unit = f"translate.different.{GOAL_SIZE}", f"us per {DIFFERENT:,}"
    results = []
    for source, target in PAIRS:
        work = each(translation(source, target))  # over lists of messages
        parts = {"ours": Part(work, many[source]), "same": Part(work, [single[source]] * DIFFERENT)}
        row = Row(name, f"{source} to {target}, different messages", unit, better="lower")
        results.append(Result(row, await _timed(name, parts, rounds, slice_s)))
    return max(results, key=lambda result: result.median("ours") / result.median("same"))
