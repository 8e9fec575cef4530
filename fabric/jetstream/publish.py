"""Acknowledged publishing: every offer ends in a sequence or a Refused, whatever the connection does
meanwhile.

`rules/log/window` decides, this module writes and reads. nats-py's `publish_async` never tells of an error
and has no timeout; a failed acknowledgement here is a refusal with the server's reason. Above:
`fabric.client`. Below: `connection`.

Cost per message: one window entry, one command in the writer, one acknowledgement scanned (no JSON).
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable

import msgspec

from fabric.clock import monotonic
from fabric.errors import LimitExceeded, Refused
from fabric.jetstream.connection import Connection
from fabric.rules.log.window import Due, Window
from fabric_codecs.errors import CodecError
from fabric_codecs.nats.headers import status_of, stored_at, ticket_of
from fabric_codecs.nats.wire import Template

__all__ = ["Event", "Outcome", "Publisher", "Settle", "too_large"]

log = logging.getLogger("fabric.publish")

Outcome = int | Refused
"""A sequence; its negative when the server knew the message already; or why not."""

Settle = Callable[[int, Outcome], object]
"""Called once per offer with the `number` it was offered under."""

RETRY_LINE = (
    b"Fab-Retry: 1\r\n"  # a receiver looks into its ledger only for messages that may be second copies
)
TICK_S = 0.25
FULL_RETRY_MS = 1000
FULL = {10077: "the log is full", 10047: "the stream has no room", 10023: "the server has no resources"}
CONFLICT = {10071, 10164}  # it expected another last message
BUSY = {10167, 10158}  # ingest queue full; the same id is being stored


class Event(msgspec.Struct, frozen=True, gc=False):
    """One message with all that is needed to write it again.

    Not the collector's business: thousands are in flight, and each is let go when its outcome is known.
    """

    subject: bytes
    template: Template | None  # None: `first` is the whole header block
    first: bytes
    id_prefix: bytes
    number: int
    time_us: int
    payload: bytes
    settle: Settle


class Publisher:
    """One per connection. `in_flight_max` bounds what all its users together may have unsettled."""

    def __init__(
        self, connection: Connection, *, inbox: str, deadline_s: float = 15.0, in_flight_max: int = 65_536
    ) -> None:
        self.connection = connection
        self.in_flight_max = in_flight_max
        self._window: Window[Event] = Window(_log_of, deadline_s=deadline_s)
        self._reply = f"{inbox}.a.".encode()
        self._subscription = connection.subscribe(f"{inbox}.a.*", self._acknowledged)
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.refused = 0
        self.retried = 0
        self.duplicates = 0  # the log had them already
        connection.on_up.append(self._resend_all)
        connection.on_denied.append(self._denied)

    @property
    def in_flight(self) -> int:
        """Offers without an outcome."""
        return len(self._window)

    async def admit(self) -> None:
        """Wait until one more offer may be written: window, connection and socket all have room. Raises
        Refused or Unreachable in time."""
        deadline = monotonic() + self._window.deadline_s
        while True:
            await self.connection.wait_up(max(deadline - monotonic(), 0.001))
            if self.connection.is_congested:
                await self.connection.room(max(deadline - monotonic(), 0.001))
            elif len(self._window) >= self.in_flight_max:
                self._room.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(deadline - monotonic(), 0.001)):
                        await self._room.wait()
            else:
                return
            if monotonic() >= deadline:
                raise Refused(
                    "full",
                    retry_after_ms=FULL_RETRY_MS,
                    depth=len(self._window),
                    detail="the publish window is full",
                )

    @property
    def is_open(self) -> bool:
        """Whether `admit` would return at once."""
        return (
            self.connection.is_up
            and not self.connection.is_congested
            and len(self._window) < self.in_flight_max
        )

    def offer(self, event: Event) -> None:
        """Write it; `event.settle` learns the outcome. Raises LimitExceeded when it can never be stored."""
        ticket = self._window.open(event, monotonic())
        try:
            if not self._window.is_held(event):
                self._write(ticket, event, event.first)
        except CodecError as error:
            self._window.settle(ticket)
            raise too_large(self.connection, len(event.payload), error) from None
        if self._task is None:
            self._task = asyncio.create_task(self._tick(), name="fabric-publish-window")

    async def publish(self, subject: str, header: bytes, payload: bytes) -> int:
        """Offer one message and wait: its sequence, negative when the log had it already. Raises Refused,
        Unreachable, LimitExceeded."""
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def settle(_: int, outcome: Outcome) -> None:
            if not done.done():  # else whoever waited has gone
                done.set_result(outcome)

        await self.admit()
        self.offer(Event(subject.encode(), None, header, b"", 0, 0, payload, settle))
        outcome = await done
        if isinstance(outcome, Refused):
            raise outcome
        return outcome

    async def settled(self, timeout_s: float) -> bool:
        """Until nothing is in flight (True) or the time is up."""
        deadline = monotonic() + timeout_s
        while len(self._window) and monotonic() < deadline:
            self._room.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(deadline - monotonic()):
                    await self._room.wait()
        return not len(self._window)

    async def close(self) -> None:
        """Refuse what is still in flight, its outcome unknown."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.connection.unsubscribe(self._subscription)
        for event in self._window.drain():
            self._settle(
                event,
                Refused("closing", unknown=True, detail="the connection closed before the log answered"),
            )

    def _write(self, ticket: int, event: Event, first: bytes) -> None:
        if not self.connection.is_up:
            return  # `_resend_all` writes it when the connection is back
        writer = self.connection.writer
        if event.template is None:
            writer.publish(event.subject, self._reply, first, event.payload, ticket)
        else:
            writer.publish_event(
                event.subject,
                self._reply,
                ticket,
                event.template,
                first,
                event.id_prefix,
                event.number,
                event.time_us,
                event.payload,
            )
        self.connection.wake()

    def _acknowledged(self, subject: bytes, _reply: bytes, header: bytes, data: bytes) -> None:
        ticket = ticket_of(subject)
        sequence = stored_at(data)
        if sequence:
            event = self._window.settle(ticket)
            if event is not None:
                self.duplicates += sequence < 0
                self._answered(event)
                self._tell(event, sequence)
            return
        refusal = _refusal(header, data)
        if refusal is None:
            self._window.hold(ticket, monotonic())
            return
        event = self._window.settle(ticket)
        if event is not None:
            self._answered(event)
            self._settle(event, refusal)

    def _answered(self, event: Event) -> None:
        if self._window.held:
            self._rewrite(self._window.release(event, monotonic()))

    def _settle(self, event: Event, refusal: Refused) -> None:
        self.refused += 1
        self._tell(event, refusal)

    def _tell(self, event: Event, outcome: Outcome) -> None:
        self._room.set()
        try:
            event.settle(event.number, outcome)
        except Exception:  # it must not end the window's task or the read loop, which have others to serve
            log.exception("a publisher's callback raised on %s", outcome)

    def _denied(self, verb: str, subject: str) -> None:
        if verb != "publish":
            return
        wanted = subject.encode()
        for ticket, event in self._window.matching():
            if event.subject == wanted and self._window.settle(ticket) is not None:
                self._settle(event, Refused("denied", detail=f"the credential may not publish to {subject}"))

    def _resend_all(self) -> None:
        self._act(self._window.resend_all(monotonic()))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._act(self._window.due(monotonic(), writable=self.connection.is_up))

    def _act(self, due: Due[Event]) -> None:
        self._rewrite(due.resend)
        for event in due.expired:
            self._settle(
                event,
                Refused(
                    "timeout", retry_after_ms=1000, unknown=True, detail="the log did not answer in time"
                ),
            )

    def _rewrite(self, offers: list[tuple[int, Event]]) -> None:
        for ticket, event in offers:
            self.retried += 1
            try:
                self._write(ticket, event, _as_retry(event))
            except CodecError as error:  # offered while down, or the server allows less than it did
                self._window.settle(ticket)
                self._settle(event, Refused("too_large", detail=error.what))


def _log_of(event: Event) -> bytes:
    # The stream, near enough: its family and, where it has shards, the shard.
    return b".".join(event.subject.split(b".", 3)[:3])


def too_large(connection: Connection, size: int, error: CodecError) -> LimitExceeded:
    """What the writer's refusal of a message means to whoever publishes it."""
    allowed = connection.writer.payload_max
    return LimitExceeded("bytes of headers and payload", allowed=allowed, actual=size, hint=error.what)


def _as_retry(event: Event) -> bytes:
    if event.template is None:
        return event.first.replace(b"\r\n", b"\r\n" + RETRY_LINE, 1) if event.first else b""
    return RETRY_LINE + event.first


def _refusal(header: bytes, data: bytes) -> Refused | None:
    # None: nobody took it (no stream leader, a busy ingest queue), so it is written again until its deadline.
    if not data:
        return (
            None
            if status_of(header) == 503
            else Refused("unreachable", unknown=True, detail="an empty acknowledgement")
        )
    try:
        error = json.loads(data)["error"]
        code, words = int(error.get("err_code", 0)), str(error.get("description", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Refused(
            "unreachable", unknown=True, detail=f"an acknowledgement that cannot be read: {data[:80]!r}"
        )
    if code in BUSY:
        return None
    if code in FULL:
        return Refused("full", retry_after_ms=FULL_RETRY_MS, detail=f"{FULL[code]} ({words})")
    if code in CONFLICT:
        return Refused("conflict", detail=words)
    if code == 10054:
        return Refused("too_large", detail=words)
    return Refused("denied", detail=f"{words} ({code})")
