"""A queue in chaos while its server is killed: every accepted id is worked, expired or in a letter.

`SEED=7 ROUNDS=5 pytest tests/faults/test_queue_chaos.py` replays a seed, or runs longer.
"""

import asyncio
import os
import random
from contextlib import suppress

import pytest

from fabric.client import Fabric, Job, Receipt, Worker
from fabric.errors import FabricError, Refused
from fabric.jetstream import watchdog
from fabric.rules.queues import retry
from helpers.lane import opened
from helpers.queues import queue_node
from helpers.server import RunningServer
from helpers.waiting import until

BOUND_S = 90.0
JOBS = 400


class Chaos:
    """What was accepted, and what became of it."""

    def __init__(self, seed: int) -> None:
        self.queue = f"chaos-{seed}"
        self.chance = random.Random(seed)
        self.accepted: set[str] = set()
        self.unknown: set[str] = set()
        self.worked: dict[str, int] = {}
        self.starts: dict[str, int] = {}

    async def handle(self, job: Job) -> None:
        self.starts[job.id] = self.starts.get(job.id, 0) + 1
        await asyncio.sleep(0)
        if job.data == b"poison":
            raise ValueError("poison")
        if job.data == b"weak" and self.starts[job.id] == 1:
            raise ValueError("not today")
        self.worked[job.id] = self.worked.get(job.id, 0) + 1

    async def put(self, fabric: Fabric) -> None:
        for number in range(JOBS):
            kind = self.chance.choice([b"well"] * 7 + [b"weak", b"poison", b"expired", b"late"])
            source = fabric.on_behalf_of(f"chaos-{self.chance.randrange(12)}")
            options: dict[str, float] = {"expires_s": -1.0} if kind == b"expired" else {}
            if kind == b"late":
                options["delay_s"] = self.chance.random()
            identity = f"{kind.decode()}-{number}"
            try:
                receipt = await source.queue(self.queue).put(kind, id=identity, **options)  # type: ignore[arg-type]
                assert isinstance(receipt, Receipt)
                self.accepted.add(identity)
            except Refused as error:
                if error.unknown:
                    self.unknown.add(identity)
            except FabricError:
                self.unknown.add(identity)

    async def work(self, fabric: Fabric) -> None:
        """Workers come and go."""
        while True:
            worker: Worker = fabric.queue(self.queue).work(
                self.handle, concurrency=self.chance.randrange(1, 9)
            )
            task = asyncio.ensure_future(_served(worker))
            await asyncio.wait([task], timeout=0.2 + self.chance.random())
            task.cancel()
            with suppress(asyncio.CancelledError, FabricError):
                await task


async def _served(worker: Worker) -> None:
    await worker


async def run(server: RunningServer, seed: int) -> None:
    chaos = Chaos(seed)
    async with queue_node(server), opened(server, "chaos", credentials=server.creds) as fabric:
        working = [asyncio.create_task(chaos.work(fabric)) for _ in range(2)]
        putting = asyncio.create_task(chaos.put(fabric))
        for part in (1, 2):
            await until(lambda: len(chaos.accepted) > part * JOBS // 4, "it is under way", BOUND_S)  # noqa: B023
            await server.kill_and_restart()
        await putting
        expected = {
            identity for identity in chaos.accepted if identity.split("-")[0] in ("well", "weak", "late")
        }
        poison = {identity for identity in chaos.accepted if identity.startswith("poison")}
        await until(lambda: expected <= set(chaos.worked), "everything accepted is worked", BOUND_S)
        buried: set[str] = set()
        async with asyncio.timeout(BOUND_S):
            while not poison <= buried:
                buried = {letter.envelope.id async for letter in fabric.dead.letters(holder=chaos.queue)}
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
    assert not {identity for identity in chaos.worked if identity.startswith("expired")}
    assert set(chaos.worked) <= chaos.accepted | chaos.unknown, "something was worked that nobody put"
    assert buried <= poison | chaos.unknown
    again = sum(count - 1 for count in chaos.worked.values())
    print(f"seed {seed}: {len(chaos.accepted)} accepted, 0 lost, {again} worked twice, {len(buried)} buried")


@pytest.mark.timeout(3 * BOUND_S)
async def test_every_accepted_job_ends_while_workers_and_servers_come_and_go(
    private_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "PROBE_EVERY_S", 0.2)
    monkeypatch.setattr(watchdog, "PROBE_TIMEOUT_S", 1)
    monkeypatch.setattr(retry, "BACKOFF_FIRST_S", 0.02)
    monkeypatch.setattr("fabric.client.queues.worker.REOPEN_S", 0.1)
    monkeypatch.setattr("fabric.client.queues.worker.GRACE_S", 1.0)
    monkeypatch.setattr("fabric.node.queues.ACK_WAIT_S", 3.0)
    first = int(os.environ.get("SEED", "1"))
    for seed in range(first, first + int(os.environ.get("ROUNDS", "1"))):
        await run(private_server, seed)
