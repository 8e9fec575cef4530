"""Queues under faults: workers, servers and links die in the middle; every accepted job is worked."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from fabric.client import Fabric
from fabric.client.queues.job import Job
from fabric.errors import FabricError, Refused, Unreachable
from fabric.jetstream import watchdog
from fabric.jetstream.server import api
from fabric.rules.queues import held, retry
from helpers.lane import connected, opened
from helpers.proxy import Proxy
from helpers.queues import queue_node
from helpers.server import RunningServer
from helpers.waiting import until

BOUND_S = 50.0
JOBS = 200
WORKER = """
import asyncio, sys, fabric
async def main():
    async with fabric.connect("worker", url=sys.argv[1], credentials=sys.argv[2]) as fab:
        async for job in fab.queue("crash").work(concurrency=4):
            print(job.data.decode(), flush=True)
            if sys.argv[3] == "die" and int(job.data) % 10 == 7:
                await asyncio.Event().wait()  # until it is killed
            await job.ack()
asyncio.run(main())
"""

pytestmark = pytest.mark.timeout(2 * BOUND_S)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "PROBE_EVERY_S", 0.2)
    monkeypatch.setattr(watchdog, "PROBE_TIMEOUT_S", 1)
    monkeypatch.setattr(retry, "BACKOFF_FIRST_S", 0.02)
    monkeypatch.setattr("fabric.client.queues.worker.REOPEN_S", 0.1)
    monkeypatch.setattr("fabric.node.queues.ACK_WAIT_S", 2.0)
    monkeypatch.setattr(held, "ACK_WAIT_S", 2.0)


@asynccontextmanager
async def both(server: RunningServer, name: str, url: str | None = None) -> AsyncIterator[Fabric]:
    async with opened(server, name, url=url, credentials=server.creds) as fabric, asyncio.timeout(BOUND_S):
        yield fabric


async def put_all(fabric: Fabric, queue: str, count: int) -> set[bytes]:
    """Put so many jobs, from sources enough; those that were accepted."""
    accepted = set()
    for number in range(count):
        source = fabric.on_behalf_of(f"{fabric.name}-{number % 8}")
        with suppress(Refused, Unreachable):
            await source.queue(queue).put(b"%d" % number)
            accepted.add(b"%d" % number)
    return accepted


@asynccontextmanager
async def serving(fabric: Fabric, queue: str, seen: "Counter[bytes]") -> AsyncIterator[None]:
    async def handle(job: Job) -> None:
        seen[job.data] += 1
        await asyncio.sleep(0)

    async def work() -> None:
        worker = fabric.queue(queue).work(handle)
        worker._held.ack_wait_s = 2.0
        await worker

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_jobs_of_a_worker_that_is_killed_go_to_others(
    private_server: RunningServer, tmp_path: Path
) -> None:
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    seen: Counter[bytes] = Counter()
    async with queue_node(private_server), both(private_server, "putter") as fabric:
        accepted = await put_all(fabric, "crash", JOBS)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(script), private_server.url, private_server.creds, "die"),
            stdout=asyncio.subprocess.PIPE,
            env={"PYTHONPATH": ":".join(sys.path)},
        )
        assert process.stdout is not None
        started: list[bytes] = []
        while not started or int(started[-1]) % 10 != 7:  # it has that one in hand now
            started.append((await process.stdout.readline()).strip())
        process.kill()
        await process.wait()
        async with serving(fabric, "crash", seen):
            await until(lambda: {*started, *seen} == accepted, "every job was started", BOUND_S)
            await until(lambda: started[-1] in seen, "what it had not settled is worked by another", BOUND_S)
        assert [letter async for letter in fabric.dead.letters(holder="crash")] == []


async def test_no_accepted_job_is_lost_when_the_server_is_killed_in_the_middle(
    private_server: RunningServer,
) -> None:
    seen: Counter[bytes] = Counter()
    async with (
        queue_node(private_server),
        both(private_server, "putter") as fabric,
        serving(fabric, "kill", seen),
    ):
        putting = asyncio.create_task(put_all(fabric, "kill", JOBS))
        for third in (1, 2):
            await until(lambda: len(seen) >= third * JOBS // 4, "it is under way", BOUND_S)  # noqa: B023
            await private_server.kill_and_restart()
        accepted = await putting
        await until(lambda: accepted <= set(seen), "every accepted job is worked", BOUND_S)
    assert len(accepted) > JOBS // 2


async def test_a_lost_acknowledgement_is_sent_again(private_server: RunningServer) -> None:
    seen: Counter[bytes] = Counter()
    async with (
        queue_node(private_server),
        Proxy(private_server.url) as proxy,
        both(private_server, "worker", proxy.url) as worker,
        both(private_server, "putter") as putter,
    ):
        proxy.drop = lambda subject, _header, _payload: b".k." in subject
        async with serving(worker, "acks", seen):
            accepted = await put_all(putter, "acks", 20)
            await until(lambda: set(seen) == accepted, "all are worked", BOUND_S)
            await until(lambda: proxy.dropped, "confirmations are lost")
            proxy.drop = None
            proxy.cut()

            async def left() -> int:
                states = await putter.session.ask("queue", "putter", {"list": True})
                return sum(int(state["depth"]) for state in states)

            async with asyncio.timeout(BOUND_S):
                while await left():
                    pass
        assert set(seen) == accepted


async def test_a_worker_survives_the_loss_of_its_consumers(private_server: RunningServer) -> None:
    seen: Counter[bytes] = Counter()
    async with (
        queue_node(private_server),
        both(private_server, "both") as fabric,
        serving(fabric, "gone", seen),
    ):
        await put_all(fabric, "gone", 10)
        await until(lambda: len(seen) == 10, "all are worked")
        async with connected(private_server, "node", credentials=private_server.node_creds) as node:
            for token in ("n0", "n1"):
                await api(node, f"CONSUMER.DELETE.Q.gone-{token}")
        for number in range(10, 20):
            await fabric.queue("gone").put(b"%d" % number)
        await until(lambda: len(seen) == 20, "all are worked", BOUND_S)


async def test_delayed_jobs_survive_the_server_and_the_node(private_server: RunningServer) -> None:
    seen: Counter[bytes] = Counter()
    async with both(private_server, "both") as fabric:
        async with queue_node(private_server):
            pass  # makes the consumer; no node runs when they come due
        for number in range(20):
            await fabric.queue("late").put(b"%d" % number, delay_s=0.1)
        await private_server.kill_and_restart()
        async with queue_node(private_server), serving(fabric, "late", seen):
            await until(lambda: len(seen) == 20, "all came", BOUND_S)
        assert set(seen.values()) == {1}


async def test_a_worker_without_a_node_says_so(private_server: RunningServer) -> None:
    async with both(private_server, "alone") as fabric:
        with pytest.raises(FabricError, match="no node runs"):
            await fabric.queue("alone").work(lambda job: None)
