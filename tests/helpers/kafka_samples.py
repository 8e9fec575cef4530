"""A message of any class with something in each field of its version: to be cut, bent, kept as a seed."""

from collections.abc import Iterator
from itertools import count
from typing import Any, TypeVar

from fabric_codecs.kafka.frames import encode_request, encode_response
from fabric_codecs.kafka.messages import EXCHANGES
from fabric_codecs.kafka.schema import Field, Kind, Struct, fields_of

__all__ = ["full", "request_frame_of", "response_frame_of"]

S = TypeVar("S", bound=Struct)


def full(cls: type[S], version: int, numbers: Iterator[int] | None = None) -> S:
    """Numbers ascend from 1, strings are their field's name, arrays have two elements."""
    numbers = count(1) if numbers is None else numbers
    values: dict[str, Any] = {}
    for field in fields_of(cls):
        if field.versions.first <= version <= field.versions.last:
            value = tuple(_value(field, version, numbers) for _ in range(2 if field.is_array else 1))
            values[field.name] = value if field.is_array else value[0]
    return cls(**values)


def _value(field: Field, version: int, numbers: Iterator[int]) -> Any:
    if field.struct is not None:
        return full(field.struct, version, numbers)
    if field.kind is Kind.BOOLEAN:
        return True
    if field.kind is Kind.STRING:
        return field.name
    if field.kind is Kind.BYTES:
        return field.name.encode()
    number = next(numbers)
    return number.to_bytes(16) if field.kind is Kind.UUID else number


def request_frame_of(api: int, version: int) -> bytes:
    """A full request, without the length in front."""
    return encode_request(7, version, full(EXCHANGES[api].request, version), "me")[4:]


def response_frame_of(api: int, version: int) -> bytes:
    """A full response, without the length in front."""
    return encode_response(7, version, full(EXCHANGES[api].response, version))[4:]
