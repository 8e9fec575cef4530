"""The life of one A2A task: a table, and the few lines that apply it. No loop, no socket, no clock.

A task is a call seen from A2A. Each envelope of the call is an input; what it changes is appended to
`events`, once and in order, so that everybody who follows the task sees the same items in the same order (A2A
1.0.1, 7.1).

| state     | input                   | becomes                       | events                       |
|-----------|-------------------------|-------------------------------|------------------------------|
| SUBMITTED | progress                | WORKING                       | statusUpdate                 |
| WORKING   | progress                | WORKING                       | statusUpdate                 |
| both      | response                | COMPLETED                     | artifactUpdate, statusUpdate |
| both      | error                   | FAILED, REJECTED or CANCELED  | statusUpdate                 |
| terminal  | anything                | stays                         | none: the answer was given   |

Bounds: beyond `events_max` a progress report changes the status and is no event of its own; the last event
says how many were (`STREAM_COALESCED`).
"""

from dataclasses import dataclass, field

import msgspec

from fabric_codecs.a2a.events import lower_error, lower_progress, lower_response, with_losses
from fabric_codecs.a2a.model import TERMINAL, Artifact, Json, Message, StreamItem, Task, TaskState, TaskStatus
from fabric_codecs.a2a.wire import write_item
from fabric_codecs.envelope import Envelope
from fabric_codecs.translate.losses import Loss, LossCode

__all__ = ["TaskSession", "begin"]


@dataclass(slots=True)
class TaskSession:
    """One task. `owner` is the principal who began it; nobody else can see it."""

    id: str
    context_id: str
    owner: str
    agent: str
    message: Message
    status: TaskStatus
    events_max: int
    message_bytes: int = 0
    artifacts: tuple[Artifact, ...] = ()
    metadata: Json = msgspec.UNSET
    events: list[bytes] = field(default_factory=list)
    events_bytes: int = 0
    coalesced: int = 0

    @property
    def is_done(self) -> bool:
        """Whether it has reached a state that it never leaves."""
        return self.status.state in TERMINAL

    @property
    def size_bytes(self) -> int:
        """What it holds in memory, near enough to be bounded by it: the result stands in an event and an
        artifact."""
        return self.message_bytes + 2 * self.events_bytes

    def snapshot(self, history_length: int | None = None) -> Task:
        """The task as it is now. `history_length` 0 leaves the messages out."""
        history = () if history_length == 0 else (self.message,)
        return Task(self.id, self.context_id, self.status, self.artifacts, history, self.metadata)

    def apply(self, envelope: Envelope) -> tuple[Loss, ...]:
        """Take the next envelope of the call. Returns what its translation lost. Raises CodecError for one
        that cannot be translated: the task is as it was."""
        if self.is_done:
            return ()
        match envelope.kind:
            case "progress":
                return self._progress(envelope)
            case "response":
                answer = lower_response(envelope, task_id=self.id, context_id=self.context_id)
                return self._finish(answer.message, answer.losses)
            case _:
                failure = lower_error(envelope, task_id=self.id, context_id=self.context_id)
                return self._finish((failure.message,), failure.losses)

    def _progress(self, envelope: Envelope) -> tuple[Loss, ...]:
        item = lower_progress(envelope, task_id=self.id, context_id=self.context_id).message
        self._note(item)
        if len(self.events) < self.events_max:
            self._append(item)
            return ()
        self.coalesced += 1
        return (_coalesced(self.coalesced),)

    def _finish(self, items: tuple[StreamItem, ...], losses: tuple[Loss, ...]) -> tuple[Loss, ...]:
        *before, last = items
        if self.coalesced:
            losses = (*losses, _coalesced(self.coalesced))
            last = with_losses(last, losses)
        for item in (*before, last):
            self._note(item)
            self._append(item)
        return losses

    def _note(self, item: StreamItem) -> None:
        if (update := item.status_update) is not None:
            self.status, self.metadata = update.status, update.metadata
        if (produced := item.artifact_update) is not None:
            self.artifacts = (*self.artifacts, produced.artifact)

    def _append(self, item: StreamItem) -> None:
        event = write_item(item)
        self.events.append(event)
        self.events_bytes += len(event)


def begin(
    *, id: str, context_id: str, owner: str, agent: str, message: Message, time: str, events_max: int
) -> TaskSession:
    """A task that was just submitted. The server gives its id."""
    turn = msgspec.structs.replace(message, task_id=id, context_id=context_id)
    size = len(msgspec.json.encode(turn))
    status = TaskStatus(TaskState.SUBMITTED, time)
    return TaskSession(id, context_id, owner, agent, turn, status, events_max, message_bytes=size)


def _coalesced(count: int) -> Loss:
    return Loss(LossCode.STREAM_COALESCED, "progress", f"reports folded into the status: {count}")
