"""Three nats-servers that hold every stream three times, for tests of elections: `cluster` is private to its
test. Kill a leader and it comes back by itself, as under any supervisor, after it has been missed."""

import asyncio
import json
import os
import signal
import socket
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import nats
import pytest
from nats.aio.client import Client

from fabric.config import NatsSettings
from fabric.errors import InternalError
from fabric.jetstream.layout import apply_layout
from fabric.node.credentials import EVERY_NAME, Keyring
from fabric.node.server import EmbeddedServer

__all__ = ["Cluster", "free_ports"]

Result = TypeVar("Result")

SIZE = 3
START_TIMEOUT_S = 60.0  # an election takes up to nine seconds, and there are many streams
RETRY_S = 0.25
SETTINGS = NatsSettings(port=0, max_file_store_bytes=256 << 30)


class Cluster:
    """`urls` are all three; a client needs only one to learn of the others."""

    def __init__(self, folder: Path) -> None:
        self.keys = Keyring.open(folder)
        self._folder = folder
        ports = free_ports(SIZE)
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
        self.servers = [
            EmbeddedServer(
                SETTINGS,
                folder / f"n{number}",
                trust=f"{self.keys.server_trust()}\ncluster {{ name: fabric, listen: "
                f'"127.0.0.1:{port}", routes: [{routes}] }}',
                name=f"n{number}",
            )
            for number, port in enumerate(ports)
        ]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nats-cluster", daemon=True)

    @property
    def urls(self) -> list[str]:
        return [server.url for server in self.servers]

    @property
    def creds(self) -> str:
        return self._keep("user.creds", self.keys.mint(EVERY_NAME))

    @property
    def node_creds(self) -> str:
        return self._keep("node.creds", self.keys.mint_node())

    def start(self) -> None:
        self._thread.start()
        self.run(self._start())

    def stop(self) -> None:
        self.run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_TIMEOUT_S)
        self._loop.close()

    async def leader_of(self, stream: str) -> EmbeddedServer:
        """The server that leads a stream now."""
        leader = await asyncio.wrap_future(
            asyncio.run_coroutine_threadsafe(self._leader_of(stream), self._loop)
        )
        return next(server for server in self.servers if server.name == leader)

    async def kill_leader_of(self, stream: str) -> str:
        """kill -9; answers its name. It is started again by its keeper."""
        leader = await self.leader_of(stream)
        assert leader.pid is not None
        os.kill(leader.pid, signal.SIGKILL)
        return leader.name

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(START_TIMEOUT_S)

    async def _start(self) -> None:
        await asyncio.gather(*(server.start() for server in self.servers))
        client = await self._connect()
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not await self._laid_out(client):  # noqa: ASYNC110 - an election has no event here
                    await asyncio.sleep(RETRY_S)
        finally:
            await client.close()

    async def _laid_out(self, client: Client) -> bool:
        # False while there is no leader of the whole yet, or a stream's is being elected.
        async def request(subject: str, body: bytes) -> bytes:
            return bytes((await client.request(subject, body, timeout=10.0)).data)

        try:
            await apply_layout(request, replicas=SIZE)
        except (InternalError, nats.errors.Error):
            return False
        return True

    async def _leader_of(self, stream: str) -> str:
        client = await self._connect()
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while True:
                    try:
                        reply = await client.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=2.0)
                        leader = json.loads(reply.data)["cluster"].get("leader")
                    except (nats.errors.Error, KeyError):
                        leader = None
                    if leader:
                        return str(leader)
                    await asyncio.sleep(RETRY_S)
        finally:
            await client.close()

    async def _stop(self) -> None:
        await asyncio.gather(*(server.stop() for server in self.servers))

    async def _connect(self) -> Client:
        return await nats.connect(self.urls, user_credentials=self.node_creds)

    def _keep(self, name: str, text: str) -> str:
        file = self._folder / name
        if not file.exists():
            file.write_text(text)
        return str(file)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Three servers for this test alone."""
    running = Cluster(tmp_path / "cluster")
    running.start()
    yield running
    running.stop()
