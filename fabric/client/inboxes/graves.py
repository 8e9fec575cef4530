"""How an inbox's letters become dead letters: each settled once its dead letter is stored.

Bounded by what the owner has in hand. Without a server it is tried again; a letter too large for a dead
letter stays unsettled, and the log says so. Above: `inbox_owner`. Below: `dead`.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from fabric import subjects
from fabric.client.dead import bury
from fabric.client.identity import Identity
from fabric.client.inboxes.custody import Custody
from fabric.client.inboxes.letter import Letter
from fabric.errors import FabricError, LimitExceeded
from fabric.rules.letters import Origin

__all__ = ["Graves"]

log = logging.getLogger("fabric.inbox")

RETRY_S = 1.0


class Graves:
    """`add` a letter with its cause; `on_buried(letter)` when its dead letter is stored."""

    def __init__(self, identity: Identity, custody: Custody, on_buried: Callable[[Letter], object]) -> None:
        self._identity = identity
        self._custody = custody
        self._on_buried = on_buried
        self._waiting: deque[tuple[Letter, str]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def add(self, letter: Letter, cause: str) -> None:
        """It is given up."""
        self._waiting.append((letter, cause))
        if self._task is None and not self._stopped:
            self._task = self._identity.link.spawn(self._bury_all(), "fabric-inbox-dead")

    async def stop(self) -> None:
        """What is not buried yet is given up by the next owner."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _bury_all(self) -> None:
        try:
            while self._waiting:
                letter, cause = self._waiting[0]
                try:
                    await self._bury(letter, cause)
                except LimitExceeded as error:
                    log.error("inbox %s: letter %d: %s", self._identity.name, letter.sequence, error)
                    self._waiting.popleft()
                    continue
                except FabricError as error:
                    log.warning("inbox %s: %s; again in %g s", self._identity.name, error, RETRY_S)
                    await asyncio.sleep(RETRY_S)
                    continue
                self._waiting.popleft()
                self._on_buried(letter)
        finally:
            self._task = None

    async def _bury(self, letter: Letter, cause: str) -> None:
        token = self._identity.token
        origin = Origin(self._custody.stream, letter.sequence, subjects.inbox(token, letter.token))
        await bury(
            self._identity,
            "inbox",
            token,
            origin,
            letter.header,
            letter.data,
            cause=cause,
            attempts=letter.attempts,
        )
