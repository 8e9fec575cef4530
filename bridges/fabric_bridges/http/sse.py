"""A response that is a stream of server-sent events.

In: an async generator of events. Out: `text/event-stream`, a comment whenever it was silent for long. Nothing
is buffered here: the generator is asked for the next event when the last one is with the transport, which
holds at most 64 KiB unsent. The client leaving closes the generator, in the task that iterates it: its
`finally` and `async with` blocks are where work is cancelled.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fabric_bridges.http.connection import while_connected

__all__ = ["EventStream", "sse_event"]

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would otherwise collect events until its buffer is full
}
_KEEP_ALIVE = b": keep-alive\n\n"


def sse_event(data: bytes) -> bytes:
    """One event. JSON may hold line breaks between its tokens; each line becomes a `data` line, which the
    reader joins again."""
    return b"".join(b"data: " + line + b"\n" for line in data.splitlines() or [b""]) + b"\n"


class EventStream(Response):
    """Streams `events` (each made by `sse_event`) until the generator ends or the client leaves."""

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        *,
        keep_alive_s: float,
        headers: Mapping[str, str] | None = None,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_close` is called once the stream is over, however it ended, even if it never began."""
        self.status_code = 200
        self.background = None
        self._events = events
        self._keep_alive_s = keep_alive_s
        self._on_close = on_close
        self.init_headers({**_HEADERS, **(headers or {})})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await while_connected(receive, self._stream(send))
        finally:
            self._on_close()

    async def _stream(self, send: Send) -> None:
        beating = asyncio.create_task(self._beat(send))
        try:
            async with aclosing(self._events) as events:
                async for event in events:
                    await send({"type": "http.response.body", "body": event, "more_body": True})
                    # `send` need not wait: let others run, and let us hear that the client left.
                    await asyncio.sleep(0)
        finally:
            beating.cancel()
        await send({"type": "http.response.body", "body": b""})

    async def _beat(self, send: Send) -> None:
        # Each send is a whole event or a whole comment, so the two tasks cannot tear each other's lines.
        while True:
            await asyncio.sleep(self._keep_alive_s)
            await send({"type": "http.response.body", "body": _KEEP_ALIVE, "more_body": True})
