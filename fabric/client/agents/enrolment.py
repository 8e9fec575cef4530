"""This process's own agents in the registry: their records, and the lease they hang on.

| a write of a record found            | act |
|--------------------------------------|-----|
| nobody wrote since our last          | ours stands |
| somebody did, and it is our own text | ours stands: the acknowledgement was lost |
| somebody else did                    | NameInUse; an agent that was live is fenced |

Every write expects the revision before it, so a name has one holder however many processes claim it. Who
takes a name over says so where the former holder takes its calls; a notice that is lost is made up for at
the next reconnect. A crew is written without waiting for each: one message an agent, 4,096 in flight. Above:
`agent`, `crew`. Below: `lease`, `jetstream`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, Protocol, TypeVar
from weakref import WeakValueDictionary

import msgspec

from fabric import subjects
from fabric.client.agents.cards import AgentCard
from fabric.client.agents.lease import Lease, lease_held
from fabric.client.link import Link
from fabric.errors import InternalError, NameInUse, Refused
from fabric.jetstream.layout import REGISTRY_STREAM
from fabric.jetstream.publish import Event, Outcome

__all__ = ["CLAIMS_AT_ONCE", "Enrolment", "Left", "Registrant"]

LEFT_KEPT_S = 3600  # how long a former life's epoch is remembered
WINDOW = 4096  # records of a crew without an acknowledgement
CLAIMS_AT_ONCE = 256
LEFT_LINE = f"Nats-TTL: {LEFT_KEPT_S}s\r\n"


class Left(msgspec.Struct, tag_field="state", tag="left"):
    """The record of an agent that left: only its epoch is of use."""

    name: str
    epoch: int


class Registrant(Protocol):
    """An agent of this process, as far as its registration goes."""

    name: str
    token: str
    epoch: int

    def card(self) -> AgentCard:
        """What to write down."""
        ...

    def notice(self) -> None:
        """Tell the former holder of the name to look who has it now."""

    def fenced(self) -> None:
        """Another process took the name over."""


R = TypeVar("R", bound=Registrant)


class Mine(NamedTuple):
    """A name of ours: the agent, the sequence of its record, and whether another process had it before."""

    agent: Registrant
    sequence: int
    taken_over: bool = False


class Enrolment:
    """One per link."""

    def __init__(self, link: Link, lease: Lease) -> None:
        self._link = link
        self._lease = lease
        self._mine: dict[str, Mine] = {}
        # Gone when nobody waits for its turn any more.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._mine)

    # One agent

    async def claim(self, agent: Registrant, *, take_over: bool) -> int:
        """Take the name: answers the epoch of this life. Raises NameInUse when another live process holds
        it."""
        token = agent.token
        await self._lease.keep()
        stored = await self._link.reader.last(REGISTRY_STREAM, subjects.registration(token))
        if token in self._mine:
            raise NameInUse(agent.name, f"{self._link.token}.{self._link.process} (this one)")
        epoch, sequence, elsewhere = 1, stored.sequence if stored else 0, False
        if stored is not None and stored.data:  # else it was never written, or has expired
            former = msgspec.json.decode(stored.data, type=dict[str, Any])
            epoch = int(former["epoch"]) + 1
            holder = f"{former.get('connection')}.{former.get('process')}"
            elsewhere = former.get("state") != "left" and former.get("process") != self._link.process
            if elsewhere and not take_over and await lease_held(self._link, holder):
                raise NameInUse(agent.name, holder)
        self._mine[token] = Mine(agent, sequence, elsewhere)
        return epoch

    async def announce(self, agent: Registrant) -> None:
        """Write the agent's card. Raises NameInUse when somebody else wrote its record meanwhile."""
        async with self._turn(agent.token):
            mine = self._mine.get(agent.token)
            if mine is None:
                raise NameInUse(agent.name, "another process, which took it over")
            sequence = await self._write(agent, msgspec.json.encode(agent.card()), mine.sequence)
            self._mine[agent.token] = Mine(agent, sequence)
            if mine.taken_over:
                agent.notice()

    async def withdraw(self, agent: Registrant) -> None:
        """The agent leaves; everybody sees it at once. Nothing for one that was fenced."""
        async with self._turn(agent.token):
            sequence = self.forget(agent)
            if sequence is not None:
                record = msgspec.json.encode(Left(agent.name, agent.epoch))
                await self._write(agent, record, sequence, LEFT_LINE)

    def forget(self, agent: Registrant) -> int | None:
        """Keep the agent's record no more; the sequence of it, None when it was not ours any more."""
        mine = self._mine.get(agent.token)
        if mine is None or mine.agent is not agent:
            return None
        del self._mine[agent.token]
        return mine.sequence

    async def check(self, agent: Registrant) -> None:
        """Look whether the name is still this agent's; it is told when it is not."""
        stored = await self._link.reader.last(REGISTRY_STREAM, subjects.registration(agent.token))
        if stored is None or not stored.data:
            return
        if int(msgspec.json.decode(stored.data, type=dict[str, Any])["epoch"]) > agent.epoch:
            self.forget(agent)
            agent.fenced()

    # Many agents

    async def enlist(self, agents: Sequence[R]) -> list[R]:
        """Write the first records of many agents as fast as the registry takes them. Answers those whose
        names have been used before: `claim` and `announce` them. Raises NameInUse, Refused."""
        for agent in agents:
            if agent.token in self._mine:
                raise NameInUse(agent.name, f"{self._link.token}.{self._link.process} (this one)")
        await self._lease.keep()
        used: list[R] = []
        refusals: list[Refused] = []

        def settle(number: int, outcome: Outcome) -> None:
            agent = agents[number]
            if not isinstance(outcome, Refused):
                self._mine[agent.token] = Mine(agent, abs(outcome))
            elif outcome.reason == "conflict":
                used.append(agent)
            else:
                refusals.append(outcome)

        records = ((agent.token, msgspec.json.encode(agent.card()), 0) for agent in agents)
        await self._pipeline(records, "", settle)
        if refusals:
            raise refusals[0]
        return used

    async def dismiss(self, agents: Sequence[Registrant]) -> None:
        """All of them leave, as fast as the registry takes it. Raises Refused when it did not; their lease
        ends then."""
        records = []
        refusals: list[Refused] = []
        for agent in agents:
            sequence = self.forget(agent)
            if sequence is not None:
                records.append((agent.token, msgspec.json.encode(Left(agent.name, agent.epoch)), sequence))

        def settle(_: int, outcome: Outcome) -> None:
            if isinstance(outcome, Refused) and outcome.reason != "conflict":  # else: fenced, not ours to end
                refusals.append(outcome)

        await self._pipeline(records, LEFT_LINE, settle)
        if refusals:
            raise refusals[0]

    async def _pipeline(
        self, records: Iterable[tuple[str, bytes, int]], extra: str, settle: Callable[[int, Outcome], object]
    ) -> None:
        # Token, record and the sequence it expects; bounded by the publish window's deadline.
        publisher = self._link.publisher
        in_flight, moved = 0, asyncio.Event()

        def settled(number: int, outcome: Outcome) -> None:
            nonlocal in_flight
            in_flight -= 1
            settle(number, outcome)
            if in_flight <= WINDOW // 2:
                moved.set()

        for number, (token, record, expected) in enumerate(records):
            while in_flight >= WINDOW or not publisher.is_open:
                if in_flight >= WINDOW:
                    moved.clear()
                    await moved.wait()
                await publisher.admit()
            subject = subjects.registration(token).encode()
            header = _expecting(expected, extra)
            publisher.offer(Event(subject, None, header, b"", number, 0, record, settled))
            in_flight += 1
        while in_flight:
            moved.clear()
            await moved.wait()

    # The process

    def reconnected(self) -> None:
        """The server was away: somebody may have found our lease ended and taken a name."""
        self._lease.reconnected()
        if self._mine:
            self._link.spawn(self._check_all(), "fabric-enrolment-check")

    async def close(self) -> None:
        """Release the lease."""
        await self._lease.close()

    async def _check_all(self) -> None:
        agents = [mine.agent for mine in self._mine.values()]
        for start in range(0, len(agents), CLAIMS_AT_ONCE):
            await asyncio.gather(*map(self.check, agents[start : start + CLAIMS_AT_ONCE]))

    async def _write(self, agent: Registrant, record: bytes, expected: int, extra: str = "") -> int:
        subject, header = subjects.registration(agent.token), _expecting(expected, extra)
        reply = await self._link.connection.request(subject, record, header=header)
        answer = msgspec.json.decode(reply.data, type=dict[str, Any])
        error = answer.get("error")
        if error is None:
            return int(answer["seq"])
        stored = await self._link.reader.last(REGISTRY_STREAM, subject)
        if stored is not None and stored.data == record:
            return stored.sequence  # our own write, whose acknowledgement was lost
        if error.get("err_code") in (10071, 10164):
            raise NameInUse(agent.name, "another process (it wrote the record meanwhile)")
        raise InternalError(f"registering {agent.name}: {error.get('description')}")

    @asynccontextmanager
    async def _turn(self, token: str) -> AsyncIterator[None]:
        # Each write of a record expects the one before it.
        turn = self._turns.setdefault(token, asyncio.Lock())
        async with turn:
            yield


def _expecting(sequence: int, extra: str) -> bytes:
    return f"NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: {sequence}\r\n{extra}\r\n".encode()
