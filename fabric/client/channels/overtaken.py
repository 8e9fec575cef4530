"""What retention took while a durable member was away: nobody was there to see it go.

| the log                                                         | then |
|-----------------------------------------------------------------|------|
| keeps messages for longer than the member was away              | none went by age |
| begins after the member's position, and it was away for longer  | one run: all between may be meant |
| holds less beyond the position than a single subject may have   | none went by number |
| holds a full subject whose oldest message is beyond the position | one run, of that subject |

A run says "some, or all": a log does not tell what it held. Above: `durable`. Below: `jetstream.read`. Cost:
two requests for each filter when a member comes back.
"""

from fabric.client.channels.member import Truncation
from fabric.jetstream.read import Bounds, LogReader
from fabric.rules.accounts import Extent
from fabric.subjects import channel_of

__all__ = ["overtaken"]


async def overtaken(reader: LogReader, extents: list[Extent], away_s: float) -> list[Truncation]:
    """The runs that went since these positions were written. Raises what reading the log does."""
    runs = []
    for extent in extents:
        bounds = await reader.bounds(extent.stream)
        if 0 < bounds.age_max_s < away_s and bounds.first > extent.after + 1:
            channel = channel_of(extent.filter)
            runs.append(Truncation(channel, extent.stream, extent.after + 1, bounds.first - 1))
        elif bounds.per_subject_max:
            runs += await _by_number(reader, extent, bounds)
    return runs


async def _by_number(reader: LogReader, extent: Extent, bounds: Bounds) -> list[Truncation]:
    full, runs = bounds.per_subject_max, []
    if await reader.count(extent.stream, extent.filter, extent.after) < full:
        return []
    held = (await reader.bounds(extent.stream, subjects=extent.filter)).subjects
    for subject in (subject for subject, count in held.items() if count >= full):
        after = max(extent.after, extent.above.get(subject, 0))
        page = await reader.page(extent.stream, subject, 1, batch=1)
        if page.messages and page.messages[0].sequence > after + 1:
            oldest = page.messages[0].sequence
            runs.append(Truncation(channel_of(subject), extent.stream, after + 1, oldest - 1))
    return runs
