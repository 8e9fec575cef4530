"""The ledger: which messages a member has had, as far back as it remembers.

A publisher that got no acknowledgement writes again, so a durable message can be stored twice. The second
copy is marked; the first is not, so every id is written down and only marked ones are looked up. Bounded: a
second copy that comes more than `capacity` messages after the first is delivered again (at least once, as
the class promises).
"""

__all__ = ["Ledger"]


class Ledger:
    """Remembers the last `capacity` keys (a subject names the source and channel, the id the message)."""

    __slots__ = ("_keys", "capacity", "duplicates")

    def __init__(self, capacity: int = 1024) -> None:
        self.capacity = capacity
        self.duplicates = 0
        self._keys: dict[int, None] = {}

    def admit(self, subject: bytes, message_id: bytes, marked: bool) -> bool:
        """Whether to deliver. False for a marked message that was delivered before."""
        key = hash((subject, message_id))
        if marked and key in self._keys:
            self.duplicates += 1
            return False
        self._keys[key] = None
        if len(self._keys) > self.capacity:
            del self._keys[next(iter(self._keys))]
        return True

    def copy(self, older: "Ledger | None" = None) -> "Ledger":
        """One that remembers the same, and before it what `older` does, and has withheld nothing yet."""
        other = Ledger(self.capacity)
        keys = {**older._keys, **self._keys} if older is not None else dict(self._keys)
        for key in list(keys)[: -2 * self.capacity]:
            del keys[key]
        other._keys = keys
        return other

    def forget(self, subject: bytes, message_id: bytes) -> None:
        """It was not delivered after all."""
        self._keys.pop(hash((subject, message_id)), None)
