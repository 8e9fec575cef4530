"""Jobs given to a handler: acknowledged when it returns, tried again when it raises.

A handler is a coroutine function, run in a task for each job, or a function that does not wait, called at
once. What it publishes and calls was caused by its job. It may settle the job itself. Above: `worker`.
Below: `context`.
"""

import inspect
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol

from fabric.client.context import handling
from fabric.client.queues.job import Job, Settler
from fabric.errors import NotHeld

__all__ = ["Handed", "Handler"]

log = logging.getLogger("fabric.queue")

Handler = Callable[[Job], object]


class Keeper(Settler, Protocol):
    """The worker, as a handler's jobs need it."""

    def holds(self, job: Job) -> bool:
        """Whether nobody has settled it."""


class Handed:
    """`spawn(work, name)` runs a coroutine and logs what it raises; `count` is how many jobs were given."""

    def __init__(
        self, handler: Handler, keeper: Keeper, spawn: Callable[[Coroutine[Any, Any, None], str], object]
    ) -> None:
        self.count = 0
        self._handler = handler
        self._keeper = keeper
        self._spawn = spawn
        self._is_coroutine = inspect.iscoroutinefunction(handler)

    def give(self, job: Job) -> None:
        """Have the handler work it."""
        self.count += 1
        if self._is_coroutine:
            self._spawn(self._run(job), job.id)
            return
        try:
            with handling(job.envelope):
                self._handler(job)
        except Exception as error:
            self._spawn(self._failed(job, error), job.id)
        else:
            self._returned(job)

    async def _run(self, job: Job) -> None:
        try:
            with handling(job.envelope):
                await self._handler(job)  # type: ignore[misc]  # `give` has seen that it is a coroutine function
        except Exception as error:
            await self._failed(job, error)
        else:
            self._returned(job)

    def _returned(self, job: Job) -> None:
        if self._keeper.holds(job):
            self._keeper.acknowledge(job)

    async def _failed(self, job: Job, error: Exception) -> None:
        log.warning("attempt %d of job %s failed", job.attempt, job.id, exc_info=error)
        with suppress(NotHeld):  # it was settled before the handler raised
            await self._keeper.fail(job, f"{type(error).__name__}: {error}", None)
