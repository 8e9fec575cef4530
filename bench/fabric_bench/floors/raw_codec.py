"""The floors under a translation: what touching the bytes at all costs, and none of the meaning.

`FLOOR`, at every size: JSON is decoded by msgspec with its data left raw and joined again, packets and
batches are scanned once and copied. `bare`, where the data is most of the message: nothing but what this pair
has to do to every byte of it. Above: `codec_work`.
"""

import base64
from collections.abc import Callable
from typing import Any

import msgspec

from fabric_bench.messages import Form, data_of, specimens
from fabric_codecs.core.jsonscan import scan
from fabric_codecs.kafka.records import decode_batch
from fabric_codecs.translate.lift import Protocol

__all__ = ["FLOOR", "IN_JSON", "bare", "must_do"]

IN_JSON: tuple[Protocol, ...] = ("mcp", "a2a")


class _Params(msgspec.Struct):
    arguments: msgspec.Raw = msgspec.Raw(b"")
    message: msgspec.Raw = msgspec.Raw(b"")


class _Request(msgspec.Struct):
    id: int | str
    method: str
    params: _Params


_decode = msgspec.json.Decoder(_Request).decode
_encode = msgspec.json.Encoder().encode


def _json(message: bytes) -> bytes:
    return _encode(_decode(message))


def _bytes(message: bytes) -> bytes:
    message.find(b"\x7f")  # which none of ours has: all of it is looked at
    return message[1:]  # one byte less: the whole would be the same object, and no copy


FLOOR: dict[Protocol, Callable[[bytes], bytes]] = {
    "mcp": _json,
    "a2a": _json,
    "mqtt5": _bytes,
    "mqtt311": _bytes,
    "kafka": _bytes,
}


def must_do(source: Protocol, target: Protocol, form: Form) -> tuple[str, ...]:
    """What a pair cannot avoid doing to every byte of data of that form:

    | step             | where                                                                     |
    |------------------|---------------------------------------------------------------------------|
    | `scan JSON`      | JSON stands in MCP or A2A as it is: what comes in must be JSON. From MQTT |
    |                  | 3.1.1, which names no media type, to Kafka, which has one: is it JSON?    |
    | `write escapes`  | text into MCP or A2A, where it is a JSON string                           |
    | `read escapes`   | and back                                                                  |
    | `write base64`   | bytes into MCP or A2A                                                     |
    | `read base64`    | and back                                                                  |
    | `check batch`    | a Kafka batch has a checksum of all its bytes                             |
    | `scan bytes`     | nothing of these: the cheapest scan there is                              |
    | `copy`           | always                                                                    |
    """
    into, out_of = target in IN_JSON, source in IN_JSON
    steps = []
    if form == "json" and (into or out_of or (source, target) == ("mqtt311", "kafka")):
        steps.append("scan JSON")
    if form != "json" and into != out_of:
        way = "write" if into else "read"
        steps.append(f"{way} escapes" if form == "text" else f"{way} base64")
    if "kafka" in (source, target):
        steps.append("check batch")
    return (*(steps or ["scan bytes"]), "copy")


def bare(
    source: Protocol, target: Protocol, size: int, form: Form
) -> tuple[str, Callable[[Any], object], Any]:
    """The floor of that pair: its name, what it does, and to what."""
    names = must_do(source, target, form)
    data = data_of(size, form)
    steps = [(_STEPS[name], _given(name, data, form)) for name in names]

    def floor(steps: list[tuple[Callable[[bytes], object], bytes]]) -> None:
        for step, given in steps:
            step(given)

    return " + ".join(names), floor, steps


def _given(step: str, data: bytes, form: Form) -> bytes:
    """The data in the form in which that step finds it."""
    if step == "check batch":
        return specimens(len(data), form)["kafka"]
    if step == "read escapes":
        return _write_escapes(data)
    return base64.b64encode(data) if step == "read base64" else data


def _write_escapes(data: bytes) -> bytes:
    return _encode(data.decode())


_STEPS: dict[str, Callable[[bytes], object]] = {
    "scan JSON": scan,  # ours: the fastest there is here, so that the goal is the strictest
    "write escapes": _write_escapes,
    "read escapes": msgspec.json.Decoder(str).decode,
    "write base64": base64.b64encode,
    "read base64": base64.b64decode,
    "check batch": decode_batch,  # ours, too: aiokafka takes four times as long for the checksum alone
    "scan bytes": lambda data: data.find(b"\x7f"),
    "copy": lambda data: data[1:],
}
