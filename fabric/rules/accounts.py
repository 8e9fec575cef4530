"""The account of who holds obligations: each ends once, or is in flight, or a crash has hidden its end.

An obligation is a message times a holder: an inbox, a queue, a durable member. Anonymous members have none.

| state     | input                                  | becomes    | count |
|-----------|----------------------------------------|------------|-------|
| in the log | the holder takes it up                | in flight  | accepted |
| in the log | retention takes a run of them away    | truncated  | accepted, truncated: one for the run |
| in flight | handled, and settled                   | delivered  | delivered |
| in flight | its `expirytime` has passed            | expired    | expired |
| in flight | given up, stored as a dead letter      | dead       | dead |
| in flight | the holder stops cleanly               | in the log | taken back from accepted |
| in flight | the holder crashes                     | in the log | taken back; see unknown |
| any end   | any                                    | the same   | nothing: an end is final |

*Unknown.* Counts are committed with the cursor, so a crash leaves the messages after the last commit in the
log and says nothing about what became of them: they are taken up again. The tries of the life that crashed
stand as `unknown` (and as accepted), as many as it can have had in hand; never guessed to be one or the
other. Where an end takes the message out of the log before it is counted (a queue's ack), what is neither
in the log nor counted is unknown in the same way.

So at every commit: accepted = delivered + expired + dead + truncated + unknown + in flight, and what is in
flight is in the log. `fabric audit` counts the latter in the log itself.

A holder keeps its record, a `Holder` with whatever it needs besides, at `subjects.state(name, kind, key)`
with kind `cursor` (durable member), `inbox` or `queue`: that is all `fabric audit` has to know. Above:
`fabric.client` and `fabric.node` count and store; nothing below. Cost: an addition for each end.
"""

import msgspec

__all__ = ["KINDS", "Account", "Extent", "Holder"]

KINDS = ("cursor", "inbox", "queue")


class Account(msgspec.Struct, omit_defaults=True):
    """Counts since the holder began, over all its lives. Add to the fields; at a commit they balance."""

    accepted: int = 0
    delivered: int = 0
    expired: int = 0
    dead: int = 0
    truncated: int = 0
    unknown: int = 0

    @property
    def ended(self) -> int:
        """Obligations that are over, however they ended."""
        return self.delivered + self.expired + self.dead + self.truncated + self.unknown

    @property
    def in_flight(self) -> int:
        """Obligations taken up and not over."""
        return self.accepted - self.ended

    def balanced(self, in_log: int) -> bool:
        """Whether the sum holds: no count below zero, and what is in flight lies among the `in_log` messages
        that the log holds and nobody has settled. The rest of those waits to be taken up."""
        return min(msgspec.structs.astuple(self)) >= 0 and 0 <= self.in_flight <= in_log

    def resumed(self, *, unknown: int = 0) -> "Account":
        """What the next life begins with: what was in flight is in the log and is taken up anew. `unknown`
        tries of a life that crashed stand beside it."""
        ended = self.ended + unknown
        return msgspec.structs.replace(self, accepted=ended, unknown=self.unknown + unknown)

    def __add__(self, other: "Account") -> "Account":
        mine, theirs = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        return Account(*(one + another for one, another in zip(mine, theirs, strict=True)))


class Extent(msgspec.Struct, omit_defaults=True):
    """Where a holder's unsettled messages are: those that `filter` selects in `stream` above sequence
    `after`, less what lies there and is settled already: `settled` messages, or each subject up to its
    sequence in `above`. A queue's log lets go of what is settled: its extent is all of it (`after` 0)."""

    stream: str
    filter: str
    after: int = 0
    settled: int = 0
    above: dict[str, int] = msgspec.field(default_factory=dict)


class Holder(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What every holder's record begins with; inherit from it to add fields. `name` is how people know the
    holder, `process` (on `connection`, which has the lease) and `epoch` say whose life wrote it, `open` that
    this life has not ended cleanly: if it is over, it crashed."""

    name: str
    process: str
    epoch: int
    connection: str = ""
    open: bool = True
    account: Account = msgspec.field(default_factory=Account)
    extents: list[Extent] = msgspec.field(default_factory=list)
