"""The envelopes of a call -> the events of an A2A task.

| kind     | event                                                       | state                      |
|----------|-------------------------------------------------------------|----------------------------|
| progress | statusUpdate, its text as the status message                | WORKING                    |
| response | artifactUpdate unless the result is null, then statusUpdate | COMPLETED                  |
| error    | statusUpdate, the sentence as the status message            | FAILED, REJECTED, CANCELED |

A result that is a string becomes text; anything else becomes `data`, or `raw` with media type
application/json when a number in it has more digits than a double. Ids and causes go into metadata, losses
too, under the URI of their extension.
"""

import base64
from typing import TypeVar

import msgspec

from fabric_codecs.a2a.model import (
    Artifact,
    ArtifactUpdate,
    Json,
    Message,
    Part,
    StatusUpdate,
    StreamItem,
    TaskState,
    TaskStatus,
    is_given,
)
from fabric_codecs.a2a.numbers import survives_doubles
from fabric_codecs.core.jsonscan import check
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.translate.losses import Loss, LossCode, Translation
from fabric_codecs.translate.media import is_json, media_type_of

__all__ = ["LOSS_EXTENSION", "lower_error", "lower_progress", "lower_response", "metadata_of", "with_losses"]

LOSS_EXTENSION = "io.agentfabric/loss"
RESULT = "result"  # the one artifact of a call
STATE_OF_ERROR = {"refused": TaskState.REJECTED, "cancelled": TaskState.CANCELED}

S = TypeVar("S")


class Progress(msgspec.Struct):
    """The data of an envelope of kind `progress`."""

    progress: float = 0
    total: float | None = None
    message: str | None = None


class Failure(msgspec.Struct):
    """The data of an envelope of kind `error`."""

    code: str = "internal"
    message: str = ""
    retriable: bool = False
    data: Json = msgspec.UNSET


def lower_progress(envelope: Envelope, *, task_id: str, context_id: str) -> Translation[StreamItem]:
    """How far a call has come. Raises CodecError when the envelope does not hold progress."""
    progress = _decode(envelope, Progress)
    facts: dict[str, object] = {"io.agentfabric/progress": progress.progress}
    if progress.total is not None:
        facts["io.agentfabric/total"] = progress.total
    words = _words(progress.message, envelope, task_id, context_id) if progress.message else None
    status = TaskStatus(TaskState.WORKING, envelope.time, words)
    return Translation(_status_item(envelope, status, task_id, context_id, facts))


def lower_response(
    envelope: Envelope, *, task_id: str, context_id: str
) -> Translation[tuple[StreamItem, ...]]:
    """A call's result: the artifact if there is one, and that the task is completed. Raises CodecError when
    the data is no JSON."""
    status = TaskStatus(TaskState.COMPLETED, envelope.time)
    done = _status_item(envelope, status, task_id, context_id, {})
    parts, losses = _result_parts(envelope)
    if not parts:
        return Translation((done,), losses)
    artifact = Artifact(
        RESULT, parts, name=RESULT, metadata=_metadata({}, losses), extensions=_extensions(losses)
    )
    update = ArtifactUpdate(task_id, context_id, artifact, last_chunk=True, metadata=metadata_of(envelope))
    return Translation((StreamItem(artifact_update=update), done), losses)


def lower_error(envelope: Envelope, *, task_id: str, context_id: str) -> Translation[StreamItem]:
    """Why a call gave no result. Raises CodecError when the envelope does not hold an error."""
    failure = _decode(envelope, Failure)
    facts: dict[str, object] = {
        "io.agentfabric/code": failure.code,
        "io.agentfabric/retriable": failure.retriable,
    }
    if is_given(failure.data):
        facts["io.agentfabric/data"] = failure.data
    state = STATE_OF_ERROR.get(failure.code, TaskState.FAILED)
    words = _words(failure.message or failure.code, envelope, task_id, context_id)
    return Translation(
        _status_item(envelope, TaskStatus(state, envelope.time, words), task_id, context_id, facts)
    )


def with_losses(item: StreamItem, losses: tuple[Loss, ...]) -> StreamItem:
    """A status update that also tells what was lost before it."""
    update = item.status_update
    if update is None or not losses:
        return item
    facts = msgspec.json.decode(update.metadata or b"{}", type=dict[str, object])
    told = msgspec.structs.replace(update, metadata=_metadata(facts, losses))
    return StreamItem(status_update=told)


def metadata_of(envelope: Envelope, facts: dict[str, object] | None = None) -> Json:
    """Where an event stands in the story: its id, what caused it, and the conversation."""
    story = {
        "io.agentfabric/id": envelope.id,
        "io.agentfabric/causationid": envelope.causationid,
        "io.agentfabric/conversation": envelope.correlationid,
    }
    return _metadata({name: value for name, value in story.items() if value is not None} | (facts or {}), ())


def _metadata(facts: dict[str, object], losses: tuple[Loss, ...]) -> Json:
    if losses:
        told = [{"code": loss.code, "field": loss.field, "outcome": loss.outcome} for loss in losses]
        facts = facts | {LOSS_EXTENSION: told}
    return msgspec.Raw(msgspec.json.encode(facts)) if facts else msgspec.UNSET


def _extensions(losses: tuple[Loss, ...]) -> tuple[str, ...] | None:
    return (LOSS_EXTENSION,) if losses else None


def _status_item(
    envelope: Envelope, status: TaskStatus, task_id: str, context_id: str, facts: dict[str, object]
) -> StreamItem:
    update = StatusUpdate(task_id, context_id, status, metadata=metadata_of(envelope, facts))
    return StreamItem(status_update=update)


def _words(text: str, envelope: Envelope, task_id: str, context_id: str) -> Message:
    part = Part(text=text, media_type="text/plain")
    return Message(envelope.id, "ROLE_AGENT", (part,), context_id, task_id)


def _result_parts(envelope: Envelope) -> tuple[tuple[Part, ...], tuple[Loss, ...]]:
    data = envelope.data.strip()
    media_type = media_type_of(envelope)
    if not is_json(media_type):
        return _opaque_parts(envelope.data, media_type)
    if data in (b"", b"null"):
        return (), ()
    check(data, protocol="a2a")
    if data.startswith(b'"'):
        return (Part(text=msgspec.json.decode(data, type=str), media_type="text/plain"),), ()
    if survives_doubles(data):
        return (Part(data=msgspec.Raw(data), media_type="application/json"),), ()
    return (Part(raw=base64.b64encode(data).decode(), media_type="application/json"),), ()


def _opaque_parts(data: bytes, media_type: str) -> tuple[tuple[Part, ...], tuple[Loss, ...]]:
    """A result that is no JSON: text if it says so, else bytes."""
    if media_type.startswith("text/"):
        try:
            return (Part(text=data.decode(), media_type=media_type),), ()
        except UnicodeDecodeError:
            guessed = Loss(
                LossCode.CONTENT_TYPE_GUESSED, "datacontenttype", f"{media_type} is not UTF-8: sent as bytes"
            )
            return (Part(raw=base64.b64encode(data).decode(), media_type=media_type),), (guessed,)
    return (Part(raw=base64.b64encode(data).decode(), media_type=media_type),), ()


def _decode(envelope: Envelope, kind: type[S]) -> S:
    try:
        check(envelope.data, protocol="a2a")  # its depth too: an agent may have sent anything
        return msgspec.json.decode(envelope.data, type=kind)
    except (CodecError, msgspec.DecodeError) as error:
        raise CodecError(
            f"the {envelope.kind} {envelope.id} cannot be read: {error}", protocol="a2a"
        ) from error
