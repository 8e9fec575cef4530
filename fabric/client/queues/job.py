"""One job in a worker's hands: what it is, and the four ways to settle it.

Settling twice, after the worker has stopped, or after the job's time ran out raises NotHeld and sends
nothing. Above: whoever works a queue. Below: `worker`, which gave it out.
"""

import asyncio
from typing import Any, Protocol

from fabric.jetstream.pull import PullConsumer
from fabric.rules.queues.fairness import Backlog
from fabric_codecs.envelope import Envelope

__all__ = ["Job", "Settler"]


class Settler(Protocol):
    """What a job needs of its worker."""

    def acknowledge(self, job: "Job") -> "asyncio.Future[None]":
        """It is done."""

    async def fail(self, job: "Job", cause: str, delay_s: float | None) -> None:
        """This attempt failed."""

    async def give_up(self, job: "Job", cause: str) -> None:
        """It goes to the dead letters now."""

    def extend(self, job: "Job") -> None:
        """It takes longer."""


class Job:
    """`envelope` is what was put; `attempt` counts starts of this job, from 1 (see `rules/queues/retry`)."""

    __slots__ = (
        *("ack_subject", "attempt", "backlog", "consumer", "deliveries"),
        *("envelope", "header", "sequence", "settler", "source"),
    )

    def __init__(
        self,
        envelope: Envelope,
        header: bytes,
        source: str,
        backlog: Backlog,
        consumer: PullConsumer,
        ack_subject: bytes,
        sequence: int,
        deliveries: int,
        settler: Settler,
    ) -> None:
        self.envelope = envelope
        self.header = header
        self.source = source
        self.backlog = backlog
        self.consumer = consumer
        self.ack_subject = ack_subject
        self.sequence = sequence
        self.deliveries = deliveries
        self.settler = settler
        self.attempt = 1

    @property
    def id(self) -> str:
        """The job's id, unique per source."""
        return self.envelope.id

    @property
    def data(self) -> bytes:
        """The payload."""
        return self.envelope.data

    @property
    def key(self) -> str | None:
        """The key it was put with."""
        return self.envelope.get("partitionkey")

    def json(self) -> Any:
        """The payload, decoded. Raises what msgspec raises."""
        return self.envelope.json()

    def ack(self) -> "asyncio.Future[None]":
        """It is done: sent at once. `await` it to know that the server has it; raises Refused("timeout",
        unknown) when the server did not confirm it in time, and may then give the job out again. A lost ack
        is sent again."""
        return self.settler.acknowledge(self)

    async def nak(self, cause: str = "not done", *, delay_s: float | None = None) -> None:
        """This attempt failed: the job comes again after `delay_s`, by default a backoff that doubles with
        each attempt; after the last attempt it goes to the dead letters with `cause`."""
        await self.settler.fail(self, cause, delay_s)

    async def dead(self, cause: str) -> None:
        """Trying again is of no use: to the dead letters now."""
        await self.settler.give_up(self, cause)

    def extend(self) -> None:
        """It takes longer: its 30 s begin anew. A handler's job is extended while the handler runs."""
        self.settler.extend(self)
