"""What can go wrong, in MCP's words: a JSON-RPC error, the HTTP status that goes with it, and when to come
back.

| era    | HTTP status of an error                                                                  |
|--------|------------------------------------------------------------------------------------------|
| modern | 400 for what the request got wrong, 404 for a method, else the fabric's own (429, 503..) |
| legacy | 200, as its clients expect, except where it says when to come back (429, 503)            |
"""

import msgspec
from starlette.responses import Response

from fabric.errors import CallFailed, FabricError, NoSuchTool, Refused
from fabric_bridges.http.answer import json_response
from fabric_bridges.refusal import retry_after_s, words
from fabric_codecs.core.jsonrpc import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR, write_error
from fabric_codecs.errors import CodecError
from fabric_codecs.mcp.wire import HEADER_MISMATCH, METHOD_NOT_FOUND, MODERN, UNSUPPORTED_VERSION

__all__ = ["McpFault", "fault_of"]

_STATUS_BY_CODE = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    UNSUPPORTED_VERSION: 400,
    METHOD_NOT_FOUND: 404,
}
_COME_BACK = (429, 503)  # statuses with a Retry-After


class McpFault(Exception):
    """An error answer in the making. `data` is raw JSON."""

    def __init__(
        self, code: int, message: str, *, data: bytes | None = None, status: int = 500, retry_after_s: int = 0
    ) -> None:
        self.code, self.message, self.data = code, message, data
        self.status = _STATUS_BY_CODE.get(code, status)
        self.retry_after_s = retry_after_s if status in _COME_BACK else 0
        super().__init__(f"{code}: {message}")

    def line(self, request_id: bytes | None) -> bytes:
        """The JSON-RPC message."""
        return write_error(request_id, self.code, self.message, self.data)

    def response(self, request_id: bytes | None, revision: str) -> Response:
        """The HTTP answer to a client of that revision."""
        status = self.status if revision == MODERN or self.retry_after_s else 200
        headers = {"Retry-After": str(self.retry_after_s)} if self.retry_after_s else {}
        return json_response(self.line(request_id), status, headers)


def fault_of(error: FabricError | CodecError, *, tool: str = "") -> McpFault:
    """The fault that an error of the fabric or of a codec is; `tool` is the MCP name that was called."""
    if isinstance(error, CodecError):
        return McpFault(error.reason or INVALID_PARAMS, f"{error.what} (at byte {error.offset})")
    said = words(error)
    message = f"{tool}: {error}" if tool else str(error)
    data = msgspec.json.encode({"code": error.code, "retriable": error.retriable} | _facts(error))
    return McpFault(said.jsonrpc, message, data=data, status=said.http, retry_after_s=retry_after_s(error))


def _facts(error: FabricError) -> dict[str, object]:
    """What a program can act on."""
    match error:
        case Refused():
            return {
                "reason": error.reason,
                "retry_after_ms": error.retry_after_ms,
                "depth": error.depth,
                "share": error.share,
                "unknown": error.unknown,
            } | ({"chain": error.chain} if error.chain else {})
        case NoSuchTool():
            return {"agent": error.agent, "tool": error.tool, "known": error.known}
        case CallFailed():
            return {"code": error.remote_code, "retriable": error.remote_retriable}
    return {}
