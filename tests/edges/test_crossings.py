"""What crosses an edge, in the journal and in the metrics: the same for every edge."""

from typing import Any

from fabric.edge import House
from fabric_bridges.crossings import Crossings
from fabric_codecs.envelope import Envelope
from fabric_codecs.losses import Loss, LossCode
from helpers.http_door import Counted
from helpers.noted import Noted

NOTHING: Any = None
LOSS = Loss(LossCode.NO_METADATA, "native", "left out")
OURS = Envelope(b"", id="1", source="/nats/a", type="t")
OF_MQTT = Envelope(b"", id="2", source="/mqtt/d", type="t", fabproto="mqtt")
STORED = Envelope.from_nats(
    b"fab.cho.1.t1.a",
    b"NATS/1.0\r\nNats-Stream: CH_1\r\nNats-Sequence: 7\r\nce-id: 3\r\nce-source: /a\r\nce-type: t\r\n\r\n",
    b"",
)


def border() -> tuple[Crossings, Noted, Counted]:
    journal, metrics = Noted(), Counted()
    return Crossings(House(NOTHING, journal, NOTHING, NOTHING, metrics), "kafka"), journal, metrics


def messages(metrics: Counted, direction: str) -> float:
    return metrics.value("fabric_edge_messages_total", edge="kafka", direction=direction)


def lost(metrics: Counted, source: str, target: str) -> float:
    return metrics.value("fabric_translation_loss_total", source=source, target=target, code="NO_METADATA")


def test_what_came_in_is_written_down_with_its_position_and_its_losses() -> None:
    crossings, journal, metrics = border()
    crossings.came_in(OURS, "peer", (LOSS,), position="CH_3:17")
    (noted,) = journal.crossings
    assert (noted.hop, noted.peer, noted.losses, noted.position) == ("kafka.in", "peer", (LOSS,), "CH_3:17")
    assert (messages(metrics, "in"), messages(metrics, "out")) == (1, 0)
    assert lost(metrics, "kafka", "nats") == 1


def test_what_went_out_has_its_own_position_and_its_losses_name_where_it_began() -> None:
    crossings, journal, metrics = border()
    crossings.went_out(STORED, "peer", (LOSS,))
    crossings.went_out(OF_MQTT, "peer", (LOSS, LOSS))
    assert [(noted.hop, noted.position) for noted in journal.crossings] == [
        ("kafka.out", "CH_1:7"),
        ("kafka.out", ""),
    ]
    assert (messages(metrics, "in"), messages(metrics, "out")) == (0, 2)
    assert (lost(metrics, "nats", "kafka"), lost(metrics, "mqtt", "kafka")) == (1, 2)


def test_what_was_read_from_the_log_is_counted_and_not_written_down() -> None:
    crossings, journal, metrics = border()
    crossings.was_read(OURS, (LOSS,))
    assert journal.crossings == []
    assert (messages(metrics, "out"), lost(metrics, "nats", "kafka")) == (1, 1)


def test_what_cannot_be_handed_over_is_a_loss_and_no_message() -> None:
    crossings, journal, metrics = border()
    crossings.lost_for(OF_MQTT, (LOSS,))
    assert journal.crossings == []
    assert (messages(metrics, "out"), lost(metrics, "mqtt", "kafka")) == (0, 1)
