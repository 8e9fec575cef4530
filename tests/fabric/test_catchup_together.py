"""Late members of one log read it together where that is sooner; each has its own history, in order."""

import asyncio
from collections import defaultdict
from contextlib import AsyncExitStack

import pytest

from fabric.client import Fabric
from fabric.client.channels.together import Rider, Shelf
from fabric.rules.channels import together
from fabric.rules.log import paging
from fabric.subjects import shard
from fabric_codecs.envelope import Envelope
from helpers.lane import opened
from helpers.server import RunningServer
from helpers.waiting import BOUND_S, until

HISTORY = 300


@pytest.fixture(autouse=True)
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "SHORT_S", 0.0)
    monkeypatch.setattr(together, "MARGIN", 0.0)
    monkeypatch.setattr(paging, "SIZE_FIRST", 16)


async def fill(fabric: Fabric, names: list[str], count: int, start: int = 0) -> None:
    outs = [fabric.channel(name).publisher() for name in names]
    for number in range(start, start + count):
        for out in outs:
            await out.send(b"%d" % number)
    for out in outs:
        await out.settle()


def names_in_one_shard(root: str, count: int) -> list[str]:
    names = [f"{root}.{number}" for number in range(count * 16)]
    return [name for name in names if shard(name) == shard(names[0])][:count]


def rides(fabric: Fabric) -> int:
    return sum(shelf.rides for shelf in fabric.session.shelves.values() if isinstance(shelf, Shelf))


async def test_each_late_member_has_its_history_and_what_is_published_meanwhile(
    server: RunningServer,
) -> None:
    names = names_in_one_shard("tog.each", 12)
    heard: dict[str, list[int]] = defaultdict(list)

    def hear(envelope: Envelope) -> None:
        heard[str(envelope.subject)].append(int(envelope.data))

    async with (
        opened(server, "tog-each") as fabric,
        opened(server, "tog-writer") as writer,
        AsyncExitStack() as stack,
    ):
        await fill(writer, names, HISTORY)
        writing = asyncio.create_task(fill(writer, names, HISTORY, HISTORY))
        joining = [fabric.channel(name).join(hear, since="beginning") for name in names]
        await asyncio.gather(*map(stack.enter_async_context, joining))
        await writing
        await until(lambda: all(len(heard[name]) >= 2 * HISTORY for name in names), "all have all")
        assert all(heard[name] == list(range(2 * HISTORY)) for name in names)
        assert rides(fabric) > 0


async def test_patterns_ride_along_and_are_handed_only_what_they_mean(server: RunningServer) -> None:
    root = "tog.pat"
    names = [f"{root}.{number}" for number in range(200) if shard(f"{root}.{number}") == shard(root)][:6]
    patterns = (f"{root}.>", f"{root}.*", "*.pat.*", names[1])
    heard: dict[str, list[str]] = {pattern: [] for pattern in patterns}
    async with opened(server, "tog-pat") as fabric, AsyncExitStack() as stack:
        await fill(fabric, [root, *names], 100)
        for pattern in patterns:
            mine = heard[pattern]
            member = fabric.channel(pattern).join(
                lambda envelope, mine=mine: mine.append(str(envelope.subject)), since="beginning"
            )
            await stack.enter_async_context(member)
        await until(lambda: len(heard[f"{root}.>"]) >= 700, "the widest has all")
        await until(lambda: len(heard[names[1]]) == 100, "the narrowest has its own")
        await until(lambda: len(heard[f"{root}.*"]) == 600, "one level has all but the level above")
        await fabric.channel(names[1]).publish(b"end")
        await until(lambda: len(heard[names[1]]) == 101, "it follows")
        await until(lambda: len(heard[f"{root}.>"]) >= 701, "the widest follows")
        assert len(heard[f"{root}.>"]) == 701, "the level above came once"
        assert set(heard[names[1]]) == {names[1]}
        await until(lambda: len(heard["*.pat.*"]) == 601, "another pattern has the same")
        assert rides(fabric) > 0


async def test_slow_members_leave_the_ride_and_delay_nobody(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = names_in_one_shard("tog.slow", 8)
    heard: dict[str, list[int]] = defaultdict(list)
    had_room: list[bool] = []
    ride = Shelf.ride

    async def noted(shelf: Shelf, rider: Rider) -> bool:
        had_room.append(await ride(shelf, rider))
        return had_room[-1]

    monkeypatch.setattr(Shelf, "ride", noted)

    def hear(envelope: Envelope) -> None:
        heard[str(envelope.subject)].append(int(envelope.data))

    async with opened(server, "tog-slow") as fabric, AsyncExitStack() as stack:
        await fill(fabric, names, 3000)
        quick = [fabric.channel(name).join(hear, since="beginning") for name in names[:4]]
        slow = [fabric.channel(name).join(since="beginning") for name in names[4:]]
        await asyncio.gather(*map(stack.enter_async_context, [*quick, *slow]))
        await until(lambda: all(len(heard[name]) == 3000 for name in names[:4]), "the quick have all")
        await until(lambda: had_room.count(False) >= 2, "slow ones were put off")
        for member in slow:
            async with asyncio.timeout(BOUND_S):
                got = [int((await anext(member)).data) for _ in range(3000)]
            assert got == list(range(3000))


async def test_members_that_leave_in_the_middle_end_the_ride(server: RunningServer) -> None:
    names = names_in_one_shard("tog.leave", 4)
    async with opened(server, "tog-leave") as fabric:
        await fill(fabric, names, 2000)
        async with AsyncExitStack() as stack:
            joining = [fabric.channel(name).join(since="beginning") for name in names]
            await asyncio.gather(*map(stack.enter_async_context, joining))
            await until(lambda: rides(fabric), "they ride")
        shelves = [shelf for shelf in fabric.session.shelves.values() if isinstance(shelf, Shelf)]
        await until(lambda: all(shelf._driving is None for shelf in shelves), "nobody reads any more")
        assert all(not shelf._riding and not shelf._waiting for shelf in shelves)
