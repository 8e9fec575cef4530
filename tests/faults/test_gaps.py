"""Gaps: whatever the feed loses, a member of a durable channel has every message once and in order."""

import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from fabric.client import Fabric, Member, Receipt
from fabric.client import session as session_module
from fabric.client.channels import catchup
from fabric.errors import PermissionDenied, Refused
from fabric.jetstream import watchdog
from fabric.rules.channels import repair
from fabric_codecs.envelope import Envelope
from helpers.lane import opened
from helpers.proxy import Proxy
from helpers.server import RunningServer
from helpers.waiting import BOUND_S, until

FEED, LIVE = b"fab.cho.", b"fab.lv."


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "PROBE_EVERY_S", 0.2)
    monkeypatch.setattr(watchdog, "PROBE_TIMEOUT_S", 1)
    monkeypatch.setattr(session_module, "TICK_S", 0.05)
    monkeypatch.setattr(catchup, "READ_RETRY_S", 0.05)
    monkeypatch.setattr(repair, "QUIET_S", 0.1)
    monkeypatch.setattr(repair, "PROBE_EVERY_S", 0.2)


def losing(prefix: bytes, chance: Callable[[], float], share: float) -> Callable[[bytes, bytes, bytes], bool]:
    return lambda subject, _header, _payload: subject.startswith(prefix) and chance() < share


async def data_of(member: Member, count: int) -> list[bytes]:
    async with asyncio.timeout(BOUND_S):
        return [(await anext(member)).data for _ in range(count)]


async def publish_all(fabric: Fabric, channel: str, messages: list[bytes]) -> None:
    async with fabric.channel(channel).publisher() as out:
        for message in messages:
            await out.send(message)


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
async def test_lost_messages_are_read_back_in_order(server: RunningServer, share: float) -> None:
    channel = f"gap.share.{share * 100:g}"
    async with (
        Proxy(server.url) as proxy,
        opened(server, "gap-writer") as writer,
        opened(server, "gap-reader", url=proxy.url) as reader,
        reader.channel(channel).join() as member,
    ):
        proxy.drop = losing(FEED, random.Random(7).random, share)
        await publish_all(writer, channel, numbered(2000))
        assert await data_of(member, 2000) == numbered(2000)
        proxy.drop = None
        await publish_all(writer, channel, [b"end"])
        assert await data_of(member, 1) == [b"end"]
        assert proxy.dropped > 0


async def test_the_last_message_lost_is_found_by_the_probe(server: RunningServer) -> None:
    async with (
        Proxy(server.url) as proxy,
        opened(server, "gap-tail", url=proxy.url) as fabric,
        fabric.channel("gap.tail").join() as member,
    ):
        await fabric.channel("gap.tail").publish("first")
        assert await data_of(member, 1) == [b"first"]
        proxy.drop = losing(FEED, lambda: 0.0, 1.0)
        await fabric.channel("gap.tail").publish("last")
        assert await data_of(member, 1) == [b"last"]


async def test_the_only_message_of_a_source_that_then_falls_silent_is_found(server: RunningServer) -> None:
    async with (
        Proxy(server.url) as proxy,
        opened(server, "gap-loud") as loud,
        opened(server, "gap-silent") as silent,
        opened(server, "gap-ear", url=proxy.url) as fabric,
        fabric.channel("gap.silent").join() as member,
    ):
        proxy.drop = lambda subject, _header, _payload: b"gap-silent" in subject
        await silent.channel("gap.silent").publish("only")
        await loud.channel("gap.silent").publish("other")
        assert set(await data_of(member, 2)) == {b"only", b"other"}


async def test_lost_messages_of_a_pattern_over_all_shards_are_read_back(server: RunningServer) -> None:
    async with (
        Proxy(server.url) as proxy,
        opened(server, "gap-many") as writer,
        opened(server, "gap-many-ear", url=proxy.url) as reader,
        reader.channel("gapmany.>").join() as member,
    ):
        proxy.drop = losing(FEED, random.Random(11).random, 0.3)
        for number in range(300):
            await writer.channel(f"gapmany.{number % 20}").publish(b"%d" % number)
        got = await data_of(member, 300)
        assert sorted(got, key=int) == numbered(300)
        for channel in range(20):
            mine = [int(data) for data in got if int(data) % 20 == channel]
            assert mine == sorted(mine)
        assert member.repaired > 0


async def test_a_member_behind_a_full_queue_and_a_lossy_feed_has_everything(server: RunningServer) -> None:
    async with (
        Proxy(server.url) as proxy,
        opened(server, "gap-slow") as writer,
        opened(server, "gap-slow-ear", url=proxy.url) as reader,
        reader.channel("gap.slow").join() as member,
    ):
        proxy.drop = losing(FEED, random.Random(3).random, 0.1)
        await publish_all(writer, "gap.slow", numbered(4000))
        assert await data_of(member, 4000) == numbered(4000)


async def test_live_messages_that_never_came_are_counted(server: RunningServer) -> None:
    async with (
        Proxy(server.url) as proxy,
        opened(server, "gap-live") as writer,
        opened(server, "gap-live-ear", url=proxy.url) as reader,
        reader.channel("gap.live").join() as member,
    ):
        lost = {b"3", b"4", b"7"}
        proxy.drop = lambda subject, _header, payload: subject.startswith(LIVE) and payload in lost
        async with writer.channel("gap.live").publisher(delivery="live") as out:
            for message in numbered(10):
                await out.send(message)
        assert await data_of(member, 7) == [message for message in numbered(10) if message not in lost]
        assert (member.missed, proxy.dropped) == (3, 3)


async def test_what_was_published_while_the_link_was_down_is_read_back(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for patience in ("QUIET_S", "PROBE_EVERY_S"):  # it is the reconnect that has the log read, not a probe
        monkeypatch.setattr(repair, patience, 1000.0)
    async with (
        Proxy(server.url) as proxy,
        opened(server, "gap-down") as writer,
        opened(server, "gap-down-ear", url=proxy.url) as reader,
        reader.channel("gap.down").join() as member,
    ):
        await publish_all(writer, "gap.down", numbered(100))
        await proxy.go_away()
        await until(lambda: not reader.session.connection.is_up, "the reader is cut off")
        await publish_all(writer, "gap.down", numbered(100, 100))
        await proxy.come_back()
        assert await data_of(member, 200) == numbered(200)
        await publish_all(writer, "gap.down", [b"end"])
        assert await data_of(member, 1) == [b"end"]


async def test_a_link_cut_again_and_again_loses_and_doubles_nothing(server: RunningServer) -> None:
    async with (
        Proxy(server.url) as proxy,
        opened(server, "gap-cuts", url=proxy.url) as fabric,
        fabric.channel("gap.cuts").join() as member,
    ):
        reading = asyncio.create_task(data_of(member, 1200))
        async with fabric.channel("gap.cuts").publisher(window=64) as out:
            for number in range(1200):
                await out.send(b"%d" % number)
                if number % 400 == 200:
                    proxy.cut()
        assert await reading == numbered(1200)
        assert fabric.session.connection.reconnects == 3


async def test_what_was_announced_and_then_purged_holds_nobody_up(private_server: RunningServer) -> None:
    async with (
        Proxy(private_server.url) as proxy,
        opened(private_server, "gap-purged", url=proxy.url) as fabric,
        opened(private_server, "node", credentials=private_server.node_creds) as node,
        fabric.channel("gap.purged").join() as member,
    ):
        channel = fabric.channel("gap.purged")
        proxy.drop = lambda subject, _header, payload: subject.startswith(FEED) and payload == b"lost"
        reads = proxy.drop
        proxy.drop = lambda *message: reads(*message) or b".d." in message[0]  # the log cannot be read either
        await channel.publish("lost")
        receipt = await channel.publish("announced")
        await until(
            lambda: any(lane.track.behind for lane in member._feed.lanes.values()), "the gap was seen"
        )
        await node.session.connection.request(f"$JS.API.STREAM.PURGE.{receipt.stream}")
        proxy.drop = None
        proxy.cut()
        await until(
            lambda: not any(lane.track.behind for lane in member._feed.lanes.values()),
            "the member gave it up",
        )
        await channel.publish("after")
        assert await data_of(member, 1) == [b"after"]


async def test_a_member_whose_right_to_history_ends_is_told(server: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "shrinking.creds"
    file.write_text(server.keys.mint("gap-rights"))
    async with (
        Proxy(server.url) as proxy,
        opened(server, "gap-rights", url=proxy.url, credentials=str(file)) as fabric,
        fabric.channel("gap.rights").join() as member,
    ):
        await fabric.channel("gap.rights").publish("heard")
        file.write_text(server.keys.mint("gap-rights", history=False))
        proxy.cut()
        assert await data_of(member, 1) == [b"heard"]
        with pytest.raises(PermissionDenied, match="history"):
            await asyncio.wait_for(anext(member), BOUND_S)


async def test_a_gap_is_repaired_once_for_all_members_of_a_process(server: RunningServer) -> None:
    heard: list[list[bytes]] = [[] for _ in range(20)]

    def ear(mine: list[bytes]) -> Callable[[Envelope], None]:
        return lambda envelope: mine.append(envelope.data)

    async with (
        Proxy(server.url) as proxy,
        opened(server, "gap-shared") as writer,
        opened(server, "gap-shared-ear", url=proxy.url) as reader,
        AsyncExitStack() as stack,
    ):
        channel = reader.channel("gap.shared")
        proxy.drop = losing(FEED, random.Random(5).random, 0.05)
        early = [await stack.enter_async_context(channel.join(ear(mine))) for mine in heard[:10]]
        slow = await stack.enter_async_context(channel.join())
        await publish_all(writer, "gap.shared", numbered(1500))
        for mine in heard[10:]:
            await stack.enter_async_context(channel.join(ear(mine), since="beginning"))
        proxy.cut()
        await publish_all(writer, "gap.shared", numbered(1500, 1500))
        proxy.drop = None
        await publish_all(writer, "gap.shared", [b"end"])
        wanted = [*numbered(3000), b"end"]
        await until(lambda: all(len(mine) >= len(wanted) for mine in heard), "all have all")
        assert all(mine == wanted for mine in heard)
        assert await data_of(slow, len(wanted)) == wanted
        assert len({member.repaired for member in early}) == 1


@pytest.mark.timeout(60)
async def test_a_killed_server_loses_nothing_acknowledged_and_members_see_neither_gap_nor_copy(
    private_server: RunningServer,
) -> None:
    acknowledged: list[int] = []
    running = asyncio.Event()

    def note(number: int, outcome: Receipt | Refused) -> None:
        if isinstance(outcome, Receipt):
            acknowledged.append(number)
        if len(acknowledged) == 500:
            running.set()

    async with (
        opened(private_server, "gap-kill") as writer,
        opened(private_server, "gap-kill-ear") as reader,
        reader.channel("gap.kill").join() as member,
    ):
        reading = asyncio.create_task(data_of(member, 3000))
        out = writer.channel("gap.kill").publisher(window=256, on_outcome=note)

        async def send_all() -> None:
            for number in range(3000):
                await out.send(b"%d" % number)
                if number == 1500:
                    await running.wait()
            await out.settle()

        sending = asyncio.create_task(send_all())
        await asyncio.wait_for(running.wait(), BOUND_S)
        await private_server.kill_and_restart()
        await asyncio.wait_for(sending, BOUND_S)
        assert (len(acknowledged), out.refused) == (3000, 0)
        assert await reading == numbered(3000)
