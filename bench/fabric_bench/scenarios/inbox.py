"""`inbox.deliver`, `inbox.settle`: letters for a thousand agents that live in one process, each settled.

Ours owns an inbox per agent: no consumer on the server, one cursor record each. nats-py has what its users
would have: a durable push consumer per agent, each message acknowledged. One sender (ours) serves both, with
the same streams. Above: runner.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial

from fabric.client import Letter, OwnedInbox, Session
from fabric.errors import Refused
from fabric.jetstream.layout import inbox_stream
from fabric.node.inboxes import SettleService
from fabric.node.services import Services
from fabric.subjects import SHARDS
from fabric_bench.check import Checked, check, numbers_of, payloads
from fabric_bench.ours import connect
from fabric_bench.pacing import Clock, finished
from fabric_bench.place import Server
from fabric_bench.plans import InboxPlan, Measured
from fabric_bench.report import Goal, Result, Row, in_turn
from fabric_bench.worker import Ready, Worker

__all__ = ["Arrivals", "own", "run", "send"]

AGENTS = 1000
LETTERS, LETTERS_QUICK = 100, 20  # for each agent in one run
WINDOW = 1  # letter to an agent without an acknowledgement, 1,000 in all: a slow owner slows the sender too
OPENING = 64  # inboxes that are opened, or closed, at once
SENDER = "fabric_bench.scenarios.inbox:send"
PARTS = {
    "ours": "fabric_bench.scenarios.inbox:own",
    "nats_py": "fabric_bench.peers.nats_py_inbox:own",
}
ROWS = (
    Row(
        id="inbox.deliver",
        what=f"256 B with full headers to {AGENTS:,} agents of one process, from the first letter's sending "
        "to the last handler, settling meanwhile",
        unit="msg/s",
        goals=(Goal("nats_py", 5.0),),
    ),
    Row(
        id="inbox.settle",
        what="the same, until the last letter's end is stored",
        unit="msg/s",
        goals=(Goal("nats_py", 5.0),),
    ),
)


async def run(server: Server, *, rounds: int, quick: bool) -> list[Result]:
    """All runs of the scenario."""
    streams = [inbox_stream(shard) for shard in range(SHARDS)]
    letters = LETTERS_QUICK if quick else LETTERS

    async def measured(part: str) -> Measured:
        await server.purge(*streams)
        plan = InboxPlan(place=server.user, admin=server.admin, agents=AGENTS, letters=letters)
        async with Worker(part, plan) as owner:
            await owner.ready()
            async with Worker(SENDER, plan) as sender:
                sent = await sender.measured()
            result = await owner.measured()
        count = plan.agents * plan.letters
        started_s = sent.values["started_s"]
        result.values = {row.id: count / (result.values[row.id] - started_s) for row in ROWS}
        result.notes["sent_per_s"] = round(count / (sent.values["ended_s"] - started_s))
        result.lost += round(sent.values["refused"])
        return result

    async with AsyncExitStack() as stack:
        session = Session([server.admin.url], name="bench-node", credentials=server.admin.creds)
        await session.open()
        stack.push_async_callback(session.close)
        services = Services(session.connection, {"settle": SettleService(session)})
        stack.push_async_callback(services.stop)
        runs = await in_turn(rounds, {name: partial(measured, part) for name, part in PARTS.items()})
    return [Result(row, runs) for row in ROWS]


def names_of(plan: InboxPlan) -> list[str]:
    """The agents."""
    return [f"bench-{number}" for number in range(plan.agents)]


async def send(plan: InboxPlan, _ready: Ready) -> Measured:
    """`inbox.publisher()` for each agent; a letter to each in turn."""
    messages = payloads(plan.agents * plan.letters)
    refused: list[Refused] = []

    def note(_: int, outcome: object) -> None:
        if isinstance(outcome, Refused):
            refused.append(outcome)

    async with connect(plan.place, "bench-sender") as fab:
        outs = [fab.inbox(name).publisher(window=WINDOW, on_outcome=note) for name in names_of(plan)]
        clock = Clock()
        for number, payload in enumerate(messages):
            await outs[number % plan.agents].send(payload)
        for out in outs:
            await out.settle()
        clock.stop()
    return Measured(
        values={"started_s": clock.started_s, "ended_s": clock.ended_s, "refused": len(refused)},
        notes=clock.cpu(len(messages)),
    )


class Arrivals:
    """What came, agent by agent. For peers too."""

    def __init__(self, plan: InboxPlan) -> None:
        self._plan = plan
        self._left = plan.agents * plan.letters
        self._payloads: list[list[bytes]] = [[] for _ in range(plan.agents)]
        self.complete = asyncio.Event()

    def arrived(self, agent: int, payload: bytes) -> None:
        """One letter."""
        self._payloads[agent].append(payload)
        self._left -= 1
        if not self._left:
            self.complete.set()

    def check(self) -> Checked:
        """Of all agents together."""
        plan, found = self._plan, Checked(0, 0, 0)
        for agent, arrived in enumerate(self._payloads):
            expected = range(agent, plan.agents * plan.letters, plan.agents)
            more = check(numbers_of(arrived), expected)
            found = Checked(*(before + now for before, now in zip(found, more, strict=True)))
        return found


async def own(plan: InboxPlan, ready: Ready) -> Measured:
    """`agent.inbox(handler)` for each agent; settled when the handler returns."""
    arrivals = Arrivals(plan)

    def handler(agent: int) -> Callable[[Letter], object]:
        def handle(letter: Letter) -> None:
            arrivals.arrived(agent, letter.data)

        return handle

    async with connect(plan.place, "bench-process") as fab:
        agents = [fab.agent(name) for name in names_of(plan)]
        async with fab.crew(agents):
            inboxes = [agent.inbox(handler(number)) for number, agent in enumerate(agents)]
            await _in_turn(inboxes, OwnedInbox.__aenter__)
            ready()
            clock = Clock()
            await finished(arrivals.complete)
            clock.stop()
            delivered_s = clock.ended_s
            await _in_turn(inboxes, OwnedInbox.commit)
            clock.stop()
            await _in_turn(inboxes, OwnedInbox.close)
    settled = sum(inbox.account.delivered for inbox in inboxes)
    found = arrivals.check()
    return Measured(
        values={"inbox.deliver": delivered_s, "inbox.settle": clock.ended_s},
        lost=max(found.lost, plan.agents * plan.letters - settled),
        duplicated=found.duplicated,
        disordered=found.disordered,
    )


async def _in_turn(inboxes: Sequence[OwnedInbox], act: Callable[[OwnedInbox], Awaitable[object]]) -> None:
    for start in range(0, len(inboxes), OPENING):
        await asyncio.gather(*map(act, inboxes[start : start + OPENING]))
