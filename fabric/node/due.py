"""The node's mover: delayed jobs whose time has come go from the stream of schedules into their queues.

| a due job | becomes |
|---|---|
| its queue takes it | a job there, under the id `due:<sequence>`; then it is settled here |
| its queue refuses it | due again, alone, after a backoff; the others pass |
| the node dies between the two | moved again by the next, which stores nothing new within 2 min |
| it names no place | a dead letter of queue `due`, which cannot be redriven |

The server fires schedules (within some 60 ms of their time, after a restart too); a schedule can not be
sourced into a queue's stream, where one full subject would stall all. Any number of nodes. Above: `node`.
Below: `jetstream.pull`, the publish window; `rules/queues/due`.
"""

import asyncio
import logging
import random
from contextlib import suppress

from fabric.client.dead import bury
from fabric.client.identity import Identity
from fabric.clock import monotonic
from fabric.errors import FabricError, Refused, Unreachable
from fabric.jetstream.layout import DUE_STREAM
from fabric.jetstream.pull import PullConsumer, delivered
from fabric.jetstream.server import api
from fabric.rules.letters import Origin
from fabric.rules.queues.due import job_block, job_subject
from fabric.rules.queues.retry import backoff_s
from fabric.subjects import DUE_JOBS

__all__ = ["Mover"]

log = logging.getLogger(__name__)

CONSUMER = "due"
WINDOW = 256
ACK_WAIT_S = 30  # longer than the publish window waits for an outcome
TICK_S = 0.25
MAKE_AGAIN_S = 1.0
NO_PLACE = "it names no queue and partition that there can be"


class Mover:
    """`await start()`, later `await stop()`; `moved` and `returned` count."""

    def __init__(self, identity: Identity) -> None:
        self.moved = 0
        self.returned = 0
        self._identity = identity
        self._link = identity.link
        self._moving: set[asyncio.Task[None]] = set()
        self._ticking: asyncio.Task[None] | None = None
        self._consumer: PullConsumer | None = None
        self._is_made = False

    async def start(self) -> None:
        """Begin to move."""
        await self._make()
        self._consumer = PullConsumer(
            self._link.connection,
            DUE_STREAM,
            CONSUMER,
            inbox=f"{self._link.inbox}.due",
            deliver=self._arrived,
            on_gone=self._gone,
            on_settled=lambda _ends, _confirmed: None,
        )
        self._ticking = asyncio.create_task(self._tick(), name="fabric-due")

    async def stop(self) -> None:
        """End; what is under way has its outcome, or is moved by the next node."""
        if self._ticking is None or self._consumer is None:
            return
        self._ticking.cancel()
        self._consumer.stop()
        with suppress(
            FabricError
        ):  # any answer says that the server has heard it: what is on its way has come
            await api(self._link.connection, f"CONSUMER.INFO.{DUE_STREAM}.{CONSUMER}")
        await asyncio.gather(self._ticking, *self._moving, return_exceptions=True)
        self._consumer.close()

    def _gone(self, error: FabricError | None) -> None:
        log.warning("delayed jobs wait: %s", error or "nobody serves their consumer now")
        self._is_made = False

    async def _make(self) -> None:
        config = {
            "durable_name": CONSUMER,
            "filter_subject": DUE_JOBS,
            "ack_policy": "explicit",
            "ack_wait": ACK_WAIT_S * 1_000_000_000,
            "max_deliver": -1,
            "max_ack_pending": 4 * WINDOW,
        }
        body = {"stream_name": DUE_STREAM, "config": config}
        await api(self._link.connection, f"CONSUMER.CREATE.{DUE_STREAM}.{CONSUMER}", body)
        self._is_made = True

    async def _tick(self) -> None:
        assert self._consumer is not None
        while True:
            try:
                if not self._is_made:
                    await asyncio.sleep(MAKE_AGAIN_S)
                    await self._make()
                self._consumer.tick(monotonic())
                self._consumer.ask(WINDOW - len(self._moving), WINDOW)
            except FabricError as error:
                log.warning("delayed jobs wait: %s", error)
            await asyncio.sleep(TICK_S)

    def _arrived(self, subject: bytes, ack: bytes, header: bytes, data: bytes) -> None:
        task = asyncio.create_task(self._move(subject, ack, header, data), name="fabric-due-job")
        self._moving.add(task)
        task.add_done_callback(self._moving.discard)

    async def _move(self, subject: bytes, ack: bytes, header: bytes, data: bytes) -> None:
        assert self._consumer is not None
        times, sequence = delivered(ack)
        try:
            target = job_subject(header)
            if target is None:
                await self._bury(Origin(DUE_STREAM, sequence, subject.decode()), header, data)
            else:
                await self._link.publisher.publish(target, job_block(header, sequence), data)
        except (Refused, Unreachable) as error:
            delay_s = backoff_s(times, random.random())
            log.info("a delayed job waits another %.1f s: %s", delay_s, error)
            self.returned += 1
            self._consumer.give_back(ack, delay_s)
            return
        except FabricError:
            log.exception("delayed job %d cannot be moved", sequence)
            self._consumer.give_back(ack, backoff_s(times, random.random()))
            return
        self.moved += 1
        self._consumer.acknowledge(ack, "moved")
        self._consumer.ask(WINDOW - len(self._moving), WINDOW)

    async def _bury(self, origin: Origin, header: bytes, data: bytes) -> None:
        await bury(self._identity, "queue", "due", origin, header, data, cause=NO_PLACE, attempts=1)
