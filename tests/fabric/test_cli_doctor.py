"""`fabric doctor`: it names what is wrong and says what is promised."""

import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from fabric.cli import checks
from fabric.cli.checks import Finding
from fabric.config import NatsSettings
from fabric.node.server import EmbeddedServer
from helpers.cli import fabric, fabric_up

NO_EDGES = "\n".join(f"[edges.{name}]\nenabled = false" for name in ("a2a", "kafka", "mcp", "mqtt"))


async def doctor(home: Path, *arguments: str, toml: str = "", **environ: str) -> tuple[int, dict[str, Any]]:
    (home / "fabric.toml").write_text(f"[nats]\nport = 0\n[node]\nport = 0\n{NO_EDGES}\n{toml}")
    ended = await fabric(home, "doctor", "--json", *arguments, **environ)
    return ended.code, {finding["check"]: finding for finding in ended.lines()}


async def test_fresh_machine_is_well_and_told_how_to_start(tmp_path: Path) -> None:
    code, found = await doctor(tmp_path)
    assert code == 0
    for check in ("python", "import name", "nats-server", "configuration"):
        assert found[check]["status"] == "ok"
    assert "`fabric up`" in found["fabric"]["says"]


async def test_running_fabric_is_enforced_and_states_what_a_receipt_proves(tmp_path: Path) -> None:
    async with fabric_up(tmp_path) as address:
        code, found = await doctor(tmp_path)
    assert code == 0
    assert f"pid {address['pid']}" in found["fabric"]["says"]
    assert found["health"] == {"check": "health", "status": "ok", "says": f"{address['health_url']}/healthz"}
    assert (found["names"]["status"], found["names"]["says"][:9]) == ("ok", "enforced:")
    assert "the last 2 s" in found["receipt"]["says"]
    assert "restricted to some channels" in found["history"]["says"]


async def test_server_that_syncs_always_promises_more(tmp_path: Path) -> None:
    async with fabric_up(tmp_path, "--set", "nats.sync_interval_s=0"):
        _, found = await doctor(tmp_path)
    assert found["receipt"]["says"].endswith("and a power cut")


async def test_open_server_is_shown_as_unenforced(tmp_path: Path) -> None:
    async with EmbeddedServer(NatsSettings(port=0), tmp_path / "open") as server:
        code, found = await doctor(tmp_path, "--url", server.url)
    assert (code, found["names"]["status"]) == (0, "warn")
    assert "unenforced" in found["names"]["says"]
    assert "120 s" in found["receipt"]["says"]


async def test_unreachable_server_is_a_failure(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    code, found = await doctor(tmp_path, "--url", f"nats://127.0.0.1:{port}")
    assert (code, found["nats"]["status"]) == (1, "fail")
    assert str(port) in found["nats"]["says"]


async def test_other_program_on_the_port_is_no_nats_server(tmp_path: Path) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        code, found = await doctor(tmp_path, "--url", f"nats://127.0.0.1:{port}")
    assert (code, found["nats"]["status"]) == (1, "fail")
    assert "no NATS server" in found["nats"]["says"]


async def test_taken_port_is_named_with_its_holder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, found = await doctor(tmp_path, FABRIC_NODE_PORT=str(port))
    assert (code, found[f"port {port}"]["status"]) == (1, "fail")
    assert "held by" in found[f"port {port}"]["says"]


async def test_bad_configuration_is_a_finding(tmp_path: Path) -> None:
    code, found = await doctor(tmp_path, toml="[nat]\n")
    assert (code, found["configuration"]["status"]) == (1, "fail")
    assert "fabric.toml: nat: unknown section" in found["configuration"]["says"]


async def test_old_server_is_a_finding(tmp_path: Path) -> None:
    old = tmp_path / "nats-server"
    old.write_text("#!/bin/sh\necho nats-server: v2.9.25\n")
    old.chmod(0o755)
    code, found = await doctor(tmp_path, FABRIC_NATS_SERVER=str(old))
    assert (code, found["nats-server"]["status"]) == (1, "fail")
    assert "2.9.25 is too old" in found["nats-server"]["says"]


async def test_other_distribution_of_the_same_import_name_is_found(tmp_path: Path) -> None:
    metadata = tmp_path / "fabric-3.2.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: fabric\nVersion: 3.2.2\n")
    path = os.pathsep.join([str(tmp_path), *(entry for entry in sys.path if entry)])
    code, found = await doctor(tmp_path, PYTHONPATH=path)
    assert (code, found["import name"]["status"]) == (1, "fail")
    assert "`pip uninstall fabric`" in found["import name"]["says"]


async def test_people_see_marks(tmp_path: Path) -> None:
    (tmp_path / "fabric.toml").write_text(NO_EDGES)
    ended = await fabric(tmp_path, "doctor")
    assert "ok  python" in ended.out


@pytest.mark.parametrize(
    ("interval_s", "promise"), [(None, "120 s"), (0.0, "and a power cut"), (5.0, "last 5 s")]
)
def test_receipt_promises_what_the_sync_interval_keeps(interval_s: float | None, promise: str) -> None:
    finding = checks._receipt(interval_s)
    assert isinstance(finding, Finding)
    assert promise in finding.says


async def test_node_that_says_503_is_a_failure_with_its_reason() -> None:
    async def unwell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.0 503 Service Unavailable\r\n\r\n{"problems": {"nats": "not connected"}}')
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(unwell, "127.0.0.1", 0) as node:
        url = f"http://127.0.0.1:{node.sockets[0].getsockname()[1]}/healthz"
        finding = await asyncio.to_thread(checks._health, url)
    assert (finding.status, finding.says) == ("fail", f"{url}: nats: not connected")
    assert (await asyncio.to_thread(checks._health, url)).says.startswith(f"{url} does not answer")
