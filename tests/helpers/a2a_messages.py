"""A2A messages as tests write them: `sent` in 1.0, `old` in 0.3."""

from typing import Any

from fabric_codecs.a2a.lift import lift
from fabric_codecs.envelope import Envelope
from helpers.json_envelopes import NOW_US, packed

__all__ = ["lifted", "old", "rpc", "sent", "status"]


def lifted(message: object, **named: Any) -> Envelope:
    raw = message if isinstance(message, bytes) else packed(message)
    return lift(raw, source="/a2a/ann", fresh_id="f-1", now_us=NOW_US, **named).message


def rpc(**members: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 7, **members}


def sent(*parts: object, method: str = "SendMessage", **more: object) -> dict[str, object]:
    message = {"messageId": "m-1", "role": "ROLE_USER", "parts": list(parts), **more}
    return rpc(method=method, params={"message": message})


def old(*parts: object, **more: object) -> dict[str, object]:
    message = {"kind": "message", "messageId": "m-1", "role": "user", "parts": list(parts), **more}
    return rpc(method="message/send", params={"message": message})


def status(state: str, **more: object) -> dict[str, object]:
    return {"taskId": "t-1", "contextId": "c-1", "status": {"state": state}, **more}
