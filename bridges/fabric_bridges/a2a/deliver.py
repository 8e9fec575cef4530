"""The call behind a task, and those who follow it.

In: a task and the invocation that it stands for. Out: events for any number of streams. The call belongs to
the task and not to a stream: a client that leaves ends nothing (A2A 1.0.1, 7.1); CancelTask and the edge's
end do.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator

from fabric.client import Fabric, Invocation
from fabric.errors import CallCancelled, CallFailed, FabricError, InternalError
from fabric_bridges.a2a.session import TaskSession
from fabric_bridges.crossings import Crossings
from fabric_bridges.refusal import as_answer
from fabric_codecs.envelope import Envelope
from fabric_codecs.errors import CodecError

__all__ = ["TaskRun"]

log = logging.getLogger(__name__)


class TaskRun:
    """A task that is worked on. `run` is its one writer; `follow` and `done` may be used by many."""

    def __init__(
        self, task: TaskSession, invocation: Invocation, caller: Fabric, crossings: Crossings
    ) -> None:
        self.task = task
        self._invocation, self._caller, self._crossings = invocation, caller, crossings
        self._changed = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self._why = "the edge ended it"

    @property
    def request(self) -> Envelope:
        """The call as it was sent to the agent."""
        return self._invocation.request

    def start(self) -> "asyncio.Task[None]":
        """Call the agent, in the background. The invocation's deadline ends it at the latest."""
        self._work = asyncio.create_task(self._run(), name=f"a2a-task-{self.task.id}")
        return self._work

    async def cancel(self, why: str) -> None:
        """Give the call up: the agent is told, and the task is CANCELED when this returns."""
        assert self._work is not None, "start it first"
        self._why = why
        self._work.cancel()
        await asyncio.wait({self._work})
        if not self.task.is_done:  # cancelled before its first step
            self._fail(CallCancelled(self._target, why))

    async def done(self) -> None:
        """Until the task has ended."""
        while not self.task.is_done:
            await self._changed.wait()

    async def follow(self, at: int) -> AsyncGenerator[bytes, None]:
        """The task's events from number `at` on, until it ends. Leaving ends nothing but the following."""
        while True:
            changed = self._changed
            while at < len(self.task.events):
                at += 1
                yield self.task.events[at - 1]
            if self.task.is_done:
                return
            await changed.wait()

    @property
    def _target(self) -> str:
        return self.request.subject or self.task.agent

    async def _run(self) -> None:
        try:
            async with self._invocation as answers:
                async for envelope in answers:
                    self._take(envelope)
        except asyncio.CancelledError:
            self._fail(CallCancelled(self._target, self._why))
        except FabricError as error:
            self._fail(error)
        except CodecError as error:
            self._fail(CallFailed(self._target, "invalid_answer", str(error)))
        except Exception as error:  # a task that nobody ends would be waited for until its deadline
            log.exception("the task %s broke off", self.task.id)
            self._fail(InternalError(f"the call of {self._target} broke off: {type(error).__name__}"))

    def _take(self, envelope: Envelope) -> None:
        losses = self.task.apply(envelope)
        self._crossings.went_out(envelope, self.task.owner, losses)
        self._tell()

    def _fail(self, error: FabricError) -> None:
        """End the task for a reason that no envelope brought."""
        if not self.task.is_done:
            self._take(as_answer(error, self.request, self._caller))

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
