"""The node's service `settle`: settled letters leave an inbox's log, which only a node may change.

In: `{"floors": {source: sequence}, "open": true}` from the inbox's owner, whose name is the server's word: it
reaches its own inbox and no other. Out: `{"purged": n}`. Of each source everything up to its sequence goes;
`open` takes the gate away that a full inbox has shut (`fabric.client.inboxes.inbox`). Asking twice does no
harm. Above: `node`. Below: JetStream's API, one call for each source.
"""

import asyncio
from typing import Annotated

import msgspec

from fabric import subjects
from fabric.client.link import Link
from fabric.errors import InvalidName, LimitExceeded
from fabric.jetstream.layout import inbox_stream
from fabric.jetstream.server import api

__all__ = ["SettleService"]

SOURCES_MAX = 1024  # in one request
CALLS_AT_ONCE = 16  # the server works them off one by one
UNSAFE = frozenset(".*> \t\r\n")


class Request(msgspec.Struct):
    """What an owner asks."""

    floors: dict[str, Annotated[int, msgspec.Meta(ge=1)]] = msgspec.field(default_factory=dict)
    open: bool = False


class SettleService:
    """One per node; any number of nodes."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._turns = asyncio.Semaphore(CALLS_AT_ONCE)

    async def __call__(self, source: str, body: bytes) -> dict[str, int]:
        """Take what is settled out of the inbox of `source`. Raises LimitExceeded, InvalidName, Refused."""
        request = msgspec.json.decode(body, type=Request)
        if len(request.floors) > SOURCES_MAX:
            raise LimitExceeded("sources in a request", allowed=SOURCES_MAX, actual=len(request.floors))
        for sender in request.floors:
            if not sender or UNSAFE.intersection(sender):
                raise InvalidName("source", sender, "it is one token of a subject")
        purges = [
            self._purge(source, subjects.inbox(source, sender), floor + 1)
            for sender, floor in request.floors.items()
        ]
        if request.open:
            purges.append(self._purge(source, subjects.inbox_gate(source), 0))
        return {"purged": sum(await asyncio.gather(*purges))}

    async def _purge(self, agent: str, subject: str, before: int) -> int:
        stream = inbox_stream(subjects.shard(agent))
        body = {"filter": subject} | ({"seq": before} if before else {})
        async with self._turns:
            answer = await api(self._link.connection, f"STREAM.PURGE.{stream}", body)
        return int(answer["purged"])
