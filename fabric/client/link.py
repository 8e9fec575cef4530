"""What everything on one connection shares: publish window, log reader, journal, running numbers, tasks.

Above: channels, members, calls, agents, the registry; `session` puts them together. Below: `jetstream`.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Protocol

import msgspec

from fabric.client.journal import JournalWriter
from fabric.errors import CallFailed, Refused, Unreachable
from fabric.jetstream.connection import Connection, NoResponders
from fabric.jetstream.publish import Publisher
from fabric.jetstream.read import LogReader
from fabric.jetstream.state import State
from fabric.rules.channels.together import AT_ONCE
from fabric.subjects import inbox_prefix, service
from fabric_codecs.names import encode_level

__all__ = ["Follower", "Link", "Liveness"]

log = logging.getLogger("fabric.session")


class Follower(Protocol):
    """What follows a feed and wants to be told how the connection fares."""

    def reconnected(self) -> None:
        """The feed was interrupted."""

    async def probe(self, now: float) -> None:
        """Time has passed."""

    async def close(self) -> None:
        """The connection ends."""


class Liveness(Protocol):
    """What tells others that this process lives."""

    async def keep(self) -> None:
        """From now on. Raises FabricError when that cannot be told."""


class Link:
    """One connection under one credential, and what its users have in common."""

    def __init__(self, servers: list[str], *, name: str, credentials: Path | str | None = None) -> None:
        self.lease: Liveness  # of this process; the session's
        self.token = encode_level(name)
        self.process = secrets.token_hex(5)  # new in each life, so ids and running numbers never repeat
        # Acknowledgements and pages come to a subject that only the server learns of; everybody whom we call
        # learns where answers to calls go.
        self.inbox = f"{inbox_prefix(self.token)}.{secrets.token_hex(8)}"
        self.call_inbox = f"{inbox_prefix(self.token)}.{self.process}"
        self.connection = Connection(servers, name=name, inbox=self.inbox, credentials=credentials)
        self.publisher = Publisher(self.connection, inbox=self.inbox)
        self.reader = LogReader(self.connection, inbox=self.inbox)
        self.state = State(self.connection)
        self.journal = JournalWriter(self.publisher, self.token)
        self.members: set[Follower] = set()
        self.feeds: dict[str, Follower] = {}  # by pattern: all members of one share its feed
        self.heard: Counter[str] = Counter()  # what members that have left had counted
        self.pages = asyncio.Semaphore(AT_ONCE)  # questions that members ask of logs at a time
        self.shelves: dict[str, object] = {}  # by log: late members of one may read it together
        self._count = 0
        self._live_counts: dict[bytes, int] = {}
        self._live_lead = f"ce-fablive: {self.process}:".encode()
        self._tasks: set[asyncio.Task[Any]] = set()

    def next_count(self) -> int:
        """The running number of the next message of this process; with the process's name it is an id."""
        self._count += 1
        return self._count

    def new_id(self) -> str:
        """An id that no other message has."""
        return f"{self.process}-{self.next_count()}"

    def live_line(self, subject: bytes) -> bytes:
        """The header line that numbers a live message on its channel."""
        number = self._live_counts.get(subject, 0) + 1
        self._live_counts[subject] = number
        return b"%s%d\r\n" % (self._live_lead, number)

    async def ask(self, what: str, source: str, request: object, *, timeout_s: float = 10.0) -> Any:
        """Have a node do what this credential may not: `source` is the encoded name that asks. Answers what
        the service did. Raises Refused, Unreachable when no node runs, CallFailed with the node's words."""
        body = msgspec.json.encode(request)
        try:
            reply = await self.connection.request(service(what, source), body, timeout_s=timeout_s)
        except NoResponders:
            where = ", ".join(self.connection.servers)
            raise Unreachable(where, f"no node runs there, and {what} is a node's business") from None
        answer = msgspec.json.decode(reply.data)
        error = answer.get("error") if isinstance(answer, dict) else None
        if error is None:
            return answer
        if error["code"] == Refused.code:
            raise Refused(
                error["reason"],
                retry_after_ms=error["retry_after_ms"],
                unknown=error["unknown"],
                detail=f"{what}: {error['detail']}",
            )
        raise CallFailed(f"the node's {what}", error["code"], error["message"])

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """Run something in the background until the session closes; what it raises is logged."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s ended", task.get_name(), exc_info=error)

    async def end_tasks(self) -> None:
        """Cancel what was spawned and wait for it."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
