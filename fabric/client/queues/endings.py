"""How the jobs of a worker end, and the account of it.

| a job | ends as |
|---|---|
| acknowledged, and the server confirmed it | delivered |
| its `expirytime` had passed when its turn came | expired; nobody sees it |
| failed for the last time, given up, or killed its workers | dead, once the letter is stored |
| says another source than the server vouches for | dead |
| its dead letter is refused, or its attempts cannot be counted | nothing: it comes again in AGAIN_S |
| its acknowledgement is not confirmed in time | unknown |

`rules/queues/retry` decides. A failed attempt is counted by the server (`Nats-Incr`), so that the next worker
knows of it. Above: `worker`. Below: `dead`, `tenure`, `jetstream.pull`. Cost: nothing for a job that
succeeds at once; a round trip for each failure and each start after the first; one write a second for the
account while it changes.
"""

import asyncio
import json
import logging
import random
from contextlib import suppress

import msgspec

from fabric import subjects
from fabric.client.dead import bury
from fabric.client.identity import Identity
from fabric.client.queues.job import Job
from fabric.client.tenure import Tenure
from fabric.clock import monotonic, parse_us
from fabric.errors import FabricError, LimitExceeded, Refused, Unreachable
from fabric.jetstream.connection import NoResponders
from fabric.jetstream.layout import QUEUE_STREAM
from fabric.rules.accounts import Account, Extent, Holder
from fabric.rules.letters import Origin
from fabric.rules.queues.retry import backoff_s, is_over, is_spent

__all__ = ["Endings"]

log = logging.getLogger("fabric.queue")

AGAIN_S = 2.0
NEVER_FITS_S = 300.0  # between two tries to bury what is too large for a letter
FLUSH_EVERY_S = 1.0
HEARD_TIMEOUT_S = 2.0
INCREMENT = b"NATS/1.0\r\nNats-Incr: +1\r\n\r\n"


class Endings:
    """Of one worker. `news` is set when the server has confirmed something."""

    def __init__(self, identity: Identity, token: str, name: str, max_attempts: int) -> None:
        self.account = Account()
        self.news = asyncio.Event()
        self._identity = identity
        self._token = token
        self._max_attempts = max_attempts
        link = identity.link
        key = f"{token}.{link.process}-{link.next_count()}"
        self._subject = subjects.state(identity.token, "queue", key)
        self._tenure = Tenure(link, self._subject, Holder)
        self._record = Holder(
            name=name,
            process=link.process,
            epoch=1,
            connection=link.token,
            account=self.account,
            extents=[Extent(QUEUE_STREAM, subjects.jobs_in(token))],
        )
        self._written = Account()
        self._written_at = monotonic()

    # The account

    def taken_up(self) -> None:
        """A job came."""
        self.account.accepted += 1

    def given_back(self) -> None:
        """It is the log's again."""
        self.account.accepted -= 1

    def settled(self, ends: dict[str, int], confirmed: bool) -> None:
        """The server has confirmed, or not, that so many jobs ended in these ways."""
        for end, count in ends.items():
            counted = end if confirmed else "unknown"
            setattr(self.account, counted, getattr(self.account, counted) + count)
        self.news.set()

    async def flush(self, *, last: bool = False) -> None:
        """Write the account if it changed, at most once a second. Raises Refused, Unreachable."""
        now = monotonic()
        if not last and (now - self._written_at < FLUSH_EVERY_S or self.account == self._written):
            return
        self._written_at = now
        written = msgspec.structs.replace(self.account)
        self._record.account, self._record.open = written, not last
        await self._tenure.write(self._record)
        self._written = written

    async def heard(self) -> None:
        """Until the server has heard all that was said so far, or cannot be reached: it takes a
        connection's commands one after another, so any answer says so."""
        with suppress(Refused, Unreachable):
            await self._identity.link.state.get(self._subject, timeout_s=HEARD_TIMEOUT_S)

    # The ways to end

    def done(self, job: Job) -> "asyncio.Future[None]":
        """It was worked."""
        return job.consumer.acknowledge(job.ack_subject, "delivered")

    def is_worth_nothing(self, job: Job, now_us: int) -> bool:
        """Whether its time has passed; it ends then."""
        until = job.envelope.get("expirytime")
        if until is None:
            return False
        try:
            if parse_us(until) > now_us:
                return False
        except ValueError:
            return False  # no time that anybody can read
        job.consumer.acknowledge(job.ack_subject, "expired")
        return True

    async def may_start(self, job: Job) -> bool:
        """Before a job that was given out before starts: count that. False when it ended here, or has to
        wait."""
        attempts = await self._count(job)
        if attempts is None:
            self._return(job, AGAIN_S)
            return False
        job.attempt = attempts
        if is_over(attempts, self._max_attempts):
            await self.buried(job, f"its worker ended {attempts - 1} times before it settled this job")
            return False
        return True

    async def failed(self, job: Job, cause: str, delay_s: float | None) -> None:
        """An attempt failed."""
        if job.deliveries == 1 and (counted := await self._count(job)) is not None:
            job.attempt = counted
        if is_spent(job.attempt, self._max_attempts):
            await self.buried(job, cause)
        else:
            self._return(job, backoff_s(job.attempt, random.random()) if delay_s is None else delay_s)

    async def buried(self, job: Job, cause: str) -> None:
        """It goes to the dead letters; settled when the letter is stored."""
        envelope = job.envelope
        origin = Origin(QUEUE_STREAM, job.sequence, envelope.address.decode())
        block, data = job.header, envelope.data
        try:
            await bury(
                *(self._identity, "queue", self._token, origin, block, data),
                cause=cause,
                attempts=job.attempt,
            )
        except (Refused, Unreachable) as error:
            log.warning("job %s could not be buried (%s): it comes again in %g s", job.id, error, AGAIN_S)
            self._return(job, AGAIN_S)
        except LimitExceeded as error:
            log.error("job %s does not fit into a dead letter: %s; %s", job.id, error, cause)
            self._return(job, NEVER_FITS_S)
        else:
            job.consumer.acknowledge(job.ack_subject, "dead")

    def _return(self, job: Job, delay_s: float) -> None:
        job.consumer.give_back(job.ack_subject, delay_s)
        self.given_back()

    async def _count(self, job: Job) -> int | None:
        # The server adds; None when it did not say what came of it. A count whose answer is lost may stand.
        subject = subjects.attempts(self._token, job.sequence)
        try:
            reply = await self._identity.link.connection.request(subject, header=INCREMENT)
            return int(json.loads(reply.data)["val"])
        except (FabricError, NoResponders, ValueError, LookupError) as error:
            log.warning("attempt of job %s could not be counted: %s", job.id, error)
            return None
