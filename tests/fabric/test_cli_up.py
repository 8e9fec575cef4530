"""`fabric up` as a process: what it prints, how it ends, and what it says when it cannot start."""

import asyncio
import json
import os
import signal
import socket
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fabric.address import running_fabric
from helpers.cli import UP, fabric, fabric_up, finish, start
from helpers.server import until_gone

EVERY_EDGE = ("a2a", "kafka", "mcp", "mqtt")
ENDS_WITHIN_S = 8.0  # the edges' grace of 3 s, what is left of it to close, and the server


async def test_running_fabric_prints_its_address_and_is_found(tmp_path: Path) -> None:
    async with fabric_up(tmp_path) as printed:
        found = running_fabric(tmp_path)
        assert found is not None
        assert (found.pid, found.nats_url, found.health_url) == (
            printed["pid"],
            printed["nats_url"],
            printed["health_url"],
        )
    assert running_fabric(tmp_path) is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
async def test_told_to_stop_it_drains_and_ends_well(tmp_path: Path, number: signal.Signals) -> None:
    process = await start(tmp_path, *UP)
    assert process.stdout is not None
    await process.stdout.readline()
    process.send_signal(number)
    ended = await finish(process)
    assert (ended.code, ended.err) == (0, "stopping: draining the edges\nstopped\n")


async def test_people_are_told_where_everything_is(tmp_path: Path) -> None:
    process = await start(tmp_path, *(word for word in UP if word != "--json"))
    assert process.stdout is not None
    lines = [(await process.stdout.readline()).decode() for _ in range(4)]
    process.send_signal(signal.SIGINT)
    assert (await finish(process)).code == 0
    assert lines[0] == f"The fabric is up (pid {process.pid}).\n"
    assert lines[1].split()[:2] == ["nats", f"nats://127.0.0.1:{urlsplit(lines[1].split()[1]).port}"]
    assert "/healthz" in lines[2]
    assert "fabric tail" in lines[3]


async def test_second_one_on_the_same_port_names_the_port_and_its_holder(tmp_path: Path) -> None:
    async with fabric_up(tmp_path) as first:
        port = urlsplit(first["nats_url"]).port
        other = tmp_path / "other"
        other.mkdir()
        ended = await fabric(other, "up", "--edges", "none", "--nats-port", str(port), "--port", "0")
    assert (ended.code, ended.err.count("\n")) == (1, 1), ended
    assert f":{port}: held by nats-server (pid " in ended.err


async def test_second_one_on_the_same_folder_names_the_first(tmp_path: Path) -> None:
    async with fabric_up(tmp_path) as first:
        ended = await fabric(tmp_path, *UP)
    assert (ended.code, ended.err.count("\n")) == (2, 1), ended
    assert f"the fabric of pid {first['pid']} (NATS at {first['nats_url']})" in ended.err


async def test_taken_health_port_is_named_and_nothing_stays_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = await fabric(tmp_path, "up", "--edges", "none", "--nats-port", "0", "--port", str(port))
    assert (ended.code, ended.err.count("\n")) == (1, 1), ended
    assert f":{port}: held by" in ended.err
    assert f"(pid {os.getpid()})" in ended.err
    assert running_fabric(tmp_path) is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--nats-port", "many"], "the command line: [nats] port: 'many' cannot be used"),
        (["--set", "nats.prot=1"], "the command line: [nats] prot: unknown key"),
        (["--set", "port=1"], "must be SECTION.KEY=VALUE"),
        (["--set", "nats.port"], "must be SECTION.KEY=VALUE"),
        (["--edges", "amqp"], "--edges amqp: no such edge; known are a2a, kafka, mcp, mqtt, or none"),
        (["--config", "absent.toml"], "absent.toml: no such file"),
    ],
)
async def test_setting_that_cannot_be_used_is_one_line(
    tmp_path: Path, arguments: list[str], says: str
) -> None:
    ended = await fabric(tmp_path, "up", *arguments)
    assert (ended.code, ended.err.count("\n")) == (2, 1), ended
    assert says in ended.err


async def test_unknown_key_in_the_file_names_file_and_key(tmp_path: Path) -> None:
    (tmp_path / "fabric.toml").write_text("[node]\nprot = 1\n")
    ended = await fabric(tmp_path, "up")
    assert (ended.code, ended.err.count("\n")) == (2, 1), ended
    assert "fabric.toml: [node] prot: unknown key; known are grace_s, host, name, port" in ended.err


async def test_unreachable_external_server_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    ended = await fabric(tmp_path, *UP, "--nats", f"nats://127.0.0.1:{port}")
    assert (ended.code, ended.err.count("\n")) == (3, 1), ended
    assert f"no NATS server at nats://127.0.0.1:{port}" in ended.err


def server_pid(home: Path) -> int:
    return int((home / "nats" / "nats-server.pid").read_text())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next start stops what is left over")
async def test_killed_fabric_is_followed_by_the_next_on_the_same_folder(tmp_path: Path) -> None:
    process = await start(tmp_path, *UP)
    assert process.stdout is not None
    await process.stdout.readline()
    await fabric(tmp_path, "pub", "a.b", "kept")
    process.kill()
    await finish(process)
    assert running_fabric(tmp_path) is None
    await until_gone(server_pid(tmp_path))
    async with fabric_up(tmp_path):
        (message,) = (
            await fabric(tmp_path, "tail", "a.b", "--since", "beginning", "-n", "1", "--json")
        ).lines()
    assert message["data"] == "kept"


async def test_every_edge_listens_and_open_connections_do_not_keep_it_from_ending(tmp_path: Path) -> None:
    ports = [word for edge in EVERY_EDGE for word in ("--set", f"edges.{edge}.port=0")]
    process = await start(tmp_path, "up", "--json", "--nats-port", "0", "--port", "0", *ports)
    assert process.stdout is not None
    address = json.loads(await process.stdout.readline())
    assert tuple(sorted(address["edges"])) == EVERY_EDGE
    async with AsyncExitStack() as open_connections:
        for where in address["edges"].values():
            _, writer = await asyncio.open_connection(*host_and_port(where))
            open_connections.push_async_callback(closed, writer)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(ENDS_WITHIN_S):
            await process.wait()
    assert (await finish(process)).err == "stopping: draining the edges\nstopped\n"


def host_and_port(where: str) -> tuple[str, int]:
    split = urlsplit(where if "://" in where else f"//{where}")
    assert split.hostname is not None
    assert split.port is not None
    return split.hostname, split.port


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
