"""Losses: stable codes for what a translation could not carry, and the value that says so.

Every `lower` returns a `Translation`; nothing is lost in silence. Codes are part of the public contract.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

__all__ = ["Loss", "LossCode", "Translation", "loss_codes"]

M = TypeVar("M")


class LossCode(StrEnum):
    """The codes that this version can report; each is spelled as it appears in `fabloss`, metrics and native
    markers."""

    NO_METADATA = "NO_METADATA"
    NUM_PRECISION = "NUM_PRECISION"
    HEADER_BINARY = "HEADER_BINARY"
    CONTENT_TYPE_GUESSED = "CONTENT_TYPE_GUESSED"
    PART_UNMAPPED = "PART_UNMAPPED"
    STREAM_COALESCED = "STREAM_COALESCED"
    PROGRESS_SYNTHETIC = "PROGRESS_SYNTHETIC"
    SCHEMA_SYNTHESISED = "SCHEMA_SYNTHESISED"
    CANCEL_ADVISORY = "CANCEL_ADVISORY"
    EXPIRY_UNENFORCED = "EXPIRY_UNENFORCED"
    QOS_DOWNGRADED = "QOS_DOWNGRADED"
    TASK_ID_ALIASED = "TASK_ID_ALIASED"
    TOO_LARGE = "TOO_LARGE"


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that did not survive: `field` in the canonical message, and what became of it."""

    code: LossCode
    field: str
    outcome: str


class Translation(msgspec.Struct, Generic[M], frozen=True, gc=False):
    """A message in another protocol's form, and what it cost. (A Struct that the collector leaves alone: one
    is made for every message, and none is part of a cycle.)"""

    message: M
    losses: tuple[Loss, ...] = ()

    @property
    def codes(self) -> str:
        """The loss codes of this step; see `loss_codes`."""
        return loss_codes(self.losses)


def loss_codes(losses: Iterable[Loss], so_far: str = "") -> str:
    """Loss codes as `fabloss` carries them: those `so_far`, then these; comma-separated, once each; empty
    when nothing was lost. Codes that this version does not know are passed on."""
    if not losses and "," not in so_far:
        return so_far
    codes = (*so_far.split(","), *(loss.code.value for loss in losses))
    return ",".join(dict.fromkeys(code for code in codes if code))
