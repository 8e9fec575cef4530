"""Envelope -> MCP: what an agent answered becomes a result or a notification.

| envelope                | becomes                                                                    |
|-------------------------|----------------------------------------------------------------------------|
| response, JSON object   | `structuredContent`, the very bytes, and the same as text                  |
| response, JSON string   | text: the string itself                                                    |
| response, other JSON    | text: the JSON                                                             |
| response, `text/*`      | text                                                                       |
| response, anything else | an embedded resource, base64                                               |
| error of the tool       | `isError`, its message as text; code and data in `_meta["io.agentfabric/error"]` |
| progress                | `notifications/progress`, strictly increasing                              |

What was lost, here or before, stands in `_meta["io.agentfabric/loss"]`.
"""

import json
import math
from base64 import b64encode
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from fabric_codecs.core.jsonrpc import write_request
from fabric_codecs.core.jsonscan import check, compose, quote, scan
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError
from fabric_codecs.mcp.call import CONVERSATION_KEY
from fabric_codecs.mcp.wire import PROGRESS, write_result_body
from fabric_codecs.translate.losses import Loss, LossCode, Translation, loss_codes
from fabric_codecs.translate.media import is_json, media_type_of

__all__ = [
    "ERROR_KEY",
    "LOSS_KEY",
    "ProgressMessage",
    "loss_meta",
    "lower_failure",
    "lower_progress",
    "lower_result",
]

LOSS_KEY = "io.agentfabric/loss"
ERROR_KEY = "io.agentfabric/error"
ID_KEY = "io.agentfabric/id"


class ProgressMessage(NamedTuple):
    """A `notifications/progress`, and the value that the next one must exceed."""

    message: bytes
    value: float


def lower_result(
    response: Envelope, *, revision: str, server_info: bytes, losses: Sequence[Loss] = ()
) -> Translation[bytes]:
    """The result of a `tools/call` whose agent answered. `losses` are those that the edge knows of."""
    lost = [*losses, *_lost(response)]
    members = _content(response, lost)
    meta = _meta(response, lost)
    return Translation(write_result_body(revision, members, server_info=server_info, meta=meta), tuple(lost))


def lower_failure(
    error: Envelope, *, revision: str, server_info: bytes, losses: Sequence[Loss] = ()
) -> Translation[bytes]:
    """The result of a `tools/call` whose tool failed: MCP tells the model, so that it can do better. Raises
    CodecError for no error object."""
    lost = [*losses, *_lost(error)]
    failure = scan(error.data, protocol="mcp")
    members = [("content", _text(failure.text("message") or "the tool failed")), ("isError", b"true")]
    meta = [*_meta(error, lost), (ERROR_KEY, failure.raw)]
    return Translation(write_result_body(revision, members, server_info=server_info, meta=meta), tuple(lost))


def lower_progress(progress: Envelope, *, token: bytes, after: float) -> Translation[ProgressMessage]:
    """The notification of one step. `token` is raw; `after` is the value of the last one, minus infinity
    before the first.

    A value that does not increase is replaced by the next float above the last (PROGRESS_SYNTHETIC). Raises
    CodecError when the data is no progress object.
    """
    step = scan(progress.data, protocol="mcp")
    raw = step.get("progress")
    if raw is None or step.kind("progress") != "number":
        raise CodecError("a progress envelope without a number `progress`", protocol="mcp")
    lost = _lost(progress)
    value = float(raw)
    if value <= after:
        lost.append(Loss(LossCode.PROGRESS_SYNTHETIC, "progress", f"{raw.decode()} did not increase"))
        value = math.nextafter(after, math.inf)
        raw = repr(value).encode()
    if value == math.inf:
        raise CodecError("a progress beyond what a double holds: JSON has no infinity", protocol="mcp")
    params = [("progressToken", token), ("progress", raw)]
    params += [
        (name, step.get(name) or b"")
        for name, kind in (("total", "number"), ("message", "string"))
        if step.kind(name) == kind
    ]
    if said := loss_meta(lost, progress):
        params.append(("_meta", compose(said)))
    return Translation(ProgressMessage(write_request(None, PROGRESS, compose(params)), value), tuple(lost))


def loss_meta(losses: Sequence[Loss], envelope: Envelope | None = None) -> list[tuple[str, bytes]]:
    """The `_meta` member that says what was lost: on the way that `envelope` came, then here; none when
    nothing was."""
    earlier = envelope.get("fabloss") if envelope is not None else None
    codes = loss_codes(losses, earlier or "")
    return [(LOSS_KEY, msgspec.json.encode(codes.split(",")))] if codes else []


def _meta(envelope: Envelope, losses: Sequence[Loss]) -> list[tuple[str, bytes]]:
    meta = [(ID_KEY, quote(envelope.id))]
    if envelope.correlationid is not None:
        meta.append((CONVERSATION_KEY, quote(envelope.correlationid)))
    return meta + loss_meta(losses, envelope)


def _lost(envelope: Envelope) -> list[Loss]:
    """What MCP has no place for."""
    return [Loss(LossCode.NO_METADATA, "native", "MCP results have no headers")] if envelope.native else []


def _content(response: Envelope, lost: list[Loss]) -> list[tuple[str, bytes]]:
    if not response.data:
        return [("content", b"[]")]
    media_type = media_type_of(response)
    if is_json(media_type):
        try:
            return _json_content(response.data)
        except CodecError:
            lost.append(
                Loss(LossCode.CONTENT_TYPE_GUESSED, "data", f"said to be {media_type}, and is no JSON")
            )
            media_type = "text/plain"
    try:
        if media_type.startswith("text/"):
            return [("content", _text(response.data.decode()))]
    except UnicodeDecodeError:
        media_type = "application/octet-stream"
    return [("content", _resource(response, media_type))]


def _json_content(data: bytes) -> list[tuple[str, bytes]]:
    kind = check(data, protocol="mcp")
    if kind == "object":
        return [("content", _text(data.decode())), ("structuredContent", data)]
    return [("content", _text(json.loads(data) if kind == "string" else data.decode()))]


def _text(text: str) -> bytes:
    return b'[{"type":"text","text":' + quote(text) + b"}]"


def _resource(response: Envelope, media_type: str) -> bytes:
    blob = [
        ("uri", quote(f"fab://message/{response.id}")),
        ("mimeType", quote(media_type)),
        ("blob", b'"' + b64encode(response.data) + b'"'),
    ]
    return b'[{"type":"resource","resource":' + compose(blob) + b"}]"
