"""One life as the only writer of a holder's record: claim it, write it, learn that it is somebody else's.

| the record found                     | its process lives | `take_over` | then |
|--------------------------------------|-------------------|-------------|------|
| none, or ended cleanly               | -                 | -           | ours, with the next epoch |
| open, of another process             | no                | -           | ours: that life crashed |
| open, of another process, or of this | yes               | no          | NameInUse |
| open, of another process, or of this | yes               | yes         | ours: the former is fenced |

Whoever was fenced learns it with its next write. A life that has heard nothing of its record for `CONFIRM_S`
(it had nothing to write, or was stopped and went on) asks before it acts again, so one that was replaced
meanwhile does nothing more. A write whose answer was lost is repeated, word for word, before any other.
Above: `durable`, `keeper`, `custody`, `endings`. Below: `jetstream.state`, `lease`. Cost: a round trip for
each write, and for the first act after a second without one.
"""

import asyncio
from typing import Generic, TypeVar

import msgspec

from fabric.client.agents.lease import lease_held
from fabric.client.link import Link
from fabric.clock import monotonic
from fabric.errors import Fenced, InternalError, LimitExceeded, NameInUse, Refused
from fabric.rules.accounts import Holder

__all__ = ["Tenure"]

CONFIRM_S = 1.0
RECORD_BYTES_MAX = 768 << 10  # the server takes 1 MiB

H = TypeVar("H", bound=Holder)


class Tenure(Generic[H]):
    """`subject` is where the record is (`fabric.subjects.state`), `form` its type; `fenced` is set for good
    when another process has it."""

    def __init__(self, link: Link, subject: str, form: type[H]) -> None:
        self.fenced: Fenced | None = None
        self.former_at = ""  # when the record of the life before was written, by the server's clock
        self._link = link
        self._subject = subject
        self._form = form
        self._revision = 0
        self._unsure: bytes | None = None  # written, and no answer came
        self._heard_at = 0.0
        self._turn = asyncio.Lock()  # each write expects the revision of the one before

    async def claim(self, *, take_over: bool = False) -> H | None:
        """The record of the life before, None when there was none; the first `write` makes it ours. Raises
        NameInUse, Refused, Unreachable."""
        await self._link.lease.keep()  # others judge by it whether this life goes on
        former = await self.look()
        if former is not None and former.open and not take_over and await self.lives(former):
            raise NameInUse(former.name, f"{former.connection}.{former.process}")
        return former

    async def look(self) -> H | None:
        """`claim` for a caller who judges by itself whether the record may become ours. Raises Refused,
        Unreachable; InternalError for a record that is none."""
        found = await self._link.state.get(self._subject)
        self._revision, self.former_at = found.revision, found.stored_at
        if not found.value:
            return None
        try:
            return msgspec.json.decode(found.value, type=self._form)
        except msgspec.MsgspecError as error:
            raise InternalError(f"the record {self._subject} cannot be read: {error}") from error

    async def lives(self, former: Holder) -> bool:
        """Whether the process that wrote it still holds its lease."""
        return await lease_held(self._link, f"{former.connection}.{former.process}")

    async def write(self, record: H) -> int:
        """Write a record unlike any before; answers its size. Raises Fenced for good; LimitExceeded when it
        is too large, and nothing was written; Refused or Unreachable when it has to be tried again."""
        value = msgspec.json.encode(record)
        if len(value) > RECORD_BYTES_MAX:
            raise LimitExceeded("bytes of a holder's record", allowed=RECORD_BYTES_MAX, actual=len(value))
        async with self._turn:
            await self._repeat()
            await self._put(value)
        return len(value)

    @property
    def is_confirmed(self) -> bool:
        """Whether the record was ours within the last second."""
        return self.fenced is None and monotonic() - self._heard_at < CONFIRM_S

    async def confirm(self) -> None:
        """Ask whether the record is still ours, unless it is confirmed. Raises as `write`."""
        async with self._turn:
            if self.fenced is not None:
                raise self.fenced
            asked = monotonic()
            if self.is_confirmed or await self._repeat():
                return
            found = await self._link.state.get(self._subject)
            if found.revision > self._revision:
                self.fenced = Fenced(self._subject, "another process wrote it meanwhile")
                raise self.fenced
            if found.revision < self._revision:
                raise Refused("unreachable", retry_after_ms=500, detail="a replica of the records lags")
            self._heard_at = asked

    async def _repeat(self) -> bool:
        # What has no answer yet goes first: only then it is known which revision is ours.
        if self._unsure is None:
            return False
        await self._put(self._unsure)
        return True

    async def _put(self, value: bytes) -> None:
        if self.fenced is not None:
            raise self.fenced
        self._unsure = value
        asked = monotonic()
        try:
            self._revision = await self._link.state.put(self._subject, value, expected=self._revision)
        except Fenced as error:
            self.fenced = error
            raise
        self._unsure = None
        self._heard_at = asked
