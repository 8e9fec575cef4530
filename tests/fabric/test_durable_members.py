"""Durable members on a real server: what survives a process, who may have a cursor, and how each message
ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest

from fabric.client import Channel, Fabric, tenure
from fabric.errors import Fenced, InvalidName, NameInUse
from fabric.rules.accounts import Account
from fabric.rules.channels.cursor import ATTEMPTS_MAX
from helpers.durable import numbers, publish, record_of, take
from helpers.lane import opened
from helpers.server import RunningServer
from helpers.waiting import BOUND_S


async def test_the_next_process_goes_on_where_the_last_one_ended(server: RunningServer) -> None:
    async with opened(server, "dur-next") as fabric:
        channel = fabric.channel("dur.next")
        await publish(channel, *numbers(1, 2, 3, 4))
        async with channel.join(durable="auditor", since="beginning") as member:
            assert await take(member, 2) == numbers(1, 2)
    async with opened(server, "dur-next") as fabric:
        channel = fabric.channel("dur.next")
        async with channel.join(durable="auditor") as member:
            await publish(channel, b"5")
            assert await take(member, 3) == numbers(3, 4, 5)
        assert member.account == Account(accepted=5, delivered=5)


async def test_what_is_published_while_nobody_is_there_waits(server: RunningServer) -> None:
    async with opened(server, "dur-away") as fabric:
        channel = fabric.channel("dur.away")
        await publish(channel, b"before")
        async with channel.join(durable="auditor"):
            pass
        await publish(channel, *numbers(1, 2))
        async with channel.join(durable="auditor", since="now") as member:
            assert await take(member, 2) == numbers(1, 2)


async def test_a_pattern_has_a_position_in_every_shard(server: RunningServer) -> None:
    channels = [f"dur.shards.{number}" for number in range(12)]
    async with opened(server, "dur-shards") as fabric:
        for life in range(3):
            for name in channels:
                await fabric.channel(name).publish(b"%d" % life)
            async with fabric.channel("dur.shards.>").join(durable="all", since="beginning") as member:
                assert set(await take(member, len(channels))) == set(numbers(life))
        assert member.account == Account(accepted=36, delivered=36)


async def test_two_names_and_two_channels_are_cursors_of_their_own(server: RunningServer) -> None:
    async with opened(server, "dur-own") as fabric:
        one, other = fabric.channel("dur.own.one"), fabric.channel("dur.own.other")
        await publish(one, b"1")
        await publish(other, b"2")
        for durable, channel, wanted in (("a", one, b"1"), ("b", one, b"1"), ("a", other, b"2")):
            async with channel.join(durable=durable, since="beginning") as member:
                assert await take(member, 1) == [wanted]


@pytest.mark.parametrize("since", ["now", "beginning", 2, "time"])
async def test_the_first_life_begins_where_it_is_told(server: RunningServer, since: object) -> None:
    async with opened(server, f"dur-since-{since}") as fabric:
        channel = fabric.channel(f"dur.since.{since}")
        receipt = await channel.publish(b"1")
        await publish(channel, b"2")
        told = {"time": datetime.now(UTC) - timedelta(hours=1), 2: receipt.sequence + 1}.get(since, since)  # type: ignore[arg-type, call-overload]
        async with channel.join(durable="auditor", since=told) as member:
            await publish(channel, b"3")
            wanted = {"now": numbers(3), 2: numbers(2, 3)}.get(since, numbers(1, 2, 3))  # type: ignore[call-overload]
            assert await take(member, len(wanted)) == wanted


async def test_what_was_in_hand_when_its_handler_raised_comes_again(server: RunningServer) -> None:
    async with opened(server, "dur-raise") as fabric:
        channel = fabric.channel("dur.raise")
        await publish(channel, *numbers(1, 2))
        with pytest.raises(RuntimeError):
            await fail_on_the_first(channel)
        async with channel.join(durable="auditor") as member:
            assert await take(member, 1) == numbers(1)
            assert member.attempts == 1
            assert await take(member, 1) == numbers(2)
        assert member.account == Account(accepted=2, delivered=2)


async def fail_on_the_first(channel: Channel) -> None:
    async with channel.join(durable="auditor", since="beginning") as member:
        async for _ in member:
            raise RuntimeError("not today")


async def test_a_cancelled_reader_puts_its_message_back_and_it_was_no_try(server: RunningServer) -> None:
    async with opened(server, "dur-cancel") as fabric:
        channel = fabric.channel("dur.cancel")
        await publish(channel, b"1")
        reading = asyncio.Event()

        async def read() -> None:
            async with channel.join(durable="auditor", since="beginning") as member:
                async for _ in member:
                    reading.set()
                    await asyncio.Event().wait()

        task = asyncio.create_task(read())
        await reading.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with channel.join(durable="auditor") as member:
            assert await take(member, 1) == numbers(1)
            assert member.attempts == 0


async def test_waiting_for_a_message_can_be_cancelled_without_losing_one(server: RunningServer) -> None:
    async with opened(server, "dur-wait") as fabric:
        channel = fabric.channel("dur.wait")
        async with channel.join(durable="auditor") as member:
            heard = []
            for number in range(20):
                await publish(channel, b"%d" % number)
                with suppress(TimeoutError):
                    while True:
                        heard.append((await asyncio.wait_for(anext(member), 0.0005)).data)
            heard += await take(member, 20 - len(heard))
            assert heard == numbers(*range(20))


async def test_a_message_that_is_tried_in_vain_becomes_a_dead_letter_and_the_rest_goes_on(
    server: RunningServer,
) -> None:
    async with opened(server, "dur-poison") as fabric:
        channel = fabric.channel("dur.poison")
        await channel.publish(b"poison", id="bad-1")
        await publish(channel, b"good")
        for _ in range(ATTEMPTS_MAX):
            with pytest.raises(ValueError, match="cannot"):
                await handle_all(channel)
        async with channel.join(durable="taster") as member:
            assert await take(member, 1) == [b"good"]
        assert member.account == Account(accepted=2, delivered=1, dead=1)
        (letter,) = [one async for one in fabric.dead.letters(kind="member", holder="taster")]
        assert (letter.envelope.data, letter.envelope.id, letter.attempts) == (
            b"poison",
            "bad-1",
            ATTEMPTS_MAX,
        )
        assert "cannot take poison" in letter.cause
        assert letter.origin.stream.startswith("CH_")


async def handle_all(channel: Channel) -> None:
    async with channel.join(durable="taster", since="beginning") as member:
        async for envelope in member:
            if envelope.data == b"poison":
                raise ValueError("cannot take poison")


async def test_a_message_whose_time_has_passed_is_counted_and_not_delivered(server: RunningServer) -> None:
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    future = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    async with opened(server, "dur-expired") as fabric:
        channel = fabric.channel("dur.expired")
        await channel.publish(b"late", expirytime=past)
        await channel.publish(b"in time", expirytime=future)
        await channel.publish(b"no time", expirytime="tomorrow")
        async with channel.join(durable="auditor", since="beginning") as member:
            assert await take(member, 2) == [b"in time", b"no time"]
        assert member.account == Account(accepted=3, delivered=2, expired=1)


async def test_a_second_copy_is_withheld_also_by_the_next_life(server: RunningServer) -> None:
    async with opened(server, "dur-copies") as fabric:
        channel = fabric.channel("dur.copies")
        envelope = channel.envelope(b"1", {"id": "order-7"})
        header = envelope.nats_header()
        copy = header[:10] + b"Nats-Msg-Id: %s\r\n" + header[10:]  # as if the log's own window had passed
        subject = channel.subject("durable").decode()
        connection = fabric.session.connection
        await connection.request(subject, b"1", header=copy % b"one")
        async with channel.join(durable="auditor", since="beginning") as member:
            assert await take(member, 1) == [b"1"]
        await connection.request(subject, b"1", header=copy % b"two")
        await publish(channel, b"2")
        async with channel.join(durable="auditor") as member:
            assert await take(member, 1) == [b"2"]
        assert member.copies == 1
        assert member.account == Account(accepted=2, delivered=2)


async def test_another_live_process_keeps_the_cursor_unless_it_is_taken_over(server: RunningServer) -> None:
    async with opened(server, "dur-two") as fabric, opened(server, "dur-two") as other:
        channel, same = fabric.channel("dur.two"), other.channel("dur.two")
        async with channel.join(durable="auditor") as former:
            await publish(channel, b"1")
            assert await take(former, 1) == numbers(1)
            with pytest.raises(NameInUse, match="auditor"):
                async with same.join(durable="auditor"):
                    pass
            async with same.join(durable="auditor", take_over=True) as later:
                assert await take(later, 1) == numbers(1)  # in hand there, never settled
                assert later.account.unknown == 1
                await publish(channel, b"2")
                with pytest.raises(Fenced):
                    await take(former, 99)  # at most what it is given before it notices
                assert await take(later, 1) == numbers(2)
            assert isinstance(former.failure, Fenced)


async def test_a_holder_that_was_idle_learns_that_it_was_replaced_before_it_is_given_anything(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenure, "CONFIRM_S", 0.0)  # as if a second had passed
    async with opened(server, "dur-idle") as fabric, opened(server, "dur-idle") as other:
        channel, same = fabric.channel("dur.idle"), other.channel("dur.idle")
        async with (
            channel.join(durable="auditor") as former,
            same.join(durable="auditor", take_over=True) as later,
        ):
            await publish(channel, b"1")
            with pytest.raises(Fenced):
                await take(former, 1)
            assert await take(later, 1) == numbers(1)


async def test_of_two_that_join_at_once_one_is_the_member(server: RunningServer) -> None:
    async with opened(server, "dur-race") as one, opened(server, "dur-race") as other:
        joins = [fabric.channel("dur.race").join(durable="auditor") for fabric in (one, other)]
        ends = await asyncio.gather(*(join.__aenter__() for join in joins), return_exceptions=True)
        assert [type(end) for end in ends].count(NameInUse) == 1
        for join in joins:
            await join.close()
        async with other.channel("dur.race").join(durable="auditor"):
            pass


async def test_a_process_has_a_cursor_once(server: RunningServer) -> None:
    async with opened(server, "dur-once") as fabric:
        channel = fabric.channel("dur.once")
        async with channel.join(durable="auditor"):
            with pytest.raises(NameInUse):
                async with channel.join(durable="auditor"):
                    pass
        async with channel.join(durable="auditor"):
            pass


async def test_settling_is_written_at_once_and_an_end_is_final(server: RunningServer) -> None:
    async with opened(server, "dur-settle") as fabric:
        channel = fabric.channel("dur.settle")
        await publish(channel, *numbers(1, 2))
        async with channel.join(durable="auditor", since="beginning") as member:
            first = await anext(member)
            assert await member.settle(first)
            assert (await record_of(fabric, "auditor", "dur.settle")).account.delivered == 1
            assert not await member.settle(first)
            second = await anext(member)
            assert not await member.settle(first)
            assert second.data == b"2"
        assert member.account == Account(accepted=2, delivered=2)


@pytest.mark.parametrize("name", ["", "x" * 300])
async def test_a_name_that_cannot_be_one_is_refused(server: RunningServer, name: str) -> None:
    async with opened(server, "dur-name") as fabric:
        with pytest.raises(InvalidName):
            fabric.channel("dur.name").join(durable=name)


async def test_a_durable_member_takes_no_handler(server: RunningServer) -> None:
    async with opened(server, "dur-handler") as fabric:
        with pytest.raises(InvalidName, match="iterated"):
            fabric.channel("dur.handler").join(print, durable="auditor")  # type: ignore[call-overload]


async def test_what_its_messages_cause_is_stored_once_however_often_they_come(server: RunningServer) -> None:
    async with opened(server, "dur-cause") as fabric:
        source, results = fabric.channel("dur.cause.in"), fabric.channel("dur.cause.out")
        await publish(source, *numbers(1, 2))
        for _ in range(2):
            with pytest.raises(RuntimeError):
                await answer_then_fail(source, results)
        async with results.join(since="beginning") as member:
            found = [await anext(member) for _ in range(1)]
            await publish(results, b"last")
            found.append(await anext(member))
        assert [envelope.data for envelope in found] == [b"to 1", b"last"]
        assert found[0].causationid is not None


async def answer_then_fail(source: Channel, results: Channel) -> None:
    async with source.join(durable="worker", since="beginning") as member:
        async for envelope in member:
            await results.publish(b"to " + envelope.data, delivery="once")
            raise RuntimeError("after the effect, before it is settled")


async def test_live_messages_are_heard_and_are_no_obligation(server: RunningServer) -> None:
    async with opened(server, "dur-live") as fabric:
        channel = fabric.channel("dur.live")
        async with channel.join(durable="auditor") as member:
            await channel.publish(b"live", delivery="live")
            await channel.publish(b"kept")
            assert sorted(await take(member, 2)) == [b"kept", b"live"]
        assert member.account == Account(accepted=1, delivered=1)


@asynccontextmanager
async def quiet_lease(server: RunningServer, name: str) -> AsyncIterator[Fabric]:
    async with opened(server, name, lease_ttl_s=1, lease_refresh_s=30.0) as fabric:
        yield fabric


async def test_a_cursor_whose_process_lost_its_lease_is_free_and_its_tries_are_unknown(
    server: RunningServer,
) -> None:
    async with quiet_lease(server, "dur-lease") as gone, opened(server, "dur-lease") as fabric:
        await publish(gone.channel("dur.lease"), *numbers(1, 2, 3))
        async with gone.channel("dur.lease").join(durable="auditor", since="beginning") as former:
            await take(former, 1)
            channel = fabric.channel("dur.lease")
            async with asyncio.timeout(BOUND_S):
                while True:
                    try:
                        async with channel.join(durable="auditor") as member:
                            assert await take(member, 3) == numbers(1, 2, 3)
                            break
                    except NameInUse:
                        continue
        assert member.account == Account(accepted=6, delivered=3, unknown=3)
        assert member.account.in_flight == 0
