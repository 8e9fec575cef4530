from collections.abc import Iterable
from enum import StrEnum
from typing import Generic, TypeVar

M = TypeVar("M")

class LossCode(StrEnum):
    """The codes that this version can report; each is spelled as it appears in `fabloss`, metrics and native
    markers."""

    NO_METADATA = "NO_METADATA"
    HEADER_BINARY = "HEADER_BINARY"
    CONTENT_TYPE_GUESSED = "CONTENT_TYPE_GUESSED"
    PART_UNMAPPED = "PART_UNMAPPED"
    STREAM_COALESCED = "STREAM_COALESCED"
    PROGRESS_SYNTHETIC = "PROGRESS_SYNTHETIC"
    SCHEMA_SYNTHESISED = "SCHEMA_SYNTHESISED"
    EXPIRY_UNENFORCED = "EXPIRY_UNENFORCED"
    QOS_DOWNGRADED = "QOS_DOWNGRADED"
    TASK_ID_ALIASED = "TASK_ID_ALIASED"
    TOO_LARGE = "TOO_LARGE"

class Loss:
    """One thing that did not survive: `field` in the canonical message, and what became of it. Immutable,
    hashable."""

    def __init__(self, code: LossCode, field: str, outcome: str) -> None: ...
    @property
    def code(self) -> LossCode: ...
    @property
    def field(self) -> str: ...
    @property
    def outcome(self) -> str: ...

class Translation(Generic[M]):
    """A message in another protocol's form, and what it cost. Immutable."""

    def __init__(self, message: M, losses: tuple[Loss, ...] = ()) -> None: ...
    @property
    def message(self) -> M: ...
    @property
    def losses(self) -> tuple[Loss, ...]: ...
    @property
    def codes(self) -> str:
        """The loss codes of this step; see `loss_codes`."""

def loss_codes(losses: Iterable[Loss], so_far: str = "") -> str:
    """Loss codes as `fabloss` carries them: those `so_far`, then these; comma-separated, once each; empty
    when nothing was lost. Codes that this version does not know are passed on."""
