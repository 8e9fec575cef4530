"""What a node counts about itself, in the same registry as its edges' metrics.

In: the node's parts. Out: samples, read from the parts when somebody asks, so that nothing is counted twice.
"""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fabric.client import Session
from fabric.client.channels.feed import heard_on
from fabric.client.gate import Gate
from fabric.node.server import EmbeddedServer

__all__ = ["NodeCollector"]

MEMBER_COUNTERS = {
    "delivered": "Channel messages handed to members in this node",
    "missed": "Live messages that never came to a member, or found its queue full",
    "truncated": "Runs of messages that a log let go of before a member read them",
    "repaired": "Gaps of a live feed, for each member that followed it",
    "duplicates": "Second copies withheld from members",
    "forged": "Messages whose source is not that of their credential",
}


class NodeCollector(Collector):
    """`server` is None when NATS is somebody else's."""

    def __init__(self, session: Session, server: EmbeddedServer | None, gate: Gate) -> None:
        self._session, self._server, self._gate = session, server, gate

    def collect(self) -> Iterable[Metric]:
        """The samples of this moment."""
        session = self._session
        yield _gauge("fabric_nats_up", "Whether the node reaches NATS", session.connection.is_up)
        yield _counter(
            "fabric_nats_reconnects", "Connections to NATS replaced", session.connection.reconnects
        )
        window = session.publisher
        yield _counter(
            "fabric_publish_refused", "Publishes of this node that ended in a refusal", window.refused
        )
        yield _counter("fabric_publish_retried", "Publishes written again without an answer", window.retried)
        yield _counter(
            "fabric_publish_duplicates", "Publishes that the log had already, by their id", window.duplicates
        )
        yield _counter("fabric_journal_records", "Records written to the journal", session.journal.recorded)
        yield _counter("fabric_journal_dropped", "Journal records not written", session.journal.dropped)
        yield from self._members()
        yield from self._calls()
        if self._server:
            restarts = self._server.restarts
            yield _counter(
                "fabric_nats_server_restarts", "Times the embedded server was started again", restarts
            )

    def _members(self) -> Iterable[Metric]:
        heard, members = heard_on(self._session)
        yield _gauge("fabric_members", "Members of channels in this node", members)
        for name, what in MEMBER_COUNTERS.items():
            yield _counter(f"fabric_member_{name}", what, heard[name])

    def _calls(self) -> Iterable[Metric]:
        calls, gate = self._session.calls, self._gate
        yield _gauge("fabric_calls_in_flight", "Calls this node waits for an answer to", calls.waiting)
        yield _gauge("fabric_admitted_calls", "Calls that hold a place of [limits]", gate.calls_running)
        unwanted = CounterMetricFamily(
            "fabric_call_answers_unwanted", "Answers that were nobody's any more", labels=["why"]
        )
        for why in ("late", "forged", "fenced"):
            unwanted.add_metric([why], getattr(calls, why))
        yield unwanted
        refused = CounterMetricFamily(
            "fabric_admission_refused", "What [limits] refused", labels=["scope", "reason"]
        )
        for (scope, reason), count in sorted(gate.refused.items()):
            refused.add_metric([scope, reason], count)
        yield refused


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value=float(value))


def _counter(name: str, what: str, value: float) -> Metric:
    return CounterMetricFamily(name, what, value=float(value))
