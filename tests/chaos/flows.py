"""The flows of the storm: who sends, who receives, what ends a message, and how often that may happen.

Above: run. Below: parts, verdict.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import fabric
from chaos.diary import ids
from chaos.parts import EFFECTS, QUEUE
from chaos.verdict import Verdict, judge
from chaos.world import World

__all__ = ["FLOWS", "Flow"]

READ_S = 10.0

Ends = Callable[["Flow", World], Awaitable[list[Counter[str]]]]


async def from_diaries(flow: "Flow", world: World) -> list[Counter[str]]:
    """What the receivers wrote down."""
    return [ids(world.diary(part), what) for part in flow.receivers for what in flow.ends]


async def from_effects(_flow: "Flow", world: World) -> list[Counter[str]]:
    """What the log of effects holds: each is a message that was handled."""
    found: Counter[str] = Counter()
    async with fabric.connect("chaos-judge", **world.door) as fab:
        end = await fab.channel(EFFECTS).publish("end")
        async with fab.channel(EFFECTS).join(since="beginning") as member, asyncio.timeout(READ_S):
            async for envelope in member:
                if envelope.id == end.id:
                    break
                if envelope.data != b"end":
                    found[envelope.data.decode()] += 1
    return [found]


async def from_diaries_and_graves(flow: "Flow", world: World) -> list[Counter[str]]:
    """What the workers wrote down, and the dead letters."""
    async with fabric.connect("chaos-judge", **world.door) as fab:
        letters = [letter async for letter in fab.dead.letters(kind="queue", holder=QUEUE)]
    return [*await from_diaries(flow, world), Counter(letter.envelope.id for letter in letters)]


@dataclass(frozen=True)
class Flow:
    """`once`: no message may end twice. `ends` are the words of the receivers' diaries that end one."""

    name: str
    sender: str
    receivers: tuple[str, ...]
    once: bool = False
    ends: tuple[str, ...] = ("had",)
    collect: Ends = from_diaries

    async def verdict(self, world: World) -> Verdict:
        """After the storm, when everything stands still."""
        return judge(self.name, world.diary(self.sender), *await self.collect(self, world))


FLOWS = {
    flow.name: flow
    for flow in (
        Flow("durable", "durable-out", ("durable-in",)),
        Flow("once", "once-out", ("once-in",), once=True, collect=from_effects),
        Flow("inbox", "inbox-out", ("inbox-in",)),
        Flow("queue", "queue-out", ("queue-in", "queue-in-too"), collect=from_diaries_and_graves),
    )
}
