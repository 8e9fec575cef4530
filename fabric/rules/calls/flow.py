"""Streamed answers: how far the agent may run ahead of the caller, and how the caller knows that nothing is
missing.

| side   | input                               | act |
|--------|-------------------------------------|-----|
| agent  | a part, fewer than `window` unacknowledged, under `BYTES_MAX` | send it, numbered |
| agent  | a part, the window is full          | hold it; the generator is not asked for the next |
| agent  | a grant: the caller has taken n     | what is beyond n counts as unacknowledged |
| agent  | a grant of nothing new, the window is full | say how far we are: a numbered status |
| caller | the next number                     | keep it for the reader |
| caller | a number that came before           | a second copy: drop it |
| caller | a number too far ahead              | a part was lost: the call fails, no hole is handed out |
| caller | more parts than the window          | the agent does not keep to it: the call fails |
| caller | the reader took half a window, by count or bytes | grant: n taken so far |
| caller | nothing comes for a while           | say the last grant again: it may have been lost |

A grant is a running total, so a lost one is made good by the next. Above: `client.reception` (agent),
`client.parts` (caller). Below: nothing. Cost: one grant for each half window.
"""

from collections import deque
from enum import Enum

__all__ = ["WINDOW", "WINDOW_MAX", "Arrival", "Inflow", "Outflow"]

WINDOW = 64  # parts: a round trip of 1 ms carries 64,000 a second
WINDOW_MAX = 1024  # what a caller may ask for
BYTES_MAX = 4 << 20  # unacknowledged, on either side; one part of any size always goes


class Outflow:
    """The agent's side."""

    def __init__(self, window: int) -> None:
        self.window = min(max(window, 1), WINDOW_MAX)
        self.sent = 0
        self.taken = 0
        self._sizes: deque[int] = deque()
        self._bytes = 0

    @property
    def has_room(self) -> bool:
        """Whether the next part may go."""
        return not self._sizes or (len(self._sizes) < self.window and self._bytes < BYTES_MAX)

    def send(self, size: int) -> None:
        """A part of that many bytes goes."""
        self.sent += 1
        self._sizes.append(size)
        self._bytes += size

    def granted(self, taken: int) -> bool:
        """The caller has taken that many in all. Whether it ought to be told how far we are: it waits, and
        we wait for it, so a part is on its way or was lost."""
        before = self.taken
        while self.taken < taken and self._sizes:
            self.taken += 1
            self._bytes -= self._sizes.popleft()
        return self.taken == before and not self.has_room


class Arrival(Enum):
    """What a message of the stream is to the caller."""

    NEXT = 1
    COPY = 2
    GAP = 3
    OVERRUN = 4


class Inflow:
    """The caller's side."""

    def __init__(self, window: int) -> None:
        self.window = min(max(window, 1), WINDOW_MAX)
        self.expected = 0  # of the numbers that all messages of the answer share
        self.parts = 0
        self.taken = 0
        self._granted = 0
        self._bytes_since = 0

    def arrived(self, number: int, *, part: bool) -> Arrival:
        """A message with that number; `part`, or something else that is numbered with the parts."""
        if number < self.expected:
            return Arrival.COPY
        if number > self.expected:
            return Arrival.GAP
        if part and self.parts - self._granted >= self.window:
            return Arrival.OVERRUN
        self.expected += 1
        self.parts += part
        return Arrival.NEXT

    def take(self, size: int) -> bool:
        """The reader takes a part. Whether a grant is due now."""
        self.taken += 1
        self._bytes_since += size
        return (self.taken - self._granted) * 2 >= self.window or self._bytes_since * 2 >= BYTES_MAX

    def grant(self) -> int:
        """What to grant."""
        self._granted, self._bytes_since = self.taken, 0
        return self.taken
