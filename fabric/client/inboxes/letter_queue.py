"""Letters that were received and are not out: in turn, or put back until they are due. Bounded.

What finds no room stays in the log and is read when there is room again: only the reading waits here. It
reads a page at a time, so a queue may hold a page (at most 4 MiB) more than its bytes. Above: `inbox_owner`.
Below: the keeper, which bounds the memory of all inboxes of a process.
"""

import asyncio
import heapq
from collections import deque

from fabric.client.inboxes.keeper import InboxKeeper
from fabric.client.inboxes.letter import Letter

__all__ = ["LetterQueue"]

LETTERS_MAX = 1024
BYTES_MAX = 4 << 20


class LetterQueue:
    """First in, first out; `push_later` for what is to come back at a time (monotonic seconds)."""

    def __init__(self, keeper: InboxKeeper) -> None:
        self._keeper = keeper
        self._letters: deque[Letter] = deque()
        self._later: list[tuple[float, int, Letter]] = []
        self._bytes = 0
        self._space = asyncio.Event()
        self._closed = False

    def __bool__(self) -> bool:
        """Whether a letter has its turn."""
        return bool(self._letters)

    @property
    def first(self) -> Letter:
        """The next, which stays."""
        return self._letters[0]

    def push(self, letter: Letter) -> None:
        """It was received."""
        self._letters.append(letter)
        self._count(len(letter.data))

    def push_later(self, letter: Letter, due: float) -> None:
        """It comes back then."""
        heapq.heappush(self._later, (due, letter.sequence, letter))
        self._count(len(letter.data))

    def pop(self) -> Letter:
        """The next, which leaves. Raises IndexError when there is none."""
        letter = self._letters.popleft()
        self._count(-len(letter.data))
        if len(self._letters) <= LETTERS_MAX // 2:
            self._space.set()
        return letter

    def wake(self, now: float) -> bool:
        """What is due has its turn; whether anything was."""
        woken = False
        while self._later and self._later[0][0] <= now:
            self._letters.append(heapq.heappop(self._later)[2])
            woken = True
        return woken

    def has_room(self, size: int) -> bool:
        """Whether a letter of this size finds room. One letter always does."""
        if not self._letters:
            return len(self._later) < LETTERS_MAX
        fits = self._bytes + size <= BYTES_MAX and not self._keeper.is_full
        return fits and len(self._letters) + len(self._later) < LETTERS_MAX

    async def room(self) -> int:
        """Until there is room; for how many. Ends with the owner's next step, or with the reading task."""
        while not self.has_room(0) and not self._closed:
            self._space.clear()
            await self._space.wait()
        return max(LETTERS_MAX - len(self._letters) - len(self._later), 1)

    def close(self) -> None:
        """Forget them all: they are in the log."""
        self._closed = True
        self._count(-self._bytes)
        self._letters.clear()
        self._later.clear()
        self._space.set()

    def _count(self, size: int) -> None:
        self._bytes += size
        self._keeper.queued_bytes += size
