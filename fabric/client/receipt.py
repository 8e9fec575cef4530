"""What a publish comes back with."""

import msgspec

__all__ = ["Receipt"]


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """The fabric has the message.

    Durable: it is stored in `stream` at `sequence` (on a quorum where the stream is replicated; what that
    means for power loss is in the README's guarantees table). Live: it was handed to the server, `stream` is
    "" and `sequence` 0. It does not say that anybody has read it. `duplicate`: the log knew this id already
    and stored nothing new.
    """

    id: str
    stream: str = ""
    sequence: int = 0
    duplicate: bool = False
