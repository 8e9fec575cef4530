"""How a message of Kafka's protocol is declared: one class for all of its versions.

A field's type is its form on the wire, its default Kafka's own. A field that not every version has says so:

    class FetchPartition(Struct):
        partition: i32
        current_leader_epoch: Annotated[i32, since(9)] = -1
        last_fetched_epoch: Annotated[i32, needs(12)] = -1
        replica_directory_id: Annotated[Uuid, since(17, tag=0)] = NO_UUID

`since`: an older peer does without it ("ignorable" in Kafka's schemas). `needs`: a value other than the
default cannot be told to an older peer, and is refused. With a `tag` it is a tagged field. Above: `messages`
(the declarations). `plan` reads these and does the rest.
"""

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from enum import IntEnum
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    TypeAlias,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

__all__ = [
    "INT32_MAX",
    "INT32_MIN",
    "INT64_MAX",
    "NO_UUID",
    "Field",
    "Kind",
    "Struct",
    "Uuid",
    "Versions",
    "fields_of",
    "i8",
    "i16",
    "i32",
    "i64",
    "needs",
    "since",
    "until",
]

INT32_MIN: Final = -(1 << 31)
INT32_MAX: Final = (1 << 31) - 1
INT64_MAX: Final = (1 << 63) - 1
NO_UUID: Final = bytes(16)


class Kind(IntEnum):
    """The forms that a value has on the wire ("Protocol Primitive Types" in Kafka's protocol guide)."""

    BOOLEAN = 0
    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UUID = 5
    STRING = 6
    BYTES = 7
    STRUCT = 8


i8: TypeAlias = Annotated[int, Kind.INT8]
i16: TypeAlias = Annotated[int, Kind.INT16]
i32: TypeAlias = Annotated[int, Kind.INT32]
i64: TypeAlias = Annotated[int, Kind.INT64]
Uuid: TypeAlias = Annotated[bytes, Kind.UUID]  # 16 bytes

_KINDS: Final = {bool: Kind.BOOLEAN, str: Kind.STRING, bytes: Kind.BYTES}


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions of its message that have a field, and whether the others may do without."""

    first: int = 0
    last: int = INT32_MAX
    is_ignorable: bool = True
    tag: int | None = None
    null_since: int = 0


def since(first: int = 0, *, until: int = INT32_MAX, tag: int | None = None, null_since: int = 0) -> Versions:
    """In versions `first` to `until`; others do without. Null is allowed from `null_since` on."""
    return Versions(first, until, tag=tag, null_since=null_since)


def until(last: int) -> Versions:
    """In version `last` and before; later ones do without."""
    return Versions(last=last)


def needs(first: int = 0, *, until: int = INT32_MAX, tag: int | None = None, null_since: int = 0) -> Versions:
    """In versions `first` to `until`; in others only its default can be said."""
    return Versions(first, until, is_ignorable=False, tag=tag, null_since=null_since)


@dataclass_transform(frozen_default=True, kw_only_default=True)
class _Declared:
    def __init_subclass__(cls) -> None:
        dataclass(frozen=True, kw_only=True)(cls)


class Struct(_Declared):
    """A message, or a part of one: a frozen dataclass. `unknown_tags` are the tagged fields that its schema
    does not know, as (tag, bytes) in ascending order; they are written again."""

    unknown_tags: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a Struct. `default` is None when a value must be given; `struct` is what STRUCT is of."""

    name: str
    kind: Kind
    struct: type[Struct] | None
    is_array: bool
    is_nullable: bool
    default: Any
    versions: Versions


def fields_of(cls: type[Struct]) -> Iterator[Field]:
    """The declared fields of a Struct, in the order in which they stand on the wire."""
    hints = get_type_hints(cls, include_extras=True)
    for declared in fields(cls):
        if declared.name != "unknown_tags":
            default = None if declared.default is MISSING else declared.default
            yield _field(declared.name, hints[declared.name], default)


def _field(name: str, hint: Any, default: Any) -> Field:
    hint, marks = _split(hint)
    is_nullable = is_array = False
    if get_origin(hint) in (Union, UnionType):
        is_nullable = True
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
        hint, more = _split(hint)
        marks += more
    if get_origin(hint) is tuple:
        is_array = True
        hint, more = _split(get_args(hint)[0])
        marks += more
    versions = next((mark for mark in marks if isinstance(mark, Versions)), Versions())
    kind = next((mark for mark in marks if isinstance(mark, Kind)), None) or _KINDS.get(hint, Kind.STRUCT)
    return Field(name, kind, hint if kind is Kind.STRUCT else None, is_array, is_nullable, default, versions)


def _split(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """An annotated type, and what it is annotated with."""
    if get_origin(hint) is not Annotated:
        return hint, ()
    base, *marks = get_args(hint)
    return base, tuple(marks)
