"""The HTTP floor over real sockets: who gets in, how much at once, how a stream and a server end."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fabric.errors import ConfigInvalid, PortInUse
from fabric_bridges.http.app import HttpServer, build_app
from fabric_bridges.http.config import HttpSettings
from fabric_bridges.http.connection import while_connected
from fabric_bridges.http.limits import read_body
from fabric_bridges.http.sse import EventStream, sse_event
from helpers.http_door import BEARER, Counted, OneToken, raw_connection

T = TypeVar("T")
Events = Callable[[], AsyncGenerator[bytes, None]]


class Site:
    """A small edge: /echo gives the body back, /wait is held until released, /stream sends `events`."""

    def __init__(self, settings: HttpSettings, events: Events | None = None) -> None:
        self.settings, self.events, self.metrics = settings, events, Counted()
        self.waiting, self.release, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()
        routes = [
            Route("/echo", self.echo, methods=["POST"]),
            Route("/wait", self.wait, methods=["GET"]),
            Route("/stream", self.stream, methods=["GET"]),
            Route("/open", self.who, methods=["GET"]),
            Route("/who", self.who, methods=["GET"]),
        ]
        app = build_app(
            routes,
            edge="test",
            settings=settings,
            authenticator=OneToken(),
            metrics=self.metrics,
            public=lambda path: path == "/open",
        )
        self.server = HttpServer("test", app, settings, self.metrics)

    async def echo(self, request: Request) -> Response:
        limit, timeout_s = self.settings.body_bytes_max, self.settings.body_timeout_s
        return Response(await read_body(request, bytes_max=limit, timeout_s=timeout_s))

    async def wait(self, request: Request) -> Response:
        await read_body(request, bytes_max=0, timeout_s=1)
        ended = await while_connected(request.receive, self._released())
        return Response(ended)

    async def stream(self, request: Request) -> Response:
        assert self.events is not None
        return EventStream(self.events(), keep_alive_s=self.settings.keep_alive_s)

    async def who(self, request: Request) -> Response:
        return Response(request.state.principal)

    async def _released(self) -> str:
        self.waiting.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return "released"


@asynccontextmanager
async def site(
    events: Events | None = None, **settings: object
) -> AsyncIterator[tuple[Site, httpx.AsyncClient]]:
    here = Site(HttpSettings(**settings), events)  # type: ignore[arg-type]
    await here.server.start()
    try:
        async with httpx.AsyncClient(base_url=here.server.url, headers=BEARER, timeout=10) as client:
            yield here, client
    finally:
        await here.server.stop(grace_s=0.5)


async def within(awaitable: Awaitable[T], seconds: float = 10) -> T:
    return await asyncio.wait_for(awaitable, seconds)


async def nobody_answers(url: str) -> None:
    """Return when a new connection to `url` is not accepted any more."""
    async with httpx.AsyncClient() as stranger:
        while True:
            try:
                await stranger.get(url)
            except httpx.TransportError:  # refused, or cut while it waited to be accepted
                return


async def test_a_body_arrives_as_the_bytes_it_was_sent() -> None:
    body = bytes(range(256)) * 100
    async with site() as (_, client):
        assert (await client.post("/echo", content=body)).content == body


async def test_the_principal_is_who_the_token_names() -> None:
    async with site() as (_, client):
        assert (await client.get("/who")).text == "tester"


@pytest.mark.parametrize(
    ("authorization", "challenge"),
    [
        ("", 'Bearer realm="fabric-test"'),
        ("Basic dGVzdGVyOng=", 'Bearer realm="fabric-test"'),
        ("Bearer", 'Bearer realm="fabric-test"'),
        ("Bearer wrong", 'Bearer realm="fabric-test", error="invalid_token"'),
        ("Bearer let-me-in-too", 'Bearer realm="fabric-test", error="invalid_token"'),
    ],
)
async def test_without_a_valid_token_the_answer_is_401_and_says_how(
    authorization: str, challenge: str
) -> None:
    async with site() as (here, client):
        answer = await client.get("/who", headers={"Authorization": authorization})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == challenge
        assert answer.json()["error"]["code"] == "unauthenticated"
        assert "wrong" not in answer.text
        assert here.metrics.value("fabric_edge_refusals_total", edge="test", reason="unauthenticated") == 1


async def test_the_scheme_bearer_is_known_in_any_case() -> None:
    async with site() as (_, client):
        assert (await client.get("/who", headers={"Authorization": "bEARER let-me-in"})).status_code == 200


async def test_a_public_path_needs_no_token_and_has_no_principal() -> None:
    async with site() as (_, client):
        answer = await client.get("/open", headers={"Authorization": ""})
        assert (answer.status_code, answer.text) == (200, "")


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "http://127.0.0.1", "http://[::1]:80", "https://app.example"]
)
async def test_pages_of_this_machine_and_listed_ones_get_in(origin: str) -> None:
    async with site(allowed_origins=["https://app.example"]) as (_, client):
        assert (await client.get("/who", headers={"Origin": origin})).status_code == 200


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://localhost.evil.example",
        "null",
        "http://[bad",
        "https://app.example.evil",
    ],
)
async def test_pages_of_foreign_sites_are_refused(origin: str) -> None:
    async with site(allowed_origins=["https://app.example"]) as (_, client):
        answer = await client.get("/who", headers={"Origin": origin})
        assert answer.status_code == 403
        assert "allowed_origins" in answer.json()["error"]["message"]


async def test_a_body_of_the_limit_passes_and_one_byte_more_is_413() -> None:
    async with site(body_bytes_max=1000) as (_, client):
        assert (await client.post("/echo", content=b"x" * 1000)).status_code == 200
        answer = await client.post("/echo", content=b"x" * 1001)
        assert answer.status_code == 413
        assert "1,000 bytes" in answer.json()["error"]["message"]


async def test_a_chunked_body_that_grows_too_long_is_413_before_its_end() -> None:
    async with site(body_bytes_max=1000) as (here, _), raw_connection(here.server.url) as (reader, writer):
        writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer let-me-in\r\n")
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n3ff\r\n" + b"x" * 1023 + b"\r\n")
        assert (await within(reader.readline())) == b"HTTP/1.1 413 Request Entity Too Large\r\n"


async def test_a_body_that_does_not_come_is_408() -> None:
    async with site(body_timeout_s=0.05) as (here, _), raw_connection(here.server.url) as (reader, writer):
        writer.write(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer let-me-in\r\nContent-Length: 9\r\n\r\n"
        )
        assert (await within(reader.readline())).startswith(b"HTTP/1.1 408 ")


async def test_one_request_too_many_is_503_with_retry_after_and_the_others_go_on() -> None:
    async with site(requests_in_flight_max=1) as (here, client):
        held = asyncio.create_task(client.get("/wait"))
        await within(here.waiting.wait())
        refused = await client.get("/who")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        here.release.set()
        assert (await within(held)).text == "released"
        assert (await client.get("/who")).status_code == 200


async def test_one_connection_too_many_is_turned_away() -> None:
    async with site(connections_max=1) as (here, client):
        assert (await client.get("/who")).status_code == 200  # stays open, idle
        async with raw_connection(here.server.url) as (reader, _):
            assert (await within(reader.read())).startswith(b"HTTP/1.1 503 ")
        assert here.metrics.value("fabric_edge_connections", edge="test") == 1
        assert here.metrics.value("fabric_edge_refusals_total", edge="test", reason="connections") == 1


@pytest.mark.parametrize("said", [b"", b"GET /who HT"])
async def test_a_connection_that_never_finishes_a_head_is_closed(said: bytes) -> None:
    async with site(head_timeout_s=0.05) as (here, _), raw_connection(here.server.url) as (reader, writer):
        writer.write(said)
        assert await within(reader.read()) == b""


async def test_a_slow_second_head_on_one_connection_is_closed_too() -> None:
    async with site(head_timeout_s=0.05) as (here, _), raw_connection(here.server.url) as (reader, writer):
        writer.write(b"GET /open HTTP/1.1\r\nHost: x\r\n\r\n")
        await within(reader.readuntil(b"\r\n\r\n"))
        writer.write(b"GET /who HT")
        assert await within(reader.read()) == b""


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"HELLO\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * (65 << 10),  # no end in sight
    ],
)
async def test_what_is_no_http_is_answered_400_counted_and_disturbs_nobody(garbage: bytes) -> None:
    async with site() as (here, client):
        held = asyncio.create_task(client.get("/wait"))
        await within(here.waiting.wait())
        async with raw_connection(here.server.url) as (reader, writer):
            writer.write(garbage)
            assert (await within(reader.readline())).startswith(b"HTTP/1.1 400 ")
        assert here.metrics.value("fabric_edge_malformed_total", edge="test") == 1
        here.release.set()
        assert (await within(held)).status_code == 200


async def test_work_is_cancelled_when_its_client_leaves() -> None:
    async with site() as (here, _):
        async with raw_connection(here.server.url) as (_, writer):
            writer.write(b"GET /wait HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer let-me-in\r\n\r\n")
            await within(here.waiting.wait())
        await within(here.cancelled.wait())


async def test_events_arrive_as_they_are_made() -> None:
    go = asyncio.Event()

    async def events() -> AsyncGenerator[bytes, None]:
        yield sse_event(b'{"n":1}')
        await go.wait()
        yield sse_event(b'{"n":\n2}')

    async with site(events) as (_, client), client.stream("GET", "/stream") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        parts = answer.aiter_bytes()
        assert await within(anext(parts)) == b'data: {"n":1}\n\n'
        go.set()
        assert b"".join([part async for part in parts]) == b'data: {"n":\ndata: 2}\n\n'


async def test_a_silent_stream_is_kept_alive_by_comments() -> None:
    async def events() -> AsyncGenerator[bytes, None]:
        await asyncio.Event().wait()
        yield b""

    async with site(events, keep_alive_s=0.02) as (_, client), client.stream("GET", "/stream") as answer:
        assert await within(anext(answer.aiter_bytes())) == b": keep-alive\n\n"


async def test_leaving_a_stream_closes_its_generator_in_the_task_that_ran_it() -> None:
    started, closed = asyncio.Event(), asyncio.Event()
    tasks: list[object] = []

    async def events() -> AsyncGenerator[bytes, None]:
        tasks.append(asyncio.current_task())
        try:
            yield sse_event(b"1")
            started.set()
            await asyncio.Event().wait()
        finally:
            tasks.append(asyncio.current_task())
            closed.set()

    async with site(events) as (here, client):
        async with client.stream("GET", "/stream") as answer:
            assert await within(anext(answer.aiter_bytes()))
            await within(started.wait())
        await within(closed.wait())
        assert tasks[0] is tasks[1]
        assert (await client.get("/who")).status_code == 200
        assert here.metrics.value("fabric_edge_malformed_total", edge="test") == 0


async def test_a_peer_that_does_not_read_is_cut_and_its_generator_closed() -> None:
    closed = asyncio.Event()

    async def events() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield sse_event(b"x" * 65536)
        finally:
            closed.set()

    async with (
        site(events, stall_timeout_s=0.1) as (here, _),
        raw_connection(here.server.url) as (reader, writer),
    ):
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET /stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer let-me-in\r\n\r\n")
        await within(closed.wait())


async def test_a_generator_that_fails_cuts_the_stream_and_says_so_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def events() -> AsyncGenerator[bytes, None]:
        yield sse_event(b"1")
        raise RuntimeError("the agent's answer cannot be read")

    async with site(events) as (_, client), client.stream("GET", "/stream") as answer:
        with pytest.raises(httpx.RemoteProtocolError):
            assert [part async for part in answer.aiter_bytes()]
    assert "the agent's answer cannot be read" in caplog.text


async def test_a_taken_port_is_named() -> None:
    async with site() as (here, _):
        port = int(here.server.url.rpartition(":")[2])
        second = HttpServer("test", here.server._app, HttpSettings(port=port), here.metrics)
        with pytest.raises(PortInUse, match=rf"the test edge cannot listen on .*:{port}.*pid {os.getpid()}"):
            await second.start()


async def test_a_host_that_is_not_here_is_a_matter_of_configuration() -> None:
    nowhere = HttpServer("test", Site(HttpSettings()).server._app, HttpSettings(host="192.0.2.1"), Counted())
    with pytest.raises(ConfigInvalid, match=r"edges.test\]: cannot listen on 192.0.2.1"):
        await nowhere.start()


async def test_stopping_lets_a_request_end_and_takes_no_new_one() -> None:
    async with site() as (here, client):
        held = asyncio.create_task(client.get("/wait"))
        await within(here.waiting.wait())
        stopping = asyncio.create_task(here.server.stop(grace_s=10))
        await within(nobody_answers(f"{here.server.url}/open"))
        here.release.set()
        assert (await within(held)).text == "released"
        await within(stopping)


async def test_stopping_cuts_what_is_left_after_the_grace() -> None:
    async with site() as (here, client):
        held = asyncio.create_task(client.get("/wait"))
        await within(here.waiting.wait())
        await within(here.server.stop(grace_s=0.05), 5)
        await within(here.cancelled.wait(), 1)
        with pytest.raises(httpx.RemoteProtocolError):
            await held
        await here.server.stop()  # twice does no harm


async def test_the_process_keeps_its_signal_handlers() -> None:
    before = [signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)]
    async with site():
        assert [signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)] == before
