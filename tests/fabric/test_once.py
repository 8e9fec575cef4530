"""Published `once`: the same message again is acknowledged and not stored, another message never is taken
for it."""

import pytest

from fabric.client import Receipt
from fabric.client.context import Handling, current_handling
from fabric.errors import InvalidName, Refused
from fabric_codecs.envelope import Envelope
from helpers.lane import opened
from helpers.proxy import Proxy
from helpers.server import RunningServer
from helpers.waiting import until


async def test_the_same_id_again_is_acknowledged_as_a_duplicate_and_stored_once(
    server: RunningServer,
) -> None:
    async with opened(server, "once-again") as fabric:
        channel = fabric.channel("once.again")
        first = await channel.publish({"n": 1}, delivery="once", id="order-7")
        async with opened(server, "once-again") as later:  # another process of the same name
            second = await later.channel("once.again").publish({"n": 1}, delivery="once", id="order-7")
        assert (first.id, first.duplicate) == ("order-7", False)
        assert second == Receipt("order-7", first.stream, first.sequence, duplicate=True)
        third = await channel.publish({"n": 2}, delivery="once", id="order-8")
        assert (third.sequence, third.duplicate) == (first.sequence + 1, False)


async def test_messages_without_an_id_of_the_callers_are_all_stored(server: RunningServer) -> None:
    async with opened(server, "once-new") as fabric:
        channel = fabric.channel("once.new")
        receipts = [await channel.publish(b"same", delivery="once") for _ in range(3)]
        assert len({receipt.sequence for receipt in receipts}) == 3
        assert not any(receipt.duplicate for receipt in receipts)


async def test_an_id_swallows_nobody_elses_message(server: RunningServer) -> None:
    credentials = server.credentials("once-one", "once-two")
    async with opened(server, "once-one", credentials=credentials) as fabric:
        receipts = [
            await fabric.channel("once.here").publish(b"x", delivery="once", id="1"),
            await fabric.channel("once.there").publish(b"x", delivery="once", id="1"),
            await fabric.on_behalf_of("once-two").channel("once.here").publish(b"x", delivery="once", id="1"),
            await fabric.on_behalf_of("once-one", protocol="mqtt")
            .channel("once.here")
            .publish(b"x", delivery="once", id="1"),
        ]
        assert not any(receipt.duplicate for receipt in receipts)


async def test_a_durable_message_takes_an_id_and_is_stored_each_time(server: RunningServer) -> None:
    async with opened(server, "once-durable") as fabric:
        receipts = [await fabric.channel("once.durable").publish(b"x", id="1") for _ in range(2)]
        assert [receipt.id for receipt in receipts] == ["1", "1"]
        assert receipts[0].sequence != receipts[1].sequence


async def test_a_pipelined_publisher_tells_duplicates_by_their_number(server: RunningServer) -> None:
    outcomes: dict[int, Receipt | Refused] = {}
    async with opened(server, "once-pipe") as fabric:
        channel = fabric.channel("once.pipe")
        async with channel.publisher(delivery="once", on_outcome=outcomes.__setitem__) as out:
            numbers = [await out.send(b"%d" % n, id=f"job-{n % 3}") for n in range(6)]
            unnamed = await out.send(b"free")
        assert (out.accepted, out.duplicates, out.refused) == (7, 3, 0)
        told = [outcomes[number] for number in numbers]
        assert all(isinstance(receipt, Receipt) for receipt in told)
        assert [receipt.id for receipt in told if isinstance(receipt, Receipt)] == [
            "job-0",
            "job-1",
            "job-2",
        ] * 2
        assert [getattr(receipt, "duplicate", None) for receipt in told] == [False] * 3 + [True] * 3
        assert outcomes[unnamed] == Receipt(
            f"{fabric.session.process}-{unnamed}", told[0].stream, getattr(outcomes[unnamed], "sequence", 0)
        )


async def test_what_the_window_writes_again_is_stored_once(server: RunningServer) -> None:
    outcomes: dict[int, Receipt | Refused] = {}
    async with Proxy(server.url) as proxy, opened(server, "once-retry", url=proxy.url) as fabric:
        channel = fabric.channel("once.retry")
        fabric.session.publisher._window.attempt_s = 0.2
        first = await channel.publish(b"before")
        proxy.drop = lambda _subject, _header, payload: payload.startswith(b'{"stream":"CH')
        async with channel.publisher(delivery="once", on_outcome=outcomes.__setitem__) as out:
            for data in (b"1", b"2", b"3"):
                await out.send(data)
            await until(lambda: proxy.dropped >= 3, "its acknowledgements are lost")
            proxy.drop = None
        assert (out.accepted, out.duplicates) == (3, 3)
        last = await channel.publish(b"after")
        assert last.sequence - first.sequence == 4


async def test_an_offered_envelope_goes_by_its_own_id(server: RunningServer) -> None:
    outcomes: list[Receipt | Refused] = []
    async with opened(server, "once-offer") as fabric:
        channel = fabric.channel("once.offer")
        envelope = Envelope(b"x", id="qos2-1", source="/mqtt/once-offer", type="t")
        for _ in range(2):
            assert channel.offer(envelope, outcomes.append, delivery="once")
        await fabric.session.publisher.settled(5.0)
        assert [getattr(outcome, "duplicate", None) for outcome in outcomes] == [False, True]


@pytest.mark.parametrize("delivery", ["exactly", "", "Once"])
async def test_an_unknown_class_is_refused_before_anything_is_written(
    server: RunningServer, delivery: str
) -> None:
    async with opened(server, "once-typo") as fabric:
        with pytest.raises(InvalidName, match="live, durable, once"):
            await fabric.channel("once.typo").publish(b"x", delivery=delivery)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", ["x" * 65, "line\r\nbreak", ""])
async def test_an_id_that_cannot_be_one_is_refused_with_the_limit(server: RunningServer, bad: str) -> None:
    async with opened(server, "once-bad") as fabric:
        with pytest.raises(InvalidName):
            await fabric.channel("once.bad").publish(b"x", delivery="once", id=bad)


async def test_what_a_message_causes_is_stored_once_however_often_it_is_handled(
    server: RunningServer,
) -> None:
    async with opened(server, "once-caused") as fabric:
        out = fabric.channel("once.caused")

        async def handle() -> list[bool]:
            token = current_handling.set(Handling("auditor", b"fab.cho.1.sensor.in", "reading-7"))
            try:
                told = [(await out.publish(n, delivery="once")).duplicate for n in ("a", "b")]
                async with out.publisher(delivery="once") as publisher:
                    await publisher.send(b"c")
                return [*told, publisher.duplicates == 1]
            finally:
                current_handling.reset(token)

        assert await handle() == [False, False, False]
        assert await handle() == [True, True, True]
