"""The parts of the storm, each a process: `python -m chaos.parts PART DIARY URL CREDS SEED`.

A sender notes `offered` before it offers, then `accepted`, `refused` or `unknown` as it is told. A receiver
notes `had` when a message is its own business now. All end cleanly on SIGTERM, and are killed at any moment:
a new life reads its own diary to go on. Above: world. Below: the client library, as its users have it.
"""

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import uvloop

import fabric
from chaos.diary import Diary, entries
from fabric.client import Fabric
from fabric.errors import FabricError, Refused

__all__ = ["EFFECTS", "PARTS", "QUEUE", "TRY_AGAIN", "Part"]

DURABLE, ONCE, EFFECTS = "chaos.durable", "chaos.once", "chaos.effects"
AGENT, QUEUE = "chaos-agent", "chaos-jobs"
TRY_AGAIN = 75  # EX_TEMPFAIL
IN_FLIGHT = 64
PACE_S = 0.008  # some hundreds a second: a round stays below what a log keeps of one source
RETRY_S = 0.2
REFUSED_AGAIN_S = 0.2


class Part:
    """What every part has: a diary, chance, a name, and whether it should stop."""

    def __init__(self, name: str, file: Path, seed: int) -> None:
        self.name = name
        self.file = file
        self.diary = Diary(file)
        self.chance = random.Random(f"{seed}-{name}")
        self.stopping = asyncio.Event()
        self.life = sum(what == "began" for what, _ in entries(file)) + 1
        self.diary.note("began", str(self.life))

    async def pace(self) -> None:
        """Between two messages."""
        await asyncio.sleep(PACE_S * self.chance.random())


Offer = Callable[[str], Awaitable[object]]


async def send(part: Part, offer: Offer, *, again: bool) -> None:
    """Offer numbered messages until told to stop, many at once; `again`: what has an unknown outcome is
    offered again under the same id, in this life and the next, until it is known."""
    unsure = _unsettled(part.file) if again else []
    running: set[asyncio.Task[None]] = set()
    number = 0

    async def one(identity: str) -> None:
        while True:
            try:
                await offer(identity)
            except Refused as refusal:
                if refusal.unknown and again:
                    continue
                part.diary.note("unknown" if refusal.unknown else "refused", identity)
            except FabricError:  # not connected: nothing was written
                if again:
                    await asyncio.sleep(RETRY_S)
                    continue
                part.diary.note("refused", identity)
            else:
                part.diary.note("accepted", identity)
            return

    while not part.stopping.is_set():
        number += 1
        identity = unsure.pop() if unsure else f"{part.name}-{part.life}-{number}"
        part.diary.note("offered", identity)
        task = asyncio.create_task(one(identity))
        running.add(task)
        task.add_done_callback(running.discard)
        await part.pace()
        if len(running) >= IN_FLIGHT:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.gather(*running)


def _unsettled(file: Path) -> list[str]:
    known: dict[str, bool] = {}
    for what, identity in entries(file):
        if what == "offered":
            known.setdefault(identity, False)
        elif what in ("accepted", "refused"):
            known[identity] = True
    return [identity for identity, settled in known.items() if not settled]


T = TypeVar("T")


async def until_stopped(part: Part, source: AsyncIterator[T]) -> AsyncIterator[T]:
    """What comes, until the part is told to stop: what is in hand then has been handled."""
    stopped = asyncio.create_task(part.stopping.wait())
    try:
        while not part.stopping.is_set():
            coming = asyncio.ensure_future(anext(source))
            await asyncio.wait((coming, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
                return
            yield coming.result()
    finally:
        stopped.cancel()


async def durable_out(part: Part, fab: Fabric) -> None:
    """Publishes durable messages."""
    channel = fab.channel(DURABLE)
    await send(part, lambda identity: channel.publish(identity, id=identity), again=False)


async def durable_in(part: Part, fab: Fabric) -> None:
    """A durable member: its cursor outlives it."""
    async with fab.channel(DURABLE).join(durable="chaos", since="beginning") as member:
        async for envelope in until_stopped(part, member):
            part.diary.note("had", envelope.id)


async def once_out(part: Part, fab: Fabric) -> None:
    """Publishes each message once, however often it has to offer it."""
    channel = fab.channel(ONCE)
    await send(part, lambda identity: channel.publish(identity, id=identity, delivery="once"), again=True)


async def once_in(part: Part, fab: Fabric) -> None:
    """Handles each message once, as far as its effect goes: a message of its own, published once."""
    effects = fab.channel(EFFECTS)
    async with fab.channel(ONCE).join(durable="chaos-once", since="beginning") as member:
        async for envelope in until_stopped(part, member):
            while True:
                try:
                    await effects.publish(envelope.id, id=f"{envelope.id}:effect", delivery="once")
                except FabricError as error:
                    if not error.retriable:
                        raise
                    await asyncio.sleep(RETRY_S)
                else:
                    break
            part.diary.note("had", envelope.id)


async def inbox_out(part: Part, fab: Fabric) -> None:
    """Leaves letters for an agent, there or not."""
    inbox = fab.inbox(AGENT)
    await send(part, lambda identity: inbox.send(identity, id=identity), again=False)


async def inbox_in(part: Part, fab: Fabric) -> None:
    """Owns that inbox, life after life."""
    async with fab.agent(AGENT, take_over=True) as me, me.inbox() as inbox:
        async for letter in until_stopped(part, inbox):
            part.diary.note("had", letter.envelope.id)


async def queue_out(part: Part, fab: Fabric) -> None:
    """Puts jobs."""
    queue = fab.queue(QUEUE)
    await send(part, lambda identity: queue.put(identity, id=identity), again=False)


async def queue_in(part: Part, fab: Fabric) -> None:
    """Works them; some fail the first time, some always."""
    async with fab.queue(QUEUE).work(concurrency=16) as worker:
        async for job in until_stopped(part, aiter(worker)):
            kind = int(job.envelope.id.rpartition("-")[2]) % 20
            try:
                if kind == 7:
                    await job.dead("poison, says the storm")
                elif kind == 3 and job.attempt == 1:
                    await job.nak(delay_s=0.1)
                else:
                    part.diary.note("had", job.envelope.id)
                    await job.ack()
            except FabricError as error:  # not ours any more, or not confirmed: it comes again
                part.diary.note(error.code, job.envelope.id)


PARTS: dict[str, Callable[[Part, Fabric], Awaitable[None]]] = {
    "durable-out": durable_out,
    "durable-in": durable_in,
    "once-out": once_out,
    "once-in": once_in,
    "inbox-out": inbox_out,
    "inbox-in": inbox_in,
    "queue-out": queue_out,
    "queue-in": queue_in,
    "queue-in-too": queue_in,
}


async def main(name: str, file: str, url: str, creds: str, seed: str) -> None:
    """One life of a part. A fault that ends it is the supervisor's business: it is started again."""
    part = Part(name, Path(file), int(seed))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, part.stopping.set)
    try:
        async with fabric.connect(name, url=url, credentials=creds) as fab:
            await PARTS[name](part, fab)
    except FabricError as error:
        if not error.retriable:
            raise
        print(f"{name}: {error}", file=sys.stderr)  # nobody is there to begin with: begin again
        sys.exit(TRY_AGAIN)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
