"""A server with what a node does for queues, in this process: consumers, dead letters, delayed jobs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fabric.client import DeadLetter, Fabric, Job, Session
from fabric.client.identity import Identity
from fabric.node.due import Mover
from fabric.node.letters import LetterService
from fabric.node.queues import QueueService
from fabric.node.services import Services
from helpers.lane import opened
from helpers.server import RunningServer
from helpers.waiting import BOUND_S

__all__ = ["letters", "queue_node", "take", "worker_named"]


@asynccontextmanager
async def queue_node(server: RunningServer, *, url: str | None = None) -> AsyncIterator[Mover]:
    """The parts of a node that queues need."""
    session = Session([url or server.url], name="node", credentials=server.node_creds)
    await session.open()
    try:
        offered = {"queue": QueueService(session.connection), "dead": LetterService(session)}
        services = Services(session.connection, offered)
        mover = Mover(Identity(session, "node"))
        await mover.start()
        try:
            yield mover
        finally:
            await mover.stop()
            await services.stop()
    finally:
        await session.close()


@asynccontextmanager
async def worker_named(server: RunningServer, name: str, *queues: str) -> AsyncIterator[Fabric]:
    """A name that puts jobs, and works these queues."""
    credentials = server.credentials(name, queues=queues)
    async with opened(server, name, credentials=credentials) as fabric, asyncio.timeout(BOUND_S):
        yield fabric


async def take(fabric: Fabric, queue: str, count: int, **options: Any) -> list[Job]:
    """So many jobs, acknowledged."""
    jobs = []
    async for job in fabric.queue(queue).work(**options):
        await job.ack()
        jobs.append(job)
        if len(jobs) == count:
            return jobs
    raise AssertionError("the worker ended")


async def letters(fabric: Fabric, queue: str) -> list[DeadLetter]:
    """What the queue gave up."""
    return [letter async for letter in fabric.dead.letters(kind="queue", holder=queue)]
