"""A durable member: a named cursor that survives its process.

It is a member whose messages are obligations: each is handed out, settled when the reader comes back for the
next one, counted, and never skipped. `rules/channels/cursor` decides; `member` feeds it; `tenure` makes it
the only writer of its record, `cursor_keeper` keeps that written. What a crash left unwritten comes again.
Above: `channel`. Below: `dead`, for what is given up. Cost: beside a member's, a few microseconds a message
and one write for each commit.
"""

import hashlib
import logging
from collections import deque
from types import TracebackType
from typing import Self

import msgspec

from fabric import subjects
from fabric.client.audit import unsettled
from fabric.client.channels.catchup import Since, beginning
from fabric.client.channels.keeper import CursorKeeper
from fabric.client.channels.member import Member, Truncation
from fabric.client.channels.overtaken import overtaken
from fabric.client.context import Cause, Handling, current_cause, current_handling
from fabric.client.dead import bury
from fabric.client.identity import Identity
from fabric.client.tenure import Tenure
from fabric.clock import now_us, parse_us
from fabric.errors import FabricError, Fenced, InvalidName, NameInUse
from fabric.jetstream.layout import channel_stream
from fabric.rules.accounts import Account, Extent
from fabric.rules.channels.cursor import Cursor, CursorRecord, Verdict, next_life, position_of
from fabric.rules.letters import Origin
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.names import encode_level

__all__ = ["DurableMember", "cursor_subject"]

log = logging.getLogger("fabric.durable")

CAUSE_CHARS_MAX = 200


def cursor_subject(owner: str, durable: str, pattern: str) -> str:
    """Where the record of `owner`'s durable member is (encoded names, canonical pattern). The pattern is
    hashed: it may be longer than a subject may."""
    where = hashlib.blake2b(pattern.encode(), digest_size=12).hexdigest()
    return subjects.state(owner, "cursor", f"{durable}.{where}")


class DurableMember:
    """Made by `Channel.join(durable=...)`: `async with channel.join(durable="auditor") as member: async for
    envelope in member: ...`.

    Coming back for the next message settles the one before; so does leaving the block, unless by an
    exception: then the message comes again, to the next life, and after 5 tries in vain it becomes a dead
    letter of this member. A message whose `expirytime` has passed is counted, not delivered.

    *At least once.* What was settled and not committed (at most 100 ms and 2,000 messages) comes again after
    a crash, and so may what a former holder was given before it noticed that it was replaced. Second copies
    of a message, among the last 1,024 settled, are withheld. What is published `once` while a message is
    handled (by default: inside the loop, by the task that loops) is stored once however often that message
    comes, if the handling publishes the same each time, and within 2 minutes of the first. Effects outside
    the fabric, between handling and commit, are the handler's own business: `settle` narrows the gap, nothing
    closes it.

    *Order.* As for any member: per channel and source, so a `partitionkey` keeps its order as far as one
    source says it. After a crash the uncommitted interval comes again from its beginning.

    `account` counts obligations (`fabric.rules.accounts`); live messages are heard and are none.
    """

    def __init__(
        self, identity: Identity, pattern: str, durable: str, since: Since, *, take_over: bool, anew: bool
    ) -> None:
        try:
            self._token = encode_level(durable)
        except CodecError as error:
            raise InvalidName("durable member", durable, error.what) from None
        if not durable:
            raise InvalidName("durable member", durable, "it is empty")
        self.name = durable
        self.pattern = pattern
        self._identity = identity
        self._since = since
        self._take_over = take_over
        self._anew = anew
        self._subject = cursor_subject(identity.token, self._token, pattern)
        self._streams: dict[str, str] = {}  # by filter
        self._cursor: Cursor
        self._member: Member
        self._keeper: CursorKeeper | None = None
        self._in_hand: Envelope | None = None
        self._popped: Envelope | None = None  # of the member's queue, and not in anybody's hand yet
        self._verdict: Verdict | None = None  # on it
        self._told = 0  # truncations
        self._outside = current_cause.get(), current_handling.get()

    # What it has counted

    @property
    def account(self) -> Account:
        """Obligations so far, over all lives of this member."""
        return msgspec.structs.replace(self._cursor.account)

    @property
    def copies(self) -> int:
        """Second copies withheld by the ledger, over all lives."""
        return self._cursor.copies

    @property
    def attempts(self) -> int:
        """Tries in vain of the message in hand, as far as records tell."""
        return self._cursor.attempts

    @property
    def truncations(self) -> deque[Truncation]:
        """What retention took before it was read, the last 64 runs of this life."""
        return self._member.truncations

    @property
    def failure(self) -> FabricError | None:
        """What ended this life, if anything did."""
        return self._member.failure

    # Life

    async def __aenter__(self) -> Self:
        """Returns when the cursor is this process's and the starting point is known. Raises NameInUse while
        another live process holds it (`take_over=True` replaces that), CursorAhead when the log ends before
        the cursor (`anew=True` begins at `since` again, and counts a truncation); what `Member` raises."""
        link = self._identity.link
        tenure = Tenure(link, self._subject, CursorRecord)
        former = await tenure.claim(take_over=self._take_over)
        in_log = await unsettled(link.reader, former.extents) if former and former.open else 0
        record = next_life(former, await self._mine(former), in_log)
        if former is not None and self._anew:
            record = begun_anew(record, await self._beginning())
        self._streams = {extent.filter: extent.stream for extent in record.extents}
        self._cursor = cursor = Cursor(record)
        self._member = Member(
            link, self.pattern, None, "now", positions=position_of(record), progress=cursor.progress
        )
        if former is not None and not self._anew:
            await self._look_back(former, tenure.former_at)
        self._keeper = CursorKeeper(link, tenure, cursor, self._member.fail)
        try:
            await self._keeper.begin()
            await self._member.__aenter__()
        except BaseException as error:
            await self.close()
            if isinstance(error, Fenced):
                raise NameInUse(self.name, "another process, which was first") from error
            raise
        link.members.add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is None:
            self._settle()
        await self._leave(repr(error)[:CAUSE_CHARS_MAX] if isinstance(error, Exception) else "")

    async def close(self) -> None:
        """Leave; a message in hand goes back to the log. Safe to call twice."""
        await self._leave("")

    def reconnected(self) -> None:
        """The feed was interrupted: its business."""

    async def probe(self, now: float) -> None:
        """Time has passed: the feed's business."""

    async def _leave(self, cause: str) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        self._identity.link.members.discard(self)
        await self._member.close()
        self._cursor.put_back(cause)
        self._in_hand = self._popped = self._verdict = None
        self._say_cause(None)
        await keeper.end(self.name)

    async def _look_back(self, former: CursorRecord, written_at: str) -> None:
        away_s = (now_us() - parse_us(written_at)) / 1e6
        for gone in await overtaken(self._identity.link.reader, former.extents, away_s):
            self._member.truncations.append(gone)
            self._cursor.let_go(1)
            log.warning("durable member %s was away too long: %s", self.name, gone)

    async def _mine(self, former: CursorRecord | None) -> CursorRecord:
        link = self._identity.link
        return CursorRecord(
            name=self.name,
            process=link.process,
            connection=link.token,
            epoch=1,
            pattern=self.pattern,
            extents=await self._beginning() if former is None else [],
        )

    async def _beginning(self) -> list[Extent]:
        reader, extents = self._identity.link.reader, []
        for shard in subjects.shards_of_pattern(self.pattern):
            stream = channel_stream(shard)
            for one in subjects.stored_filters(self.pattern, shard):
                extents.append(Extent(stream, one, await beginning(reader, stream, one, self._since)))
        return extents

    # Messages

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Envelope:
        """The next message; the one before is settled. Raises Fenced when another process has the cursor
        now, and what ended the reading of the log."""
        self._settle()
        while True:
            envelope, verdict = await self._taken()
            if verdict is Verdict.NOTE:
                await self._keep().written()
            elif verdict is Verdict.BURY:
                await self._bury(envelope)
            self._popped = self._verdict = None
            if verdict in (Verdict.HAND_OUT, Verdict.NOTE):
                self._in_hand = envelope
                self._say_cause(envelope)
                return envelope

    async def settle(self, envelope: Envelope) -> bool:
        """Settle the message in hand now, and return when that is written: nothing brings it again. False,
        and nothing happens, for any other: it was settled before, or not handed out here. Raises Fenced."""
        if envelope is not self._in_hand:
            return False
        self._settle()
        await self._keep().written()
        return True

    async def _taken(self) -> tuple[Envelope, Verdict]:
        # Whoever waits here may be cancelled: what was popped and taken is kept for the next time.
        keeper = self._keep()
        if self._popped is None:
            if self._cursor.must_commit:
                await keeper.room()
            self._popped = await anext(self._member)
        if self._verdict is None:
            if not keeper.is_confirmed:
                await keeper.confirmed()
            self._verdict = self._take(self._popped)
        return self._popped, self._verdict

    def _take(self, envelope: Envelope) -> Verdict:
        cursor, lost = self._cursor, self._member.truncated - self._told
        if lost:
            self._told += lost
            cursor.let_go(lost)
        header = envelope.header
        verdict = cursor.take(
            envelope.address,
            envelope.id.encode(),
            may_be_copy=header("Nats-Msg-Id") is not None or header("Fab-Retry") is not None,
            expires_us=_expiry(envelope),
            now_us=now_us(),
        )
        if verdict is Verdict.SETTLED:
            self._keep().settled()
        return verdict

    def _settle(self) -> None:
        self._in_hand = None
        if self._verdict is None and self._keeper is not None and self._cursor.settle():
            self._keeper.settled()

    def _keep(self) -> CursorKeeper:
        if self._keeper is None:
            raise StopAsyncIteration
        return self._keeper

    def _say_cause(self, envelope: Envelope | None) -> None:
        # What is published from now on was caused by this message.
        if envelope is None:
            cause, handling = self._outside
        else:
            cause = Cause(envelope)
            handling = Handling(self._subject, envelope.address, envelope.id)
        current_cause.set(cause)
        current_handling.set(handling)

    async def _bury(self, envelope: Envelope) -> None:
        keeper, reader, cursor = self._keep(), self._identity.link.reader, self._cursor
        where, sequence = cursor.progress.oldest()
        origin = Origin(self._streams[where], sequence, "fab.ch" + envelope.address[7:].decode())
        # As it was stored: the feed's copy lacks its ancestors, if it has died before.
        page = await keeper.persistently(
            lambda: reader.page(origin.stream, origin.subject, sequence, batch=1)
        )
        same = [stored for stored in page.messages if stored.sequence == sequence]
        header = same[0].header if same else envelope.block()
        cause, attempts = cursor.cause, cursor.attempts
        log.error("durable member %s gives up %s: %s", self.name, envelope.id, cause)
        await keeper.persistently(
            lambda: bury(
                self._identity,
                "member",
                self._token,
                origin,
                header,
                envelope.data,
                cause=cause,
                attempts=attempts,
            )
        )
        cursor.settle()
        keeper.settled()


def begun_anew(record: CursorRecord, extents: list[Extent]) -> CursorRecord:
    """The first record of a life that leaves its former position: what lay between is one truncation."""
    account = msgspec.structs.replace(
        record.account, accepted=record.account.accepted + 1, truncated=record.account.truncated + 1
    )
    return msgspec.structs.replace(
        record, account=account, extents=extents, attempts={}, causes={}, careful=0
    )


def _expiry(envelope: Envelope) -> int:
    text = envelope.get("expirytime")
    if text is None:
        return 0
    try:
        return parse_us(text)
    except ValueError:  # no time: it does not expire
        return 0
