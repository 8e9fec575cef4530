"""The world of a round: a node with its server, or three servers and a node, a faulty link, and the parts.

Everything that can be killed is a process of its own and is started again, as a supervisor would. Above: run.
Below: `helpers.proxy`, `helpers.cluster`, `chaos.parts`.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fabric
from chaos.diary import entries
from chaos.faults import Fault
from chaos.parts import TRY_AGAIN
from fabric.errors import FabricError
from helpers.cluster import Cluster, free_ports
from helpers.proxy import Proxy

__all__ = ["World"]

START_S = 60.0
STOP_S = 20.0
RESTART_S = 0.3
PAUSE_S = 1.0
SLOW_S = 0.05
HEAL_S = 1.0
QUIET_S = 0.05
UP = ("-m", "fabric.cli", "up", "--json", "--edges", "none", "--port", "0")


class Kept:
    """A process that is started again when it ends, until it is told to stop."""

    def __init__(self, name: str, arguments: Sequence[str], home: Path) -> None:
        self.name = name
        self.crashes = 0  # ends that nobody asked for
        self._arguments = arguments
        self._home = home
        self._log = home / f"{name}.log"
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._keeper = asyncio.create_task(self._keep(), name=f"chaos-{self.name}")

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def stop(self) -> None:
        """SIGTERM, and what it does with that; killed when it takes too long."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise AssertionError(f"{self.name} did not stop within {STOP_S:g} s; see {self._log}") from None

    async def _keep(self) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FABRIC_")}
        path = os.pathsep.join(entry for entry in sys.path if entry)
        while True:
            with self._log.open("ab") as said:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, *self._arguments),
                    env={**inherited, "PYTHONPATH": path, "FABRIC_HOME": str(self._home)},
                    cwd=self._home,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                )
            code = await self._process.wait()
            self.crashes += code >= 0 and code != TRY_AGAIN  # below 0: a signal, which is ours
            await asyncio.sleep(RESTART_S)


class World:
    """`async with World(folder, parts) as world: ...`; `replicated` has three servers keep every stream."""

    def __init__(self, folder: Path, parts: Sequence[str], *, seed: int, replicated: bool) -> None:
        self.folder = folder
        self.parts = list(parts)
        self._seed = seed
        self._cluster = Cluster(folder / "cluster") if replicated else None
        self._node: Kept | None = None
        self._proxy: Proxy | None = None
        self._running: dict[str, Kept] = {}
        self._kept: list[Kept] = []
        self._home = folder / "home"
        self._creds = ""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The faults that this world has."""
        servers = ("kill-leader",) if self._cluster else ("kill-server", "pause-server")
        return (*servers, "kill-node", "cut-links", "slow-links")

    def diary(self, part: str) -> Path:
        """What a part has written down."""
        return self.folder / f"{part}.diary"

    @property
    def address(self) -> dict[str, Any]:
        """Where the node's files say that everything is."""
        found: dict[str, Any] = json.loads((self._home / "address.json").read_text())
        return found

    @property
    def door(self) -> dict[str, str]:
        """How a client gets in, past the faulty link."""
        return {"url": self.address["nats_url"], "credentials": self._creds}

    async def __aenter__(self) -> "World":
        self._home.mkdir(parents=True)
        flags = ["--nats-port", str(free_ports(1)[0])]  # the same in every life, as its clients know it
        if self._cluster is not None:
            await asyncio.to_thread(self._cluster.start)
            flags = ["--nats", ",".join(self._cluster.urls), "--set", "nats.replicas=3"]
            flags += ["--set", f"nats.creds={self._cluster.node_creds}"]
        self._node = await self._entered("node", [*UP, *flags])
        await self._until_up()
        self._proxy = await Proxy(self.address["nats_url"].split(",")[0]).__aenter__()
        self._creds = self._cluster.creds if self._cluster else self.address["creds"]
        for part in self.parts:
            arguments = ["-m", "chaos.parts", part, str(self.diary(part)), self._proxy.url, self._creds]
            self._running[part] = await self._entered(part, [*arguments, str(self._seed)])
        await self._until_flowing()
        return self

    async def __aexit__(self, *_: object) -> None:
        for part in reversed(self.parts):
            if part in self._running:
                await self._running[part].stop()
        if self._proxy is not None:
            await self._proxy.__aexit__(None, None, None)
        if self._node is not None:
            await self._node.stop()
        if self._cluster is not None:
            await asyncio.to_thread(self._cluster.stop)

    @property
    def crashes(self) -> dict[str, int]:
        """Which processes ended by themselves, and how often; their logs say why."""
        return {kept.name: kept.crashes for kept in self._kept if kept.crashes}

    async def stop(self, parts: Sequence[str]) -> None:
        """End some parts cleanly."""
        for part in parts:
            await self._running.pop(part).stop()

    async def suffer(self, faults: Sequence[Fault], seconds: float) -> None:
        """The storm: every fault at its moment, until the time is over."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for fault in faults:
            await asyncio.sleep(max(began + fault.at_s - loop.time(), 0))
            await self._do(fault)
        await asyncio.sleep(max(began + seconds - loop.time(), 0))

    async def calm(self) -> None:
        """Until the servers answer again."""
        async with asyncio.timeout(START_S):
            while True:
                try:
                    async with fabric.connect("chaos-calm", **self.door) as fab:
                        await fab.channel("chaos.calm").publish("calm")
                        return
                except FabricError:
                    await asyncio.sleep(RESTART_S)

    async def unbalanced(self) -> list[str]:
        """What `fabric audit` finds wrong."""
        async with fabric.connect("chaos-audit", **self.door) as fab:
            findings = await fab.audit()
        assert findings, "somebody holds messages here"
        return [f"{one.kind} {one.name} of {one.owner}" for one in findings if one.balanced is False]

    async def _do(self, fault: Fault) -> None:
        assert self._node is not None
        assert self._proxy is not None
        match fault.what:
            case "kill-part":
                self._running[fault.part].kill()
            case "kill-node":
                self._node.kill()
            case "kill-server":
                self._signal_server(signal.SIGKILL)
            case "kill-leader":
                assert self._cluster is not None
                await self._cluster.kill_leader_of("CH_0")
            case "pause-server":
                self._signal_server(signal.SIGSTOP)
                await asyncio.sleep(PAUSE_S)
                self._signal_server(signal.SIGCONT)
            case "cut-links":
                self._proxy.cut()
            case "slow-links":
                self._proxy.delay_s = SLOW_S
                await asyncio.sleep(HEAL_S)
                self._proxy.delay_s = 0.0

    def _signal_server(self, number: signal.Signals) -> None:
        try:
            os.kill(int((self._home / "nats" / "nats-server.pid").read_text()), number)
        except (OSError, ValueError):
            return  # it is dead just now

    async def _entered(self, name: str, arguments: Sequence[str]) -> Kept:
        kept = Kept(name, arguments, self._home if name == "node" else self.folder)
        self._kept.append(kept)
        await kept.start()
        return kept

    async def _until_flowing(self) -> None:
        async with asyncio.timeout(START_S):
            while not all(list(entries(self.diary(part)))[1:] for part in self.parts):  # noqa: ASYNC110
                await asyncio.sleep(QUIET_S)

    async def _until_up(self) -> None:
        async with asyncio.timeout(START_S):
            while not (self._home / "address.json").exists():  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(QUIET_S)
