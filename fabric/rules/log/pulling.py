"""Pulling by credit: how many messages one consumer on the server still owes us, and when to ask for more.

| input | becomes | act |
|---|---|---|
| `ask`, room for an eighth of a window more than is owed | owed grows | a request for the difference |
| a message (`arrived`) | one less is owed | hand it on |
| a heartbeat (`heard`) | the same | none: the server still holds our request |
| a request ends so many short (`ended`: its time is over, the leader moved) | so many less | ask again |
| something is owed and SILENT_S passed without a word (`is_lost`) | nothing is owed | ask again |
| the connection came back, the consumer is gone (`reset`) | nothing is owed | ask again |

What is owed may be guessed too low (a request that we gave up still delivers): the buffer then exceeds its
bound by at most one window. It is never too high for longer than SILENT_S. Time is monotonic seconds.
"""

__all__ = ["EXPIRES_S", "HEARTBEAT_S", "SILENT_S", "Credit"]

EXPIRES_S = 60.0
HEARTBEAT_S = 2.0  # a leader that died takes our requests along: nobody waits for them much longer
SILENT_S = 2 * HEARTBEAT_S + 1


class Credit:
    """What one consumer owes."""

    __slots__ = ("_heard", "owed")

    def __init__(self) -> None:
        self.owed = 0
        self._heard = 0.0

    def ask(self, room: int, window: int, now: float) -> int:
        """How many to ask for now; they are owed from here on. `room` is how many may come at most, those
        owed included. Small requests wait until they are worth it, unless nothing is owed."""
        missing = room - self.owed
        if missing <= 0 or (self.owed and missing < window // 8):
            return 0
        self.owed += missing
        self._heard = now
        return missing

    def arrived(self, now: float) -> None:
        """A message."""
        self._heard = now
        if self.owed:
            self.owed -= 1

    def heard(self, now: float) -> None:
        """A sign of life."""
        self._heard = now

    def ended(self, undelivered: int | None) -> None:
        """A request is over, `undelivered` messages short; None when the server does not say."""
        self.owed = 0 if undelivered is None else max(self.owed - undelivered, 0)

    def is_lost(self, now: float) -> bool:
        """Whether the server must have forgotten us."""
        return bool(self.owed) and now - self._heard > SILENT_S

    def reset(self) -> None:
        """Nothing asked so far will be answered."""
        self.owed = 0
