"""One process for one part of a run, so that no memory, garbage or warm-up of one passes to the next.

`async with Worker("package.module:function", plan) as worker: await worker.ready(); await worker.measured()`.
Told on stdin, answers on stdout, one JSON line each. The function is `async def f(plan, ready) -> Measured`
and runs on uvloop; it calls `ready()` once others may start. Above: scenarios.
"""

import asyncio
import importlib
import os
import sys
import typing
from collections.abc import Awaitable, Callable
from types import TracebackType

import msgspec
import uvloop

from fabric.errors import FabricError
from fabric_bench.plans import Measured

__all__ = ["Ready", "RunFailed", "Worker"]

READY = b'"ready"\n'
READY_TIMEOUT_S = 60.0
RUN_TIMEOUT_S = 240.0  # nobody's run takes half of it; a part that hangs must not hang the bench
END_TIMEOUT_S = 10.0
LINE_BYTES_MAX = 256 << 20  # what happened over time is a long line

Ready = Callable[[], None]
Part = Callable[[typing.Any, Ready], Awaitable[Measured]]


class RunFailed(FabricError):
    """A run whose figures do not count."""

    code = "run_failed"
    retriable = True


class Worker:
    """A part of a run in a process of its own; leaving the block ends it in any case."""

    def __init__(self, part: str, plan: msgspec.Struct) -> None:
        self.part = part
        self._plan = plan
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> "Worker":
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", "fabric_bench.worker", self.part)
        place = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}  # it imports what we imported
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdin=pipe,
            stdout=pipe,
            limit=LINE_BYTES_MAX,
            env=place,
            start_new_session=True,  # Ctrl-C is for the bench, which then ends its parts
        )
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(self._plan) + b"\n")
        await self._process.stdin.drain()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()  # a part that only serves leaves when its stdin ends
        try:
            async with asyncio.timeout(END_TIMEOUT_S if kind is None else 0):
                await self._process.wait()
        except TimeoutError:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()

    async def ready(self) -> None:
        """Until the part says so. Raises RunFailed."""
        line = await self._line(READY_TIMEOUT_S)
        if line != READY:
            raise RunFailed(f"{self.part} said {line[:80]!r} and not that it is ready")

    async def measured(self) -> Measured:
        """Its result. Raises RunFailed when there is none."""
        line = await self._line(RUN_TIMEOUT_S)
        if line == READY:
            line = await self._line(RUN_TIMEOUT_S)
        return msgspec.json.decode(line, type=Measured)

    async def finished(self) -> Measured:
        """Tell a part that serves until its stdin ends that it is needed no more: its result. Raises
        RunFailed."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        return await self.measured()

    async def _line(self, timeout_s: float) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(timeout_s):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise RunFailed(f"{self.part} gave no answer within {timeout_s:g} s") from None
        if not line:
            raise RunFailed(f"{self.part} ended without an answer; what it said is above, on stderr")
        return line


async def until_stdin_ends() -> None:
    """For a part that only serves: until the bench needs it no more."""
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)


def _say(what: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    """The process's side."""
    module, _, function = sys.argv[1].partition(":")
    part: Part = getattr(importlib.import_module(module), function)
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=typing.get_type_hints(part)["plan"])

    async def run() -> Measured:
        return await part(plan, lambda: _say("ready"))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        measured = runner.run(run())
    _say(measured)


if __name__ == "__main__":
    main()
