"""Streamed answers, the agent's side: a tool yields, its parts go out as far ahead as the caller allows.

In: an async generator. Out: envelopes of kind `artifact`, then the answer that ends them; to a caller that
does not stream, all parts in one JSON array. `rules/calls/flow` decides and has the table. Above:
`reception`. The caller's side is `parts`. Bounded: the window, and one part that waits for room in it.
"""

import asyncio
from contextlib import aclosing
from typing import Any

import msgspec

from fabric.client.calls.running import Call
from fabric.client.calls.tool import Tool, ToolError
from fabric.errors import LimitExceeded
from fabric.rules.calls.flow import Outflow
from fabric_codecs.errors import CodecError

__all__ = ["Yielding", "collected", "only_part"]

Key = tuple[bytes, str]  # the caller's token, the request's id


class Yielding:
    """The streams of one agent that are open."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[Key, tuple[Call, Outflow, asyncio.Event]] = {}

    async def stream(self, call: Call, key: Key, tool: Tool, arguments: dict[str, Any], window: int) -> bytes:
        """Send what the tool yields; the answer after it. Cancelling closes the generator. Raises ToolError
        for a part that no message can hold, and what the tool raises."""
        flow, moved = Outflow(window), asyncio.Event()
        self._open[key] = call, flow, moved
        try:
            async with aclosing(tool.function(**arguments)) as parts:
                async for part in parts:
                    data = msgspec.json.encode(part)
                    while not flow.has_room:  # ends by the deadline's timer at the latest
                        moved.clear()
                        await moved.wait()
                    _send_part(call, data)
                    flow.send(len(data))
        finally:
            del self._open[key]
        return b"null"

    def granted(self, key: Key, taken: int) -> None:
        """The caller has taken that many parts in all."""
        if key not in self._open:
            return
        call, flow, moved = self._open[key]
        if flow.granted(taken):
            call.send("status", b"")
        moved.set()


async def collected(tool: Tool, arguments: dict[str, Any], bytes_max: int) -> bytes:
    """All parts as one JSON array. Raises LimitExceeded."""
    parts, size = [], 0
    async with aclosing(tool.function(**arguments)) as made:
        async for part in made:
            data = msgspec.json.encode(part)
            size += len(data) + 1
            if size > bytes_max:
                hint = "call it as a stream"
                raise LimitExceeded("bytes of an answer", allowed=bytes_max, actual=size, hint=hint)
            parts.append(data)
    return b"[" + b",".join(parts) + b"]"


def only_part(call: Call, answer: bytes) -> bytes:
    """A plain tool's answer to a caller that streams: it is the one part; the answer after it."""
    _send_part(call, answer)
    return b"null"


def _send_part(call: Call, data: bytes) -> None:
    try:
        call.send("artifact", data)
    except CodecError as error:
        raise ToolError(LimitExceeded.code, f"a part cannot be sent: {error}") from error
