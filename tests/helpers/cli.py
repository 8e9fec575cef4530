"""The `fabric` command as a user runs it: a process of its own, with a data directory of its own."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Finished", "fabric", "fabric_up", "start"]

BOUND_S = 30.0
UP = ("up", "--json", "--edges", "none", "--nats-port", "0", "--port", "0")


@dataclass(frozen=True)
class Finished:
    """A command that ended."""

    code: int
    out: str
    err: str

    def lines(self) -> list[Any]:
        """The JSON values on stdout, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


async def start(home: Path, *arguments: str, **environ: str) -> asyncio.subprocess.Process:
    """Start `fabric ARGUMENTS` in `home`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FABRIC_")}
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fabric.cli", *arguments),
        cwd=home,
        env={**inherited, "PYTHONPATH": path, "FABRIC_HOME": str(home), **environ},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def finish(process: asyncio.subprocess.Process, stdin: bytes = b"") -> Finished:
    """Wait for it, for BOUND_S at most."""
    try:
        async with asyncio.timeout(BOUND_S):
            out, err = await process.communicate(stdin)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), err.decode())


async def fabric(home: Path, *arguments: str, stdin: bytes = b"", **environ: str) -> Finished:
    """Run `fabric ARGUMENTS` in `home` to its end."""
    return await finish(await start(home, *arguments, **environ), stdin)


@asynccontextmanager
async def fabric_up(home: Path, *arguments: str) -> AsyncIterator[Mapping[str, Any]]:
    """A running `fabric up` on free ports; yields the address that it printed."""
    process = await start(home, *UP, *arguments)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(BOUND_S):
            line = await process.stdout.readline()
        if not line:
            raise AssertionError(f"fabric up ended: {await finish(process)}")
        yield json.loads(line)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        ended = await finish(process)
    assert ended.code == 0, ended
