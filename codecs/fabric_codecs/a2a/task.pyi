from collections.abc import Sequence

def submitted(*, task_id: str, context_id: str, time: str) -> bytes:
    """The status update that every task begins with, which nobody is sent."""

def turn_of(message: bytes, *, task_id: str, context_id: str) -> bytes:
    """The message that began a task, as its history has it: with the ids that it was given. Raises CodecError
    for what is no object, or one of more than 64 members."""

def write_task(
    status: bytes,
    artifacts: Sequence[bytes],
    history: Sequence[bytes],
    *,
    task_id: str,
    context_id: str,
) -> bytes:
    """The task after the status update `status` and the artifact updates `artifacts`. Its metadata are those
    of the answer: of the status, or of the artifact that the status only ends."""

def as_item(task: bytes) -> bytes:
    """The task as a StreamResponse: what SendMessage answers, and the first item of a stream."""

def is_artifact(event: bytes) -> bool:
    """Whether an event of `events` is an artifact update; all others are status updates."""

def state_of(status: bytes) -> str:
    """The state that a status update tells: `TASK_STATE_WORKING`."""
