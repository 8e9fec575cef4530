"""One TCP connection of an HTTP edge, bounded where uvicorn leaves it open, and how its end is noticed.

`Connection` is uvicorn's own protocol with three timers more: a head that does not come, a peer that does not
read, and a connection too many. `while_connected` runs work for as long as somebody waits for it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.types import Receive
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from fabric.edge import EdgeMetrics
from fabric_bridges.http.config import HttpSettings

__all__ = ["Connection", "ConnectionBounds", "client_gone", "while_connected"]

T = TypeVar("T")

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class ConnectionBounds:
    """What a connection of this edge must keep to, and where it is counted when it does not."""

    edge: str
    settings: HttpSettings
    metrics: EdgeMetrics


class Connection(H11Protocol):
    """A connection that cannot be held open by saying nothing, by saying it slowly, or by not listening."""

    def __init__(
        self,
        bounds: ConnectionBounds,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._bounds = bounds
        settings = bounds.settings
        self._head = _Deadline(self.loop, settings.head_timeout_s, lambda: self.transport.close())
        self._stall = _Deadline(self.loop, settings.stall_timeout_s, lambda: self.transport.abort())

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._bounds.settings.connections_max:
            self._bounds.metrics.refusals.labels(self._bounds.edge, "connections").inc()
            transport.write(_FULL)
            transport.close()
            return
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head.disarm()
        self._stall.disarm()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The peer reads slower than we write: give it a while, then cut. A polite close would wait for its
        reading."""
        super().pause_writing()
        self._stall.arm()

    def resume_writing(self) -> None:
        self._stall.disarm()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        self._bounds.metrics.malformed.labels(self._bounds.edge).inc()
        super().send_400_response(msg)

    def _watch_head(self) -> None:
        """Between requests the head of the next one must come; uvicorn's idle timer stops at its first byte,
        ours does not."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._head.disarm()
        else:
            self._head.arm()


class _Deadline:
    """A timer that runs or does not: arming it again does not postpone it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, after_s: float, then: Callable[[], None]) -> None:
        self._loop, self._after_s, self._then = loop, after_s, then
        self._timer: asyncio.TimerHandle | None = None

    def arm(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(self._after_s, self._then)

    def disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def client_gone(receive: Receive) -> None:
    """Return when the client has closed the connection, or when the response is complete. The body must have
    been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`; None when the client left before: `work` has been cancelled then, and has
    ended."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(client_gone(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.wait({working, leaving})
    return None if working.cancelled() else working.result()
