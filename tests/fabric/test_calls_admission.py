"""What an agent takes, enforced where calls arrive: a rate, a ceiling, and a fair share for each caller."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from fabric.client import Agent, AgentLimits, Fabric, Rate
from fabric.client.gate import Gate
from fabric.config import LimitsSettings
from fabric.connect import connect
from fabric.errors import Refused
from fabric.node.metrics import NodeCollector
from helpers.lane import opened
from helpers.server import RunningServer
from helpers.waiting import BOUND_S, until


@asynccontextmanager
async def limited(
    server: RunningServer, name: str, limits: AgentLimits, callers: int = 1
) -> AsyncIterator[tuple[Agent, asyncio.Event, list[Fabric]]]:
    async with AsyncExitStack() as stack:
        fabrics = [
            await stack.enter_async_context(opened(server, f"{name}-{number}")) for number in range(callers)
        ]
        fabric = await stack.enter_async_context(opened(server, name))
        agent = await stack.enter_async_context(fabric.agent(name, limits=limits))
        gate = asyncio.Event()

        @agent.tool
        async def hold() -> None:
            await gate.wait()

        @agent.tool
        async def quick() -> int:
            return 1

        yield agent, gate, fabrics


async def test_a_caller_over_its_rate_is_refused_and_the_others_are_not(server: RunningServer) -> None:
    limits = AgentLimits(caller_rate=Rate(0.01, burst=3))
    async with limited(server, "adm-caller", limits, callers=2) as (agent, _, (stormer, other)):
        for _ in range(3):
            await stormer.call("adm-caller.quick")
        with pytest.raises(Refused, match="of one caller") as refused:
            await stormer.call("adm-caller.quick")
        assert (refused.value.reason, refused.value.retry_after_ms) == ("rate", 60_000)
        assert (await other.call("adm-caller.quick")).json() == 1
        assert (agent.account.answered, agent.account.refused) == (4, 1)


async def test_an_agent_over_its_rate_refuses_everybody(server: RunningServer) -> None:
    limits = AgentLimits(rate=Rate(0.01, burst=1))
    async with limited(server, "adm-rate", limits, callers=2) as (_, _, (one, other)):
        await one.call("adm-rate.quick")
        with pytest.raises(Refused, match="no more calls a second"):
            await other.call("adm-rate.quick")


async def test_one_caller_cannot_take_all_seats(server: RunningServer) -> None:
    limits = AgentLimits(calls_max=10)
    async with limited(server, "adm-seats", limits, callers=2) as (agent, gate, (stormer, other)):
        holding = [asyncio.create_task(stormer.call("adm-seats.hold")) for _ in range(30)]
        await until(lambda: sum(task.done() for task in holding) == 22, "the others were refused")
        assert len(agent._receive()._running) == 8
        refusals = [task.exception() for task in holding if task.done()]
        assert all(isinstance(refused, Refused) and refused.reason == "full" for refused in refusals)
        assert isinstance(refusals[0], Refused)
        assert (refusals[0].depth, refusals[0].share) == (8, 1.0)
        assert "for other callers" in str(refusals[0])
        async with asyncio.timeout(BOUND_S):
            assert (await other.call("adm-seats.quick")).json() == 1
        gate.set()
        await asyncio.gather(*holding, return_exceptions=True)
        assert (await stormer.call("adm-seats.quick")).json() == 1
        assert not agent._receive()._running


async def test_calls_that_end_in_any_way_give_their_seat_back(server: RunningServer) -> None:
    limits = AgentLimits(calls_max=1)
    async with limited(server, "adm-back", limits) as (agent, _, (caller,)):
        for _ in range(3):
            with pytest.raises(Exception, match=r"hold|nope"):
                await caller.call("adm-back.hold", deadline_s=0.05)
            await until(lambda: not agent.is_busy, "the call ended")
            with pytest.raises(Exception, match="nope"):
                await caller.call("adm-back.nope")
            await until(lambda: not agent.is_busy, "the call ended")
        assert (await caller.call("adm-back.quick")).json() == 1


async def test_every_call_ends_once_and_the_account_agrees_with_the_callers(server: RunningServer) -> None:
    chance = random.Random(4)
    limits = AgentLimits(calls_max=40)
    async with limited(server, "adm-sum", limits, callers=4) as (agent, gate, callers):

        async def call(caller: Fabric) -> str:
            tool, deadline_s = chance.choice(
                (("quick", BOUND_S), ("hold", BOUND_S), ("hold", 0.2), ("leave", BOUND_S), ("nope", BOUND_S))
            )
            calling = caller.call(f"adm-sum.{tool.replace('leave', 'hold')}", deadline_s=deadline_s)
            task = asyncio.create_task(calling)
            if tool == "leave":
                await asyncio.wait({task}, timeout=0.1)
                task.cancel()
            [outcome] = await asyncio.gather(task, return_exceptions=True)
            return type(outcome).__name__

        calls = [asyncio.create_task(call(chance.choice(callers))) for _ in range(400)]
        await until(lambda: agent.account.cancelled and agent.account.expired, "some have ended badly")
        account = agent.account
        assert 0 < account.running <= len(agent._receive()._running)
        gate.set()
        heard = Counter(await asyncio.gather(*calls))
        await until(lambda: not agent.is_busy, "all calls ended")
        assert account.running == 0
        assert account.taken + account.refused == 400
        assert account.refused >= heard["Refused"] > 0  # some had left before they heard it
        assert account.answered >= heard["Reply"] + heard["NoSuchTool"] > 0
        assert min(account.answered, account.expired, account.cancelled, account.refused) > 0


async def test_a_client_can_hold_itself_to_limits(server: RunningServer) -> None:
    limits = LimitsSettings(tenant_per_s=0.01, tenant_burst=1)
    credentials = server.credentials("adm-self")
    async with connect("adm-self", url=server.url, credentials=credentials, limits=limits) as fabric:
        await fabric.channel("adm.self").publish(b"1")
        with pytest.raises(Refused, match="over its rate"):
            await fabric.channel("adm.self").publish(b"2")


async def test_metrics_tell_what_was_refused_and_whose_answers_came_late(server: RunningServer) -> None:
    gate = Gate(LimitsSettings(agent_per_s=0.01, agent_burst=1))
    async with limited(server, "adm-metrics", AgentLimits()) as (_, _, (plain,)):
        fabric = Fabric(plain.session, "adm-metrics-0", gate=gate)
        await fabric.call("adm-metrics.quick")
        with pytest.raises(Refused, match="agent 'adm-metrics' is over its rate"):
            await fabric.call("adm-metrics.quick")
        plain.session.calls.fenced += 1
        registry = CollectorRegistry()
        registry.register(NodeCollector(plain.session, None, gate))
        text = generate_latest(registry).decode()
        assert 'fabric_admission_refused_total{reason="rate",scope="agent"} 1.0' in text
        assert 'fabric_call_answers_unwanted_total{why="fenced"} 1.0' in text
        assert "fabric_calls_in_flight 0.0" in text
        assert "fabric_admitted_calls 0.0" in text
