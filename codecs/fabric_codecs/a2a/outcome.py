"""What a task's state, an update or an error says of a call: its kind, and the data of the envelope.

In: the raw task, update or error, checked. Out: an `Outcome`. Above: `lift`.
"""

from base64 import b64decode
from typing import Final, NamedTuple

from fabric_codecs.a2a.faults import Fault
from fabric_codecs.core.jsonscan import JsonObject, compose, elements, quote, scan

__all__ = ["Outcome", "read_event", "read_failure"]

WHOLE: Final = "application/a2a+json"
ID: Final = "io.agentfabric/id"
CODE: Final = "io.agentfabric/code"
RETRIABLE: Final = "io.agentfabric/retriable"
PROGRESS: Final = "io.agentfabric/progress"
KIND: Final = "io.agentfabric/fabkind"
DATA: Final = "io.agentfabric/data"
ERROR: Final = "io.agentfabric/error"
CARRIED: Final = ("progress", "status", "artifact", "response", "error")  # what an update of a task can be
STRUCT: Final = b'"type.googleapis.com/google.protobuf.Struct"'

# In the spellings of 1.0 and 0.3.
ENDED_BADLY: Final = {
    "TASK_STATE_FAILED": "failed",
    "TASK_STATE_REJECTED": "refused",
    "TASK_STATE_CANCELED": "cancelled",
    "failed": "failed",
    "rejected": "refused",
    "canceled": "cancelled",
}
COMPLETED: Final = ("TASK_STATE_COMPLETED", "completed")
CODES: Final = {str(int(fault)).encode(): fault.name.lower() for fault in Fault}


class Outcome(NamedTuple):
    """`kind` and `data` of an envelope; `content_type` of the data, empty when nothing says it. `is_ours`:
    `lower` made it of another protocol's message, and the data are what that had."""

    kind: str
    content_type: str
    data: bytes
    task_id: str
    conversation: str
    is_ours: bool = False


def read_event(raw: bytes, name: str) -> Outcome:
    """A task (`task`, `result`) or an update (`statusUpdate`, `artifactUpdate`): whole; a failed one as a
    failure with it inside; an update that `events` or `lower` made as what it was. Raises CodecError."""
    body = scan(raw, protocol="a2a")
    metadata = _object(body, "metadata")
    task_id = body.text("id" if name in ("task", "result") else "taskId") or ""
    marked = _string(metadata, "io.agentfabric/conversation")
    conversation = marked if marked is not None else body.text("contextId") or ""

    def outcome(kind: str, data: bytes = raw, content_type: str = WHOLE, is_ours: bool = False) -> Outcome:
        return Outcome(kind, content_type, data, task_id, conversation, is_ours)

    status = _object(body, "status")
    said = _string(metadata, KIND)
    if metadata is not None and ID in metadata and name in ("statusUpdate", "artifactUpdate"):
        holder = _object(body, "artifact") if name == "artifactUpdate" else _object(status, "message")
        kind = said if said in CARRIED else "artifact" if name == "artifactUpdate" else "status"
        if metadata.kind(PROGRESS) == "number":
            kind = "progress"
        if (content := _told(kind, metadata, holder)) is not None:
            return outcome(kind, *content, True)
    if name == "artifactUpdate":
        return outcome("artifact")
    state = _string(status, "state") or ""
    if state in ENDED_BADLY:
        return outcome("error", _failure(ENDED_BADLY[state], raw, status, metadata), "application/json")
    return outcome("response" if state in COMPLETED and said != "status" else "status")


def read_failure(error: JsonObject) -> bytes:
    """A JSON-RPC error, named, with itself inside; or the failure of ours that it carries."""
    ours = _carried(error)
    if ours is not None:
        return ours
    name = CODES.get(error.get("code") or b"", "error")
    return compose(
        [
            ("code", quote(name)),
            ("message", error.get("message") or b'""'),
            ("retriable", b"false"),
            ("data", error.raw),
        ]
    )


def _object(body: JsonObject | None, name: str) -> JsonObject | None:
    return body.object(name) if body is not None and body.kind(name) == "object" else None


def _string(body: JsonObject | None, name: str) -> str | None:
    return body.text(name) if body is not None and body.kind(name) == "string" else None


def _told(kind: str, metadata: JsonObject, holder: JsonObject | None) -> tuple[bytes, str] | None:
    """The data of an envelope that `events` or `lower` made an update of, and their content type: marks, or
    the content that `holder` has."""
    content_type = _string(metadata, "io.agentfabric/datacontenttype")
    told = (
        metadata.get(ERROR if kind == "error" else DATA)
        if kind in ("progress", "response", "error")
        else None
    )
    if told is None and kind == "progress" and metadata.kind(PROGRESS) == "number":
        told = _step(metadata, holder)
    if told is None and kind == "error" and metadata.kind(CODE) == "string":
        told = _told_failure(metadata, holder)
    if told is not None:
        return told, content_type or "application/json"
    return _content(holder, content_type)


def _step(metadata: JsonObject, message: JsonObject | None) -> bytes:
    total, words = metadata.get("io.agentfabric/total"), _words(message)
    members = {"progress": metadata.get(PROGRESS), "total": total, "message": words}
    return compose([(name, value) for name, value in members.items() if value is not None])


def _told_failure(metadata: JsonObject, message: JsonObject | None) -> bytes:
    members = {
        "code": metadata.get(CODE),
        "message": _words(message),
        "retriable": metadata.get(RETRIABLE),
        "data": metadata.get(DATA),
    }
    return compose([(name, value) for name, value in members.items() if value is not None])


def _failure(code: str, raw: bytes, status: JsonObject | None, metadata: JsonObject | None) -> bytes:
    """What the agent reports: its own code where it told one of ours, its words where it had some."""
    retriable = metadata is not None and metadata.get(RETRIABLE) == b"true"
    return compose(
        [
            ("code", quote(_string(metadata, CODE) or code)),
            ("message", _words(_object(status, "message")) or quote(f"the task is {code}")),
            ("retriable", b"true" if retriable else b"false"),
            ("data", raw),
        ]
    )


def _content(holder: JsonObject | None, content_type: str | None) -> tuple[bytes, str] | None:
    """What the one part of an artifact or message of ours holds, and its content type. `content_type` is that
    of the JSON string which a text part is, when it is one."""
    part = _first_part(holder, alone=True)
    if part is None:
        return None
    media_type = _string(part, "mediaType") or _string(_object(part, "metadata"), "io.agentfabric/mediaType")
    if (data := part.get("data")) is not None:
        return data, media_type or "application/json"
    if (text := _string(part, "text")) is not None and content_type is None:
        return text.encode(), media_type or "text/plain"
    if text is not None:
        return part.get("text") or b"", content_type or ""
    file = _object(part, "file")  # 0.3
    raw = _string(part, "raw") if file is None else _string(file, "bytes")
    try:
        content = b64decode(raw, validate=True) if raw is not None else None
    except ValueError:  # not base64: somebody else's after all
        return None
    return None if content is None else (content, media_type or _string(file, "mimeType") or "")


def _words(message: JsonObject | None) -> bytes | None:
    """The first part's text of a status message, as a JSON string."""
    part = _first_part(message)
    return part.get("text") if part is not None and part.kind("text") == "string" else None


def _first_part(holder: JsonObject | None, *, alone: bool = False) -> JsonObject | None:
    """None when there is none, and when it is to be alone and is not."""
    if holder is None or holder.kind("parts") != "array":
        return None
    parts = elements(holder.get("parts") or b"[]", protocol="a2a")
    if not parts or not parts[0].startswith(b"{") or (alone and len(parts) > 1):
        return None
    return scan(parts[0], protocol="a2a")


def _carried(error: JsonObject) -> bytes | None:
    """The detail in which `lower` put a failure of ours: a google.protobuf.Struct behind an ErrorInfo of our
    domain."""
    data = error.get("data") or b""
    if not data.startswith(b"[") or b'"io.agentfabric"' not in data:
        return None
    for raw in elements(data, protocol="a2a"):
        detail = scan(raw, protocol="a2a") if raw.startswith(b"{") else None
        if detail is not None and detail.get("@type") == STRUCT and detail.kind("value") == "object":
            return detail.get("value")
    return None
