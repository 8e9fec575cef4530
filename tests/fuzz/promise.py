"""What every decoder promises, in the form that a target asserts it.

In: what a codec did. Out: nothing, or the AssertionError that ends a run. Above: the targets.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError

__all__ = ["MayRefuse", "bytewise", "inside", "must", "received_of", "survives_nats"]

R = TypeVar("R")


class MayRefuse:
    """A block that a CodecError may end, when its offset lies inside the input."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, CodecError):
            return False
        inside(error, self.size)
        return True


def inside(error: CodecError, size: int) -> None:
    """A refusal says where, and that is a place in the input."""
    if not 0 <= error.offset <= size:
        raise AssertionError(f"offset {error.offset} of {size} bytes") from error


def must(function: Callable[..., R], *arguments: Any, **named: Any) -> R:
    """The result, where a refusal would mean that a codec does not take what it gave itself."""
    try:
        return function(*arguments, **named)
    except CodecError as error:
        raise AssertionError(f"refuses what was decoded: {error}") from error


def bytewise(data: bytes) -> list[bytes]:
    """The input as a very slow peer sends it."""
    return [data[at : at + 1] for at in range(len(data))]


def received_of(data: bytes) -> Envelope:
    """An envelope as a NATS client could have sent it: a header block, an empty line, the data."""
    header, end, payload = data.partition(b"\r\n\r\n")
    return Envelope.from_nats(b"fab.ch.0.me.a", header + end, payload)


def survives_nats(sent: Envelope) -> None:
    """Its header block, where it has one, reads as the same envelope."""
    with MayRefuse(0):  # over 64 KiB
        assert Envelope.from_nats(b"", sent.nats_header(), sent.data) == sent
