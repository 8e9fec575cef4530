"""The contract between the node and an edge.

A package is an edge when its entry point in the group `fabric.bridges` names a module-level `EdgeFactory`.
The node reads the edge's section of fabric.toml, calls the factory, then `start` once and `stop` once.
Above: `fabric.node` runs edges, `fabric_bridges` holds ours; neither knows the other.
"""

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge

from fabric.client import Fabric
from fabric.errors import ConfigInvalid, PortInUse
from fabric.holders import holder_of
from fabric.ports import Authenticator, Journal, Topics

__all__ = ["Edge", "EdgeFactory", "EdgeMetrics", "House", "cannot_listen"]


class EdgeMetrics:
    """What every edge counts, under the same names for all of them, labelled by `edge`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry  # for what only one edge has to tell
        self.connections = Gauge("fabric_edge_connections", "Open connections", ["edge"], registry=registry)
        self.messages = Counter(
            "fabric_edge_messages_total", "Messages across an edge", ["edge", "direction"], registry=registry
        )
        self.refusals = Counter(
            "fabric_edge_refusals_total",
            "Messages or connections refused",
            ["edge", "reason"],
            registry=registry,
        )
        self.malformed = Counter(
            "fabric_edge_malformed_total", "Frames that broke the protocol", ["edge"], registry=registry
        )
        self.losses = Counter(
            "fabric_translation_loss_total",
            "Losses in translation",
            ["source", "target", "code"],
            registry=registry,
        )


@dataclass(frozen=True, slots=True)
class House:
    """What the node lends to an edge, for as long as the edge runs.

    `fabric` may speak for any name (`fabric.on_behalf_of(name, protocol=...)`): the edge has authenticated
    its peer and is answerable for the name it uses.
    """

    fabric: Fabric
    journal: Journal
    authenticator: Authenticator
    topics: Topics
    metrics: EdgeMetrics


class Edge(Protocol):
    """A running listener.

    `start` returns when the port accepts connections; else it raises what `cannot_listen` says. `stop`
    refuses new work, lets what is in flight finish for `grace_s`, then closes; it is safe to call twice.
    """

    name: str

    @property
    def address(self) -> str:
        """Where clients connect, as they would write it (`http://127.0.0.1:8081/mcp`, `mqtt://127.0.0.1:1883`)."""

    async def start(self, house: House) -> None: ...

    async def stop(self, grace_s: float = 2.0) -> None: ...


class EdgeFactory(Protocol):
    """Builds an edge from its section of the configuration; raises ConfigInvalid naming the key."""

    def __call__(self, settings: Mapping[str, Any]) -> Edge: ...


def cannot_listen(edge: str, host: str, port: int, error: OSError) -> PortInUse | ConfigInvalid:
    """What to raise when `host:port` cannot be listened on: who holds it, or that it is not ours to hold."""
    if error.errno == errno.EADDRINUSE:
        return PortInUse(f"the {edge} edge", host, port, holder_of(port))
    return ConfigInvalid(f"[edges.{edge}]", f"cannot listen on {host}:{port}: {error.strerror}")
