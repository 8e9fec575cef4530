"""A crew: many agents of one process that join and leave together, at the rate that the registry takes.

| an agent's name      | how it joins |
|----------------------|--------------|
| never used           | one message, no wait for it alone |
| used before          | its record is read, then written: 256 names at once |
| held by somebody live | NameInUse; those that had joined leave again |

Cost: one message and one acknowledgement per agent, one lease for the process. Above: `session`. Below:
`agent`, `enrolment`.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Self

from fabric.client.agents.agent import Agent
from fabric.client.agents.enrolment import CLAIMS_AT_ONCE, Enrolment
from fabric.errors import FabricError

__all__ = ["Crew"]

log = logging.getLogger("fabric.agent")


class Crew:
    """Made by `Fabric.crew`; its `agents` are live inside its `async with`."""

    def __init__(self, agents: Iterable[Agent], enrolment: Enrolment) -> None:
        self.agents = tuple(agents)
        self._enrolment = enrolment

    async def __aenter__(self) -> Self:
        """Returns when all are registered. Raises NameInUse, Refused, and then none is."""
        try:
            for agent in self.agents:
                agent.begin(epoch=1)
            used = await self._enrolment.enlist(self.agents)
            for agent in used:
                agent.stop()  # its epoch is another
            for start in range(0, len(used), CLAIMS_AT_ONCE):
                entering = (agent.__aenter__() for agent in used[start : start + CLAIMS_AT_ONCE])
                for outcome in await asyncio.gather(*entering, return_exceptions=True):
                    if isinstance(outcome, BaseException):
                        raise outcome
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._leave()

    async def _leave(self) -> None:
        for agent in self.agents:
            agent.stop()
        try:
            await self._enrolment.dismiss(self.agents)
        except FabricError as error:
            log.warning("a crew left without telling the registry: %s; its lease will end", error)
        await asyncio.gather(*(agent.drain() for agent in self.agents if agent.is_busy))
