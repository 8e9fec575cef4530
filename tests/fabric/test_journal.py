"""The journal: one record per crossing, the envelope as it was; what does not fit is counted."""

import pytest

from fabric.client import Fabric, journal
from fabric.jetstream import watchdog
from fabric.jetstream.layout import JOURNAL_STREAM
from fabric.jetstream.read import Stored
from fabric.subjects import JOURNAL_ALL
from fabric_codecs.envelope import Envelope
from fabric_codecs.nats.headers import value_in
from helpers.lane import opened
from helpers.proxy import Proxy
from helpers.server import RunningServer
from helpers.waiting import BOUND_S, until


def envelope(identity: str, data: bytes = b"x", **attributes: str) -> Envelope:
    return Envelope(data, id=identity, source="/mqtt/dev", type="t", **attributes)


async def records(fabric: Fabric, conversation: str) -> list[Stored]:
    found = []
    async for page in fabric.session.reader.pages(JOURNAL_STREAM, JOURNAL_ALL, 1):
        for stored in page:
            kept = Envelope.from_nats(stored.subject, stored.header, stored.data)
            if conversation in (kept.id, kept.correlationid):
                found.append(stored)
    return found


async def test_a_record_is_the_envelope_with_where_it_crossed(server: RunningServer) -> None:
    async with opened(server, "jr-one") as fabric:
        sent = envelope("jr-one-1", b"\x00payload", subject="a b").with_native([("k", None)])
        fabric.session.journal.record(sent, "mqtt.in", peer="dev 1\r\nFab-Hop: forged")
        assert await fabric.session.journal.flush(BOUND_S)
        [stored] = await records(fabric, "jr-one-1")
        assert Envelope.from_nats(b"", stored.header, stored.data) == sent
        assert value_in(stored.header, b"Fab-Hop") == b"mqtt.in"
        assert value_in(stored.header, b"Fab-Peer") == b"dev?1??Fab-Hop:?forged"
        assert stored.header.count(b"\r\nFab-Hop: ") == 1


async def test_a_record_of_what_a_log_holds_has_its_position_and_no_payload(server: RunningServer) -> None:
    async with opened(server, "jr-two") as fabric:
        fabric.session.journal.record(envelope("jr-two-1"), "mqtt.out", peer="d", position="CH_3:17")
        assert await fabric.session.journal.flush(BOUND_S)
        [stored] = await records(fabric, "jr-two-1")
        assert (stored.data, value_in(stored.header, b"Fab-Position")) == (b"", b"CH_3:17")


async def test_records_of_one_conversation_share_a_bucket(server: RunningServer) -> None:
    async with opened(server, "jr-three") as fabric:
        for number in range(5):
            told = envelope(f"jr-three-{number}", correlationid="jr-three-story")
            fabric.session.journal.record(told, "mcp.in", peer="d")
        assert await fabric.session.journal.flush(BOUND_S)
        found = await records(fabric, "jr-three-story")
        assert len(found) == 5
        assert len({stored.subject for stored in found}) == 1


async def test_what_cannot_be_stored_is_counted_and_the_rest_is(server: RunningServer) -> None:
    async with opened(server, "jr-large") as fabric:
        writer = fabric.session.journal
        limit = fabric.session.connection.writer.payload_max
        for data in (bytes(limit), b"small"):
            writer.record(envelope("jr-large-1", data), "mqtt.in", peer="d")
        assert await writer.flush(BOUND_S)
        await until(lambda: writer.recorded == 1, "the small one is stored")
        assert writer.dropped == 1


async def test_more_records_than_may_wait_are_counted(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "IN_FLIGHT_MAX", 10)
    async with opened(server, "jr-many") as fabric:
        writer = fabric.session.journal
        for number in range(25):
            writer.record(envelope(f"jr-many-{number}"), "mqtt.in", peer="d")
        assert await writer.flush(BOUND_S)
        assert (writer.recorded, writer.dropped) == (10, 15)
        writer.record(envelope("jr-many-x"), "mqtt.in", peer="d")
        assert await writer.flush(BOUND_S)
        assert writer.recorded == 11


async def test_records_made_while_the_server_is_away_are_stored_when_it_is_back(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "PROBE_EVERY_S", 0.2)
    async with Proxy(server.url) as proxy, opened(server, "jr-away", url=proxy.url) as fabric:
        await proxy.go_away()
        await until(lambda: not fabric.session.connection.is_up, "the link is down")
        for number in range(20):
            told = envelope(f"jr-away-{number}", correlationid="jr-away-story")
            fabric.session.journal.record(told, "mqtt.in", peer="d")
        await proxy.come_back()
        assert await fabric.session.journal.flush(BOUND_S)
        assert (fabric.session.journal.recorded, fabric.session.journal.dropped) == (20, 0)
        assert len(await records(fabric, "jr-away-story")) == 20


async def test_records_made_just_before_closing_are_stored(server: RunningServer) -> None:
    async with opened(server, "jr-close") as fabric:
        fabric.session.journal.record(envelope("jr-close-1"), "mqtt.in", peer="d")
    async with opened(server, "jr-close") as fabric:
        assert len(await records(fabric, "jr-close-1")) == 1
