"""The floor under a translation: what touching the bytes at all costs.

In: a message. Out: bytes of the same length, and none of the meaning. JSON is decoded by msgspec with its
data left raw, and joined again; packets and batches are scanned once and copied. Above:
`scenarios.translate`.
"""

from collections.abc import Callable

import msgspec

__all__ = ["FLOOR"]


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
    message.find(b"\x7f")  # which none of our specimens has: all of it is looked at
    return bytes(memoryview(message))


FLOOR: dict[str, Callable[[bytes], bytes]] = {
    "mcp": _json,
    "a2a": _json,
    "mqtt5": _bytes,
    "mqtt311": _bytes,
    "kafka": _bytes,
}
