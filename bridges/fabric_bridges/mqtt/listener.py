"""The MQTT edge: a TCP listener, its connections, and the one task that watches their clocks.

In: sockets. Out: a `Connection` each, known by its client id once admitted; a second one of the same id
takes over. Everything has its time and its size (`config`); what a peer does wrong ends its own connection
alone.
"""

import asyncio
import errno
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from fabric.clock import monotonic
from fabric.config import read_settings
from fabric.errors import ConfigInvalid, PortInUse
from fabric_bridges.edge import House
from fabric_bridges.mqtt.config import MqttEdgeSettings
from fabric_bridges.mqtt.connection import Connection
from fabric_bridges.mqtt.replies import Replies
from fabric_bridges.mqtt.session import State
from fabric_codecs.mqtt.packets import Reason

__all__ = ["MqttEdge", "edge"]

log = logging.getLogger(__name__)

TICK_S = 0.25  # how late a silent client may be noticed; one comparison a connection
LOBBY_MAX = 64  # connections over the limit that may stay to be told so; more are cut unheard


class MqttEdge:
    """Implements `fabric_bridges.edge.Edge`. The rest is for its connections."""

    name = "mqtt"
    house: House

    def __init__(self, settings: MqttEdgeSettings) -> None:
        self.settings = settings
        self.replies = Replies(settings.replies_max, settings.reply_memory_s)
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._clients: dict[str, Connection] = {}
        self._watch: asyncio.Task[None] | None = None
        self._empty = asyncio.Event()

    @property
    def address(self) -> str:
        """`mqtt://host:port`, as a client's URL has it."""
        host, port = self.settings.host, self.settings.port
        if self._server is not None and self._server.sockets:
            host, port = self._server.sockets[0].getsockname()[:2]
        return f"mqtt://{host}:{port}"

    async def start(self, house: House) -> None:
        """Accept connections from now on. Raises PortInUse, or ConfigInvalid for a host that is not ours."""
        self.house = house
        host, port = self.settings.host, self.settings.port
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: Connection(self), host, port, backlog=self.settings.backlog
            )
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUse("the mqtt edge", host, port, "another process") from error
            raise ConfigInvalid(
                "[edges.mqtt] host", f"cannot listen on {host}:{port}: {error.strerror}"
            ) from error
        self._watch = asyncio.create_task(self._watch_clocks(), name="mqtt-clocks")

    async def stop(self, grace_s: float = 2.0) -> None:
        """Take no new connection, let messages under way be settled, tell each client, then close."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        deadline = monotonic() + grace_s
        self._empty.clear()
        for connection in list(self._connections):
            connection.finish()
        if self._connections:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), max(deadline - monotonic(), 0.1))
        for connection in list(self._connections):
            connection.abort()
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await server.wait_closed()

    # For connections

    def opened(self, connection: Connection) -> None:
        """A socket is connected."""
        over = len(self._connections) - self.settings.connections_max
        self._connections.add(connection)
        self.house.metrics.connections.labels(self.name).inc()
        connection.is_lobby = over >= 0
        if over >= LOBBY_MAX or self._server is None:
            self.refused("connections")
            connection.abort()

    def closed(self, connection: Connection) -> None:
        """A socket is gone."""
        self._connections.discard(connection)
        if self._clients.get(connection.session.client_id) is connection:
            del self._clients[connection.session.client_id]
        self.house.metrics.connections.labels(self.name).dec()
        if not self._connections:
            self._empty.set()

    def take_over(self, client_id: str, connection: Connection) -> None:
        """From now on `connection` is the client of that id; an older one is told and closed (3.1.4-3)."""
        older = self._clients.get(client_id)
        self._clients[client_id] = connection
        if older is not None:
            older.end(Reason.SESSION_TAKEN_OVER, "another connection uses this client id")

    def refused(self, reason: str, count: int = 1) -> None:
        """Count a refusal."""
        self.house.metrics.refusals.labels(self.name, reason).inc(count)

    async def _watch_clocks(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now = monotonic()
            for connection in list(self._connections):
                self._check(connection, now)

    def _check(self, connection: Connection, now: float) -> None:
        session = connection.session
        if connection.stalled is not None and now - connection.stalled > self.settings.stall_timeout_s:
            self.refused("stalled")
            connection.abort()  # it would not read a reason either
        elif session.state is State.OPEN:
            silence_s = now - connection.heard
            # A socket that we do not read tells nothing about its peer.
            if session.silence_s and silence_s > session.silence_s and not connection.is_waiting:
                why = f"silent for {silence_s:.1f} s, 1.5 times the keep alive (3.1.2-22)"
                self.refused("keep_alive")
                connection.end(Reason.KEEP_ALIVE_TIMEOUT, why)
        elif session.state is not State.ENDED and now - connection.opened > self.settings.connect_timeout_s:
            self.refused("connect_timeout")
            connection.end(Reason.UNSPECIFIED, "no CONNECT in time")


def edge(settings: Mapping[str, Any]) -> MqttEdge:
    """The edge's factory: the entry point `mqtt` in the group `fabric.bridges`."""
    return MqttEdge(read_settings(MqttEdgeSettings, settings, "[edges.mqtt]"))
