"""The owner's side of an inbox: letters are handed out, and each ends delivered, expired or dead.

| a letter                            | then |
|-------------------------------------|------|
| comes, and there is nothing wrong   | waits in the queue (1,024 letters or 4 MiB, then in the log) |
| is handed out and settled           | delivered |
| is past its `expirytime` when its turn comes | expired |
| is put back, or its handler raises  | handed out again, later each time |
| the same, for the last time         | dead-lettered, with the cause |
| was handed out too often by lives before | dead-lettered |
| is a reply from an earlier life of its sender, or says another source | dead-lettered |
| is a second copy                    | withheld |

What a crash may hand out again is bounded: `UNCOMMITTED_MAX` letters and what is out. After a crash what was
in the log is handed out with its attempt written first, so that a letter that kills its owner is counted.
Above: `Agent.inbox`. Below: `inbox_log` (how letters come), `custody` (where ends are written).
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Literal, Self

from fabric.client.identity import Identity
from fabric.client.inboxes.custody import Custody
from fabric.client.inboxes.graves import Graves
from fabric.client.inboxes.inbox import Inbox
from fabric.client.inboxes.keeper import COMMIT_LETTERS, keeper_of
from fabric.client.inboxes.letter import Letter
from fabric.client.inboxes.letter_queue import LetterQueue
from fabric.client.inboxes.log import InboxLog
from fabric.client.inboxes.pump import Pump
from fabric.client.receipt import Receipt
from fabric.clock import monotonic, now_us
from fabric.errors import ConfigInvalid, FabricError, Fenced, Refused, Unreachable
from fabric.rules.accounts import Account
from fabric.rules.inboxes.inbox import LETTERS_MAX, End, is_shut
from fabric.rules.ledger import Ledger
from fabric_codecs.nats.headers import number_in, source_agrees, value_in

__all__ = ["OwnedInbox", "Settling"]

log = logging.getLogger("fabric.inbox")

UNCOMMITTED_MAX = 1024  # settled and not committed
ATTEMPTS_MAX = 5
BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.2, 30.0
COMMIT_RETRY_S = 0.5
PURGE_QUIET_S = 1.0  # after which what is settled leaves the log, however little it is
LEDGER_LETTERS = 512  # a publisher that lost its connection writes again what it had in flight: 256 a source
RETRY = b"\r\nFab-Retry: "

Settling = Literal["next", "by_hand"]


class OwnedInbox:
    """Made by `Agent.inbox`; letters come inside its `async with`, and stay in the log outside.

    Iterate, or give a `handler(letter)`, which must not wait. Settling "next": a letter is settled when the
    iteration comes back for another, or when the handler returns; a handler that raises gets it again, later
    each time, `attempts_max` times in all. Settling "by_hand": call `settle(letter)` or `put_back`; at most
    `hold` letters are out at once. What is not settled when the block is left comes again.

    `account` counts letters by their ends (`rules/accounts`); `forged`, `copies` and `fenced_replies` say why
    some were not handed out; `failure` what ended the inbox for good, if anything did.
    """

    def __init__(
        self,
        identity: Identity,
        handler: Callable[[Letter], object] | None = None,
        *,
        settling: Settling = "next",
        hold: int = 256,
        attempts_max: int = ATTEMPTS_MAX,
        letters_max: int = LETTERS_MAX,
        take_over: bool = False,
    ) -> None:
        for name, value in (("hold", hold), ("attempts_max", attempts_max), ("letters_max", letters_max)):
            if value < 1:
                raise ConfigInvalid(f"{name} of inbox {identity.name!r}", f"{value} is less than one")
        self.identity = identity
        self.name = identity.name
        self.copies = 0
        self.forged = 0
        self.failure: FabricError | None = None
        self._pumping = Pump(handler, self) if handler is not None else None
        self._by_hand = settling == "by_hand"
        self._hold = hold if self._by_hand else 1
        self._attempts_max = attempts_max
        self._take_over = take_over
        self._keeper = keeper_of(identity.link)
        self._custody = Custody(identity, letters_max=letters_max)
        self._queue = LetterQueue(self._keeper)
        self._log = InboxLog(self._custody, self._keeper, self._queue, self)
        self._graves = Graves(identity, self._custody, lambda letter: self._settle(letter, End.DEAD))
        self._ledger = Ledger(LEDGER_LETTERS)
        self._out: dict[int, Letter] = {}
        self._current: Letter | None = None
        self._suspect_to: float = 0  # a life that crashed may have had in hand what lies up to here
        self._arrival = asyncio.Event()
        self._settled_at = 0.0
        self._closed = False

    # What people see

    @property
    def account(self) -> Account:
        """Letters by how they ended, over all lives of this inbox's owners."""
        return self._custody.letters.account

    @property
    def epoch(self) -> int:
        """Which life of the inbox's owners this is."""
        return self._custody.record.epoch

    @property
    def in_hand(self) -> int:
        """Letters received and not settled."""
        return len(self._custody.letters)

    @property
    def fenced_replies(self) -> int:
        """Replies from an earlier life of their sender."""
        return self._custody.letters.fenced

    @property
    def is_shut(self) -> bool:
        """Whether senders are refused because `letters_max` letters wait."""
        return self._custody.record.shut

    # Life

    async def __aenter__(self) -> Self:
        """Become the owner. Raises NameInUse while another live process is (`take_over` fences it),
        PermissionDenied for a credential that may not read the log, Refused, Unreachable."""
        token = self.identity.token
        await self._custody.open(take_over=self._take_over, open_here=self._keeper.has(token))
        if self._custody.letters.crashed:
            self._suspect_to = float("inf")  # until the log has been read
        self._keeper.add(token, self)
        try:
            await self._log.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Take no more letters, commit, and leave what is not settled to the next owner. Safe to call
        twice."""
        if self._closed:
            return
        self._closed = True
        await self._log.stop()
        await self._graves.stop()
        if self._pumping is not None:
            await self._pumping.stop()
        self._queue.close()
        self._out.clear()
        self._current = None
        self._arrival.set()
        try:
            await self._custody.close()
        except Fenced:
            pass  # it is somebody else's by now
        except FabricError as error:
            log.warning("inbox %s was left open: %s; its next owner finds it so", self.name, error)
        self._keeper.remove(self.identity.token, self)

    # Handing out

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Letter:
        """The next letter; settles the one before unless that is done by hand. Raises Fenced when another
        owner took over, and what ended the reading of the log."""
        if self._current is not None and not self._by_hand:
            self._settle(self._current, End.DELIVERED)
        self._current = None
        while (letter := self.next_letter()) is None:
            if self._closed:
                raise StopAsyncIteration
            if self.failure is not None:
                raise self.failure
            self._arrival.clear()
            await self._arrival.wait()
        if letter.sequence <= self._suspect_to:
            try:
                await self.write_attempt()
            except BaseException:  # nobody has it
                self.put_back(letter, after_s=0)
                raise
        self._current = letter
        return letter

    def next_letter(self) -> Letter | None:
        """The next one, which is out from now on; None while none waits, or as much is out as may be."""
        while self._queue and self._may_hand_out():
            letter = self._queue.pop()
            if letter.expires_us and letter.expires_us <= now_us():
                self._settle(letter, End.EXPIRED)
                continue
            self._out[letter.sequence] = letter
            letter.attempts = self._custody.letters.attempt(letter.sequence)
            return letter
        return None

    def has_suspect(self) -> bool:
        """Whether the next one may have been in the hands of a life that crashed, and can be handed out."""
        return bool(self._queue) and self._queue.first.sequence <= self._suspect_to and self._may_hand_out()

    async def write_attempt(self) -> None:
        """Until what is out is written down: a letter that kills its owner at once is counted all the
        same."""
        while True:
            try:
                await self.commit()
                return
            except (Refused, Unreachable) as error:
                log.warning("inbox %s: %s; again in %g s", self.name, error, COMMIT_RETRY_S)
                await asyncio.sleep(COMMIT_RETRY_S)

    def _may_hand_out(self) -> bool:
        return (
            len(self._out) < self._hold
            and self._custody.letters.uncommitted < UNCOMMITTED_MAX
            and self.failure is None
            and not self._closed
        )

    def _pump(self) -> None:
        # Whoever iterates is woken; a handler gets what it may have.
        self._arrival.set()
        if self._pumping is not None:
            self._pumping.pump()

    def handled(self, letter: Letter, problem: str) -> None:
        """The handler returned, or raised."""
        if problem:
            self.put_back(letter, cause=problem)
        elif not self._by_hand:
            self._settle(letter, End.DELIVERED)

    # Settling

    def settle(self, letter: Letter) -> bool:
        """The letter has been dealt with. False when it is not out: unknown here, put back, or settled
        already. Raises Fenced when another owner took the inbox over."""
        if self._custody.fenced is not None:
            raise self._custody.fenced
        settled = self._has_out(letter) and self._settle(letter, End.DELIVERED)
        if settled and self._queue:
            self._pump()
        return settled

    def put_back(self, letter: Letter, *, after_s: float | None = None, cause: str = "put back") -> bool:
        """Have it handed out again, after a time that grows with its attempts unless `after_s` says; after
        `attempts_max` it is dead-lettered with `cause`. False when it is not out."""
        if not self._has_out(letter):
            return False
        if letter is self._current:
            self._current = None
        del self._out[letter.sequence]
        if letter.attempts >= self._attempts_max:
            self._graves.add(letter, cause)
        else:
            backoff_s = min(BACKOFF_FIRST_S * 2 ** (letter.attempts - 1), BACKOFF_MAX_S)
            self._queue.push_later(letter, monotonic() + (backoff_s if after_s is None else after_s))
        self._pump()
        return True

    async def commit(self) -> None:
        """Until everything settled so far is committed: no later owner gets it again. Raises Fenced, Refused,
        Unreachable."""
        quiet = monotonic() - self._settled_at >= PURGE_QUIET_S
        try:
            await self._custody.commit(everything=quiet)
        except Fenced as error:
            self.fail(error)
            raise
        if self._queue:
            self._pump()

    async def reply(self, letter: Letter, data: object, **attributes: str) -> Receipt:
        """Answer into the sender's own inbox, in the letter's conversation. The answer carries this life's
        epoch: once a later life has answered, the receiver takes it no more. Raises as `Inbox.send`."""
        asked = letter.envelope
        named = {
            "correlationid": asked.correlationid or asked.id,
            "causationid": asked.id,
            "fabepoch": str(self.epoch),
        }
        inbox = Inbox(self.identity, letter.sender)
        return await inbox.leave(inbox.envelope(data, named | attributes))

    def _has_out(self, letter: Letter) -> bool:
        return self._out.get(letter.sequence) is letter

    def _settle(self, letter: Letter, end: End) -> bool:
        letters = self._custody.letters
        self._out.pop(letter.sequence, None)
        if not letters.settle(letter.sequence, end):
            return False
        self._settled_at = monotonic()
        self._keeper.due(self, now=letters.uncommitted >= COMMIT_LETTERS or letters.is_pressed)
        return True

    # Receiving: called by the log

    def receive(self, subject: bytes, source: bytes, sequence: int, header: bytes, data: bytes) -> None:
        """A letter, once, in its source's order."""
        letters, name = self._custody.letters, source.decode()
        if not letters.take(name, sequence):
            self._keeper.due(self)  # a life before settled it: it is only to leave the log
            return
        letter = Letter(subject, sequence, header, data)
        letter.attempts = letters.attempts(sequence)
        epoch = number_in(header, b"ce-fabepoch")
        if not self._ledger.admit(subject, value_in(header, b"ce-id"), RETRY in header):
            self.copies += 1
            self._settle(letter, End.COPY)
        elif not source_agrees(b"fab.cho.0." + source, header):  # as a channel's subject is spelled
            self.forged += 1
            self._graves.add(letter, "its source attribute is not the credential's name")
        elif epoch >= 0 and not letters.follows(name, epoch):
            self._graves.add(letter, "a reply from an earlier life of its sender")
        elif letter.attempts >= self._attempts_max:
            self._graves.add(letter, f"handed out {letter.attempts} times and never settled")
        else:
            self._queue.push(letter)
            self._pump()

    def read_whole(self, position: int) -> None:
        """The log has been read: what a life that crashed can have had in hand is known."""
        if self._custody.letters.crashed:
            self._suspect_to = position
            self._custody.letters.tried_before(UNCOMMITTED_MAX + self._hold)

    def fail(self, error: FabricError) -> None:
        """No letter is handed out any more; whoever iterates is told."""
        self.failure = self.failure or error
        self._log.halt()
        self._arrival.set()

    # Called by the keeper

    def tick(self, now: float) -> None:
        """Time has passed: what was put back is due, what is settled may leave the log."""
        if self._queue.wake(now):
            self._pump()
        if self._custody.letters.spent and now - self._settled_at >= PURGE_QUIET_S:
            self._keeper.due(self)

    def look_due(self, now: float) -> bool:
        """Whether to compare with the log."""
        return self._log.look_due(now)

    async def look(self, now: float) -> None:
        """Compare with the log; shut the inbox when too much waits there, open it when half is gone."""
        await self._log.look(now)
        depth = self.in_hand
        record = self._custody.record
        if self._log.is_behind and (record.shut or not self._queue.has_room(0)):
            try:
                depth = await self._log.depth()
            except FabricError:
                return  # asked again at the next turn
        shut = is_shut(record, depth)
        if shut != record.shut:
            log.warning("inbox %s: %s with %d letters", self.name, "shut" if shut else "open again", depth)
            record.shut = shut
            self._keeper.due(self)

    def interrupted(self) -> None:
        """The feed was."""
        self._log.interrupted()
