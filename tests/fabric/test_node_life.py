"""A whole node: what runs, what it tells, how it ends, and that nothing is left behind when a part fails."""

import asyncio
import os
import signal
import socket
import stat
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import msgspec
import pytest

from fabric.address import Address, running_fabric
from fabric.client import Fabric
from fabric.config import Config, EdgeSettings, NatsSettings, NodeSettings
from fabric.connect import connect
from fabric.errors import ConfigInvalid, PortInUse, Unauthenticated
from fabric.node import edges as edges_module
from fabric.node.node import Node

BOUND_S = 20.0


class EchoEdge:
    """A small edge of its own: a line in, the principal and the fabric's name out."""

    name = "echo"

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._port = settings.get("port", 0)

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self._port}"

    async def start(self, house: Any) -> None:
        self._house = house
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self, grace_s: float = 2.0) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        token = (await reader.readline()).decode().strip()
        try:
            answer = f"hello {self._house.authenticator.authenticate('echo', token)}"
        except Unauthenticated as error:
            answer = error.code
        writer.write(answer.encode())
        writer.close()
        await writer.wait_closed()


@pytest.fixture(autouse=True)
def only_echo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("installed_echo")
    module.edge = EchoEdge  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "installed_echo", module)
    entry = EntryPoint("echo", "installed_echo:edge", "fabric.bridges")
    monkeypatch.setattr(edges_module, "entry_points", lambda group: [entry])


def config(home: Path, **nats: Any) -> Config:
    return Config(home=home, nats=NatsSettings(**{"port": 0, **nats}), node=NodeSettings(port=0))


def token_of_echo(address: Address) -> str:
    return Path(address.tokens["echo"]).read_text().strip()


async def ask(address: str, line: str) -> str:
    port = int(address.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(line.encode() + b"\n")
    async with asyncio.timeout(BOUND_S):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.decode()


async def test_running_node_is_found_and_everything_answers(tmp_path: Path) -> None:
    async with Node(config(tmp_path)) as node:
        address = running_fabric(tmp_path)
        assert address == node.address
        assert (address.pid, address.enforced, address.sync_interval_s) == (os.getpid(), True, 2.0)
        assert await ask(address.edges["echo"], token_of_echo(address)) == "hello echo"
        assert await ask(address.edges["echo"], "guess") == "unauthenticated"
        async with httpx.AsyncClient(base_url=address.health_url) as client:
            assert (await client.get("/healthz")).status_code == 200
            assert "fabric_nats_up 1.0" in (await client.get("/metrics")).text
    assert running_fabric(tmp_path) is None


async def test_agents_use_the_published_credentials(tmp_path: Path) -> None:
    async with (
        Node(config(tmp_path)) as node,
        connect("someone", url=node.address.nats_url, credentials=node.address.creds) as fabric,
    ):
        receipt = await fabric.channel("node.life").publish(b"x")
        assert receipt.sequence == 1


async def test_credentials_are_their_owners_alone(tmp_path: Path) -> None:
    async with Node(config(tmp_path)):
        for file in ("fabric.creds", "node.creds", "keys.json", "tokens/echo"):
            assert stat.S_IMODE((tmp_path / file).stat().st_mode) == 0o600, file


async def test_streams_and_keys_survive_a_restart_of_the_node(tmp_path: Path) -> None:
    for expected in (1, 2):
        async with Node(config(tmp_path)) as node:
            receipt = await Fabric(node.session, "writer").channel("kept").publish(b"x")
            assert receipt.sequence == expected


async def test_health_says_what_is_wrong_while_the_server_is_down(tmp_path: Path) -> None:
    async with Node(config(tmp_path)) as node:
        assert node.server is not None
        assert node.server.pid is not None
        down = asyncio.Event()
        up = asyncio.Event()
        node.session.connection.on_down.append(down.set)
        node.session.connection.on_up.append(up.set)
        os.kill(node.server.pid, signal.SIGKILL)
        async with asyncio.timeout(BOUND_S), httpx.AsyncClient(base_url=node.address.health_url) as client:
            await down.wait()
            ill = await client.get("/healthz")
            await node.server.until_restarted(1, BOUND_S)
            await up.wait()
            well = await client.get("/healthz")
            metrics = (await client.get("/metrics")).text
    assert ill.status_code == 503
    assert "nats" in ill.json()["problems"]
    assert well.json() == {"status": "ok", "problems": {}}
    assert "fabric_nats_server_restarts_total 1.0" in metrics


async def test_failing_edge_leaves_nothing_running(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Config(
            home=tmp_path,
            nats=NatsSettings(port=0),
            node=NodeSettings(port=0),
            edges={"echo": EdgeSettings(options={"port": port})},
        )
        node = Node(settings)
        with pytest.raises(ConfigInvalid, match=r"\[edges\.echo\].*in use"):
            await node.start()
    assert node.server is not None
    assert node.server.pid is None
    assert running_fabric(tmp_path) is None
    async with Node(config(tmp_path)):
        pass


async def test_second_node_on_the_same_folder_names_the_first(tmp_path: Path) -> None:
    async with Node(config(tmp_path)) as first:
        with pytest.raises(ConfigInvalid, match=rf"pid {os.getpid()} .*{first.address.nats_url}"):
            await Node(config(tmp_path)).start()


async def test_second_node_on_the_same_port_names_the_holder(tmp_path: Path) -> None:
    async with Node(config(tmp_path / "one")) as first:
        assert first.server is not None
        with pytest.raises(
            PortInUse, match=rf"{first.server.port}: held by nats-server \(pid {first.server.pid}\)"
        ):
            await Node(config(tmp_path / "two", port=first.server.port)).start()


async def test_external_server_is_used_and_shown_as_unenforced(tmp_path: Path) -> None:
    async with Node(config(tmp_path / "one")) as owner:
        url, creds = owner.address.nats_url, str(tmp_path / "one" / "node.creds")
        async with Node(config(tmp_path / "two", url=url, creds=creds)) as guest:
            assert guest.server is None
            assert (guest.address.nats_url, guest.address.enforced, guest.address.sync_interval_s) == (
                url,
                False,
                None,
            )
            receipt = await Fabric(guest.session, "guest").channel("external").publish(b"x")
            assert receipt.stream.startswith("CH_")
        assert owner.server is not None
        assert owner.server.pid is not None


async def test_stopping_twice_is_safe(tmp_path: Path) -> None:
    node = Node(config(tmp_path))
    await node.start()
    await node.stop()
    await node.stop()


async def test_address_file_holds_no_token(tmp_path: Path) -> None:
    async with Node(config(tmp_path)) as node:
        assert token_of_echo(node.address).encode() not in msgspec.json.encode(node.address)
