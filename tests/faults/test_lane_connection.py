"""The connection under faults: whatever ends it, it is noticed, told, and comes back with its subscriptions.

Each test shows that one defect of nats-py, or one fault of a link or server, does not reach a user.
"""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.aio.client import Client

from fabric.errors import FabricError, Refused, ServerTooOld, Unauthenticated, Unreachable
from fabric.jetstream import connection as connection_module
from fabric.jetstream import private, watchdog
from fabric.jetstream.connection import Connection, NoResponders
from helpers.lane import connected
from helpers.proxy import Proxy
from helpers.server import RunningServer
from helpers.waiting import BOUND_S, until


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watchdog that looks often, so that a test of it is short."""
    monkeypatch.setattr(watchdog, "PROBE_EVERY_S", 0.1)
    monkeypatch.setattr(watchdog, "PROBE_TIMEOUT_S", 1)
    monkeypatch.setattr(connection_module, "BACKOFF_MAX_S", 0.3)


async def answers(connection: Connection) -> None:
    """Whether it is of use: a request reaches the server and comes back."""
    with pytest.raises(NoResponders):
        await connection.request(f"fab.call.nobody.{connection.name}", timeout_s=BOUND_S)


async def subscribed(connection: Connection) -> "asyncio.Queue[bytes]":
    """Calls to this name, as they come."""
    arrived: asyncio.Queue[bytes] = asyncio.Queue()
    connection.subscribe(f"fab.call.{connection.name}.*", lambda *message: arrived.put_nowait(message[3]))
    await answers(connection)
    return arrived


def send(connection: Connection, data: bytes) -> None:
    connection.writer.publish(f"fab.call.{connection.name}.{connection.name}".encode(), b"", b"", data)
    connection.wake()


async def came_back(connection: Connection, reconnects: int = 1) -> None:
    await until(lambda: connection.reconnects >= reconnects and connection.is_up, "a reconnect")


@pytest.mark.usefixtures("_impatient")
async def test_a_cut_connection_comes_back_with_its_subscriptions(server: RunningServer) -> None:
    async with Proxy(server.url) as proxy, connected(server, "lane-cut", url=proxy.url) as connection:
        arrived = await subscribed(connection)
        for cuts in range(1, 4):
            proxy.cut()
            await came_back(connection, cuts)
            send(connection, b"%d" % cuts)
            assert await asyncio.wait_for(arrived.get(), BOUND_S) == b"%d" % cuts
        assert arrived.empty()


@pytest.mark.usefixtures("_impatient")
async def test_a_dropped_subscription_does_not_come_back(server: RunningServer) -> None:
    async with Proxy(server.url) as proxy, connected(server, "lane-unsub", url=proxy.url) as connection:
        arrived: list[bytes] = []
        gone = connection.subscribe("fab.call.lane-unsub.*", lambda *message: arrived.append(message[3]))
        connection.unsubscribe(gone)
        connection.unsubscribe(gone)
        proxy.cut()
        await came_back(connection)
        send(connection, b"nobody hears")
        await answers(connection)
        assert arrived == []


@pytest.mark.usefixtures("_impatient")
async def test_a_dead_read_loop_is_noticed_and_replaced(server: RunningServer) -> None:
    # nats-py goes on saying is_connected (its PR 914)
    async with connected(server, "lane-dead") as connection:
        assert connection._client is not None
        private.reading_task(connection._client).cancel()
        await came_back(connection)
        await answers(connection)


@pytest.mark.usefixtures("_impatient")
async def test_a_server_that_answers_no_ping_is_given_up(server: RunningServer) -> None:
    async with Proxy(server.url) as proxy, connected(server, "lane-mute", url=proxy.url) as connection:
        proxy.stall(upstream=False)
        await until(lambda: not connection.is_up, "the silence was noticed")
        proxy.resume()
        await came_back(connection)
        await answers(connection)


@pytest.mark.usefixtures("_impatient")
async def test_a_stalled_flush_is_bounded_and_recovered_from(server: RunningServer) -> None:
    # nats-py's own flush has no end; neither has its close, which flushes first
    async with Proxy(server.url) as proxy, connected(server, "lane-stall", url=proxy.url) as connection:
        proxy.stall(downstream=False)
        for _ in range(64):
            send(connection, bytes(500_000))
        assert connection.is_congested
        with pytest.raises(Refused, match="takes no more bytes"):
            await connection.room(timeout_s=0.05)
        await until(lambda: not connection.is_up, "the stall was noticed")
        proxy.resume()
        await came_back(connection)
        await answers(connection)


async def test_closing_with_a_stalled_peer_takes_no_longer_than_it_says(server: RunningServer) -> None:
    async with Proxy(server.url) as proxy, connected(server, "lane-stall-close", url=proxy.url) as connection:
        proxy.stall()
        for _ in range(64):
            send(connection, bytes(500_000))
        async with asyncio.timeout(BOUND_S):
            await connection.close(timeout_s=0.1)


async def test_a_handler_that_raises_disturbs_nobody(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: bytes) -> None:
        raise RuntimeError("mine")

    async with connected(server, "lane-raise") as connection:
        connection.subscribe("fab.call.lane-raise.*", fail)
        arrived = await subscribed(connection)
        send(connection, b"one")
        assert await asyncio.wait_for(arrived.get(), BOUND_S) == b"one"
        assert connection.handler_errors == 1
        assert connection.reconnects == 0
        assert "the handler of fab.call.lane-raise.* raised" in caplog.text


@pytest.mark.usefixtures("_impatient")
async def test_a_callback_that_raises_disturbs_nobody(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: str) -> None:
        raise RuntimeError("mine")

    called: list[tuple[str, str]] = []
    async with Proxy(server.url) as proxy, connected(server, "lane-callback", url=proxy.url) as connection:
        for callbacks in (connection.on_up, connection.on_down):
            callbacks.append(fail)
        connection.on_denied += [fail, lambda *denied: called.append(denied)]
        connection.subscribe("fab.call.somebody-else.*", fail)
        await until(lambda: called, "the denied subscription was told")
        assert called == [("subscribe", "fab.call.somebody-else.*")]
        proxy.cut()
        await came_back(connection)
        await answers(connection)
        assert caplog.text.count("a callback of the connection raised") >= 3


async def test_a_denied_request_is_refused_at_once(server: RunningServer) -> None:
    # the server tells by -ERR only; nats-py lets the request time out
    async with connected(server, "lane-denied") as connection:
        with pytest.raises(Refused, match=r"may not publish to fab\.jr\.other\.1") as refused:
            await connection.request("fab.jr.other.1", b"{}", timeout_s=2 * BOUND_S)
        assert refused.value.reason == "denied"
        assert connection.reconnects == 0


async def test_a_denied_subject_with_quotes_is_told_in_its_own_spelling(server: RunningServer) -> None:
    async with connected(server, "lane-quotes") as connection:
        with pytest.raises(Refused, match="denied"):
            await connection.request('fab.jr.a"b\\c.1', b"{}", timeout_s=2 * BOUND_S)


async def test_a_request_to_nobody_is_told_at_once(server: RunningServer) -> None:
    async with connected(server, "lane-nobody") as connection:
        await answers(connection)


async def test_a_request_without_an_answer_ends_in_time(server: RunningServer) -> None:
    async with connected(server, "lane-silent") as connection:
        connection.subscribe("fab.call.lane-silent.*", lambda *_: None)
        with pytest.raises(Refused, match="no answer on") as refused:
            await connection.request("fab.call.lane-silent.lane-silent", timeout_s=0.05)
        assert (refused.value.reason, refused.value.unknown) == ("timeout", True)


async def test_a_request_in_flight_when_the_connection_breaks_is_refused(server: RunningServer) -> None:
    async with Proxy(server.url) as proxy, connected(server, "lane-inflight", url=proxy.url) as connection:
        await subscribed(connection)
        waiting = asyncio.create_task(
            connection.request("fab.call.lane-inflight.lane-inflight", timeout_s=2 * BOUND_S)
        )
        await until(lambda: connection._answers, "the request is out")
        proxy.cut()
        with pytest.raises(Refused, match="the connection was lost") as refused:
            await asyncio.wait_for(waiting, BOUND_S)
        assert refused.value.unknown


@pytest.mark.usefixtures("_impatient")
async def test_a_request_while_down_is_told_what_is_wrong(server: RunningServer) -> None:
    async with Proxy(server.url) as proxy, connected(server, "lane-down", url=proxy.url) as connection:
        await proxy.go_away()
        await until(lambda: not connection.is_up, "the connection is down")
        await until(lambda: "refused" in connection._problem.lower(), "a reconnect failed")
        with pytest.raises(Unreachable, match="fabric up"):
            await connection.request("fab.call.x.lane-down", timeout_s=0.05)
        send(connection, b"into the void")
        await until(lambda: len(connection.writer) == 0, "what was written while down is not kept")
        await proxy.come_back()
        await came_back(connection)
        await answers(connection)


@pytest.mark.usefixtures("_impatient")
async def test_waiting_for_a_connection_ends_when_it_is_closed(server: RunningServer) -> None:
    async with Proxy(server.url) as proxy, connected(server, "lane-waiting", url=proxy.url) as connection:
        await proxy.go_away()
        await until(lambda: not connection.is_up, "the connection is down")
        waiting = asyncio.create_task(connection.wait_up(10 * BOUND_S))
        await until(lambda: connection._up._waiters, "somebody waits")
        await connection.close()
        with pytest.raises(Unreachable, match="closed"):
            await asyncio.wait_for(waiting, BOUND_S)
        with pytest.raises(Unreachable, match="closed"):
            await connection.request("fab.call.x.lane-waiting", timeout_s=10 * BOUND_S)


@pytest.mark.usefixtures("_impatient")
async def test_a_rejected_credential_recovers_when_the_file_is_valid_again(
    server: RunningServer, tmp_path: Path
) -> None:
    file = tmp_path / "short.creds"
    file.write_text(server.keys.mint("lane-expiry", expires_s=2))  # the server counts in whole seconds
    async with connected(server, "lane-expiry", credentials=str(file)) as connection:
        arrived = await subscribed(connection)
        await until(lambda: not connection.is_up, "the credential expired")
        await until(lambda: connection._rejected, "a reconnect was refused")
        with pytest.raises(Unauthenticated, match="credential"):
            await connection.request("fab.call.x.lane-expiry", timeout_s=0.05)
        file.write_text("half a fi")  # somebody is writing it: nats-py would read it for ever
        await until(lambda: "whole credentials file" in connection._problem, "the half file was read")
        shutil.copy(server.credentials("lane-expiry"), file)
        await came_back(connection)
        send(connection, b"again")
        assert await asyncio.wait_for(arrived.get(), BOUND_S) == b"again"


@pytest.mark.parametrize(
    "text",
    [
        *("", "\x00\xff", "-----BEGIN NATS USER JWT-----", "-----BEGIN NATS USER JWT-----\n"),
        "-----BEGIN NATS USER JWT-----\na.b.c\n------END NATS USER JWT------\n",
        "-----BEGIN USER NKEY SEED-----\nSUAX\n------END USER NKEY SEED------\n",
        "-----BEGIN NATS USER JWT-----\na.b.c\n-----BEGIN USER NKEY SEED-----\n",
    ],
)
async def test_a_file_that_is_no_credential_is_told_and_does_not_hang(
    server: RunningServer, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "no.creds"
    file.write_text(text, "latin-1")
    with pytest.raises(Unauthenticated, match="FABRIC_CREDS"):
        await Connection([server.url], name="x", inbox="_INBOX.x", credentials=file).open()


async def test_a_missing_credentials_file_is_named(server: RunningServer, tmp_path: Path) -> None:
    with pytest.raises(Unauthenticated, match=r"gone\.creds: No such file"):
        await Connection([server.url], name="x", inbox="_INBOX.x", credentials=tmp_path / "gone.creds").open()


async def test_a_seed_that_is_none_is_an_error_of_ours(server: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "bad.creds"
    file.write_text(server.keys.mint("lane-seed").replace("\nSU", "\nXX"))
    with pytest.raises(FabricError):
        await Connection([server.url], name="x", inbox="_INBOX.x", credentials=file).open()


async def test_no_server_is_told_at_once_with_the_next_step() -> None:
    async with Proxy("nats://127.0.0.1:1") as proxy:
        await proxy.go_away()
        with pytest.raises(Unreachable, match=r"refused.*fabric up"):
            await Connection([proxy.url], name="x", inbox="_INBOX.x").open(timeout_s=2 * BOUND_S)


async def test_a_connection_that_was_never_open_can_be_closed() -> None:
    connection = Connection(["nats://127.0.0.1:1"], name="x", inbox="_INBOX.x")
    await connection.close()
    await connection.close()
    assert connection.is_closed


@asynccontextmanager
async def saying(*lines: bytes) -> AsyncIterator[str]:
    """A server that says one line for each piece it hears, then closes."""
    tasks: set[asyncio.Task[None]] = set()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        for line in lines:
            writer.write(line)
            await asyncio.wait_for(reader.read(1 << 16), BOUND_S)
        writer.transport.abort()

    peer = await asyncio.start_server(play, "127.0.0.1", 0)
    async with peer:
        yield f"nats://127.0.0.1:{peer.sockets[0].getsockname()[1]}"
    await asyncio.wait(tasks, timeout=BOUND_S)


INFO = b'INFO {"version":"%s","max_payload":1000}\r\n'
HANDSHAKES = {
    "closes": [],
    "garbage": [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
    "no json": [b"INFO {\r\n"],
    "closes after INFO": [INFO % b"2.15.1"],
    "error": [INFO % b"2.15.1", b"-ERR 'Maximum Connections Exceeded'\r\n"],
}


@pytest.mark.parametrize("said", HANDSHAKES.values(), ids=HANDSHAKES.keys())
async def test_a_server_that_gives_up_during_the_handshake_is_unreachable(said: list[bytes]) -> None:
    async with saying(*said) as url:
        with pytest.raises(Unreachable):
            await Connection([url], name="x", inbox="_INBOX.x").open(BOUND_S)


@pytest.mark.parametrize("version", [b"2.11.9", b"1.4", b"", b"devel"])
async def test_a_server_too_old_is_named(version: bytes) -> None:
    async with saying(INFO % version, b"PONG\r\n") as url:
        with pytest.raises(ServerTooOld, match=r"2\.12"):
            await Connection([url], name="x", inbox="_INBOX.x").open(BOUND_S)


@pytest.mark.usefixtures("_impatient")
async def test_bytes_that_are_not_the_protocol_end_the_connection_and_it_comes_back(
    server: RunningServer,
) -> None:
    async with Proxy(server.url) as proxy, connected(server, "lane-garbage", url=proxy.url) as connection:
        for client, _ in proxy._links:
            client.write(b"MSG x 1 nonsense\r\n")
        await came_back(connection)
        await answers(connection)


@pytest.mark.usefixtures("_impatient")
async def test_a_hanging_server_is_noticed_and_forgiven(private_server: RunningServer) -> None:
    async with connected(private_server, "lane-hang") as connection:
        private_server.signal(signal.SIGSTOP)
        try:
            await until(lambda: not connection.is_up, "the hang was noticed")
        finally:
            private_server.signal(signal.SIGCONT)
        await came_back(connection)
        await answers(connection)


def test_the_private_names_of_nats_py_are_where_they_were() -> None:
    # When this fails, nats-py has moved something: look at private.py before widening the range in pyproject.
    client = Client()
    for name in ("_ps", "_transport", "_reading_task", "_server_info"):
        assert hasattr(client, name), name
    assert hasattr(client._ps, "parse")
    assert hasattr(client._ps, "reset")


async def test_the_private_names_of_nats_py_hold_what_they_held(server: RunningServer) -> None:
    async with connected(server, "lane-private") as connection:
        client = connection._client
        assert isinstance(private.stream_writer(client), asyncio.StreamWriter)
        assert isinstance(private.reading_task(client), asyncio.Task)
        assert private.server_info(client)["max_payload"] == connection.writer.payload_max
