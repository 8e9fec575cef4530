"""An HTTP edge's server: routes behind the door and the limits, served by uvicorn in the running loop.

In: routes and settings. Out: a listener with `start` and `stop`. It binds its own socket, so port 0 and a
taken port behave; it takes no signals, sets no loop policy and configures no logging: those are the process's
business.
"""

import asyncio
import contextlib
import functools
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fabric.edge import EdgeMetrics, cannot_listen
from fabric.ports import Authenticator
from fabric_bridges.http.auth import Door
from fabric_bridges.http.config import HttpSettings
from fabric_bridges.http.connection import Connection, ConnectionBounds
from fabric_bridges.http.limits import HttpRefused, Places

__all__ = ["HttpServer", "build_app"]

_HEAD_BYTES_MAX = 64 << 10  # of a request's head: what nginx allows with its larger buffers
_START_TIMEOUT_S = 10.0


def build_app(
    routes: Sequence[BaseRoute],
    *,
    edge: str,
    settings: HttpSettings,
    authenticator: Authenticator,
    metrics: EdgeMetrics,
    public: Callable[[str], bool] = lambda path: False,
) -> Starlette:
    """The application. A handler finds the caller in `request.state.principal` and may raise HttpRefused
    until it has answered.

    `public` says which paths need no token (their principal is "").
    """
    gate = Middleware(
        Gate,
        edge=edge,
        door=Door(edge, authenticator, settings.allowed_origins),
        settings=settings,
        metrics=metrics,
        public=public,
    )
    return Starlette(routes=list(routes), middleware=[gate])


class Gate:
    """What happens to every request before its handler: origin, identity, a place in flight. Refusals are
    answered here."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        edge: str,
        door: Door,
        settings: HttpSettings,
        metrics: EdgeMetrics,
        public: Callable[[str], bool],
    ) -> None:
        self._app, self._edge, self._door, self._metrics, self._public = app, edge, door, metrics, public
        self._places = Places(settings.requests_in_flight_max)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answered = False

        async def noted_send(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            headers = Headers(scope=scope)
            self._door.check_origin(headers)
            principal = "" if self._public(scope["path"]) else self._door.principal(headers)
            scope.setdefault("state", {})["principal"] = principal
            with self._places.take():
                await self._app(scope, receive, noted_send)
        except HttpRefused as refused:
            if answered:
                raise
            self._metrics.refusals.labels(self._edge, refused.code).inc()
            await refused.response()(scope, receive, send)


class HttpServer:
    """A listener for one application. `start` once, `stop` as often as you like."""

    def __init__(self, edge: str, app: ASGIApp, settings: HttpSettings, metrics: EdgeMetrics) -> None:
        self._edge, self._app, self._settings, self._metrics = edge, app, settings, metrics
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self.url = ""  # `http://host:port`, once started

    async def start(self) -> None:
        """Accept connections from now on. Raises PortInUse."""
        listening = await _bind(self._edge, self._settings.host, self._settings.port)
        host, port = listening.getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._server = _Server(self._uvicorn_config())
        self._serving = asyncio.create_task(
            self._server.serve(sockets=[listening]), name=f"{self._edge}-http"
        )
        ready = asyncio.ensure_future(self._server.ready.wait())
        try:
            await asyncio.wait(
                {ready, self._serving}, timeout=_START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            ready.cancel()
        if not self._server.ready.is_set():
            self._serving.cancel()
            await self._serving  # raises what went wrong
        open_connections = self._server.server_state.connections
        self._metrics.connections.labels(self._edge).set_function(lambda: len(open_connections))

    async def stop(self, grace_s: float = 2.0) -> None:
        """Take no new connection, let requests in flight end for `grace_s`, then cut what is left."""
        server, serving = self._server, self._serving
        if server is None or serving is None:
            return
        self._server = self._serving = None
        # uvicorn says int; it hands the value to wait_for as it is.
        server.config.timeout_graceful_shutdown = cast(Any, grace_s)
        server.should_exit = True
        await serving
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        if server.server_state.tasks:
            await asyncio.wait(set(server.server_state.tasks), timeout=grace_s)

    def _uvicorn_config(self) -> uvicorn.Config:
        bounds = ConnectionBounds(self._edge, self._settings, self._metrics)
        return uvicorn.Config(
            self._app,
            http=cast(Any, functools.partial(Connection, bounds)),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=self._settings.idle_timeout_s,
            h11_max_incomplete_event_size=_HEAD_BYTES_MAX,
        )


class _Server(uvicorn.Server):
    """uvicorn's server as a guest in somebody else's process."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the process has its own handlers

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


async def _bind(edge: str, host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    try:
        family, kind, proto, _, address = (await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))[0]
        listening = socket.socket(family, kind, proto)
    except OSError as unknown:
        raise cannot_listen(edge, host, port, unknown) from unknown
    listening.setblocking(False)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections in TIME_WAIT do not hold it
    try:
        listening.bind(address)
        listening.listen()
    except OSError as refused:
        listening.close()
        raise cannot_listen(edge, host, port, refused) from refused
    return listening
