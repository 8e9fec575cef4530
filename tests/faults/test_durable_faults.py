"""Durable members and `once` while processes and servers are killed: every id that was acknowledged is
handled, what comes twice is what was not committed, and `once` leaves no trace of it.

A worker is an OS process (`python -m helpers.durable_worker`): it prints what it handled, and is killed
without a word.
"""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from fabric.client import Channel, Fabric, Receipt
from fabric.client.channels.durable import cursor_subject
from fabric.errors import Refused
from fabric.rules.channels.cursor import ATTEMPTS_MAX, UNCOMMITTED_MAX, CursorRecord
from helpers.lane import opened
from helpers.proxy import Proxy
from helpers.server import RunningServer
from helpers.waiting import until

BOUND_S = 50.0
MESSAGES = 6_000
KILLS = 3


class Worker:
    """A process with the durable member `auditor` on a channel; `handled` is what it said it handled."""

    def __init__(self, server: RunningServer, name: str, channel: str, *flags: str) -> None:
        self.handled: list[bytes] = []
        self._arguments = (server.url, server.credentials(name), name, channel, *flags)
        self._process: asyncio.subprocess.Process
        self._reading: asyncio.Task[None]

    async def start(self) -> None:
        path = os.pathsep.join(entry for entry in sys.path if entry)
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "helpers.durable_worker", *self._arguments),
            env={**os.environ, "PYTHONPATH": path},
            stdout=asyncio.subprocess.PIPE,
        )
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.handled.append(line.strip())

    async def kill(self) -> None:
        """kill -9, and what it had said until then."""
        if self._process.returncode is None:
            self._process.kill()
        await self.ended()

    async def ended(self) -> None:
        await self._process.wait()
        await self._reading


@asynccontextmanager
async def working(server: RunningServer, name: str, channel: str, *flags: str) -> AsyncIterator[Worker]:
    worker = Worker(server, name, channel, *flags)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.kill()


async def record_of(fabric: Fabric, owner: str, channel: str) -> CursorRecord:
    stored = await fabric.session.state.get(cursor_subject(owner, "auditor", channel))
    return (
        msgspec.json.decode(stored.value, type=CursorRecord)
        if stored.value
        else CursorRecord(name="auditor", process="", epoch=0, pattern=channel)
    )


async def until_delivered(fabric: Fabric, owner: str, channel: str, count: int) -> None:
    """Until the record says so; bounded by the test."""
    for _ in range(2000):
        if (await record_of(fabric, owner, channel)).account.delivered >= count:
            return
    raise AssertionError(f"{channel}: the record never said {count} delivered")


async def publish_all(channel: Channel, count: int, delivered: dict[bytes, Receipt]) -> None:
    """Messages 0 to count - 1, each `once` under an id of its own, again and again until it has a Receipt."""
    waiting = {b"%d" % number for number in range(count)}
    while waiting:
        told: dict[int, Receipt | Refused] = {}
        numbers: dict[int, bytes] = {}
        async with channel.publisher(window=64, delivery="once", on_outcome=told.__setitem__) as out:
            for data in sorted(waiting, key=int):
                numbers[await out.send(data, id=f"m-{data.decode()}")] = data
        for number, data in numbers.items():
            outcome = told[number]
            if isinstance(outcome, Receipt):
                delivered[data] = outcome
                waiting.discard(data)


@pytest.mark.timeout(2 * BOUND_S)
async def test_a_killed_process_loses_nothing_and_repeats_only_what_it_had_not_committed(
    server: RunningServer,
) -> None:
    name, handled, lives = "flt-kill", Counter[bytes](), []
    async with asyncio.timeout(BOUND_S), opened(server, "flt-writer") as fabric:
        channel = fabric.channel("flt.kill")
        publishing = asyncio.create_task(publish_all(channel, MESSAGES, {}))
        for life in range(KILLS + 1):
            async with working(server, name, "flt.kill") as worker:
                wanted = MESSAGES * (life + 1) // (KILLS + 1) - sum(map(len, lives))
                if life < KILLS:
                    await until(lambda: len(worker.handled) >= wanted, "it handles its part", BOUND_S)  # noqa: B023
                else:
                    await until(lambda: len(set(worker.handled).union(*lives)) == MESSAGES, "all", BOUND_S)
            lives.append(worker.handled)
        await publishing
        record = await record_of(fabric, name, "flt.kill")
        (finding,) = await fabric.audit(name)
    for one in lives:
        handled.update(one)
        assert len(set(one)) == len(one), "one life handled a message twice"
    assert set(handled) == {b"%d" % number for number in range(MESSAGES)}
    again = sum(handled.values()) - MESSAGES
    assert again <= KILLS * UNCOMMITTED_MAX
    assert again <= record.account.unknown + UNCOMMITTED_MAX
    assert record.epoch == KILLS + 1
    assert finding.balanced
    assert finding.state in ("live", "crashed")


@pytest.mark.timeout(2 * BOUND_S)
async def test_what_a_killed_process_published_once_is_there_once(server: RunningServer) -> None:
    async with asyncio.timeout(BOUND_S), opened(server, "flt-writer") as fabric:
        count = 600
        await publish_all(fabric.channel("flt.once.in"), count, {})
        results: list[bytes] = []
        async with fabric.channel("flt.once.out").join(lambda envelope: results.append(envelope.data)):
            for life in range(KILLS + 1):
                async with working(server, "flt-once", "flt.once.in", "--answer", "flt.once.out") as worker:
                    wanted = count // (KILLS + 1) if life < KILLS else 1
                    await until(lambda: len(worker.handled) >= wanted, "it handles its part", BOUND_S)  # noqa: B023
                    if life == KILLS:
                        await until(lambda: len(set(results)) == count, "all", BOUND_S)
    assert Counter(results) == Counter({b"of %d" % number: 1 for number in range(count)})


@pytest.mark.timeout(2 * BOUND_S)
async def test_a_message_that_kills_its_process_becomes_a_dead_letter(server: RunningServer) -> None:
    async with asyncio.timeout(BOUND_S), opened(server, "flt-writer") as fabric:
        channel = fabric.channel("flt.poison")
        for data in (b"1", b"die", b"2"):
            await channel.publish(data)
        handled: list[bytes] = []
        for _ in range(ATTEMPTS_MAX + 1):  # the first crash is not known to be its doing
            async with working(server, "flt-poison", "flt.poison") as worker:
                await worker.ended()
            handled += worker.handled
        async with working(server, "flt-poison", "flt.poison") as worker:
            await until(lambda: b"2" in worker.handled, "the rest goes on", BOUND_S)
            await until_delivered(fabric, "flt-poison", "flt.poison", 2)
        account = (await record_of(fabric, "flt-poison", "flt.poison")).account
        assert (account.delivered, account.dead, account.in_flight) == (2, 1, 0)
        (letter,) = [one async for one in fabric.dead.letters(kind="member", holder="auditor")]
        assert (letter.envelope.data, letter.attempts) == (b"die", ATTEMPTS_MAX)
        assert "ended without a word" in letter.cause


@pytest.mark.timeout(3 * BOUND_S)
async def test_a_killed_server_under_a_once_publisher_loses_and_doubles_nothing(
    private_server: RunningServer,
) -> None:
    delivered: dict[bytes, Receipt] = {}
    handled: list[bytes] = []
    async with (
        asyncio.timeout(2 * BOUND_S),
        opened(private_server, "flt-writer") as writer,
        opened(private_server, "flt-reader") as reader,
        reader.channel("flt.server").join(durable="auditor", since="beginning") as member,
    ):

        async def read() -> None:
            async for envelope in member:
                handled.append(envelope.data)

        reading = asyncio.create_task(read())
        publishing = asyncio.create_task(publish_all(writer.channel("flt.server"), MESSAGES, delivered))
        for kill in range(KILLS):
            part = kill * MESSAGES // 8
            await until(lambda: len(handled) > part, "some came", BOUND_S)  # noqa: B023
            await private_server.kill_and_restart()
        await publishing
        await until(lambda: len(handled) >= MESSAGES, "all came", BOUND_S)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    assert Counter(handled) == Counter({b"%d" % number: 1 for number in range(MESSAGES)})
    assert member.account.accepted == MESSAGES


@pytest.mark.timeout(2 * BOUND_S)
async def test_lost_acknowledgements_of_a_commit_fence_nobody(server: RunningServer) -> None:
    async with (
        asyncio.timeout(BOUND_S),
        Proxy(server.url) as proxy,
        opened(server, "flt-ack", url=proxy.url) as fabric,
        opened(server, "flt-writer") as writer,
    ):
        lost = 0

        def lose(_subject: bytes, _header: bytes, payload: bytes) -> bool:
            nonlocal lost
            lost += payload.startswith(b'{"stream":"CUR"')
            return payload.startswith(b'{"stream":"CUR"') and lost <= 1

        async with fabric.channel("flt.ack").join(durable="auditor") as member:
            proxy.drop = lose
            for number in range(20):
                await writer.channel("flt.ack").publish(b"%d" % number)
                assert (await anext(member)).data == b"%d" % number
            await until(lambda: lost > 1, "an acknowledgement came through", BOUND_S)
        assert member.failure is None
        assert member.account.delivered == 20
