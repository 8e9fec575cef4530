"""The metrics every edge keeps, under the same names for all of them."""

from prometheus_client import CollectorRegistry, Counter, Gauge

__all__ = ["EdgeMetrics"]


class EdgeMetrics:
    """Counters shared by all edges, labelled by `edge`."""

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
