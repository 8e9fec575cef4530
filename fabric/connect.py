"""The door: `async with fabric.connect(name="greenhouse-1") as fab`.

Finds the fabric (FABRIC_URL and FABRIC_CREDS, else the one that runs on this machine, else starts one as
a child process) and opens a session under a name. Above: users. Below: `fabric.client`, `fabric.address`.
"""

import asyncio
import logging
import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fabric.address import Address, locate, running_fabric
from fabric.client import Fabric, Session
from fabric.client.gate import Gate
from fabric.clock import monotonic
from fabric.config import LimitsSettings
from fabric.errors import Unreachable

__all__ = ["connect"]

log = logging.getLogger("fabric.connect")

START_TIMEOUT_S = 30.0  # of a fabric of our own: a large store takes seconds to recover
STOP_TIMEOUT_S = 10.0
POLL_S = 0.05


@asynccontextmanager
async def connect(
    name: str | None = None,
    *,
    url: str | None = None,
    credentials: Path | str | None = None,
    timeout_s: float = 10.0,
    limits: LimitsSettings | None = None,
) -> AsyncIterator[Fabric]:
    """Open a connection under `name` (unique in the tenant; a random one when omitted).

    `url` and `credentials` default to FABRIC_URL (several servers separated by commas) and FABRIC_CREDS.
    Without a URL the fabric running on this machine is used; without one, a fabric is started for as long
    as this connection lasts, without edges: `fabric up` keeps one running. Leaving the block settles what
    was published.

    `limits` hold this client itself to rates and ceilings, as `[limits]` of a node hold the clients of its
    edges: it is refused here rather than there. Advice to oneself: nobody else is held to it.

    Raises Unreachable, Unauthenticated, ServerTooOld, InvalidName.
    """
    name = name or f"client-{secrets.token_hex(4)}"
    if address := locate(url, str(credentials) if credentials else None):
        async with _open(address, name, timeout_s, limits) as fabric:
            yield fabric
    else:
        async with _own_fabric() as started, _open(started, name, timeout_s, limits) as fabric:
            yield fabric


@asynccontextmanager
async def _open(
    address: Address, name: str, timeout_s: float, limits: LimitsSettings | None
) -> AsyncIterator[Fabric]:
    session = Session(address.nats_url.split(","), name=name, credentials=address.creds or None)
    fabric = Fabric(session, name, gate=None if limits is None else Gate(limits))
    await session.open(timeout_s)
    try:
        yield fabric
    finally:
        await session.close()


@asynccontextmanager
async def _own_fabric() -> AsyncIterator[Address]:
    # A child process, not a part of this one: a node's work must not wait for its user's handlers. The leash
    # ends it
    # with us, however we end.
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "fabric.node.leash", str(os.getpid())),
        *(sys.executable, "-m", "fabric.cli", "up", "--edges", "none", "--nats-port", "0", "--port", "0"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    log.info("no fabric runs on this machine: one was started for this connection (`fabric up` keeps one)")
    try:
        deadline = monotonic() + START_TIMEOUT_S
        while (address := running_fabric()) is None:
            if process.returncode is not None:
                said = (await process.stderr.read(4096)).decode(errors="replace").strip()
                raise Unreachable(
                    "this machine", f"a fabric could not be started: {said or process.returncode}"
                )
            if monotonic() > deadline:
                raise Unreachable("this machine", f"a fabric did not start within {START_TIMEOUT_S:g} s")
            await asyncio.sleep(POLL_S)
        yield address
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                process.kill()
                await process.wait()
