"""What all inboxes of one connection share: the clock that commits, the bound on memory, the turn to read,
and for senders when a gate is to be looked at.

| after a letter is settled        | its inbox is committed |
|----------------------------------|------------------------|
| nothing else happens             | within COMMIT_S, with what was settled until then |
| COMMIT_LETTERS are not committed, or a source nears its bound | at once |
| more than BOXES_AT_ONCE are due  | in turn, the longest waiting first |
| the server gives no answer       | at the next turn; from UNCOMMITTED_MAX on no letter is handed out |

No task per inbox: a thousand agents cost one loop here. Above: `inbox_owner`. Below: `custody`.
"""

import asyncio
import contextlib
import logging
from typing import Protocol
from weakref import WeakKeyDictionary

from fabric.client.link import Link
from fabric.clock import monotonic
from fabric.errors import FabricError, Fenced

__all__ = ["COMMIT_LETTERS", "InboxKeeper", "Kept", "keeper_of"]

log = logging.getLogger("fabric.inbox")

COMMIT_S = 0.1
COMMIT_LETTERS = 256
BOXES_AT_ONCE = 256  # records in one turn: with COMMIT_S this bounds the writes a second
READS_AT_ONCE = 4  # pages of up to 4 MiB each
QUEUED_BYTES_MAX = 64 << 20  # of all inboxes together, in this process
PROBES_AT_ONCE = 64
CLOSED_AT_ONCE = 64  # each asks a node to take out what is settled, and a node serves 256 at once
GATE_LOOK_S = 1.0
LOOKS_MAX = 10_000  # inboxes written to, of which it is known when their gate was looked at


class Kept(Protocol):
    """An inbox as the keeper sees it."""

    async def commit(self) -> None:
        """Write what is settled. Raises Fenced, Refused, Unreachable."""

    def tick(self, now: float) -> None:
        """Time has passed."""

    def look_due(self, now: float) -> bool:
        """Whether to compare with the log."""

    async def look(self, now: float) -> None:
        """Compare with the log."""

    def interrupted(self) -> None:
        """The feed was interrupted."""

    async def close(self) -> None:
        """The connection ends."""


class InboxKeeper:
    """One per link. `queued_bytes`: what the inboxes of this process hold in memory."""

    def __init__(self, link: Link) -> None:
        self.queued_bytes = 0
        self.reads = asyncio.Semaphore(READS_AT_ONCE)
        self.commits = 0
        self._looks: dict[str, float] = {}
        self._link = link
        self._boxes: dict[str, Kept] = {}
        self._due: dict[Kept, None] = {}
        self._work = asyncio.Event()
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        """Whether the inboxes together hold as much as they may."""
        return self.queued_bytes >= QUEUED_BYTES_MAX

    def looks(self, token: str, now: float) -> bool:
        """Whether the next letter to that inbox is to look at its gate: once in GATE_LOOK_S."""
        if now < self._looks.get(token, 0.0):
            return False
        self._looks.pop(token, None)
        self._looks[token] = now + GATE_LOOK_S
        if len(self._looks) > LOOKS_MAX:
            del self._looks[next(iter(self._looks))]
        return True

    def look_again(self, token: str) -> None:
        """The gate was shut: the next letter looks again."""
        self._looks.pop(token, None)

    def add(self, token: str, box: Kept) -> None:
        """An inbox is open."""
        self._boxes[token] = box
        self._link.members.add(self)

    def remove(self, token: str, box: Kept) -> None:
        """It is not any more."""
        self._due.pop(box, None)
        if self._boxes.get(token) is box:
            del self._boxes[token]
        if not self._boxes:
            self._link.members.discard(self)

    def has(self, token: str) -> bool:
        """Whether this inbox is open here."""
        return token in self._boxes

    def due(self, box: Kept, *, now: bool = False) -> None:
        """It has something to commit, soon or `now`."""
        self._due[box] = None
        self._work.set()
        if now:
            self._hurry.set()
        if self._task is None or self._task.done():
            self._task = self._link.spawn(self._commit_all(), "fabric-inbox-commits")

    async def _commit_all(self) -> None:
        while self._boxes:
            self._work.clear()
            if not self._due:
                await self._work.wait()
            with contextlib.suppress(
                TimeoutError
            ):  # nothing in a hurry: what is settled meanwhile goes along
                async with asyncio.timeout(COMMIT_S):
                    await self._hurry.wait()
            self._hurry.clear()
            turn = list(self._due)[:BOXES_AT_ONCE]
            for box in turn:
                del self._due[box]
            await asyncio.gather(*map(self._commit, turn))

    async def _commit(self, box: Kept) -> None:
        try:
            self.commits += 1
            await box.commit()
        except Fenced:
            pass  # it has told its owner
        except FabricError as error:
            log.warning("an inbox was not committed: %s; again in %g s", error, COMMIT_S)
            self.due(box)

    # Asked by the session

    def reconnected(self) -> None:
        """The feed was interrupted: every inbox looks at its log."""
        for box in list(self._boxes.values()):
            box.interrupted()

    async def probe(self, now: float) -> None:
        """Compare with the log where that is due, a bounded number at a time."""
        waiting: list[Kept] = []
        for box in list(self._boxes.values()):
            box.tick(now)
            if len(waiting) < PROBES_AT_ONCE and box.look_due(now):
                waiting.append(box)
        await asyncio.gather(*(box.look(monotonic()) for box in waiting))

    async def close(self) -> None:
        """The connection ends: every inbox is closed, its letters stay."""
        boxes = list(self._boxes.values())
        for start in range(0, len(boxes), CLOSED_AT_ONCE):
            await asyncio.gather(*(box.close() for box in boxes[start : start + CLOSED_AT_ONCE]))


_keepers: WeakKeyDictionary[Link, InboxKeeper] = WeakKeyDictionary()


def keeper_of(link: Link) -> InboxKeeper:
    """The keeper of a connection's inboxes, made when the first is opened."""
    keeper = _keepers.get(link)
    if keeper is None:
        keeper = _keepers[link] = InboxKeeper(link)
    return keeper
