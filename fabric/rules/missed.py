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
    """Counts per (subject, process)."""

    __slots__ = ("_last", "missed")

    def __init__(self) -> None:
        self.missed = 0
        self._last: dict[tuple[bytes, bytes], int] = {}

    def observe(self, subject: bytes, process: bytes, number: int) -> None:
        """One live message with the two parts of its mark."""
        if number < 0:
            return
        key = (subject, process)
        last = self._last.pop(key, None)
        if last is None:
            if len(self._last) >= SENDERS_MAX:
                del self._last[next(iter(self._last))]
        elif number > last:
            self.missed += number - last - 1
        else:
            number = last
        self._last[key] = number  # at the end: the front was heard from least recently
