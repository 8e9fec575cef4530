"""Live messages carry a running number per process and channel (`ce-fablive: <process>:<n>`): a member
counts what it missed.

| input                      | act |
|----------------------------|-----|
| first number of a sender   | remember |
| the next one               | remember |
| a later one                | the numbers between were missed |
| an earlier or equal one    | nothing: a restart has another process name, so it is a late copy |
"""

__all__ = ["MissedCounter"]

DIGITS_MAX = 15  # a hundred thousand messages a second for three centuries
SENDERS_MAX = 4096  # the sender heard from least recently is forgotten; its next message counts nothing


class MissedCounter:
    """Counts per (subject, process)."""

    __slots__ = ("_last", "missed")

    def __init__(self) -> None:
        self.missed = 0
        self._last: dict[tuple[bytes, bytes], int] = {}

    def observe(self, subject: bytes, mark: bytes) -> None:
        """One live message with its `fablive` value; a value that is none is ignored."""
        process, _, text = mark.rpartition(b":")
        if not text.isdigit() or len(text) > DIGITS_MAX:
            return
        number, key = int(text), (subject, process)
        last = self._last.pop(key, None)
        if last is None:
            if len(self._last) >= SENDERS_MAX:
                del self._last[next(iter(self._last))]
        elif number > last:
            self.missed += number - last - 1
        else:
            number = last
        self._last[key] = number  # at the end: the front was heard from least recently
