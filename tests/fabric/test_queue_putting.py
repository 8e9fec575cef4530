"""Putting jobs into queues on a real server: what is taken, what is refused and why."""

from collections.abc import AsyncIterator

import pytest

from fabric.client import Receipt
from fabric.errors import LimitExceeded, Refused
from fabric.jetstream.layout import JOBS_PER_SOURCE
from helpers.queues import letters, queue_node, take
from helpers.queues import worker_named as both
from helpers.server import RunningServer
from helpers.waiting import until


@pytest.fixture
async def node(server: RunningServer) -> AsyncIterator[None]:
    async with queue_node(server):
        yield


pytestmark = pytest.mark.usefixtures("node")


async def test_a_full_queue_refuses_with_depth_and_share(server: RunningServer) -> None:
    async with both(server, "q-full") as fabric, both(server, "q-full-2") as other:
        for _ in range(JOBS_PER_SOURCE):
            await fabric.queue("q-full").put(b"x")
        with pytest.raises(Refused) as refused:
            await fabric.queue("q-full").put(b"one too many")
        await other.queue("q-full").put(b"another source has room")
        error = refused.value
        assert (error.reason, error.depth, error.share) == ("full", JOBS_PER_SOURCE, 1.0)
        assert error.retry_after_ms > 0
        assert "q-full" in str(error)


async def test_a_putter_tells_every_outcome_and_how_deep_the_queue_is(server: RunningServer) -> None:
    outcomes: list[Receipt | Refused] = []
    async with both(server, "q-out") as fabric:
        queue = fabric.queue("q-out")
        async with queue.putter(window=256, on_outcome=lambda _, outcome: outcomes.append(outcome)) as out:
            for _ in range(100):
                await out.send(b"x")
            await out.settle()
            await until(lambda: queue._depth[0], "it was looked at")
            await out.send(b"x")
        assert (out.accepted, out.refused) == (JOBS_PER_SOURCE, 101 - JOBS_PER_SOURCE)
        last = outcomes[-1]
        assert isinstance(last, Refused)
        assert (last.depth, last.share) == (JOBS_PER_SOURCE, 1.0)


async def test_a_putters_jobs_have_their_own_priority_and_key(server: RunningServer) -> None:
    async with both(server, "q-each", "q-each") as fabric:
        async with fabric.queue("q-each").putter() as out:
            await out.send(b"high", priority=9)
            await out.send(b"plain")
            await out.send(b"keyed", key="k/1", id="own")
        jobs = {job.data: job for job in await take(fabric, "q-each", 3)}
        assert [jobs[name].envelope.get("fabpriority") for name in (b"high", b"plain", b"keyed")] == [
            "9",
            None,
            None,
        ]
        assert [jobs[name].key for name in (b"high", b"plain", b"keyed")] == [None, None, "k/1"]
        assert jobs[b"keyed"].id == "own"


async def test_a_job_put_again_under_its_id_is_stored_once(server: RunningServer) -> None:
    async with both(server, "q-once", "q-once") as fabric:
        first = await fabric.queue("q-once").put(b"x", id="a", once=True)
        second = await fabric.queue("q-once").put(b"x", id="a", once=True)
        assert (first.duplicate, second.duplicate) == (False, True)
        await fabric.queue("q-once").put(b"end")
        assert [job.data for job in await take(fabric, "q-once", 2)] == [b"x", b"end"]


async def test_a_job_that_would_not_fit_into_a_dead_letter_is_refused_when_it_is_put(
    server: RunningServer,
) -> None:
    async with both(server, "q-large") as fabric:
        large = bytes(fabric.session.connection.writer.payload_max - 1000)
        with pytest.raises(LimitExceeded, match="dead letter"):
            await fabric.queue("q-large").put(large)
        async with fabric.queue("q-large").putter() as out:
            with pytest.raises(LimitExceeded, match="dead letter"):
                await out.send(large)


async def test_the_largest_job_fits_into_a_dead_letter(server: RunningServer) -> None:
    async with both(server, "q-largest", "q-largest") as fabric:
        queue = fabric.queue("q-largest")
        await queue.put(bytes(fabric.session.connection.writer.payload_max - 5000))
        async for job in queue.work():
            await job.dead("z" * 10_000)
            break
        (letter,) = await letters(fabric, "q-largest")
        assert len(letter.envelope.data) > 1_000_000
