"""The custody of an inbox: its cursor record, written by one owner at a time, and the letters it has settled.

| a commit's answer       | then |
|-------------------------|------|
| written                 | its ends stand; what it settled may be taken out of the log |
| none                    | the same record is written again before any other (`Tenure`) |
| another owner's record  | Fenced: this life is over, nothing more is settled |

`rules/inboxes/inbox` knows what is settled; here it is written, and a node is asked to take it out of the
log, which an agent has no right to. Above: `owner`, `keeper`. Below: `tenure`, `Link.ask`. Cost: one write
for each batch of settled letters, one request for each batch that leaves the log.
"""

import asyncio
import logging

from fabric import subjects
from fabric.client.identity import Identity
from fabric.client.tenure import Tenure
from fabric.errors import CallFailed, Fenced, NameInUse, Refused, Unreachable
from fabric.jetstream.layout import inbox_stream
from fabric.rules.accounts import Extent
from fabric.rules.inboxes.inbox import Commit, InboxRecord, Letters, owner_in_the_way

__all__ = ["Custody", "record_subject"]

log = logging.getLogger("fabric.inbox")

KIND, KEY = "inbox", "letters"


def record_subject(token: str) -> str:
    """Where an inbox's record is."""
    return subjects.state(token, KIND, KEY)


class Custody:
    """One life of an inbox's owner: `await open()`, `commit` now and then, `await close()`."""

    def __init__(self, identity: Identity, *, letters_max: int) -> None:
        self.identity = identity
        self.stream = inbox_stream(subjects.shard(identity.token))
        self.filter = subjects.inbox_letters(identity.token)
        self.letters = Letters()
        self.purged_to = 0  # nothing above it was taken out of the log in this life
        link = identity.link
        self.record = InboxRecord(
            name=identity.name,
            process=link.process,
            epoch=0,
            connection=link.token,
            extents=[Extent(self.stream, self.filter)],
            letters_max=letters_max,
        )
        self._gate_is_shut = False
        self._tenure = Tenure(link, record_subject(identity.token), InboxRecord)
        self._turn = asyncio.Lock()
        self._warned = False
        self._closed = False

    async def open(self, *, take_over: bool, open_here: bool) -> None:
        """Become the owner. `open_here`: this process has it open already. Raises NameInUse while another
        live process is the owner; Refused, Unreachable; InternalError for a record that is none."""
        former = await self._tenure.look()
        lives = open_here
        if former is not None:
            if former.open and former.process != self.identity.link.process:
                lives = await self._tenure.lives(former)
            self.record.epoch, self.record.shut = former.epoch, former.shut
            self._gate_is_shut = former.shut
        holder = owner_in_the_way(former, lives=lives, take_over=take_over)
        if holder is not None:
            raise NameInUse(self.identity.name, f"{holder}, which owns its inbox")
        self.record.epoch += 1
        self.letters = Letters(former)
        try:
            await self._write(self.letters.commit(self.record))
        except Fenced:
            raise NameInUse(self.identity.name, "another process, which took its inbox meanwhile") from None

    async def commit(self, *, everything: bool = False) -> None:
        """Write what is settled, then have it taken out of the log where that is due, or `everything`. Raises
        Fenced for good; Refused and Unreachable when it has to be tried again."""
        async with self._turn:
            if self._closed:  # a commit that waited for its turn must not open the record again
                return
            commit = self.letters.commit(self.record)
            await self._write(commit)
            if everything or self.letters.is_pressed:
                await self._purge(self.letters.purgeable(commit.record, everything=everything))
            if self._gate_is_shut != commit.record.shut:
                await self._move_gate(commit.record.shut)

    async def close(self) -> None:
        """End this life cleanly: what is in hand goes back to the log. Raises as `commit`."""
        if self.letters.spent:
            await self.commit(everything=True)
        async with self._turn:
            self._closed = True
            await self._write(self.letters.commit(self.record, closing=True))

    @property
    def fenced(self) -> Fenced | None:
        """Set for good when another process owns the inbox."""
        return self._tenure.fenced

    @property
    def former_at(self) -> str:
        """When the record of the life before was written, by the server's clock; without its zone."""
        return self._tenure.former_at.rstrip("Z")

    async def _write(self, commit: Commit) -> None:
        await self._tenure.write(commit.record)
        self.letters.committed(commit)

    async def _purge(self, floors: dict[str, int]) -> None:
        if floors:
            self.purged_to = max(self.purged_to, *floors.values())
            if await self._ask({"floors": floors}):
                self.letters.purged(floors)

    async def _move_gate(self, shut: bool) -> None:
        if shut:
            # Stored before it is answered, so a sender that looks from now on sees it.
            gate = subjects.inbox_gate(self.identity.token)
            await self.identity.link.connection.request(gate)
            self._gate_is_shut = True
        elif await self._ask({"open": True}):
            self._gate_is_shut = False

    async def _ask(self, request: object) -> bool:
        # What fails is asked again with the next batch: until then the record says that they are settled.
        try:
            await self.identity.link.ask("settle", self.identity.token, request)
        except (CallFailed, Refused, Unreachable) as error:
            if not self._warned:
                log.warning(
                    "inbox %s: settled letters stay in its log: %s; from 256 on their senders are refused",
                    self.identity.name,
                    error,
                )
            self._warned = True
            return False
        self._warned = False
        return True
