"""What a task's state, an update or an error says of a call: its kind, and the data of the envelope.

In: the raw task, update or error, checked. Out: an `Outcome`. Above: `lift`.
"""

from base64 import b64decode
from typing import Final, NamedTuple

from fabric_codecs.a2a.faults import Fault
from fabric_codecs.core.jsonscan import JsonObject, compose, elements, quote, scan

__all__ = ["Outcome", "read_event", "read_failure"]

WHOLE: Final = "application/a2a+json"
PROGRESS: Final = "io.agentfabric/progress"
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
    failure with it inside; a progress of ours as what it was. Raises CodecError."""
    body = scan(raw, protocol="a2a")
    metadata = _object(body, "metadata")
    task_id = body.text("id" if name in ("task", "result") else "taskId") or ""
    marked = _string(metadata, "io.agentfabric/conversation")
    conversation = marked if marked is not None else body.text("contextId") or ""

    def outcome(kind: str, data: bytes = raw, content_type: str = WHOLE, is_ours: bool = False) -> Outcome:
        return Outcome(kind, content_type, data, task_id, conversation, is_ours)

    status = _object(body, "status")
    if metadata is not None and metadata.kind(PROGRESS) == "number":
        return outcome("progress", _step(metadata, status), "application/json", True)
    if metadata is not None and "io.agentfabric/id" in metadata:
        holder = _object(body, "artifact") if name == "artifactUpdate" else _object(status, "message")
        if (content := _content(holder)) is not None:
            return outcome("artifact" if name == "artifactUpdate" else "status", *content, True)
    if name == "artifactUpdate":
        return outcome("artifact")
    state = _string(status, "state") or ""
    if state in ENDED_BADLY:
        return outcome("error", _failure(ENDED_BADLY[state], raw, status, metadata), "application/json")
    return outcome("response" if state in COMPLETED else "status")


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


def _step(metadata: JsonObject, status: JsonObject | None) -> bytes:
    members = [("progress", metadata.get(PROGRESS) or b"0")]
    if metadata.kind("io.agentfabric/total") == "number":
        members.append(("total", metadata.get("io.agentfabric/total") or b"0"))
    if (words := _words(status)) is not None:
        members.append(("message", words))
    return compose(members)


def _failure(code: str, raw: bytes, status: JsonObject | None, metadata: JsonObject | None) -> bytes:
    """What the agent reports: its own code where it told one of ours, its words where it had some."""
    retriable = metadata is not None and metadata.get("io.agentfabric/retriable") == b"true"
    return compose(
        [
            ("code", quote(_string(metadata, "io.agentfabric/code") or code)),
            ("message", _words(status) or quote(f"the task is {code}")),
            ("retriable", b"true" if retriable else b"false"),
            ("data", raw),
        ]
    )


def _content(holder: JsonObject | None) -> tuple[bytes, str] | None:
    """What the one part of an artifact or message of ours holds, and its content type."""
    if holder is None or holder.kind("parts") != "array":
        return None
    parts = elements(holder.get("parts") or b"[]", protocol="a2a")
    if len(parts) != 1 or not parts[0].startswith(b"{"):
        return None
    part = scan(parts[0], protocol="a2a")
    media_type = _string(part, "mediaType")
    if (data := part.get("data")) is not None:
        return data, media_type or "application/json"
    if (text := _string(part, "text")) is not None:
        return text.encode(), media_type or "text/plain"
    raw = _string(part, "raw")
    try:
        return (b64decode(raw, validate=True), media_type or "") if raw is not None else None
    except ValueError:  # not base64: somebody else's after all
        return None


def _words(status: JsonObject | None) -> bytes | None:
    """The first part's text of a status message, as a JSON string."""
    message = _object(status, "message")
    if message is None or message.kind("parts") != "array":
        return None
    parts = elements(message.get("parts") or b"[]", protocol="a2a")
    if not parts or not parts[0].startswith(b"{"):
        return None
    part = scan(parts[0], protocol="a2a")
    return part.get("text") if part.kind("text") == "string" else None


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
