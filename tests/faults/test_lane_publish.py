"""Publishing under faults: every offer ends in a Receipt or a Refused, in time, whatever happens underneath.

nats-py's `publish_async` never tells of an error and waits for ever for an acknowledgement that a restart
lost; its `publish` blocks without a bound in a dying connection; headers over the limit close its connection.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fabric import subjects
from fabric.client import Fabric, Receipt
from fabric.errors import LimitExceeded, PermissionDenied, Refused, Unreachable
from fabric.jetstream import publish, watchdog
from fabric.jetstream.layout import put_stream, streams
from fabric.jetstream.server import requester
from fabric_codecs.envelope import Envelope
from helpers.lane import connected, opened
from helpers.proxy import Proxy
from helpers.server import RunningServer
from helpers.waiting import BOUND_S, until

ACKNOWLEDGEMENTS = b".a."


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "PROBE_EVERY_S", 0.1)
    monkeypatch.setattr(watchdog, "PROBE_TIMEOUT_S", 1)
    monkeypatch.setattr(publish, "TICK_S", 0.02)


def window(fabric: Fabric, *, attempt_s: float = 4.0, deadline_s: float = 15.0) -> None:
    fabric.session.publisher._window.attempt_s = attempt_s
    fabric.session.publisher._window.deadline_s = deadline_s


async def reshape(server: RunningServer, channel: str, **changes: Any) -> None:
    """Give the channel's shard other limits."""
    config = list(streams())[subjects.shard(channel)]
    async with connected(server, "node", credentials=server.node_creds) as node:
        await put_stream(
            requester(node), {"storage": "file", "num_replicas": 1, "allow_direct": True, **config, **changes}
        )


async def stored(fabric: Fabric, channel: str, count: int) -> list[bytes]:
    """The first messages that a member without any memory reads."""
    async with asyncio.timeout(BOUND_S), fabric.channel(channel).join(since="beginning") as member:
        return [(await anext(member)).data for _ in range(count)]


async def send_all(fabric: Fabric, channel: str, messages: list[bytes]) -> None:
    async with fabric.channel(channel).publisher() as out:
        for message in messages:
            await out.send(message)


@asynccontextmanager
async def behind_proxy(server: RunningServer, name: str) -> AsyncIterator[tuple[Proxy, Fabric]]:
    async with Proxy(server.url) as proxy, opened(server, name, url=proxy.url) as fabric:
        yield proxy, fabric


async def test_a_full_log_refuses_with_its_reason_and_the_rest_is_stored(
    private_server: RunningServer,
) -> None:
    await reshape(private_server, "pub.full", max_msgs=3)
    outcomes: dict[int, Receipt | Refused] = {}
    async with opened(private_server, "pub-full") as fabric:
        channel = fabric.channel("pub.full")
        async with channel.publisher(on_outcome=outcomes.__setitem__) as out:
            numbers = [await out.send({"n": n}) for n in range(5)]
        assert set(outcomes) == set(numbers)
        assert [type(outcomes[number]) for number in numbers] == [Receipt] * 3 + [Refused] * 2
        with pytest.raises(Refused, match="the log is full") as refused:
            await channel.publish("x")
        assert (refused.value.reason, refused.value.unknown) == ("full", False)
        assert refused.value.retry_after_ms > 0
        with pytest.raises(Refused, match="full") as first:
            await send_all(fabric, "pub.full", [b"x"] * 3)
        assert "3 of 3 messages were refused" in first.value.__notes__


async def test_a_full_subject_refuses_with_its_reason(private_server: RunningServer) -> None:
    await reshape(private_server, "pub.subject", max_msgs_per_subject=1, discard_new_per_subject=True)
    async with opened(private_server, "pub-subject") as fabric:
        await fabric.channel("pub.subject").publish("one")
        with pytest.raises(Refused, match="per subject") as refused:
            await fabric.channel("pub.subject").publish("two")
        assert refused.value.reason == "full"


async def test_a_denied_publish_is_refused_at_once(server: RunningServer) -> None:
    credentials = server.credentials("pub-denied", channels=("pub.allowed.>",))
    async with opened(server, "pub-denied", credentials=credentials) as fabric:
        assert await fabric.channel("pub.allowed.x").publish("x")
        with pytest.raises(Refused, match="may not publish") as refused:
            async with asyncio.timeout(5.0):
                await fabric.channel("pub.elsewhere").publish("x")
        assert refused.value.reason == "denied"
        outcomes: list[Receipt | Refused] = []
        async with fabric.channel('pub.el"sewhere').publisher(
            on_outcome=lambda _, outcome: outcomes.append(outcome)
        ) as out:
            for _ in range(3):
                await out.send(b"x")
        assert [getattr(outcome, "reason", None) for outcome in outcomes] == ["denied"] * 3
        assert fabric.session.connection.reconnects == 0


async def test_headers_and_payload_over_the_limit_are_refused_here_and_the_connection_stays(
    server: RunningServer,
) -> None:
    async with opened(server, "pub-large") as fabric:
        channel = fabric.channel("pub.large")
        limit = fabric.session.connection.writer.payload_max
        for data in (bytes(limit), bytes(limit - 10)):
            for delivery in ("durable", "live"):
                with pytest.raises(LimitExceeded, match="bytes of headers and payload"):
                    await channel.publish(data, delivery=delivery)
                async with channel.publisher(delivery=delivery) as out:
                    with pytest.raises(LimitExceeded):
                        await out.send(data)
                assert out.in_flight == 0
        with pytest.raises(LimitExceeded, match="headers of 7"):
            await channel.publish("x", subject="x" * 70_000)
        assert (await channel.publish(bytes(limit - 1000))).sequence
        assert fabric.session.connection.reconnects == 0


async def test_an_acknowledgement_lost_on_the_way_is_asked_for_again(server: RunningServer) -> None:
    async with behind_proxy(server, "pub-lost") as (proxy, fabric):
        window(fabric, attempt_s=0.1)
        lost: list[bytes] = []

        def lose_one(subject: bytes, _header: bytes, _payload: bytes) -> bool:
            if ACKNOWLEDGEMENTS in subject and not lost:
                lost.append(subject)
                return True
            return False

        proxy.drop = lose_one
        async with asyncio.timeout(BOUND_S), fabric.channel("pub.lost").join() as member:
            receipt = await fabric.channel("pub.lost").publish("once")
            await fabric.channel("pub.lost").publish("end")
            assert (await anext(member)).data == b"once"
            assert (await anext(member)).data == b"end"
            await until(lambda: member.duplicates == 1, "the second copy was withheld")
        assert receipt.sequence > 1
        assert fabric.session.publisher.retried == 1


async def test_offers_in_flight_when_the_connection_breaks_settle_when_it_is_back(
    server: RunningServer,
) -> None:
    outcomes: dict[int, Receipt | Refused] = {}
    async with behind_proxy(server, "pub-break") as (proxy, fabric):
        window(fabric, attempt_s=1000.0)  # it is the reconnect that has them written again
        proxy.drop = lambda subject, _header, _payload: ACKNOWLEDGEMENTS in subject
        async with fabric.channel("pub.break").publisher(on_outcome=outcomes.__setitem__) as out:
            for number in range(50):
                await out.send(b"%d" % number)
            await until(lambda: proxy.dropped >= 50, "all acknowledgements were lost")
            proxy.drop = None
            proxy.cut()
        assert len(outcomes) == 50
        assert all(isinstance(outcome, Receipt) for outcome in outcomes.values())
        # stored twice, delivered once, in order
        assert await stored(fabric, "pub.break", 50) == [b"%d" % number for number in range(50)]


async def test_a_publish_caught_in_a_dead_connection_ends_by_its_deadline(server: RunningServer) -> None:
    async with behind_proxy(server, "pub-dead") as (proxy, fabric):
        window(fabric, deadline_s=0.5)
        proxy.drop = lambda subject, _header, _payload: ACKNOWLEDGEMENTS in subject
        publishing = asyncio.create_task(fabric.channel("pub.dead").publish("x"))
        await until(lambda: fabric.session.publisher.in_flight, "the offer is out")
        await proxy.go_away()
        with pytest.raises(Refused, match="may or may not have been stored") as refused:
            await asyncio.wait_for(publishing, BOUND_S)
        assert (refused.value.reason, refused.value.unknown) == ("timeout", True)
        with pytest.raises(Unreachable):
            await fabric.channel("pub.dead").publish("y")


async def test_a_publish_into_a_stalled_connection_ends_by_its_deadline(server: RunningServer) -> None:
    async with behind_proxy(server, "pub-stall") as (proxy, fabric):
        window(fabric, deadline_s=0.5)
        proxy.stall()
        with pytest.raises((Refused, Unreachable)):
            await asyncio.wait_for(send_all(fabric, "pub.stall", [bytes(100_000)] * 1000), BOUND_S)
        assert fabric.session.publisher.in_flight == 0


async def test_a_stream_that_is_not_there_is_tried_until_the_deadline(private_server: RunningServer) -> None:
    async with connected(private_server, "node", credentials=private_server.node_creds) as node:
        await node.request(f"$JS.API.STREAM.DELETE.CH_{subjects.shard('pub.gone')}")
    async with opened(private_server, "pub-gone") as fabric:
        window(fabric, deadline_s=0.6)
        with pytest.raises(Refused, match="did not answer in time"):
            await fabric.channel("pub.gone").publish("x")
        window(fabric)
        publishing = asyncio.create_task(fabric.channel("pub.gone").publish("y"))
        await until(lambda: fabric.session.publisher.in_flight, "the offer is out")
        await reshape(private_server, "pub.gone")
        assert (await asyncio.wait_for(publishing, BOUND_S)).sequence == 1


async def test_a_publishers_window_is_never_exceeded_and_every_send_is_settled(server: RunningServer) -> None:
    outcomes: list[int] = []
    async with opened(server, "pub-window") as fabric:
        async with fabric.channel("pub.window").publisher(
            window=8, on_outcome=lambda number, _: outcomes.append(number)
        ) as out:
            numbers = []
            for _ in range(200):
                numbers.append(await out.send(b"x"))
                assert out.in_flight <= 8
        assert outcomes == numbers
        assert (out.accepted, out.refused, out.in_flight) == (200, 0, 0)


async def test_many_tasks_may_share_one_publisher(server: RunningServer) -> None:
    async with opened(server, "pub-shared") as fabric, asyncio.timeout(BOUND_S):
        async with fabric.channel("pub.shared").publisher(window=2) as out:
            await asyncio.gather(*(out.send(b"x") for _ in range(100)))
        assert out.accepted == 100


@pytest.mark.parametrize("window_size", [1, 4, 4096])
async def test_a_callback_that_raises_holds_nobody_up(
    server: RunningServer, caplog: pytest.LogCaptureFixture, window_size: int
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("mine")

    async with opened(server, "pub-raise") as fabric, asyncio.timeout(BOUND_S):
        async with fabric.channel("pub.raise").publisher(window=window_size, on_outcome=fail) as out:
            for _ in range(10):
                await out.send(b"x")
        assert out.accepted == 10
        assert "callback raised" in caplog.text


async def test_closing_settles_what_was_offered(server: RunningServer) -> None:
    outcomes: list[Receipt | Refused] = []
    async with behind_proxy(server, "pub-close") as (proxy, fabric):
        proxy.drop = lambda subject, _header, _payload: ACKNOWLEDGEMENTS in subject
        out = fabric.channel("pub.close").publisher(on_outcome=lambda _, outcome: outcomes.append(outcome))
        for _ in range(3):
            await out.send(b"x")
        await fabric.session.publisher.close()
        assert [getattr(outcome, "reason", None) for outcome in outcomes] == ["closing"] * 3
        assert await fabric.session.publisher.settled(BOUND_S)


async def test_an_envelope_of_another_source_is_refused_with_the_next_step(server: RunningServer) -> None:
    foreign = Envelope(b"x", id="1", source="/nats/somebody", type="t")
    async with opened(server, "pub-foreign") as fabric:
        for delivery in ("durable", "live"):
            with pytest.raises(PermissionDenied, match="on_behalf_of"):
                await fabric.channel("pub.foreign").publish(foreign, delivery=delivery)


async def test_an_envelope_goes_out_as_it_is_with_the_time_it_lacks(server: RunningServer) -> None:
    own = Envelope(b"x", id="mine", source="/kafka/pub-own", type="t", fabproto="kafka").with_native(
        [("a", None)]
    )
    async with opened(server, "pub-own") as fabric, asyncio.timeout(BOUND_S):
        channel = fabric.channel("pub.own")
        async with channel.join() as member:
            for delivery in ("durable", "live"):
                await channel.publish(own, delivery=delivery, partitionkey="k")
                got = await anext(member)
                assert (got.id, got.source, got.get("partitionkey"), got.native) == (
                    *("mine", "/kafka/pub-own", "k"),
                    [("a", None)],
                )
                assert got.time is not None
