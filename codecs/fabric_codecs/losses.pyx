"""Losses: stable codes for what a translation could not carry, and the value that says so.

Every `lower` returns a `Translation`; nothing is lost in silence. Codes are part of the public contract.
"""

from enum import StrEnum
from types import GenericAlias

cimport cython


class LossCode(StrEnum):
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


@cython.final
cdef class Loss:
    def __init__(self, code not None, str field not None, str outcome not None):
        self.code = code
        self.field = field
        self.outcome = outcome

    def __eq__(self, other):
        if not isinstance(other, Loss):
            return NotImplemented
        return self._fields() == (<Loss>other)._fields()

    def __hash__(self):
        return hash(self._fields())

    def __repr__(self):
        return f"Loss(code={self.code!r}, field={self.field!r}, outcome={self.outcome!r})"

    def __reduce__(self):
        return Loss, self._fields()

    cdef tuple _fields(self):
        return self.code, self.field, self.outcome


@cython.final
@cython.no_gc  # one is made for every message, and none is part of a cycle
@cython.freelist(64)
cdef class Translation:
    def __init__(self, message, tuple losses not None=()):
        self.message = message
        self.losses = losses

    @property
    def codes(self):
        return loss_codes(self.losses)

    def __eq__(self, other):
        if not isinstance(other, Translation):
            return NotImplemented
        return self.message == (<Translation>other).message and self.losses == (<Translation>other).losses

    __hash__ = None

    def __repr__(self):
        return f"Translation(message={self.message!r}, losses={self.losses!r})"

    def __reduce__(self):
        return Translation, (self.message, self.losses)

    @classmethod
    def __class_getitem__(cls, form):
        return GenericAlias(cls, form)


cdef Translation translation_of(object message, tuple losses):
    cdef Translation translation = Translation.__new__(Translation)
    translation.message = message
    translation.losses = losses
    return translation


def loss_codes(losses, str so_far not None=""):
    if not losses and "," not in so_far:
        return so_far
    codes = (*so_far.split(","), *[loss.code.value for loss in losses])
    return ",".join(dict.fromkeys([code for code in codes if code]))
