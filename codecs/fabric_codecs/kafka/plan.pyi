from typing import Generic, TypeVar

from fabric_codecs.kafka.schema import Struct

S = TypeVar("S", bound=Struct)

class Plan(Generic[S]):
    """How one version of a message stands on the wire."""

def plan_of(cls: type[S], version: int, is_flexible: bool) -> Plan[S]:
    """The plan of a class in a version; `is_flexible`: with compact lengths and tagged fields."""

def read(plan: Plan[S], frame: bytes, at: int, elements_max: int) -> tuple[S, int]:
    """The struct that stands at byte `at`, and the byte after it. No array may have more than `elements_max`
    elements, all its places in the message counted together: it is refused before they take any time.

    Raises CodecError (reason 42, INVALID_REQUEST) that names the field.
    """

def write_frame(plan: Plan[S], struct: S, head: bytes) -> bytes:
    """A whole frame: its length, `head`, the struct.

    Raises CodecError for a value that this version cannot say: see `schema.needs`.
    """
