"""One connection to NATS that comes back by itself.

nats-py connects, authenticates and answers PINGs; everything else on the wire is ours. A connection that
broke, for whatever reason, is replaced by a new one with the same subscriptions: one way to recover instead
of nats-py's two (`docs/decisions/one-way-to-recover.md`). Above: publish, read, server. Below: nats-py and
the NATS codec.

    down --connected--> up --closed, dead read loop, silent server--> down ... close() --> closed
"""

import asyncio
import contextlib
import logging
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nats.aio.client import Client

from fabric.clock import monotonic
from fabric.errors import FabricError, PermissionDenied, Refused, Unauthenticated, Unreachable
from fabric.jetstream import private
from fabric.jetstream.credentials import read_credentials
from fabric.jetstream.problems import check_version, denied_by, why_not_connected, words_of
from fabric.jetstream.watchdog import until_useless
from fabric_codecs.nats.headers import status_of, ticket_of
from fabric_codecs.nats.wire import Parser, Writer

__all__ = ["Connection", "NoResponders", "Reply", "Subscription"]

log = logging.getLogger("fabric.connection")

Handler = Callable[[bytes, bytes, bytes, bytes], object]

FLUSH_BYTES = 64 << 10  # a burst is written in pieces of this size even when the caller never yields
BUFFERED_BYTES_MAX = 1 << 20  # what may wait in the socket's buffer before publishers wait
BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.05, 5.0
CONNECT_TIMEOUT_S = 5.0


class NoResponders(FabricError):
    """Nobody is subscribed to the subject of a request; the server says so at once."""

    code = "no_responders"
    retriable = True


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request."""

    header: bytes
    data: bytes


@dataclass(slots=True)
class Subscription:
    """A subscription that survives reconnects; `handler(subject, reply, header, payload)` is called in the
    read loop and must not wait. Of those who subscribe in the same `group`, one gets each message."""

    sid: int
    subject: str
    handler: Handler
    group: str = ""

    def command(self) -> bytes:
        """How the server is told."""
        return f"SUB {self.subject} {self.group} {self.sid}".encode()


class Connection:
    """`await open()` first. Not thread-safe. Callbacks: `on_up` and `on_down` after each change,
    `on_denied(verb, subject)` when the server refuses a publish or subscribe (verb `publish` or
    `subscribe`) for lack of permission."""

    def __init__(
        self,
        servers: list[str],
        *,
        name: str,
        inbox: str,
        credentials: Path | str | None = None,
        password: str | None = None,
    ) -> None:
        self.servers = servers
        self.name = name
        self.writer = Writer()
        self.on_up: list[Callable[[], object]] = []
        self.on_down: list[Callable[[], object]] = []
        self.on_denied: list[Callable[[str, str], object]] = []
        # Every message asks these two, so they are no properties: whether commands reach a server now, and
        # whether the socket's buffer was full when it was last written to (publishers then `await room()`).
        self.is_up = False
        self.is_congested = False
        self.reconnects = 0
        self.handler_errors = 0
        self._credentials = credentials
        self._password = password
        self._handlers: dict[int, Handler] = {}
        self._subscriptions: dict[int, Subscription] = {}
        self._last_sid = 0
        self._client: Client | None = None
        self._stream: asyncio.StreamWriter | None = None
        self._up = asyncio.Event()
        self._lost = asyncio.Event()
        self._closed = False
        self._flushing = False
        self._problem = "not connected yet"
        self._rejected = False  # the problem is the credential
        self._keeper: asyncio.Task[None] | None = None
        self._inbox = f"{inbox}.{secrets.token_hex(4)}"
        self._answers: dict[int, tuple[str, asyncio.Future[Reply]]] = {}
        self._last_ticket = 0
        self.subscribe(f"{self._inbox}.*", self._answered)

    # Life

    async def open(self, timeout_s: float = 10.0) -> None:
        """Connect, then keep connected until `close`. Raises Unreachable, Unauthenticated or ServerTooOld
        when the first connection fails."""
        await self._connect(timeout_s)
        self._keeper = asyncio.create_task(self._keep(), name=f"fabric-connection-{self.name}")

    async def close(self, timeout_s: float = 2.0) -> None:
        """Write what is pending, then close. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self.is_up = False
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._stream is not None and self._up.is_set():
            self.flush()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._stream.drain()
            except (TimeoutError, OSError):
                log.warning("%s: closed with unwritten bytes", self.name)
        self._went_down("closed")
        self._problem, self._rejected = "the connection was closed", False
        self._up.set()  # whoever waits for it learns that it will not come back
        await self._drop_client()

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    async def wait_up(self, timeout_s: float) -> None:
        """Until connected. When the time is up, or the connection was closed, raises Unreachable with the
        last problem; Unauthenticated when that is a rejected credential."""
        if not self._up.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._up.wait()
        if self.is_up:
            return
        if self._rejected:
            raise Unauthenticated(f"NATS at {', '.join(self.servers)}", self._problem)
        raise Unreachable(", ".join(self.servers), self._problem)

    async def _keep(self) -> None:
        backoff_s = BACKOFF_FIRST_S
        while True:
            assert self._client is not None
            since = monotonic()
            self._problem = await until_useless(self._client, self._lost) or self._problem
            self._went_down(self._problem)
            await self._drop_client()
            if monotonic() - since > BACKOFF_MAX_S:  # else it is taken and dropped again and again
                backoff_s = BACKOFF_FIRST_S
            while not self._up.is_set():
                # Jitter: thousands of clients of one server must not come back in step.
                await asyncio.sleep(backoff_s * random.uniform(0.5, 1.5))
                try:
                    await self._connect(CONNECT_TIMEOUT_S)
                except FabricError as error:
                    backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)
                    self._problem, self._rejected = str(error), isinstance(error, Unauthenticated)
                    log.warning("%s: still down: %s", self.name, error)
            self.reconnects += 1

    async def _connect(self, timeout_s: float) -> None:
        client = Client()
        parser = Parser(self._handlers, self._handler_failed)
        private.install_parser(client, lambda data: self._control(parser.feed(data)))
        self._lost = asyncio.Event()
        lost = self._lost
        try:
            async with asyncio.timeout(timeout_s):
                await self._nats_connect(client, lost)
            if not client.is_connected:  # nats-py takes the end of the stream for a PONG
                raise ConnectionError("the server closed the connection during the handshake")
            info = private.server_info(client)
            check_version(str(info.get("version", "")))
        except BaseException as error:
            await self._discard(client)  # it leaves its socket open
            if isinstance(error, FabricError) or not isinstance(error, Exception):
                raise
            raise why_not_connected(error, self.servers, self._problem) from error
        self.servers = list(
            dict.fromkeys([*self.servers, *(f"nats://{url}" for url in info.get("connect_urls", ()))])
        )
        self.writer.take()  # commands of a former connection: whoever sent them sends them again, or was told
        self.writer.payload_max = int(info.get("max_payload", self.writer.payload_max))
        self._client = client
        self._stream = private.stream_writer(client)
        private.widen(client)
        self._stream.transport.set_write_buffer_limits(high=BUFFERED_BYTES_MAX)
        for subscription in self._subscriptions.values():
            self.writer.command(subscription.command())
        self._rejected = False
        self._up.set()
        self.is_up = True
        self.is_congested = False
        self.flush()
        _call_all(self.on_up)

    async def _nats_connect(self, client: Client, lost: asyncio.Event) -> None:
        async def closed() -> None:
            lost.set()

        async def failed(error: Exception) -> None:
            self._problem = words_of(error)

        await client.connect(
            servers=self.servers,
            name=self.name,
            user_credentials=read_credentials(self._credentials) if self._credentials else None,
            password=self._password,
            allow_reconnect=False,
            max_reconnect_attempts=1,  # nats-py would try for 2 minutes; that is the keeper's business
            reconnect_time_wait=0,
            connect_timeout=int(CONNECT_TIMEOUT_S),
            ping_interval=20,
            disconnected_cb=closed,
            closed_cb=closed,
            error_cb=failed,
        )

    def _went_down(self, problem: str) -> None:
        self._problem = problem
        if not self._up.is_set():
            return
        self._up.clear()
        self.is_up = False
        self._stream = None
        for _, waiting in self._answers.values():
            if not waiting.done():
                waiting.set_exception(
                    Refused("unreachable", unknown=True, detail=f"the connection was lost ({problem})")
                )
        _call_all(self.on_down)

    async def _drop_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await self._discard(client)

    async def _discard(self, client: Client) -> None:
        private.cut(client)  # nats-py's close() flushes first, and a stalled flush has no end
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await client.close()
        except Exception as error:  # it is gone either way; of interest to a log only
            log.debug("%s: nats-py on close: %r", self.name, error)

    # Writing

    def wake(self) -> None:
        """Have what is in `writer` written before the loop waits next; call it after each batch of
        commands."""
        if len(self.writer) >= FLUSH_BYTES:
            self.flush()
        elif not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Hand what is in `writer` to the socket now."""
        self._flushing = False
        commands = self.writer.take()  # while down they go nowhere: who sent them sends again, or was told
        if self._stream is not None and commands:
            try:
                self._stream.write(commands)
            except RuntimeError:  # uvloop's word for a transport that has closed; the keeper hears of it
                self._lost.set()
                return
            self.is_congested = self._stream.transport.get_write_buffer_size() > BUFFERED_BYTES_MAX

    async def room(self, timeout_s: float) -> None:
        """Until the socket takes more. Raises Refused when it does not in time."""
        stream = self._stream
        if stream is None:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await stream.drain()
            self.is_congested = False
        except TimeoutError:
            detail = "the server takes no more bytes"
            raise Refused("unreachable", retry_after_ms=1000, detail=detail) from None
        except OSError:
            return  # the keeper has seen it too

    # Subscriptions and requests

    def subscribe(self, subject: str, handler: Handler, *, group: str = "") -> Subscription:
        """Subscribe now and after every reconnect. Takes effect before any request that is sent later."""
        self._last_sid += 1
        subscription = Subscription(self._last_sid, subject, handler, group)
        self._subscriptions[subscription.sid] = subscription
        self._handlers[subscription.sid] = handler
        if self._up.is_set():
            self.writer.command(subscription.command())
            self.wake()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop; messages already on their way are discarded. Safe to call twice."""
        self._handlers.pop(subscription.sid, None)
        self.mute(subscription)

    def mute(self, subscription: Subscription) -> None:
        """Let the server send no more. What is on its way is still handed on, until `unsubscribe`."""
        if self._subscriptions.pop(subscription.sid, None) is None:
            return
        if self._up.is_set():
            self.writer.command(f"UNSUB {subscription.sid}".encode())
            self.wake()

    async def request(
        self, subject: str, payload: bytes = b"", *, header: bytes = b"", timeout_s: float = 5.0
    ) -> Reply:
        """Send and wait for one answer. Raises NoResponders at once when nobody listens, Refused("timeout")
        when no answer comes, Refused("denied") when the credential does not allow it."""
        deadline = monotonic() + timeout_s
        await self.wait_up(timeout_s)
        self._last_ticket += 1
        ticket = self._last_ticket
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._answers[ticket] = subject, answer
        try:
            self.writer.publish(subject.encode(), f"{self._inbox}.".encode(), header, payload, ticket)
            self.wake()
            async with asyncio.timeout(deadline - monotonic()):
                reply = await answer
        except TimeoutError:
            raise Refused(
                "timeout", unknown=True, detail=f"no answer on {subject} within {timeout_s:g} s"
            ) from None
        finally:
            del self._answers[ticket]
        if not reply.data and status_of(reply.header) == 503:
            raise NoResponders(f"nobody listens on {subject}")
        return reply

    def _answered(self, subject: bytes, _reply: bytes, header: bytes, data: bytes) -> None:
        _, answer = self._answers.get(ticket_of(subject), (None, None))
        if answer is not None and not answer.done():
            answer.set_result(Reply(header, data))

    def _handler_failed(self, sid: int, error: Exception) -> None:
        self.handler_errors += 1
        subject = self._subscriptions[sid].subject if sid in self._subscriptions else "?"
        log.error("%s: the handler of %s raised", self.name, subject, exc_info=error)

    def _control(self, lines: list[bytes]) -> list[bytes]:
        passed = []
        for line in lines:
            denied = denied_by(line)
            if denied is None:
                passed.append(line)
                continue
            log.warning(
                "%s: %s",
                self.name,
                PermissionDenied(" ".join(denied), "see the names and channels of FABRIC_CREDS"),
            )
            self._refuse_requests(*denied)
            _call_all(self.on_denied, *denied)
        return passed

    def _refuse_requests(self, verb: str, subject: str) -> None:
        for asked, answer in self._answers.values():
            if verb == "publish" and asked == subject and not answer.done():
                answer.set_exception(Refused("denied", detail=f"the credential may not publish to {subject}"))


def _call_all(callbacks: list[Callable[..., object]], *arguments: str) -> None:
    # One that fails must not take the others along, nor the read loop or the keeper that we are called from.
    for callback in list(callbacks):
        try:
            callback(*arguments)
        except Exception:
            log.exception("a callback of the connection raised")
