"""Progress that increases: MCP wants each `progress` of a token above the last (MCP progress, "Progress
Notifications").

In: a progress envelope, and the value of the last one. Out: the envelope to be lowered, its value, and what
was made up. Above: the edge, which remembers the value. Below: `lower`.
"""

import math
from typing import NamedTuple

from fabric_codecs.core.jsonscan import scan
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.losses import Loss, LossCode

__all__ = ["Rising", "rising"]


class Rising(NamedTuple):
    """A step that may be sent; the next one must exceed `value`."""

    envelope: Envelope
    value: float
    losses: tuple[Loss, ...] = ()


def rising(progress: Envelope, *, after: float) -> Rising:
    """The step as it is, or with the next float above `after` when its value does not exceed that
    (PROGRESS_SYNTHETIC); `after` is minus infinity before the first.

    Raises CodecError when the data is no progress object, or beyond what a double holds.
    """
    step = scan(progress.data, protocol="mcp")
    raw = step.get("progress")
    if raw is None or step.kind("progress") != "number":
        raise CodecError(
            "a progress envelope without a number `progress`", protocol="mcp", clause="MCP progress"
        )
    value = float(raw)
    losses: tuple[Loss, ...] = ()
    if value <= after:
        losses = (Loss(LossCode.PROGRESS_SYNTHETIC, "progress", f"{raw.decode()} did not increase"),)
        value = math.nextafter(after, math.inf)
        progress = progress.replace(step.splice("progress", repr(value).encode()))
    if value == math.inf:
        raise CodecError(
            "a progress beyond what a double holds: JSON has no infinity", protocol="mcp", clause="RFC 8259 6"
        )
    return Rising(progress, value, losses)
