"""The address of a running fabric: found while its node lives, never afterwards."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fabric.address import Address, HomeLock, locate, running_fabric
from fabric.errors import ConfigInvalid

ADDRESS = Address(pid=os.getpid(), nats_url="nats://127.0.0.1:4222", creds="/c", edges={"mcp": "http://x"})


def test_nobody_is_there_before_a_node_ran(tmp_path: Path) -> None:
    assert running_fabric(tmp_path / "never") is None


def test_address_is_found_while_the_lock_is_held_and_only_then(tmp_path: Path) -> None:
    with HomeLock(tmp_path) as lock:
        assert running_fabric(tmp_path) is None  # it is starting and has told nothing yet
        lock.publish(ADDRESS)
        assert running_fabric(tmp_path) == ADDRESS
    assert running_fabric(tmp_path) is None


def test_address_is_its_owners_alone(tmp_path: Path) -> None:
    with HomeLock(tmp_path / "home") as lock:
        lock.publish(ADDRESS)
        for path, mode in ((tmp_path / "home", 0o700), (tmp_path / "home" / "address.json", 0o600)):
            assert stat.S_IMODE(path.stat().st_mode) == mode


def test_second_node_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    with HomeLock(tmp_path) as lock:
        lock.publish(ADDRESS)
        with pytest.raises(
            ConfigInvalid, match=rf"pid {os.getpid()} .*nats://127\.0\.0\.1:4222.*FABRIC_HOME"
        ):
            HomeLock(tmp_path).acquire()
        assert running_fabric(tmp_path) == ADDRESS


def test_lock_can_be_taken_again_after_release(tmp_path: Path) -> None:
    for _ in range(2):
        with HomeLock(tmp_path):
            pass


def test_killed_node_leaves_a_file_that_sends_nobody_astray(tmp_path: Path) -> None:
    holder = (
        "import sys; from pathlib import Path; from fabric.address import Address, HomeLock\n"
        "lock = HomeLock(Path(sys.argv[1])); lock.acquire(); lock.publish(Address(pid=1, nats_url='nats://x'))\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert running_fabric(tmp_path) == Address(pid=1, nats_url="nats://x")
        process.kill()
        process.wait(10)
        assert (tmp_path / "address.json").exists()
        assert running_fabric(tmp_path) is None


def test_folder_that_cannot_be_one_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigInvalid, match=r"file/home: cannot be the data directory .*FABRIC_HOME"):
        HomeLock(tmp_path / "file" / "home").acquire()


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'{"pid": "x", "nats_url": 1}', b"\xff"])
def test_damaged_address_is_no_address(tmp_path: Path, damage: bytes) -> None:
    with HomeLock(tmp_path):
        (tmp_path / "address.json").write_bytes(damage)
        assert running_fabric(tmp_path) is None


def test_what_is_named_wins_over_what_runs(tmp_path: Path) -> None:
    environ = {"FABRIC_HOME": str(tmp_path)}
    assert locate(environ=environ) is None
    with HomeLock(tmp_path) as lock:
        lock.publish(ADDRESS)
        assert locate(environ=environ) == ADDRESS
        found = [
            locate(environ={**environ, "FABRIC_CREDS": "/mine"}),
            locate(environ={**environ, "FABRIC_URL": "nats://far:1"}),
            locate(environ={**environ, "FABRIC_URL": "nats://far:1", "FABRIC_CREDS": "/mine"}),
            locate(
                "nats://flag:1", "/flag", {**environ, "FABRIC_URL": "nats://far:1", "FABRIC_CREDS": "/mine"}
            ),
        ]
    assert [(address.nats_url, address.creds) for address in found if address] == [
        (ADDRESS.nats_url, "/mine"),
        ("nats://far:1", ""),
        ("nats://far:1", "/mine"),
        ("nats://flag:1", "/flag"),
    ]
