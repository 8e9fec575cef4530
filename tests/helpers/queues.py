"""A server with what a node does for queues, in this process: consumers, dead letters, delayed jobs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fabric.client import Session
from fabric.client.identity import Identity
from fabric.node.due import Mover
from fabric.node.letters import LetterService
from fabric.node.queues import QueueService
from fabric.node.services import Services
from helpers.server import RunningServer

__all__ = ["queue_node"]


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
