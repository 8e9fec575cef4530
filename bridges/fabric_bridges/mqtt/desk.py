"""The desk: what all connections of the edge share, and who is connected.

In: connections that open, close, and say which client they are. Out: the house, the settings and the awaited
replies; at most one connection of each client id; a count of what was refused. Above: `listener`,
`connection`, `intake`. Below: `replies`. It knows a connection only as a `Client`.
"""

import asyncio
from contextlib import suppress
from typing import Protocol

from fabric.clock import monotonic
from fabric.edge import House
from fabric_bridges.crossings import Crossings
from fabric_bridges.mqtt.config import MqttEdgeSettings
from fabric_bridges.mqtt.replies import Replies
from fabric_bridges.mqtt.session import Session
from fabric_codecs.mqtt.packets import Reason

__all__ = ["NAME", "Client", "Desk"]

NAME = "mqtt"
LOBBY_MAX = 64  # connections over the limit that may stay to be told so; more are cut unheard
LAST_WORDS_S = 0.1  # for a DISCONNECT to be written, however short the grace


class Client(Protocol):
    """A connection, as the desk and the clocks see it. Times are of a monotonic clock."""

    session: Session
    opened: float
    heard: float  # when it last said something
    stalled: float | None  # since when it reads nothing
    is_lobby: bool  # over `connections_max`: admitted to hear that the server is busy

    @property
    def is_waiting(self) -> bool:
        """Whether its socket is not read because of us."""

    def end(self, reason: int, why: str) -> None:
        """Tell it why, and close."""

    def finish(self) -> None:
        """Take nothing more, and leave when what was taken is settled."""

    def abort(self) -> None:
        """Cut it."""


class Desk:
    """One per edge, from its start on."""

    def __init__(self, house: House, settings: MqttEdgeSettings) -> None:
        self.house = house
        self.settings = settings
        self.replies = Replies(settings.replies_max, settings.reply_memory_s)
        self.crossings = Crossings(house, NAME)
        self._connected: set[Client] = set()
        self._by_id: dict[str, Client] = {}
        self._is_closing = False
        self._empty = asyncio.Event()

    @property
    def clients(self) -> list[Client]:
        """All that are connected now, admitted or not."""
        return list(self._connected)

    def opened(self, client: Client) -> None:
        """A socket is connected."""
        over = len(self._connected) - self.settings.connections_max
        self._connected.add(client)
        self.house.metrics.connections.labels(NAME).inc()
        client.is_lobby = over >= 0
        if over >= LOBBY_MAX or self._is_closing:
            self.refused("connections")
            client.abort()

    def closed(self, client: Client) -> None:
        """A socket is gone."""
        self._connected.discard(client)
        if self._by_id.get(client.session.client_id) is client:
            del self._by_id[client.session.client_id]
        self.house.metrics.connections.labels(NAME).dec()
        if not self._connected:
            self._empty.set()

    def take_over(self, client_id: str, client: Client) -> None:
        """From now on `client` is the one of that id; an older one is told and closed (3.1.4-3)."""
        older = self._by_id.get(client_id)
        self._by_id[client_id] = client
        if older is not None:
            older.end(Reason.SESSION_TAKEN_OVER, "another connection uses this client id")

    def refused(self, reason: str, count: int = 1) -> None:
        """Count a refusal."""
        self.house.metrics.refusals.labels(NAME, reason).inc(count)

    async def close(self, grace_s: float) -> None:
        """Let messages under way be settled, tell each client, cut whoever is left. Newcomers are cut at
        once."""
        self._is_closing = True
        deadline = monotonic() + grace_s
        self._empty.clear()
        for client in self.clients:
            client.finish()
        if self._connected:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), max(deadline - monotonic(), LAST_WORDS_S))
        for client in self.clients:
            client.abort()
