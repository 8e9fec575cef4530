"""Live messages carry a running number per process and channel (`ce-fablive: <process>:<n>`): a member
counts what it missed.

| input                      | act |
|----------------------------|-----|
| first number of a sender   | remember |
| the next one               | remember |
| a later one                | the numbers between were missed |
| an earlier or equal one    | nothing: a restart has another process name, so it is a late copy |
| none (below 0)             | nothing |
"""

__all__ = ["MissedCounter"]

SENDERS_MAX = 4096  # the sender heard from least recently is forgotten; its next message counts nothing


class MissedCounter:
    """Counts per (subject, process). Messages come in runs of one sender, so the sender heard from last
    stands beside the others: the next message of a run costs two comparisons."""

    __slots__ = ("_number", "_others", "_process", "_subject", "missed")

    def __init__(self) -> None:
        self.missed = 0
        self._subject = self._process = b""
        self._number = -1
        self._others: dict[tuple[bytes, bytes], int] = {}  # the front was heard from least recently

    def observe(self, subject: bytes, process: bytes, number: int) -> None:
        """One live message with the two parts of its mark."""
        if process != self._process or subject != self._subject:
            if number < 0:
                return
            self._turn_to(subject, process)
        if number > self._number >= 0:
            self.missed += number - self._number - 1
        self._number = max(number, self._number)

    def _turn_to(self, subject: bytes, process: bytes) -> None:
        if self._number >= 0:
            self._others[(self._subject, self._process)] = self._number
        self._subject, self._process = subject, process
        self._number = self._others.pop((subject, process), -1)
        if len(self._others) >= SENDERS_MAX:
            del self._others[next(iter(self._others))]
