"""A task as it is now (A2A 1.0.1, 4.1.1), put together of the events that told of it. Raw stays raw.

In: the raw StreamResponses of `events`, and the message that began the task. Out: a Task, raw. Above: the
edge, which answers SendMessage, GetTask and CancelTask with it, and begins each stream with it.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from fabric_codecs.core.jsonscan import JsonObject, compose, quote, scan

__all__ = ["as_item", "is_artifact", "state_of", "submitted", "turn_of", "write_task"]

ARTIFACT: Final = b'{"artifactUpdate":'


def submitted(*, task_id: str, context_id: str, time: str) -> bytes:
    """The status update that every task begins with, which nobody is sent."""
    status = compose([("state", b'"TASK_STATE_SUBMITTED"'), ("timestamp", quote(time))])
    update = compose([("taskId", quote(task_id)), ("contextId", quote(context_id)), ("status", status)])
    return compose([("statusUpdate", update)])


def turn_of(message: JsonObject, *, task_id: str, context_id: str) -> bytes:
    """The message that began a task, as its history has it: with the ids that it was given."""
    said = scan(message.splice("contextId", quote(context_id)), protocol="a2a")
    return said.splice("taskId", quote(task_id))


def write_task(
    status: bytes,
    artifacts: Sequence[bytes],
    history: Iterable[bytes],
    *,
    task_id: str,
    context_id: str,
) -> bytes:
    """The task after the status update `status` and the artifact updates `artifacts`. Its metadata are those
    of the answer: of the status, or of the artifact that the status only ends."""
    updates = [_update(event) for event in (status, *reversed(artifacts))]
    told = [found for update in updates if (found := update.get("metadata")) is not None]
    answer = next((found for found in told if b'"io.agentfabric/id"' in found), None)
    members = {
        "id": quote(task_id),
        "contextId": quote(context_id),
        "status": updates[0].get("status"),
        "artifacts": _array(update.get("artifact") for update in updates[:0:-1]),
        "history": _array(history),
        "metadata": answer,
    }
    return compose([(name, value) for name, value in members.items() if value is not None])


def as_item(task: bytes) -> bytes:
    """The task as a StreamResponse: what SendMessage answers, and the first item of a stream."""
    return compose([("task", task)])


def is_artifact(event: bytes) -> bool:
    """Whether an event of `events` is an artifact update; all others are status updates."""
    return event.startswith(ARTIFACT)


def state_of(status: bytes) -> str:
    """The state that a status update tells."""
    found = _update(status).object("status")
    assert found is not None, "every status update has one"
    return found.text("state") or ""


def _update(event: bytes) -> JsonObject:
    body = scan(event, protocol="a2a")
    (name,) = body.names()
    found = body.object(name)
    assert found is not None, "an event holds one update"
    return found


def _array(items: Iterable[bytes | None]) -> bytes | None:
    """A JSON array; None when it is empty."""
    raw = b",".join(item for item in items if item is not None)
    return b"[" + raw + b"]" if raw else None
