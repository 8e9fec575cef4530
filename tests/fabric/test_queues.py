"""Queues on a real server: what is put is worked, by one worker, and each job's end is counted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from fabric.client import Receipt
from fabric.client.queues.job import Job
from fabric.client.queues.worker import Worker
from fabric.errors import InvalidName, NotHeld, PermissionDenied
from fabric.rules.queues import retry
from fabric.subjects import job as job_subject
from fabric_codecs.envelope import Envelope
from helpers.queues import letters, queue_node, take
from helpers.queues import worker_named as both
from helpers.server import RunningServer
from helpers.waiting import until


@pytest.fixture
async def node(server: RunningServer) -> AsyncIterator[None]:
    async with queue_node(server):
        yield


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF_FIRST_S", 0.02)
    monkeypatch.setattr("fabric.client.queues.worker.TICK_S", 0.02)
    monkeypatch.setattr("fabric.client.queues.endings.FLUSH_EVERY_S", 0.05)


@asynccontextmanager
async def working(worker: Worker) -> AsyncIterator[Worker]:
    """A worker with a handler, for as long as the block lasts."""

    async def work() -> None:
        await worker

    task = asyncio.create_task(work())
    try:
        yield worker
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


pytestmark = pytest.mark.usefixtures("node")


async def test_a_job_is_worked_with_what_it_was_put_with(server: RunningServer) -> None:
    async with both(server, "q-one", "q.one") as fabric:
        receipt = await fabric.queue("q.one").put({"page": 7}, priority=8, id="mine", traceparent="x")
        (job,) = await take(fabric, "q.one", 1)
        assert isinstance(receipt, Receipt)
        assert (receipt.id, receipt.stream) == ("mine", "Q")
        assert (job.id, job.json(), job.source, job.attempt) == ("mine", {"page": 7}, "q-one", 1)
        assert (job.envelope.get("fabpriority"), job.envelope.get("traceparent")) == ("8", "x")


async def test_every_job_is_worked_once_by_several_workers(server: RunningServer) -> None:
    seen: list[bytes] = []

    async def handle(job: Job) -> None:
        await asyncio.sleep(0)
        seen.append(job.data)

    async with both(server, "q-many", "q-many") as fabric, both(server, "q-many-2", "q-many") as other:
        workers = fabric.queue("q-many").work(handle), other.queue("q-many").work(handle)
        async with working(workers[0]), working(workers[1]):
            for batch in range(0, 300, 60):  # a source may leave 64
                async with fabric.queue("q-many").putter() as out:
                    for number in range(batch, batch + 60):
                        await out.send(b"%d" % number)
                await until(
                    lambda: sum(worker.account.delivered for worker in workers) == batch + 60,  # noqa: B023
                    "all are settled",
                )
        assert sorted(seen) == sorted(b"%d" % number for number in range(300))
        assert not await letters(fabric, "q-many")


async def test_a_plain_function_is_a_handler(server: RunningServer) -> None:
    seen: list[bytes] = []
    async with both(server, "q-plain", "q-plain") as fabric:
        async with working(fabric.queue("q-plain").work(lambda job: seen.append(job.data))) as worker:
            for number in range(5):
                await fabric.queue("q-plain").put(b"%d" % number)
            await until(lambda: worker.account.delivered == 5, "all are settled")
        assert seen == [b"%d" % number for number in range(5)]


async def test_a_higher_priority_is_served_first_and_the_lowest_not_starved(server: RunningServer) -> None:
    async with both(server, "q-prio", "q-prio") as fabric:
        for priority in (0, 4, 9) * 20:
            await fabric.queue("q-prio").put(b"%d" % priority, priority=priority)
        worker = fabric.queue("q-prio").work(concurrency=1)
        await worker.start()
        await until(lambda: worker.waiting > 50, "they wait in the worker")
        order = []
        async for job in worker:
            order.append(int(job.data))
            await job.ack()
            if len(order) == 60:
                break
        assert order[:25].count(9) > order[:25].count(4) > 0
        assert 0 in order[:25]


async def test_jobs_of_a_key_are_worked_in_order_by_several_workers_also_when_they_fail(
    server: RunningServer,
) -> None:
    order: list[tuple[str, int]] = []
    failed: set[bytes] = set()
    running: set[str] = set()

    async def handle(job: Job) -> None:
        key, number = job.key or "", int(job.data)
        assert key not in running, "two jobs of a key at once"
        running.add(key)
        try:
            await asyncio.sleep(0)
            if number == 2 and job.key not in failed:
                failed.add(key)  # type: ignore[arg-type]
                raise ValueError("once")
            order.append((key, number))
        finally:
            running.discard(key)

    async with both(server, "q-key", "q-key") as fabric, both(server, "q-key-2", "q-key") as other:
        for number in range(5):
            for key in ("a", "b", "c"):
                await fabric.queue("q-key").put(b"%d" % number, key=key)
        async with working(fabric.queue("q-key").work(handle)), working(other.queue("q-key").work(handle)):
            await until(lambda: len(order) == 15, "all are worked")
    for key in ("a", "b", "c"):
        assert [number for name, number in order if name == key] == list(range(5))


async def test_a_job_that_fails_comes_again_and_dies_after_its_last_attempt(server: RunningServer) -> None:
    attempts: list[int] = []

    async def handle(job: Job) -> None:
        attempts.append(job.attempt)
        raise ValueError("no such page")

    async with both(server, "q-fail", "q-fail") as fabric:
        async with working(fabric.queue("q-fail").work(handle, max_attempts=3)) as worker:
            await fabric.queue("q-fail").put(b"x", id="poison")
            await until(lambda: worker.account.dead == 1, "it is buried")
        (letter,) = await letters(fabric, "q-fail")
        assert attempts == [1, 2, 3]
        assert (letter.cause, letter.attempts, letter.envelope.data) == ("ValueError: no such page", 3, b"x")
        assert (letter.envelope.id, letter.holder, letter.buried_by) == ("poison", "q-fail", "q-fail")
        assert worker.account.balanced(0)


async def test_a_handler_may_give_a_job_up_or_put_it_off_by_itself(server: RunningServer) -> None:
    async def handle(job: Job) -> None:
        if job.data == b"never":
            await job.dead("nobody can do that")
        elif job.attempt == 1:
            await job.nak("not yet", delay_s=0)

    async with both(server, "q-self", "q-self") as fabric:
        async with working(fabric.queue("q-self").work(handle)) as worker:
            await fabric.queue("q-self").put(b"never")
            await fabric.queue("q-self").put(b"later")
            await until(lambda: (worker.account.dead, worker.account.delivered) == (1, 1), "both end")
        (letter,) = await letters(fabric, "q-self")
        assert (letter.cause, letter.attempts) == ("nobody can do that", 1)


async def test_attempts_count_over_workers_and_not_what_was_given_back(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with both(server, "q-count", "q-count") as fabric:
        await fabric.queue("q-count").put(b"x")
        seen = []
        for _ in range(3):
            idle = fabric.queue("q-count").work(concurrency=1)
            await idle.start()
            await until(lambda: idle.waiting, "it waits")  # noqa: B023 - awaited inside the loop
            await idle.close()  # given back unstarted
            async for job in fabric.queue("q-count").work():
                seen.append(job.attempt)
                await job.nak(delay_s=0)
                break
        assert seen == [1, 2, 3]


async def test_a_job_whose_workers_die_of_it_ends_in_the_dead_letters(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with both(server, "q-killer", "q-killer") as fabric:
        await fabric.queue("q-killer").put(b"x")
        started = 0
        while not await letters(fabric, "q-killer"):
            worker = fabric.queue("q-killer").work(concurrency=1, max_attempts=2)
            await worker.start()
            taking = asyncio.ensure_future(worker._next())
            await until(lambda: taking.done() or worker.account.dead, "started, or buried")  # noqa: B023
            started += taking.done()
            if taking.done():
                job = taking.result()
                assert job is not None
                job.consumer.give_back(job.ack_subject)  # what the server does when it hears no more of us
                worker._held.end(job)
            taking.cancel()
            await worker.close()
        (letter,) = await letters(fabric, "q-killer")
        assert started == 3, "its first start is not counted, max_attempts more are"
        assert "worker ended" in letter.cause


async def test_settling_twice_is_told_and_changes_nothing(server: RunningServer) -> None:
    async with both(server, "q-twice", "q-twice") as fabric:
        await fabric.queue("q-twice").put(b"x")
        (job,) = await take(fabric, "q-twice", 1)
        again: list[Callable[[], Awaitable[None]]] = [job.ack, job.nak, lambda: job.dead("x")]
        for settle in again:
            with pytest.raises(NotHeld, match="settled before"):
                await settle()
        with pytest.raises(NotHeld):
            job.extend()
        assert not await letters(fabric, "q-twice")


async def test_a_job_whose_time_ran_out_is_not_ours_any_more(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with both(server, "q-lapse", "q-lapse") as fabric:
        await fabric.queue("q-lapse").put(b"x")
        worker = fabric.queue("q-lapse").work(concurrency=1)
        await worker.start()
        job = await worker._next()
        assert job is not None
        worker._held.ack_wait_s = 0.2
        job.extend()
        await until(lambda: not worker.running, "its place is free")
        with pytest.raises(NotHeld, match="ran out"):
            job.ack()
        assert worker.account.in_flight == 0
        await worker.close()


async def test_what_waits_too_long_in_a_busy_worker_goes_to_an_idle_one(server: RunningServer) -> None:
    async with both(server, "q-busy", "q-busy") as fabric, both(server, "q-idle", "q-busy") as other:
        for number in range(6):
            await fabric.queue("q-busy").put(b"%d" % number)
        busy = fabric.queue("q-busy").work(concurrency=1)
        busy._held.patience_s = 0.1
        await busy.start()
        stuck = await busy._next()
        assert stuck is not None
        await until(lambda: busy.waiting == 5, "the rest waits")
        taken = await take(other, "q-busy", 5)
        assert {job.data for job in taken} == {b"%d" % number for number in range(6)} - {stuck.data}
        assert {job.attempt for job in taken} == {1}
        await stuck.ack()
        await busy.close()


async def test_an_expired_job_is_counted_and_given_to_nobody(server: RunningServer) -> None:
    seen: list[bytes] = []
    async with both(server, "q-exp", "q-exp") as fabric:
        await fabric.queue("q-exp").put(b"old", expires_s=-1)
        await fabric.queue("q-exp").put(b"new", expires_s=60)
        async with working(fabric.queue("q-exp").work(lambda job: seen.append(job.data))) as worker:
            await until(lambda: worker.account.expired == worker.account.delivered == 1, "both end")
        assert seen == [b"new"]


@pytest.mark.parametrize("name", ["", "x" * 241, "back\\slash"])
async def test_a_name_that_no_queue_can_have_is_refused(server: RunningServer, name: str) -> None:
    async with both(server, "q-name") as fabric:
        with pytest.raises(InvalidName):
            fabric.queue(name)


@pytest.mark.parametrize("priority", [-1, 10])
async def test_a_priority_that_there_is_not_is_refused(server: RunningServer, priority: int) -> None:
    async with both(server, "q-prio-no") as fabric:
        with pytest.raises(InvalidName, match="0 to 9"):
            await fabric.queue("q").put(b"x", priority=priority)


async def test_a_job_that_names_another_source_is_buried(server: RunningServer) -> None:
    async with both(server, "q-liar", "q-liar") as fabric:
        forged = Envelope(b"x", id="1", source="/nats/somebody", type="t").nats_header()
        await fabric.session.publisher.publish(job_subject("q-liar", "n0", "q-liar"), forged, b"x")
        async with working(fabric.queue("q-liar").work(lambda job: None)) as worker:
            await until(lambda: worker.account.dead == 1, "it is buried")
        (letter,) = await letters(fabric, "q-liar")
        assert "somebody" in letter.cause


async def test_a_credential_works_only_its_queues(server: RunningServer) -> None:
    async with both(server, "q-right", "q-mine") as fabric:
        with pytest.raises(PermissionDenied, match="--works"):
            await take(fabric, "q-theirs", 1)
        await fabric.queue("q-mine").put(b"x")
        await take(fabric, "q-mine", 1)


async def test_the_account_is_kept_and_balances(server: RunningServer) -> None:
    async with both(server, "q-acc", "q-acc") as fabric:
        for number in range(10):
            await fabric.queue("q-acc").put(b"%d" % number)
        async with working(fabric.queue("q-acc").work(lambda job: None)) as worker:
            await until(lambda: worker.account.delivered == 10, "all are settled")
            await until(lambda: worker._endings._written.delivered == 10, "the account is written")
        assert worker.account.accepted == 10
        assert worker.account.balanced(0)


async def test_closing_gives_back_what_nobody_started(server: RunningServer) -> None:
    async with both(server, "q-close", "q-close") as fabric:
        for number in range(20):
            await fabric.queue("q-close").put(b"%d" % number)
        worker = fabric.queue("q-close").work(concurrency=1)
        await worker.start()
        await until(lambda: worker.waiting == 20, "they wait")
        await worker.close()
        assert worker.account.accepted == 0
        assert {job.data for job in await take(fabric, "q-close", 20)} == {
            b"%d" % number for number in range(20)
        }


async def test_a_queue_that_nobody_works_keeps_its_jobs_and_shows_them(server: RunningServer) -> None:
    async with both(server, "q-lonely") as fabric:
        await fabric.queue("q-lonely").put(b"x")
        states = await fabric.session.ask("queue", "q-lonely", {"list": True})
        (state,) = [state for state in states if state["name"] == "q-lonely"]
        assert state == {"name": "q-lonely", "depth": 1, "in_hand": 0, "sources": {"q-lonely": 1}}
