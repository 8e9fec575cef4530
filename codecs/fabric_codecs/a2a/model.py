"""The shapes of A2A 1.0 as they stand in JSON (ProtoJSON of `lf.a2a.v1`: camelCase, enums by name).

Only members that this codec reads or writes; others are let be. `data` and `metadata` stay the raw bytes they
came in, so a number keeps its digits: the official SDK's protobuf values turn each into a double.
"""

from enum import StrEnum
from typing import TypeGuard

import msgspec
from msgspec import UNSET, Raw, UnsetType

__all__ = [
    "TERMINAL",
    "Artifact",
    "ArtifactUpdate",
    "Json",
    "Message",
    "Part",
    "SendConfiguration",
    "SendMessage",
    "StatusUpdate",
    "StreamItem",
    "Task",
    "TaskQuery",
    "TaskState",
    "TaskStatus",
    "is_given",
]

Json = Raw | UnsetType  # any JSON in its own bytes, or UNSET where the member is not there


def is_given(member: Json) -> TypeGuard[Raw]:
    """Whether a member stands in the message with a value; ProtoJSON's null is none, except in `data`."""
    return isinstance(member, Raw) and bytes(member) != b"null"


class TaskState(StrEnum):
    """A task's states (section 4.1.3) that a call of the fabric can reach."""

    SUBMITTED = "TASK_STATE_SUBMITTED"
    WORKING = "TASK_STATE_WORKING"
    COMPLETED = "TASK_STATE_COMPLETED"
    FAILED = "TASK_STATE_FAILED"
    CANCELED = "TASK_STATE_CANCELED"
    REJECTED = "TASK_STATE_REJECTED"


TERMINAL = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELED, TaskState.REJECTED})


class Part(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True):
    """A piece of content: exactly one of `text`, `raw` (base64), `url` and `data` (any JSON)."""

    text: str | None = None
    raw: str | None = None
    url: str | None = None
    data: Json = UNSET
    media_type: str | None = None
    filename: str | None = None
    metadata: Json = UNSET


class Message(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True):
    """One turn of a conversation."""

    message_id: str = ""
    role: str = ""
    parts: tuple[Part, ...] = ()
    context_id: str | None = None
    task_id: str | None = None
    metadata: Json = UNSET
    extensions: tuple[str, ...] | None = None


class SendConfiguration(msgspec.Struct, rename="camel", frozen=True):
    """What the sender wants of the answer."""

    accepted_output_modes: tuple[str, ...] | None = None
    history_length: int | None = None
    return_immediately: bool | None = None
    task_push_notification_config: Json = UNSET


class SendMessage(msgspec.Struct, rename="camel", frozen=True):
    """The parameters of SendMessage and SendStreamingMessage."""

    message: Message
    configuration: SendConfiguration | None = None
    metadata: Json = UNSET


class TaskQuery(msgspec.Struct, rename="camel", frozen=True):
    """The parameters of GetTask, CancelTask and SubscribeToTask."""

    id: str
    history_length: int | None = None


class TaskStatus(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True):
    """Where a task stands, since when, and in words."""

    state: TaskState
    timestamp: str | None = None
    message: Message | None = None


class Artifact(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True):
    """What a task produced."""

    artifact_id: str
    parts: tuple[Part, ...]
    name: str | None = None
    metadata: Json = UNSET
    extensions: tuple[str, ...] | None = None


class Task(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True):
    """A task as it is now."""

    id: str
    context_id: str
    status: TaskStatus
    artifacts: tuple[Artifact, ...] = ()
    history: tuple[Message, ...] = ()
    metadata: Json = UNSET


class StatusUpdate(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True):
    """A task's status changed."""

    task_id: str
    context_id: str
    status: TaskStatus
    metadata: Json = UNSET


class ArtifactUpdate(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True):
    """A task produced something."""

    task_id: str
    context_id: str
    artifact: Artifact
    last_chunk: bool = False
    metadata: Json = UNSET


class StreamItem(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True):
    """One item of a stream, and what SendMessage answers: exactly one of these."""

    task: Task | None = None
    status_update: StatusUpdate | None = None
    artifact_update: ArtifactUpdate | None = None
