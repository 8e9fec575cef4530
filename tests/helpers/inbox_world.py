"""Inboxes for a test: a node's services beside a server, agents that own inboxes, letters as a list.

`served(server)` gives what a node gives; `owning(server, name)` opens an agent's inbox under a credential for
that name alone. Above: tests of inboxes. Below: the real server.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from fabric.client import Fabric, Letter, OwnedInbox, Session
from fabric.client.inboxes.custody import record_subject
from fabric.jetstream.layout import inbox_stream
from fabric.jetstream.server import api
from fabric.node.inboxes import SettleService
from fabric.node.letters import LetterService
from fabric.node.services import Services
from fabric.rules.inboxes.inbox import InboxRecord
from fabric.subjects import inbox_letters, shard
from helpers.lane import opened
from helpers.server import RunningServer
from helpers.waiting import BOUND_S

__all__ = ["InboxNode", "letters_of", "owning", "served"]


class InboxNode:
    """What a node does for inboxes, and a look behind them."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.fabric = Fabric(session, "node")

    async def in_log(self, agent: str) -> int:
        """Letters that the log holds, settled or not."""
        body = {"subjects_filter": inbox_letters(agent)}
        info = await api(self.session.connection, f"STREAM.INFO.{inbox_stream(shard(agent))}", body)
        return sum((info["state"].get("subjects") or {}).values())

    async def record(self, agent: str) -> InboxRecord:
        """The record as it was committed last."""
        found = await self.session.state.get(record_subject(agent))
        return msgspec.json.decode(found.value, type=InboxRecord)


@asynccontextmanager
async def served(server: RunningServer) -> AsyncIterator[InboxNode]:
    """The services of a node, without its edges."""
    session = Session([server.url], name="node", credentials=Path(server.node_creds))
    await session.open()
    services = Services(
        session.connection, {"settle": SettleService(session), "dead": LetterService(session)}
    )
    try:
        yield InboxNode(session)
    finally:
        await services.stop()
        await session.close()


@asynccontextmanager
async def owning(
    server: RunningServer, name: str, *, url: str | None = None, take_over: bool = False, **settings: Any
) -> AsyncIterator[OwnedInbox]:
    """An agent that is live, and its inbox; `settings` are those of `Agent.inbox`."""
    async with (
        opened(server, name, url=url) as fabric,
        fabric.agent(name, take_over=take_over) as me,
        me.inbox(**settings) as inbox,
    ):
        yield inbox


async def letters_of(inbox: OwnedInbox, count: int) -> list[Letter]:
    """The next letters; each is settled as the next one is taken, unless that is done by hand."""
    async with asyncio.timeout(BOUND_S):
        return [await anext(inbox) for _ in range(count)]
