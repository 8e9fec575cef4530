"""A real nats-server for the tests: embedded as a node runs it, on a free port, with the streams of the
layout.

`server` is one for the whole test session (use your own names and channels); `private_server` is one for a
test that kills or stops it. Both are ended with their fixture. `credentials(name)` mints what an ordinary
agent would get.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import nats
import pytest

from fabric.config import NatsSettings
from fabric.jetstream.layout import apply_layout
from fabric.node.credentials import EVERY_NAME, Keyring
from fabric.node.server import EmbeddedServer

__all__ = ["RunningServer", "until_gone"]

Result = TypeVar("Result")

START_TIMEOUT_S = 30.0
SETTINGS = NatsSettings(port=0, max_file_store_bytes=256 << 30)


class RunningServer:
    """An embedded server on a loop of its own, so that it is kept alive between and beside the tests'
    loops."""

    def __init__(self, folder: Path, settings: NatsSettings = SETTINGS) -> None:
        self.folder = folder
        self.keys = Keyring.open(folder)
        self.embedded = EmbeddedServer(settings, folder / "nats", trust=self.keys.server_trust())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nats-server", daemon=True)

    @property
    def url(self) -> str:
        return self.embedded.url

    @property
    def creds(self) -> str:
        """The path of a credentials file for every name: what a local user gets."""
        return self.credentials(EVERY_NAME)

    @property
    def node_creds(self) -> str:
        """The path of a credentials file with every right in the tenant."""
        return self._keep("(node)", self.keys.mint_node)

    def credentials(self, *names: str, **limits: Any) -> str:
        """The path of a credentials file for these names; `limits` are those of `Keyring.mint`."""
        label = "+".join((*names, *(f"{key}={value}" for key, value in limits.items())))
        return self._keep(label.replace("/", "_"), lambda: self.keys.mint(names, **limits))

    def start(self) -> None:
        self._thread.start()
        self.run(self.embedded.start())
        self.run(self._lay_out())

    def stop(self) -> None:
        self.run(self.embedded.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_TIMEOUT_S)
        self._loop.close()

    def signal(self, number: signal.Signals) -> None:
        """SIGKILL to crash it (it is started again), SIGSTOP and SIGCONT to make it hang for a while."""
        assert self.embedded.pid is not None, "no server is running"
        os.kill(self.embedded.pid, number)

    async def kill_and_restart(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """kill -9, and until the keeper has started it again on the same port."""
        restarts = self.embedded.restarts
        self.signal(signal.SIGKILL)
        waiting = asyncio.run_coroutine_threadsafe(
            self.embedded.until_restarted(restarts + 1, timeout_s), self._loop
        )
        await asyncio.wrap_future(waiting)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run something on the server's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(START_TIMEOUT_S)

    async def _lay_out(self) -> None:
        client = await nats.connect(self.url, user_credentials=self.node_creds)
        try:
            await apply_layout(lambda subject, body: _request(client, subject, body))
        finally:
            await client.close()

    def _keep(self, label: str, mint: Any) -> str:
        file = self.folder / f"{label}.creds"
        if not file.exists():
            file.write_text(mint())
        return str(file)


async def until_gone(pid: int) -> None:
    """Until that process has ended, for START_TIMEOUT_S at most (Linux)."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, gone.set)
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            await gone.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _request(client: Any, subject: str, body: bytes) -> bytes:
    return bytes((await client.request(subject, body, timeout=START_TIMEOUT_S)).data)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for the whole session: never stop or kill it, and use names of your own."""
    running = RunningServer(tmp_path_factory.mktemp("server"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def private_server(tmp_path: Path) -> Iterator[RunningServer]:
    """A server for this test alone, to be killed or made to hang."""
    running = RunningServer(tmp_path / "server")
    running.start()
    yield running
    running.stop()


@pytest.fixture
def nats_url(server: RunningServer) -> str:
    """Where the session's server listens. Its credentials: `server.creds`, `server.credentials(name)`."""
    return server.url
