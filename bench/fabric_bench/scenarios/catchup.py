"""`catchup.<channels>`: how fast a late member of one channel reads its history from a shard that many share;
`catchup.together`: how fast late members of all its channels do at once.

The same messages in all, interleaved over ever more channels of one shard. Ours joins with
`since="beginning"`; nats-py makes an ordered consumer with a filter. Above: runner.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from itertools import count

from fabric import subjects
from fabric_bench.check import check, numbers_of, payloads
from fabric_bench.ours import connect
from fabric_bench.pacing import Clock, finished
from fabric_bench.place import Server, stream_of
from fabric_bench.plans import CatchupPlan, Measured
from fabric_bench.report import Goal, Result, Row, in_turn
from fabric_bench.worker import Ready, Worker
from fabric_codecs.envelope import Envelope

__all__ = ["Gathering", "Histories", "ours", "run", "together"]

SHARD = 0
MESSAGES, MESSAGES_QUICK = 400_000, 100_000  # in the shard
LATE_MEMBERS = {1: 1, 100: 4, 10_000: 10}  # channels -> members in one run, one after another
PER_SUBJECT_MAX = (
    10_000  # what the layout keeps of one source on one channel: a longer history has more sources
)
PARTS = {
    "ours": "fabric_bench.scenarios.catchup:ours",
    "nats_py": "fabric_bench.peers.nats_py:catchup",
}
TOGETHER = 100  # channels of a shard, and members that are late at once
PARTS_TOGETHER = {
    "ours": "fabric_bench.scenarios.catchup:together",
    "nats_py": "fabric_bench.peers.nats_py:catchup_together",
}


async def run(server: Server, *, rounds: int, quick: bool) -> list[Result]:
    """All runs of the scenario."""
    total = MESSAGES_QUICK if quick else MESSAGES
    results = []
    for channels in LATE_MEMBERS:
        row = Row(
            id=f"catchup.{channels}",
            what=f"a late member's history of {total // channels:,} messages of 256 B; its shard holds "
            f"{total:,} on {channels:,} channel{'s' * (channels > 1)}",
            unit="msg/s",
            goals=(Goal("nats_py", 1.0),),
        )
        names = names_in_shard(channels)
        await server.purge(stream_of(names[0]))
        await fill(server, names, total)
        results.append(Result(row, await _runs(server, row, names, total, rounds)))
    results.append(await _together(server, rounds))
    return results


async def _together(server: Server, rounds: int) -> Result:
    names, total = names_in_shard(TOGETHER), MESSAGES_QUICK  # more, and the server cuts nats-py off: 64 MB
    await server.purge(stream_of(names[0]))
    await fill(server, names, total)
    row = Row(
        id="catchup.together",
        what=f"{TOGETHER} late members at once, one for each channel of a shard that holds {total:,} "
        "messages of 256 B, in one process",
        unit="msg/s",
        goals=(Goal("nats_py", 10.0),),
    )
    plan = CatchupPlan(place=server.admin, channels=tuple(names), history=total // len(names))

    async def measured(part: str) -> Measured:
        async with Worker(part, plan) as worker:
            result = await worker.measured()
        result.values = {row.id: result.values["catchup"]}
        return result

    parts = {name: partial(measured, part) for name, part in PARTS_TOGETHER.items()}
    return Result(row, await in_turn(rounds, parts))


async def _runs(
    server: Server, row: Row, names: list[str], total: int, rounds: int
) -> "list[dict[str, Measured]]":
    members = LATE_MEMBERS[len(names)]
    turn = count()

    async def measured(part: str) -> Measured:
        # Each run reads channels that nobody has read before, where there are enough.
        first = next(turn) * members
        chosen = tuple(names[(first + at) % len(names)] for at in range(members))
        plan = CatchupPlan(place=server.admin, channels=chosen, history=total // len(names))
        async with Worker(part, plan) as worker:
            result = await worker.measured()
        result.values = {row.id: result.values["catchup"]}
        return result

    return await in_turn(rounds, {name: partial(measured, part) for name, part in PARTS.items()})


def names_in_shard(channels: int) -> list[str]:
    """So many channels that share a shard."""
    candidates = (f"bench.catchup.{channels}.{number}" for number in count())
    fitting: Iterator[str] = (name for name in candidates if subjects.shard(name) == SHARD)
    return [next(fitting) for _ in range(channels)]


async def fill(server: Server, names: list[str], total: int) -> None:
    """Publish `total` messages, one to each channel in turn; each channel's are numbered from 0."""
    history = total // len(names)
    sources = -(-history // PER_SUBJECT_MAX)
    numbered = payloads(history)
    async with connect(server.admin, "bench") as fab:
        voices = [fab.on_behalf_of(f"bench-{number}") for number in range(sources)]
        outs = [[voice.channel(name).publisher() for name in names] for voice in voices]
        for number, payload in enumerate(numbered):
            for out in outs[number % sources]:
                await out.send(payload)
        for out in (out for several in outs for out in several):
            await out.settle()
            assert not out.refused, f"{out.refusals[0]}"


class Histories:
    """Late members one after another: `start`, `read` one history, `close`. For peers too."""

    def __init__(self, plan: CatchupPlan) -> None:
        self._plan = plan
        self._payloads: list[bytes] = []
        self._complete = asyncio.Event()
        self._elapsed_s = self._started_s = 0.0
        self._faults = [0, 0, 0]

    def arrived(self, payload: bytes) -> None:
        """One message of the history."""
        self._payloads.append(payload)
        if len(self._payloads) == self._plan.history:
            self._complete.set()

    def start(self) -> None:
        """The next member joins."""
        self._started_s = time.perf_counter()

    async def read(self) -> None:
        """Until the history is whole; it is checked after the clock has stopped."""
        await finished(self._complete)
        self._elapsed_s += time.perf_counter() - self._started_s

    def close(self) -> None:
        """The member has left: nothing comes any more."""
        found = check(numbers_of(self._payloads), range(self._plan.history))
        self._faults = [before + more for before, more in zip(self._faults, found, strict=True)]
        self._payloads.clear()
        self._complete.clear()

    def measured(self) -> Measured:
        """Of all of them together."""
        lost, duplicated, disordered = self._faults
        messages = self._plan.history * len(self._plan.channels) - lost
        return Measured(
            values={"catchup": messages / self._elapsed_s},
            lost=lost,
            duplicated=duplicated,
            disordered=disordered,
        )


class Gathering:
    """Late members all at once: each `ear` is one member's. For peers too."""

    def __init__(self, plan: CatchupPlan) -> None:
        self._plan = plan
        self._arrived: list[list[bytes]] = []
        self._left = len(plan.channels)
        self._complete = asyncio.Event()

    def ear(self) -> Callable[[bytes], None]:
        """What the next member does with a payload."""
        arrived: list[bytes] = []
        self._arrived.append(arrived)
        history = self._plan.history

        def hear(payload: bytes) -> None:
            arrived.append(payload)
            if len(arrived) == history:
                self._left -= 1
                if not self._left:
                    self._complete.set()

        return hear

    async def measured(self, clock: Clock) -> Measured:
        """Until every history is whole."""
        await finished(self._complete)
        clock.stop()
        found = [check(numbers_of(arrived), range(self._plan.history)) for arrived in self._arrived]
        lost, duplicated, disordered = (sum(column) for column in zip(*found, strict=True))
        messages = self._plan.history * len(self._plan.channels) - lost
        return Measured(
            values={"catchup": messages / clock.elapsed_s},
            lost=lost,
            duplicated=duplicated,
            disordered=disordered,
            notes=clock.cpu(messages),
        )


async def together(plan: CatchupPlan, _ready: Ready) -> Measured:
    """`channel.join(handler, since="beginning")`, all at once."""
    gathering = Gathering(plan)

    def handler(hear: Callable[[bytes], None]) -> Callable[[Envelope], None]:
        return lambda envelope: hear(envelope.data)

    async with connect(plan.place, "bench-member") as fab, AsyncExitStack() as members:
        clock = Clock()
        joining = [
            fab.channel(name).join(handler(gathering.ear()), since="beginning") for name in plan.channels
        ]
        await asyncio.gather(*(members.enter_async_context(member) for member in joining))
        return await gathering.measured(clock)


async def ours(plan: CatchupPlan, _ready: Ready) -> Measured:
    """`channel.join(handler, since="beginning")`."""
    histories = Histories(plan)

    def handle(envelope: Envelope) -> None:
        histories.arrived(envelope.data)

    async with connect(plan.place, "bench-member") as fab:
        for name in plan.channels:
            histories.start()
            async with fab.channel(name).join(handle, since="beginning"):
                await histories.read()
            histories.close()
    return histories.measured()
