"""A nats-server of our own: started, watched, started again when it dies, and never left behind.

In: `NatsSettings`, a folder, and the trust (who signs credentials) as configuration text. Out: a URL that
stays the same. Unaware of JWTs, streams and edges. Above: `fabric.node.node` and the tests.
"""

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from fabric.config import NatsSettings
from fabric.errors import PortInUse, ServerFailed
from fabric.holders import check_free, holder_of
from fabric.node import leash
from fabric.node.binary import check_version, find_server, server_version

__all__ = ["EmbeddedServer"]

log = logging.getLogger(__name__)

_POLL_S = 0.02  # how often we look whether the ports file is there; starting takes 50 ms
_BACKOFF_FIRST_S = 0.1  # a crash is mended at once
_BACKOFF_MAX_S = 5.0  # a crash loop does not keep a core busy
_PS_TIMEOUT_S = 5.0  # listing one process takes 10 ms
_STEADY_S = 30.0  # a server that lived this long did not die of how it was started


class EmbeddedServer:
    """One nats-server process and its keeper: `async with EmbeddedServer(settings, folder) as server: ...`

    It listens on the same port for as long as this object lives, across restarts. `kill -9` of the server
    costs nothing that was acknowledged; `kill -9` of us takes the server along (Linux), or the next start
    in the same folder stops it.
    """

    def __init__(
        self, settings: NatsSettings, folder: Path, *, trust: str = "", name: str = "fabric"
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.name = name
        self.version = ""
        self.port = settings.port
        self.monitor_port = settings.monitor_port
        self.restarts = 0
        self.problem = "not started"
        self._trust = trust
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._changed = asyncio.Condition()

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://{self.settings.host}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process that serves now; None while there is none."""
        return self._process.pid if self._process and self._process.returncode is None else None

    @property
    def log_file(self) -> Path:
        """What nats-server says; rotated at `log_bytes_max`."""
        return self.folder / "nats-server.log"

    async def start(self) -> None:
        """Returns when it serves. Raises PortInUse, ServerTooOld, ServerFailed or ConfigInvalid."""
        program = find_server()
        self.version = await server_version(program)
        check_version(self.version)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        await self._stop_leftover()
        check_free("nats-server", self.settings.host, self.port)
        await self._launch(program)
        self._keeper = asyncio.create_task(self._keep(program), name="nats-server keeper")

    async def stop(self) -> None:
        """Ends the server: asked first, killed after `grace_s`. Safe to call twice."""
        if self._keeper:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        await self._end_process()
        self.problem = "stopped"

    async def until_restarted(self, restarts: int, timeout_s: float) -> None:
        """Until the server runs again after its `restarts`-th restart. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: self.restarts >= restarts and not self.problem)

    async def __aenter__(self) -> "EmbeddedServer":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # One life of the process.

    async def _launch(self, program: Path) -> None:
        for stale in self.folder.glob("*.ports"):
            stale.unlink(missing_ok=True)
        self._config_file.write_text(self._config())
        with self._output_file.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", leash.__file__, str(os.getpid())),
                *(str(program), "-c", str(self._config_file)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment(),
                start_new_session=True,  # Ctrl-C in the terminal is for us: the server goes last
            )
        try:
            await self._until_ready()
        except BaseException:
            await self._end_process()
            raise
        self.problem = ""

    async def _until_ready(self) -> None:
        """The server writes its ports file once it accepts connections, after JetStream's recovery."""
        assert self._process is not None
        ports_file = self.folder / f"nats-server_{self._process.pid}.ports"
        deadline = time.monotonic() + self.settings.ready_timeout_s
        while not (ports := _read_ports(ports_file)):
            if self._process.returncode is not None:
                raise self._failure(f"it ended with code {self._process.returncode}")
            if time.monotonic() > deadline:
                raise self._failure(f"it was not ready within {self.settings.ready_timeout_s:g} s")
            await asyncio.sleep(_POLL_S)
        self.port = ports["nats"]
        if self.settings.monitor_port >= 0:
            self.monitor_port = ports["monitoring"]

    def _failure(self, what: str) -> Exception:
        last_line = self._last_complaint()
        if "address already in use" in last_line:
            return PortInUse("nats-server", self.settings.host, self.port, holder_of(self.port))
        return ServerFailed(f"{what}: {last_line}" if last_line else what, str(self.log_file))

    def _last_complaint(self) -> str:
        """What this life's process said last that is an error: in its log, else before its log was open."""
        assert self._process is not None
        prefix = f"[{self._process.pid}] "  # the log goes on from life to life
        for line in _last_lines(self.log_file):
            if line.startswith(prefix) and ("[FTL] " in line or "[ERR] " in line):
                return re.split(r"\[(?:FTL|ERR)\] ", line, maxsplit=1)[1]
        for line in _last_lines(self._output_file):
            if line.startswith(("nats-server:", "panic:", "fatal error:")):
                return line
        return ""

    async def _end_process(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(self.settings.grace_s):
                await process.wait()
        except TimeoutError:
            log.warning(
                "nats-server (pid %d) did not end within %g s: killed", process.pid, self.settings.grace_s
            )
            process.kill()
            await process.wait()

    # Across lives.

    async def _keep(self, program: Path) -> None:
        backoff_s = _BACKOFF_FIRST_S
        while True:
            assert self._process is not None
            started = time.monotonic()
            code = await self._process.wait()
            if time.monotonic() - started > _STEADY_S:
                backoff_s = _BACKOFF_FIRST_S
            self.problem = f"nats-server ended with code {code}"
            log.warning("%s; it is started again in %g s", self.problem, backoff_s)
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, _BACKOFF_MAX_S)
            try:
                await self._launch(program)
            except (PortInUse, ServerFailed, OSError) as error:
                self.problem = str(error)
                log.error("nats-server could not be started again: %s", error)
                continue
            async with self._changed:
                self.restarts += 1
                self._changed.notify_all()

    async def _stop_leftover(self) -> None:
        """A server that outlived its node would write to the same store: end it, and wait until it has."""
        pid = _read_pid(self.folder / "nats-server.pid")
        if pid is None or not _runs_with(pid, self._config_file):
            return
        log.warning("nats-server (pid %d) was left over from an earlier run: stopping it", pid)
        deadline = time.monotonic() + self.settings.grace_s
        os.kill(pid, signal.SIGTERM)
        while _runs_with(pid, self._config_file):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                deadline = float("inf")  # nothing outlives this one
            await asyncio.sleep(_POLL_S)

    # What it is told.

    @property
    def _config_file(self) -> Path:
        return self.folder / "nats-server.conf"

    @property
    def _output_file(self) -> Path:
        return self.folder / "nats-server.out"  # what it says before its log is open, and a panic

    def _environment(self) -> dict[str, str]:
        # FABRIC_* variables may hold tokens, which are none of the server's business.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FABRIC_")}
        return {"GOGC": str(self.settings.gogc), **environment}

    def _config(self) -> str:
        settings, quoted = self.settings, json.dumps
        sync = f'"{settings.sync_interval_s:g}s"' if settings.sync_interval_s else "always"
        monitor = (
            f"http: {quoted(f'{settings.host}:{self.monitor_port or -1}')}" if self.monitor_port >= 0 else ""
        )
        return f"""# Written at every start by the fabric's node: edit fabric.toml instead.
server_name: {quoted(self.name)}
listen: {quoted(f"{settings.host}:{self.port or -1}")}
{monitor}
pid_file: {quoted(str(self.folder / "nats-server.pid"))}
ports_file_dir: {quoted(str(self.folder))}
logfile: {quoted(str(self.log_file))}
logfile_size_limit: {settings.log_bytes_max}
logfile_max_num: 3
max_payload: {settings.max_payload_bytes}
max_pending: {settings.max_pending_bytes}
write_deadline: "{settings.write_deadline_s:g}s"
ping_interval: "20s"
jetstream {{
  store_dir: {quoted(str(self.folder / "jetstream"))}
  max_file_store: {settings.max_file_store_bytes}
  sync_interval: {sync}
  max_buffered_msgs: 100000
  limits {{ default_max_consumers: -1 }}  # or 1000 a stream: its own -1 lifts nothing
}}
feature_flags {{ js_ack_fc_v2: false }}  # nats-py reads only the first form of acknowledgement subjects
{self._trust}
"""


def _read_ports(file: Path) -> dict[str, int]:
    """`{"nats": 4222, "monitoring": 8222}`, or nothing while the file is missing or half written."""
    try:
        listeners = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return {what: int(urls[0].rpartition(":")[2]) for what, urls in listeners.items() if urls}


def _read_pid(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _runs_with(pid: int, config_file: Path) -> bool:
    """Whether the process lives and runs with that configuration: a pid may be somebody else's by now."""
    if Path("/proc/self/stat").exists():
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
        except OSError:
            return False
    else:
        listing = ["ps", "-ww", "-o", "stat=,command=", "-p", str(pid)]
        found = subprocess.run(listing, capture_output=True, text=True, timeout=_PS_TIMEOUT_S, check=False)
        state, _, command = found.stdout.strip().partition(" ")
    return not state.startswith("Z") and str(config_file) in command


def _last_lines(file: Path) -> Iterator[str]:
    """The end of a file, last line first; nothing when there is no file."""
    with contextlib.suppress(OSError):
        yield from reversed(file.read_text(errors="replace")[-16_384:].splitlines())
