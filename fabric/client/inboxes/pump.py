"""Letters to a handler: handed over as they come, in the read loop, with no task of their own.

| the next letter                     | then |
|-------------------------------------|------|
| may not be handed out now           | it waits; whoever settles, commits or puts back comes here again |
| is none of a crashed life's         | handed over at once |
| may have been in a crashed life's hands | its attempt is written first, in a task for as long as need be |

Above: `inbox_owner`. Below: nothing; the owner settles.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from fabric.client.context import Cause, current_cause
from fabric.client.inboxes.letter import Letter
from fabric.errors import FabricError, InternalError

__all__ = ["Pump"]

log = logging.getLogger("fabric.inbox")


class Source(Protocol):
    """Whose letters they are."""

    def next_letter(self) -> Letter | None:
        """The next one, which is out from now on; None while there is none, or none may be handed out."""

    def has_suspect(self) -> bool:
        """Whether the next is one that a crashed life may have had in hand."""

    async def write_attempt(self) -> None:
        """Until what is out is written down."""

    def handled(self, letter: Letter, problem: str) -> None:
        """The handler returned, or raised what `problem` says."""

    def fail(self, error: FabricError) -> None:
        """Letters are not handed out any more."""


class Pump:
    """`pump()` whenever something may be handed out; `await stop()`."""

    def __init__(self, handler: Callable[[Letter], object], source: Source) -> None:
        self._handler = handler
        self._source = source
        self._task: asyncio.Task[None] | None = None
        self._is_pumping = False
        self._stopped = False

    def pump(self) -> None:
        """Hand over what may be."""
        if self._is_pumping or self._task is not None or self._stopped:
            return
        self._is_pumping = True  # a handler may settle or put back, which comes here again
        try:
            while not self._source.has_suspect() and (letter := self._source.next_letter()) is not None:
                self._handle(letter)
        finally:
            self._is_pumping = False
        if self._source.has_suspect():
            self._task = asyncio.create_task(self._pump_with_care(), name="fabric-inbox-care")
            self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Hand over no more."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _pump_with_care(self) -> None:
        while self._source.has_suspect() and (letter := self._source.next_letter()) is not None:
            await self._source.write_attempt()
            self._handle(letter)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._task = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self.pump()
        else:
            if not isinstance(error, FabricError):
                error = InternalError(f"an inbox's handler: {error!r}")
            self._source.fail(error)

    def _handle(self, letter: Letter) -> None:
        token = current_cause.set(Cause(letter.envelope))
        problem = ""
        try:
            self._handler(letter)
        except Exception as error:
            log.exception("the handler raised on letter %d from %s", letter.sequence, letter.sender)
            problem = f"the handler raised {type(error).__name__}: {error}"
        finally:
            current_cause.reset(token)
        self._source.handled(letter, problem)
