"""Kept calls: a call with an idempotency key runs once, and its repeats get the same answer.

The record of a call is found by a hash of (caller, tool, key) and is written by compare-and-set.

| record | held by | same arguments | other arguments |
|---|---|---|---|
| none | - | write *running*, then run the tool | - |
| running | this life, and the tool runs here | wait for the same execution | conflict |
| running | a life that is over, or gave up | run again if the tool may; else: outcome unknown | conflict |
| done | anybody | the stored answer | conflict |
| emptied | - | as none: a failure that said `retriable` is not kept | - |

*Running* is stored before the tool begins and *done* before the caller is answered: an answer is repeatable.
A tool may run again when its contract says so: side effects `none` or `reads`, or `idempotent`.

| failure | outcome |
|---|---|
| the agent dies, or leaves, while the tool runs | the record stays *running*: see above |
| the deadline of the first caller passes | the tool is cancelled; the record stays *running* |
| the first caller leaves, or cancels | the tool goes on: a repeat gets its answer |
| a former life ends its tool after a take-over | its record is fenced, its answer is not kept |
| the answer is longer than `ANSWER_BYTES_MAX` | answered once; repeats are told that it was too long |
| *done* cannot be stored | answered once; the record stays *running* |

The server removes a record `KEPT_S` after it was written; what one agent may have kept at a time is bounded
by `CALLS_MAX`. Above: `client.kept`. Below: nothing. Cost: two stored records a call, one read a repeat.
"""

from collections import deque
from hashlib import blake2b
from typing import NamedTuple

import msgspec

__all__ = [
    "ANSWER_BYTES_MAX",
    "CALLS_MAX",
    "KEPT_S",
    "KEY_CHARS_MAX",
    "Decision",
    "Done",
    "Keeping",
    "Running",
    "arguments_hash",
    "decide",
    "record_key",
]

KEPT_S = 3600  # a client that repeats later than that has forgotten its key as well
ANSWER_BYTES_MAX = 256 << 10  # an answer is looked up whole; larger ones belong in a channel
CALLS_MAX = 100_000  # kept at a time by one life of an agent: 100 MB of small answers on the server
KEY_CHARS_MAX = 256


class Running(msgspec.Struct, tag_field="state", tag="running"):
    """The tool runs, or ran when its agent's life ended. `run` names this execution among all."""

    process: str
    epoch: int
    run: str
    arguments: str


class Done(msgspec.Struct, tag_field="state", tag="done"):
    """The answer: the kind and data of its envelope; not `whole` when the data was too long to keep."""

    process: str
    epoch: int
    run: str
    arguments: str
    kind: str
    data: msgspec.Raw
    whole: bool = True


class Decision(NamedTuple):
    """What to do with a call: `act` is `run`, `answer`, `conflict` or `unknown`; `done` is the answer."""

    act: str
    done: Done | None = None


_decode = msgspec.json.Decoder(Running | Done).decode


def decide(stored: bytes, arguments: str, *, repeatable: bool) -> Decision:
    """For a call with that hash of its arguments, on a record that nobody executes in this life."""
    if not stored:
        return Decision("run")
    try:
        record = _decode(stored)
    except msgspec.MsgspecError:
        return Decision("unknown")  # somebody else's format: nothing may be concluded from it
    if record.arguments != arguments:
        return Decision("conflict")
    if isinstance(record, Done):
        return Decision("answer", record)
    return Decision("run" if repeatable else "unknown")


def record_key(caller: str, tool: str, key: str) -> str:
    """Under which token the record of a call is found: 32 hexadecimal digits. The caller is part of it, so
    that nobody reads another's answers."""
    named = b"".join(b"%d:%s" % (len(part), part) for part in (caller.encode(), tool.encode(), key.encode()))
    return blake2b(named, digest_size=16).hexdigest()


def arguments_hash(arguments: bytes) -> str:
    """Of the arguments as the tool understood them, written in one way."""
    return blake2b(arguments, digest_size=16).hexdigest()


class Keeping:
    """How many calls a life of an agent has kept and not yet let go."""

    def __init__(self, calls_max: int = CALLS_MAX) -> None:
        self.calls_max = calls_max
        self._until: deque[float] = deque()

    def wait_s(self, now: float) -> float:
        """Until one more may be kept; 0: now."""
        while self._until and self._until[0] <= now:
            self._until.popleft()
        return 0.0 if len(self._until) < self.calls_max else self._until[0] - now

    def keep(self, now: float, kept_s: float = KEPT_S) -> None:
        """One more."""
        self._until.append(now + kept_s)
