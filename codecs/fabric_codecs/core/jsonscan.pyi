from collections.abc import Iterable
from typing import Literal

from fabric_codecs.bounds import JSON_BYTES_MAX, JSON_DEPTH_MAX

Kind = Literal["object", "array", "string", "number", "boolean", "null"]

class JsonObject:
    """One object of a checked document: its members' names, and their values as the raw bytes they came in.

    Names are unique (a second one is refused) and keep their order. Objects below it are checked for
    grammar when the document is scanned, for unique names when somebody looks into them (`object`).
    """

    @property
    def raw(self) -> bytes:
        """The object as it came, inner white space included."""
    def __len__(self) -> int: ...
    def __contains__(self, name: object) -> bool: ...
    def names(self) -> list[str]: ...
    def get(self, name: str) -> bytes | None:
        """The raw value, without space around it; None when there is no such member."""
    def kind(self, name: str) -> Kind | None: ...
    def offset(self, name: str) -> int:
        """Where the value starts in the document. Raises KeyError when there is no such member."""
    def text(self, name: str) -> str | None:
        """The text of a string member; None when absent. Raises CodecError when it is of another type."""
    def object(self, name: str) -> JsonObject | None:
        """An object member, looked into; None when absent. Raises CodecError when it is of another type or
        repeats a name."""
    def splice(self, name: str, value: bytes) -> bytes:
        """A copy of `raw` with one member replaced, or added at the end; every other byte stays. `value` is
        JSON, not checked."""

def scan(
    data: bytes,
    *,
    protocol: str = "json",
    bytes_max: int = JSON_BYTES_MAX,
    depth_max: int = JSON_DEPTH_MAX,
) -> JsonObject:
    """The object that is the document. Raises CodecError, with the offset, for anything that is not one JSON
    object.

    RFC 8259, and I-JSON (RFC 7493) where that leaves receivers apart: UTF-8 only, no lone surrogates even
    escaped. `depth_max` counts objects and arrays inside each other. `protocol` names the speaker in
    errors.
    """

def check(
    data: bytes,
    *,
    protocol: str = "json",
    bytes_max: int = JSON_BYTES_MAX,
    depth_max: int = JSON_DEPTH_MAX,
) -> Kind:
    """What kind of value the document is, after checking all of it. Raises as `scan` does, but takes any
    value."""

def elements(
    data: bytes,
    *,
    protocol: str = "json",
    bytes_max: int = JSON_BYTES_MAX,
    depth_max: int = JSON_DEPTH_MAX,
    count_max: int = 0,
) -> list[bytes]:
    """The raw elements of the array that the document is, all checked. Raises as `scan` does, and for more
    than `count_max` elements (0: any number)."""

def kind_of(raw: bytes) -> Kind:
    """What kind a raw value is that this scanner handed out."""

def quote(text: str) -> bytes:
    """A text as a JSON string, with its quotes. Raises CodecError for a lone surrogate."""

def compose(members: Iterable[tuple[str, bytes]]) -> bytes:
    """An object made of names and raw values, in their order; neither JSON nor names are checked."""
