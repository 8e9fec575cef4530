"""The custody of an inbox: its cursor record, written by one owner at a time, and the letters it has settled.

| a commit's answer       | then |
|-------------------------|------|
| written                 | its ends stand; what it settled may be taken out of the log |
| none                    | the same record is written again before any other |
| another owner's record  | Fenced: this life is over, nothing more is settled |

`rules/inbox.py` knows what is settled; here it is written, and a node is asked to take it out of the log,
which an agent has no right to. Above: `inbox_owner`, `inbox_keeper`. Below: `jetstream.state`, `Link.ask`.
Cost: one write for each batch of settled letters, one request for each batch that leaves the log.
"""

import asyncio
import logging

import msgspec

from fabric import subjects
from fabric.client.agents.lease import lease_held
from fabric.client.identity import Identity
from fabric.errors import CallFailed, Fenced, InternalError, NameInUse, Refused, Unreachable
from fabric.jetstream.layout import inbox_stream
from fabric.rules.accounts import Extent
from fabric.rules.inbox import Commit, InboxRecord, Letters, owner_in_the_way

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
        self.former_at = ""  # when the record of the life before was written, by the server's clock
        self.fenced: Fenced | None = None
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
        self._subject = record_subject(identity.token)
        self._revision = 0
        self._unsure: Commit | None = None  # written, and no answer came
        self._turn = asyncio.Lock()
        self._warned = False
        self._closed = False

    async def open(self, *, take_over: bool, open_here: bool) -> None:
        """Become the owner. `open_here`: this process has it open already. Raises NameInUse while another
        live process is the owner; Refused, Unreachable; InternalError for a record that is none."""
        link = self.identity.link
        found = await link.state.get(self._subject)
        former = self._read(found.value) if found.value else None
        lives = open_here
        if former is not None:
            if former.open and former.process != link.process:
                lives = await lease_held(link, f"{former.connection}.{former.process}")
            self.record.epoch, self.record.shut = former.epoch, former.shut
            self._gate_is_shut = former.shut
        holder = owner_in_the_way(former, lives=lives, take_over=take_over)
        if holder is not None:
            raise NameInUse(self.identity.name, f"{holder}, which owns its inbox")
        self.record.epoch += 1
        self.letters = Letters(former)
        self.former_at = found.stored_at.rstrip("Z")
        self._revision = found.revision
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
            commit = await self._write_next()
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
            if self._unsure is not None:
                await self._write(self._unsure)
            await self._write(self.letters.commit(self.record, closing=True))

    def _read(self, value: bytes) -> InboxRecord:
        try:
            return msgspec.json.decode(value, type=InboxRecord)
        except msgspec.MsgspecError as error:
            raise InternalError(
                f"the record of inbox {self.identity.name} cannot be read: {error}"
            ) from error

    async def _write_next(self) -> Commit:
        if self._unsure is not None:
            await self._write(self._unsure)
        commit = self.letters.commit(self.record)
        await self._write(commit)
        return commit

    async def _write(self, commit: Commit) -> None:
        if self.fenced is not None:
            raise self.fenced
        value = msgspec.json.encode(commit.record)
        self._unsure = commit
        try:
            self._revision = await self.identity.link.state.put(self._subject, value, expected=self._revision)
        except Fenced as error:
            self.fenced = error
            raise
        self._unsure = None
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
