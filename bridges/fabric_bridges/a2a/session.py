"""The life of one A2A task: a table, and the few lines that apply it. No loop, no socket, no clock.

A task is a call seen from A2A. Each envelope of the call is an input; what it changes is appended to
`events`, once and in order, so that everybody who follows the task sees the same items in the same order (A2A
1.0.1, 7.1). `a2a.events` writes them, and what the task is now is put together of them when somebody asks.

| state     | input                      | becomes                       | events                       |
|-----------|----------------------------|-------------------------------|------------------------------|
| SUBMITTED | progress, status           | WORKING                       | statusUpdate                 |
| WORKING   | progress, status, artifact | WORKING                       | statusUpdate, artifactUpdate |
| both      | response                   | COMPLETED                     | artifactUpdate, statusUpdate |
| both      | error                      | FAILED, REJECTED or CANCELED  | statusUpdate                 |
| terminal  | anything                   | stays                         | none: the answer was given   |

Bounds: beyond `events_max` a status changes the task and is no event of its own, and an artifact is not kept;
the last event says how many were (`STREAM_COALESCED`).
"""

from dataclasses import dataclass, field

from fabric_codecs.a2a.events import lower_events
from fabric_codecs.a2a.params import Message, read_parts
from fabric_codecs.a2a.task import is_artifact, state_of, submitted, turn_of, write_task
from fabric_codecs.core.jsonscan import scan
from fabric_codecs.envelope import Envelope
from fabric_codecs.losses import Loss, LossCode

__all__ = ["TaskSession", "begin"]

ANSWERS = ("response", "error")


@dataclass(slots=True)
class TaskSession:
    """One task. `owner` is the principal who began it; nobody else can see it. `turn` is the message that
    did, `status` the last status update, `artifacts` the artifact updates: all of them raw."""

    id: str
    context_id: str
    owner: str
    agent: str
    message_id: str
    turn: bytes
    status: bytes
    events_max: int
    artifacts: list[bytes] = field(default_factory=list)
    events: list[bytes] = field(default_factory=list)
    events_bytes: int = 0
    coalesced: int = 0
    is_done: bool = False  # it has reached a state that it never leaves

    @property
    def size_bytes(self) -> int:
        """What it holds in memory."""
        return len(self.turn) + self.events_bytes

    @property
    def state(self) -> str:
        """As A2A names it: `TASK_STATE_WORKING`."""
        return state_of(self.status)

    def was_begun_by(self, message: Message) -> bool:
        """Whether a message with the id of ours says the same."""
        return read_parts(scan(self.turn, protocol="a2a").get("parts")) == message.parts

    def snapshot(self, history_length: int | None = None) -> bytes:
        """The task as it is now, raw. `history_length` 0 leaves the messages out."""
        history = () if history_length == 0 else (self.turn,)
        return write_task(self.status, self.artifacts, history, task_id=self.id, context_id=self.context_id)

    def apply(self, envelope: Envelope) -> tuple[Loss, ...]:
        """Take the next envelope of the call. Returns what its translation lost. Raises CodecError for one
        that cannot be translated: the task is as it was."""
        if self.is_done:
            return ()
        answers = envelope.kind in ANSWERS
        folded = (_coalesced(self.coalesced),) if answers and self.coalesced else ()
        told = lower_events(envelope, task_id=self.id, context_id=self.context_id, losses=folded)
        if not answers and len(self.events) >= self.events_max:
            return self._fold(told.message)
        for event in told.message:
            self._append(event)
        self.is_done = answers
        return told.losses

    def _fold(self, events: tuple[bytes, ...]) -> tuple[Loss, ...]:
        self.coalesced += 1
        if not is_artifact(events[-1]):
            self.status = events[-1]
        return (_coalesced(self.coalesced),)

    def _append(self, event: bytes) -> None:
        if is_artifact(event):
            self.artifacts.append(event)
        else:
            self.status = event
        self.events.append(event)
        self.events_bytes += len(event)


def begin(
    *,
    id: str,
    context_id: str,
    owner: str,
    agent: str,
    message_id: str,
    message: bytes,
    time: str,
    events_max: int,
) -> TaskSession:
    """A task that was just submitted. `message` is raw; the server gives the task its id."""
    return TaskSession(
        id,
        context_id,
        owner,
        agent,
        message_id,
        turn_of(message, task_id=id, context_id=context_id),
        submitted(task_id=id, context_id=context_id, time=time),
        events_max,
    )


def _coalesced(count: int) -> Loss:
    return Loss(LossCode.STREAM_COALESCED, "progress", f"reports folded into the status: {count}")
