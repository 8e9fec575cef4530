"""MCP messages as tests write them."""

from typing import Any

from fabric_codecs.envelope import Envelope
from fabric_codecs.mcp.lift import lift
from helpers.json_envelopes import NOW_US, packed

__all__ = ["MODERN_META", "call", "lifted", "result", "rpc", "text_block"]

MODERN_META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


def lifted(message: object, **named: Any) -> Envelope:
    raw = message if isinstance(message, bytes) else packed(message)
    return lift(raw, source="/mcp/ann", fresh_id="f-1", now_us=NOW_US, **named).message


def rpc(**members: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", **members}


def call(params: dict[str, object], id: object = 7) -> dict[str, object]:
    return rpc(id=id, method="tools/call", params={"name": "a.b", **params})


def result(**members: object) -> dict[str, object]:
    return rpc(id=7, result=members)


def text_block(text: str) -> dict[str, object]:
    return {"type": "text", "text": text}
