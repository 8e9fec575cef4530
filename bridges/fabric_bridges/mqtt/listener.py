"""The MQTT edge: a TCP listener, its connections, and the one task that watches their clocks.

In: sockets. Out: a `Connection` each, kept by the `desk`. Everything has its time and its size (`config`);
what a peer does wrong ends its own connection alone.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from fabric.clock import monotonic
from fabric.config import read_settings
from fabric.edge import House, cannot_listen
from fabric_bridges.mqtt.config import MqttEdgeSettings
from fabric_bridges.mqtt.connection import Connection
from fabric_bridges.mqtt.desk import NAME, Client, Desk
from fabric_bridges.mqtt.session import State
from fabric_codecs.mqtt.packets import Reason

__all__ = ["MqttEdge", "edge"]

TICK_S = 0.25  # how late a silent client may be noticed; one comparison a connection


class MqttEdge:
    """Implements `fabric.edge.Edge`."""

    name = NAME

    def __init__(self, settings: MqttEdgeSettings) -> None:
        self._settings = settings
        self._desk: Desk | None = None
        self._server: asyncio.Server | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """`mqtt://host:port`, as a client's URL has it."""
        host, port = self._settings.host, self._settings.port
        if self._server is not None and self._server.sockets:
            host, port = self._server.sockets[0].getsockname()[:2]
        return f"mqtt://{host}:{port}"

    async def start(self, house: House) -> None:
        """Accept connections from now on. Raises PortInUse, or ConfigInvalid for a host that is not ours."""
        host, port = self._settings.host, self._settings.port
        desk = self._desk = Desk(house, self._settings)
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: Connection(desk), host, port, backlog=self._settings.backlog
            )
        except OSError as error:
            raise cannot_listen(NAME, host, port, error) from error
        self._watch = asyncio.create_task(_watch_clocks(desk), name="mqtt-clocks")

    async def stop(self, grace_s: float = 2.0) -> None:
        """Take no new connection, let messages under way be settled, tell each client, then close."""
        server, self._server = self._server, None
        if server is None or self._desk is None:
            return
        server.close()
        await self._desk.close(grace_s)
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await server.wait_closed()


async def _watch_clocks(desk: Desk) -> None:
    while True:
        await asyncio.sleep(TICK_S)
        now = monotonic()
        for client in desk.clients:
            _check(desk, client, now)


def _check(desk: Desk, client: Client, now: float) -> None:
    session, settings = client.session, desk.settings
    if client.stalled is not None and now - client.stalled > settings.stall_timeout_s:
        desk.refused("stalled")
        client.abort()  # it would not read a reason either
    elif session.state is State.OPEN:
        silence_s = now - client.heard
        # A socket that we do not read tells nothing about its peer.
        if session.silence_s and silence_s > session.silence_s and not client.is_waiting:
            why = f"silent for {silence_s:.1f} s, 1.5 times the keep alive (3.1.2-22)"
            desk.refused("keep_alive")
            client.end(Reason.KEEP_ALIVE_TIMEOUT, why)
    elif session.state is not State.ENDED and now - client.opened > settings.connect_timeout_s:
        desk.refused("connect_timeout")
        client.end(Reason.UNSPECIFIED, "no CONNECT in time")


def edge(settings: Mapping[str, Any]) -> MqttEdge:
    """The edge's factory: the entry point `mqtt` in the group `fabric.bridges`."""
    return MqttEdge(read_settings(MqttEdgeSettings, settings, f"[edges.{NAME}]"))
