"""What makes a message count once: a name for the log to know it by, and a ledger for a durable member.

| who repeats                                    | who withholds the second |
|------------------------------------------------|--------------------------|
| a publisher without an acknowledgement         | the log, for 2 minutes, by `once_line` |
| a publisher that crashed and begins again, with the same `id=` | the same |
| a handler that is given its message again      | the same: its ids derive from that message (`derived_id`) |
| any of them later than that                    | a durable member, among its last `LEDGER_MAX` messages |
| the log, after a member's crash                | nobody: what was not settled is handed out again |

Cost: one hash a message. Above: `client.outbox` (lines), `client.durable` (ledger). Nothing below.
"""

from collections import deque
from hashlib import blake2b

__all__ = ["LEDGER_MAX", "OnceLedger", "derived_id", "key_of", "once_line"]

LEDGER_MAX = 1024  # ids: 8 KiB in the record of a member, which is written ten times a second

# No secret: whoever may publish could name any id. It keeps our ids apart from those that other writers of
# the stream (a mirror, a person with the nats tool) make up, and says which version of the rule made them.
KEY = b"io.agentfabric/once/1"


def once_line(subject: bytes, source: str, message_id: str) -> bytes:
    """The header line by which the log knows the message, 32 hexadecimal digits.

    Ids in a log are per *stream*: a bare id would have the log take another channel's or another source's
    message for a copy of this one, and acknowledge it without storing it. So the name is a hash of all three.
    """
    named = b"\0".join((subject, source.encode(), message_id.encode()))
    return b"Nats-Msg-Id: %s\r\n" % blake2b(named, digest_size=16, key=KEY).hexdigest().encode()


def derived_id(holder: str, address: bytes, cause_id: str, number: int) -> str:
    """The id of the `number`th message that `holder` publishes while it handles the message `cause_id` that
    came on `address` (which names source and channel): the same whenever that message is handled again."""
    named = b"\0".join((holder.encode(), address, cause_id.encode()))
    return f"{blake2b(named, digest_size=16, key=KEY).hexdigest()}-{number}"


def key_of(address: bytes, message_id: bytes) -> int:
    """What a ledger remembers of a message: 8 bytes. `address` is the subject, which names the source as the
    server vouches for it: what a sender says of itself cannot withhold somebody else's message."""
    return int.from_bytes(blake2b(address + b"\0" + message_id, digest_size=8, key=KEY).digest(), "big")


class OnceLedger:
    """The last `capacity` messages that a durable member settled. Kept with its cursor, `packed`."""

    def __init__(self, packed: bytes = b"", capacity: int = LEDGER_MAX) -> None:
        self.capacity = capacity
        self._order = deque(int.from_bytes(packed[at : at + 8], "big") for at in range(0, len(packed) - 7, 8))
        self._known = set(self._order)

    def __contains__(self, key: int) -> bool:
        return key in self._known

    def add(self, key: int) -> None:
        """Remember a message; the oldest is forgotten."""
        if key in self._known:
            return
        self._order.append(key)
        self._known.add(key)
        if len(self._order) > self.capacity:
            self._known.discard(self._order.popleft())

    def packed(self) -> bytes:
        """Eight bytes for each, oldest first."""
        return b"".join(key.to_bytes(8, "big") for key in self._order)
