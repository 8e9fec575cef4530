"""Reading a log by direct get: pages of messages, no consumer on the server.

A page is one request; the server streams up to `batch` messages and an end mark. A page is never split over
a reconnect: it fails, and the reader asks again from the same position. Not read-your-writes on a
replicated stream. Above: repair, history, registry, Kafka views. Below: `connection`. Source: NATS ADR-31.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from fabric.clock import monotonic
from fabric.errors import InternalError, PermissionDenied, Refused, Unreachable
from fabric.jetstream.connection import Connection, NoResponders
from fabric.rules.log.paging import PageSize
from fabric_codecs.nats.headers import number_in, server_value_in, status_of, ticket_of

__all__ = ["Bounds", "LogReader", "Page", "Stored"]

PAGE_BYTES = 4 << 20  # the server has no other flow control here; its default would be 64 MiB
PAGE_TIMEOUT_S = 10.0


class Stored(NamedTuple):
    """One message of a log as it was stored: its position, original subject, header block (with the server's
    lines) and payload."""

    sequence: int
    subject: bytes
    header: bytes
    data: bytes


class Bounds(NamedTuple):
    """A log's ends: the first sequence that it holds, the last one that it ever stored; for how long it keeps
    a message and how many of a subject (0: no limit); how many it holds of the subjects asked for."""

    first: int
    last: int
    age_max_s: float
    per_subject_max: int
    subjects: dict[str, int]


@dataclass(slots=True)
class Page:
    """What one request brought. `pending` counts the matching messages after the last one given."""

    messages: list[Stored] = field(default_factory=list)
    pending: int = 0
    up_to: int = 0  # the log's end when it was asked; only for `only_subject`


@dataclass(slots=True)
class _Asked:
    subject: str
    single: bool  # one message and no end mark
    page: Page = field(default_factory=Page)
    arrival: asyncio.Event = field(default_factory=asyncio.Event)
    done: "asyncio.Future[Page]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def __post_init__(self) -> None:
        self.done.add_done_callback(lambda _: self.arrival.set())


class LogReader:
    """One per connection; any number of reads at once."""

    def __init__(self, connection: Connection, *, inbox: str) -> None:
        self.connection = connection
        self._reply = f"{inbox}.d.".encode()
        self._asked: dict[int, _Asked] = {}
        self._last = 0
        self._subscription = connection.subscribe(f"{inbox}.d.*", self._arrived)
        connection.on_down.append(self._abandon)
        connection.on_denied.append(self._denied)

    async def page(
        self,
        stream: str,
        pattern: str,
        start: int,
        *,
        batch: int,
        max_bytes: int = PAGE_BYTES,
        timeout_s: float = PAGE_TIMEOUT_S,
    ) -> Page:
        """Messages of `pattern` at sequence `start` or later, oldest first. An empty page means there are
        none.

        Raises PermissionDenied for a credential that may not read history, Refused("timeout") without an
        answer (a stream that is not there), Unreachable when the connection breaks.
        """
        body = {"seq": max(start, 1), "next_by_subj": pattern, "batch": batch, "max_bytes": max_bytes}
        return await self._ask(stream, body, timeout_s)

    async def pieces(
        self, stream: str, pattern: str, start: int, *, batch: int, timeout_s: float = PAGE_TIMEOUT_S
    ) -> AsyncGenerator[Page, None]:
        """One page in the pieces in which it arrives, so that reading and handling overlap. Only the last
        piece knows what is pending after it; the others say 1. `timeout_s` is for each. Raises as `page`."""
        body = {
            "seq": max(start, 1),
            "next_by_subj": pattern,
            "batch": batch,
            "max_bytes": PAGE_BYTES,
        }
        async with self._asking(stream, body, timeout_s) as asked:
            while True:
                async with asyncio.timeout(timeout_s):
                    await asked.arrival.wait()
                asked.arrival.clear()
                messages, asked.page.messages = asked.page.messages, []
                if asked.done.done():
                    yield Page(messages, asked.done.result().pending)
                    return
                yield Page(messages, pending=1)

    async def only_subject(self, stream: str, pattern: str) -> tuple[str, int] | None:
        """The subject of all that `pattern` matches now, and up to which sequence that is so; None when
        there is none, or more than one. Reading one literal subject costs the server a fraction of reading
        a pattern."""
        page = await self._ask(stream, {"multi_last": [pattern], "batch": 2}, PAGE_TIMEOUT_S)
        if len(page.messages) != 1 or page.pending or not page.up_to:
            return None
        return page.messages[0].subject.decode(), page.up_to

    async def last(self, stream: str, pattern: str, *, timeout_s: float = PAGE_TIMEOUT_S) -> Stored | None:
        """The newest message of `pattern`, or None when there is none."""
        page = await self._ask(stream, {"last_by_subj": pattern}, timeout_s)
        return page.messages[0] if page.messages else None

    async def bounds(self, stream: str, *, subjects: str = "", timeout_s: float = PAGE_TIMEOUT_S) -> Bounds:
        """Where the log begins and ends, as its leader says; with how many messages each subject of the
        pattern `subjects` has, at most 100,000 of them. Raises Refused, Unreachable; InternalError for a
        stream that is not there."""
        body = json.dumps({"subjects_filter": subjects}).encode() if subjects else b""
        try:
            ask = f"$JS.API.STREAM.INFO.{stream}"
            reply = await self.connection.request(ask, body, timeout_s=timeout_s)
        except NoResponders:
            detail = "nobody serves this log now"
            raise Refused("unreachable", retry_after_ms=1000, detail=detail) from None
        answer = json.loads(reply.data)
        if "error" in answer:
            raise InternalError(f"stream {stream}: {answer['error'].get('description')}")
        state, config = answer["state"], answer["config"]
        return Bounds(
            first=state["first_seq"],
            last=state["last_seq"],
            age_max_s=config["max_age"] / 1e9,
            per_subject_max=max(config["max_msgs_per_subject"], 0),
            subjects=state.get("subjects") or {},
        )

    async def count(self, stream: str, pattern: str, after: int) -> int:
        """How many messages of `pattern` the log holds after that sequence. Raises as `page`."""
        page = await self.page(stream, pattern, after + 1, batch=1)
        return len(page.messages) + page.pending

    async def since_time(
        self, stream: str, pattern: str, start: str, *, timeout_s: float = PAGE_TIMEOUT_S
    ) -> Page:
        """As `page`, one message long, from an RFC 3339 time on."""
        return await self._ask(stream, {"start_time": start, "next_by_subj": pattern, "batch": 1}, timeout_s)

    async def pages(self, stream: str, pattern: str, start: int) -> AsyncIterator[list[Stored]]:
        """Page after page until the end as it is then, each as large as the server answers quickly."""
        batch = PageSize()
        while True:
            asked = monotonic()
            page = await self.page(stream, pattern, start, batch=batch.size)
            batch.took(monotonic() - asked)
            if page.messages:
                start = page.messages[-1].sequence + 1
                yield page.messages
            if not page.messages or not page.pending:
                return

    def close(self) -> None:
        """Stop; reads under way fail."""
        self.connection.unsubscribe(self._subscription)
        self._abandon()

    async def _ask(self, stream: str, body: dict[str, object], timeout_s: float) -> Page:
        deadline = monotonic() + timeout_s
        async with self._asking(stream, body, timeout_s) as asked:
            async with asyncio.timeout(deadline - monotonic()):
                return await asked.done

    @asynccontextmanager
    async def _asking(self, stream: str, body: dict[str, object], timeout_s: float) -> AsyncIterator[_Asked]:
        await self.connection.wait_up(timeout_s)
        self._last += 1
        ticket = self._last
        subject = f"$JS.API.DIRECT.GET.{stream}"
        asked = self._asked[ticket] = _Asked(subject, single="last_by_subj" in body)
        try:
            payload = json.dumps(body).encode()
            self.connection.writer.publish(subject.encode(), self._reply, b"", payload, ticket)
            self.connection.wake()
            yield asked
        except TimeoutError:
            detail = f"reading {stream} gave no answer within {timeout_s:g} s; is there such a stream?"
            raise Refused("timeout", retry_after_ms=1000, detail=detail) from None
        finally:
            del self._asked[ticket]

    def _arrived(self, subject: bytes, _reply: bytes, header: bytes, data: bytes) -> None:
        asked = self._asked.get(ticket_of(subject))
        if asked is None or asked.done.done():
            return
        status = status_of(header)
        if status == 0:
            stored = Stored(
                number_in(header, b"Nats-Sequence"), server_value_in(header, b"Nats-Subject"), header, data
            )
            asked.page.messages.append(stored)
            asked.arrival.set()
            if asked.single:
                asked.done.set_result(asked.page)
        elif status in (204, 404):
            asked.page.pending = max(number_in(header, b"Nats-Num-Pending"), 0)
            asked.page.up_to = max(number_in(header, b"Nats-UpTo-Sequence"), 0)
            asked.done.set_result(asked.page)
        elif status == 503:
            asked.done.set_exception(
                Refused("unreachable", retry_after_ms=1000, detail="nobody serves this log now")
            )
        else:
            asked.done.set_exception(
                Refused("denied", detail=f"the log answered {header[9:60].decode('latin-1').strip()}")
            )

    def _denied(self, verb: str, subject: str) -> None:
        for asked in self._asked.values():
            if verb == "publish" and asked.subject == subject and not asked.done.done():
                hint = "this credential has no right to history; join through a node, or ask for one that has"
                asked.done.set_exception(PermissionDenied(f"reading {subject.rpartition('.')[2]}", hint))

    def _abandon(self) -> None:
        for asked in self._asked.values():
            if not asked.done.done():
                asked.done.set_exception(
                    Unreachable(", ".join(self.connection.servers), "the connection broke while reading")
                )
