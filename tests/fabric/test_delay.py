"""Delayed jobs on a real server: not before their time, soon after it, once, and also when a node dies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fabric.client import Fabric
from fabric.clock import monotonic
from fabric.jetstream.layout import JOBS_PER_SOURCE
from fabric.node import due
from fabric.node.due import Mover
from fabric.rules.queues import retry
from fabric.subjects import due as due_subject
from fabric.subjects import schedule
from helpers.lane import opened
from helpers.queues import queue_node
from helpers.server import RunningServer
from helpers.waiting import BOUND_S, until

LATE_S = (
    5.0  # on a machine that is busy with other tests; what it is on an idle one says docs/decisions/queues.md
)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF_FIRST_S", 0.02)
    monkeypatch.setattr(due, "TICK_S", 0.02)


@asynccontextmanager
async def both(server: RunningServer, name: str) -> AsyncIterator[Fabric]:
    credentials = server.credentials(name, queues=(name,))
    async with opened(server, name, credentials=credentials) as fabric, asyncio.timeout(BOUND_S):
        yield fabric


async def take(fabric: Fabric, count: int) -> list[tuple[float, bytes]]:
    """When jobs came, and what they are."""
    taken = []
    async for job in fabric.queue(fabric.name).work():
        taken.append((monotonic(), job.data))
        await job.ack()
        if len(taken) == count:
            break
    return taken


async def test_a_delayed_job_comes_after_its_time_and_soon(server: RunningServer) -> None:
    async with queue_node(server), both(server, "due-soon") as fabric:
        began = monotonic()
        receipt = await fabric.queue("due-soon").put(b"later", delay_s=0.5, priority=9)
        await fabric.queue("due-soon").put(b"now")
        (_, first), (came, second) = await take(fabric, 2)
        assert (first, second) == (b"now", b"later")
        assert 0.5 <= came - began < 0.5 + LATE_S
        assert receipt.stream == "DUE"


async def test_a_delayed_job_keeps_its_partition_and_says_nothing_of_the_way(server: RunningServer) -> None:
    async with queue_node(server), both(server, "due-key") as fabric:
        await fabric.queue("due-key").put(b"x", delay_s=0.0, key="customer-7", id="mine")
        async for job in fabric.queue("due-key").work():
            await job.ack()
            assert (job.id, job.key, job.backlog.partition.token[0]) == ("mine", "customer-7", "k")
            assert job.envelope.header("Fab-Queue") is None
            break


async def test_a_full_queue_delays_its_own_jobs_and_nobody_elses(server: RunningServer) -> None:
    async with (
        queue_node(server) as mover,
        both(server, "due-full") as fabric,
        both(server, "due-free") as other,
    ):
        for _ in range(JOBS_PER_SOURCE):
            await fabric.queue("due-full").put(b"x")
        await fabric.queue("due-full").put(b"late", delay_s=0.0)
        await until(lambda: mover.returned > 1, "it is refused and comes again")
        await other.queue("due-free").put(b"other", delay_s=0.0)
        assert [data for _, data in await take(other, 1)] == [b"other"]
        taken = await take(fabric, JOBS_PER_SOURCE + 1)
        assert [data for _, data in taken].count(b"late") == 1


async def test_a_job_that_is_moved_twice_is_stored_once(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[int] = []

    async def die_before_settling(
        self: Mover, subject: bytes, ack: bytes, header: bytes, data: bytes
    ) -> None:
        target, block = due.job_subject(header), due.job_block(header, due.delivered(ack).sequence)
        assert target is not None
        moved.append(await self._link.publisher.publish(target, block, data))

    monkeypatch.setattr(due, "ACK_WAIT_S", 1)

    async with both(server, "due-twice") as fabric:
        with monkeypatch.context() as patch:
            patch.setattr(Mover, "_move", die_before_settling)
            async with queue_node(server):
                await fabric.queue("due-twice").put(b"x", delay_s=0.0)
                await until(lambda: len(moved) == 2, "it was moved and not settled")
        async with queue_node(server) as mover:
            await until(lambda: mover.moved, "it is settled")
            await fabric.queue("due-twice").put(b"end")
            assert [data for _, data in await take(fabric, 2)] == [b"x", b"end"]
        assert moved[0] > 0 > moved[1], "the log did not know it"


async def test_a_schedule_cannot_put_a_job_in_anothers_name(server: RunningServer) -> None:
    async with queue_node(server), both(server, "due-liar") as fabric:
        header = (
            "NATS/1.0\r\nNats-Schedule: @at 2020-01-01T00:00:00Z\r\n"
            f"Nats-Schedule-Target: {due_subject('somebody', '1')}\r\n"
            "Fab-Queue: due-liar\r\nFab-Partition: n0\r\n"
            "ce-id: 1\r\nce-type: t\r\nce-source: /nats/due-liar\r\n\r\n"
        ).encode()
        await fabric.session.publisher.publish(schedule("due-liar", "1"), header, b"x")
        async for job in fabric.queue("due-liar").work():
            assert job.source == "due-liar"
            await job.ack()
            break


async def test_a_due_job_that_names_no_place_is_buried(server: RunningServer) -> None:
    async with queue_node(server), both(server, "due-lost") as fabric:
        header = (
            "NATS/1.0\r\nNats-Schedule: @at 2020-01-01T00:00:00Z\r\n"
            f"Nats-Schedule-Target: {due_subject('due-lost', '1')}\r\nce-id: lost\r\n\r\n"
        ).encode()
        await fabric.session.publisher.publish(schedule("due-lost", "1"), header, b"x")
        found: list[str] = []
        while "lost" not in found:
            found = [one.envelope.id async for one in fabric.dead.letters(holder="due")]
