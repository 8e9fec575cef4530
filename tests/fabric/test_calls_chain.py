"""Chains of calls and messages on a real server: circles end with the chain that led there, budgets hold
along the tree, and a former life's answers are nobody's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fabric.client import Agent, Budget, Fabric, handling
from fabric.clock import now_us
from fabric.errors import ConfigInvalid, DeadlineExceeded, Refused
from fabric.rules.calls.hops import HOPS_MAX
from fabric_codecs.envelope import Envelope
from fabric_codecs.nats.wire import timestamp
from helpers.lane import opened
from helpers.server import RunningServer
from helpers.waiting import BOUND_S


@asynccontextmanager
async def agent_of(server: RunningServer, name: str) -> AsyncIterator[tuple[Fabric, Agent]]:
    async with (
        opened(server, f"{name}-caller") as caller,
        opened(server, name) as fabric,
        fabric.agent(name) as agent,
    ):
        yield caller, agent


# Hops


async def test_an_agent_that_calls_itself_in_a_circle_is_refused_with_the_chain(
    server: RunningServer,
) -> None:
    async with agent_of(server, "circle") as (caller, agent):
        runs: list[int] = []

        @agent.tool
        async def again(depth: int) -> int:
            runs.append(depth)
            return int((await agent.call("circle.again", {"depth": depth + 1})).json())

        with pytest.raises(Refused, match=r"circle\.again > circle\.again") as refused:
            await caller.call("circle.again", {"depth": 0})
        assert refused.value.reason == "loop"
        assert refused.value.chain == (*["circle.again"] * 4, "+24", *["circle.again"] * 4)
        assert runs == list(range(HOPS_MAX))


async def test_a_circle_of_two_is_refused_with_both_in_the_chain(server: RunningServer) -> None:
    async with agent_of(server, "ping") as (caller, ping), agent_of(server, "pong") as (_, pong):

        @ping.tool
        async def hit() -> None:
            await ping.call("pong.back")

        @pong.tool
        async def back() -> None:
            await pong.call("ping.hit")

        with pytest.raises(Refused) as refused:
            await caller.call("ping.hit")
        assert refused.value.chain[:3] == ("ping.hit", "pong.back", "ping.hit")


async def test_a_call_without_hops_is_refused_by_the_agent_whoever_sent_it(server: RunningServer) -> None:
    async with agent_of(server, "hopless") as (caller, agent):

        @agent.tool
        async def run() -> str:
            return "ran"

        for hops in ("0", "-1", "many"):
            request = caller.envelope(
                b"{}", kind="request", subject="hopless.run", fabhops=hops, fabchain="a.x>b.y"
            )
            reply = await caller.session.connection.request(
                "fab.call.hopless.hopless-caller", request.data, header=request.nats_header()
            )
            said = Envelope.from_nats(b"", reply.header, reply.data).json()
            assert (said["data"]["reason"], said["data"]["chain"]) == ("loop", ["a.x", "b.y", "hopless.run"])
        assert agent.account.answered == 0


async def test_a_handler_that_publishes_to_its_own_channel_comes_to_an_end(server: RunningServer) -> None:
    async with opened(server, "echo") as fabric:
        channel = fabric.channel("echo.loop")
        heard: list[str | None] = []
        ended: asyncio.Future[Refused] = asyncio.get_running_loop().create_future()

        async def say_again() -> None:
            try:
                await channel.publish("again", delivery="live")
            except Refused as refused:
                ended.set_result(refused)

        tasks = set()

        def on_message(envelope: Envelope) -> None:
            heard.append(envelope.get("fabhops"))
            with handling(envelope):
                tasks.add(asyncio.create_task(say_again()))

        async with channel.join(on_message):
            await channel.publish("first", delivery="live")
            refused = await asyncio.wait_for(ended, BOUND_S)
        await asyncio.gather(*tasks)
        assert refused.reason == "loop"
        assert refused.chain == (*["echo.loop"] * 4, "+24", *["echo.loop"] * 4)
        assert heard == [None, *(str(hops) for hops in range(HOPS_MAX - 1, 0, -1))]


async def test_a_loop_over_a_member_counts_where_it_says_what_it_handles(server: RunningServer) -> None:
    async with opened(server, "loops") as fabric, fabric.channel("loops.all").join() as member:
        await fabric.channel("loops.all").publish("first")
        first = await asyncio.wait_for(anext(member), BOUND_S)
        with handling(first):
            await fabric.channel("loops.all").publish("second")
            async with fabric.channel("loops.all").publisher() as out:
                await out.send(b"third")
        for _ in range(2):
            envelope = await asyncio.wait_for(anext(member), BOUND_S)
            assert (envelope.get("fabhops"), envelope.get("fabchain")) == ("31", "loops.all")
            assert envelope.causationid == first.id
        await fabric.channel("loops.all").publish("fourth")
        assert (await asyncio.wait_for(anext(member), BOUND_S)).causationid is None


# Budgets


async def test_a_budget_pays_the_tree_and_what_is_left_comes_back(server: RunningServer) -> None:
    async with agent_of(server, "payer") as (caller, agent):

        @agent.tool(cost=0.5)
        async def leaf() -> None: ...

        @agent.tool(cost=1.0)
        async def fan(width: int, deep: bool = False) -> None:
            target, arguments = ("payer.fan", {"width": width}) if deep else ("payer.leaf", None)
            await asyncio.gather(*(agent.call(target, arguments) for _ in range(width)))

        reply = await caller.call("payer.fan", {"width": 4}, budget=Budget(calls=20, cost=10))
        assert reply.left == Budget(15, 7.0)
        reply = await caller.call("payer.fan", {"width": 3, "deep": True}, budget=Budget(calls=13, cost=8.5))
        assert reply.left == Budget(0, 0.0)
        assert (await caller.call("payer.leaf")).left is None


async def test_what_is_past_the_budget_is_refused_with_the_chain(server: RunningServer) -> None:
    async with agent_of(server, "broke") as (caller, agent):
        runs: list[str] = []

        @agent.tool(cost=0.5)
        async def leaf() -> None:
            runs.append("leaf")

        @agent.tool
        async def fan(width: int) -> None:
            await asyncio.gather(*(agent.call("broke.leaf") for _ in range(width)))

        for budget in (Budget(calls=4), Budget(calls=100, cost=1.5)):
            runs.clear()
            with pytest.raises(Refused, match=r"broke\.fan") as refused:
                await caller.call("broke.fan", {"width": 4}, budget=budget)
            assert (refused.value.reason, refused.value.chain[0]) == ("budget", "broke.fan")
            assert len(runs) <= 3
        with pytest.raises(Refused, match="budget"):
            await caller.call("broke.leaf", budget=Budget(calls=0))


async def test_a_circle_is_ended_by_its_budget_before_its_hops(server: RunningServer) -> None:
    async with agent_of(server, "spender") as (caller, agent):
        runs: list[int] = []

        @agent.tool
        async def again() -> None:
            runs.append(1)
            await agent.call("spender.again")

        with pytest.raises(Refused) as refused:
            await caller.call("spender.again", budget=Budget(calls=5))
        assert refused.value.reason == "budget"
        assert refused.value.chain == ("spender.again",) * 5
        assert len(runs) == 5


async def test_branches_wait_for_each_others_leftovers_rather_than_fail(server: RunningServer) -> None:
    async with agent_of(server, "tight") as (caller, agent):

        @agent.tool
        async def leaf() -> None:
            await asyncio.sleep(0)

        @agent.tool
        async def fan() -> None:
            await asyncio.gather(
                agent.call("tight.leaf", budget=Budget(calls=3)),
                *(agent.call("tight.leaf") for _ in range(3)),
            )

        reply = await caller.call("tight.fan", budget=Budget(calls=5))
        assert reply.left == Budget(0)


async def test_nobody_waits_for_a_budget_past_the_deadline(server: RunningServer) -> None:
    async with agent_of(server, "waiter") as (caller, agent):

        @agent.tool
        async def hang() -> None:
            await asyncio.Event().wait()

        @agent.tool
        async def two() -> str:
            hanging = asyncio.create_task(agent.call("waiter.hang", deadline_s=5))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            try:
                await agent.call("waiter.hang", deadline_s=0.1)
            except DeadlineExceeded as late:
                return str(late)
            finally:
                hanging.cancel()
                await asyncio.gather(hanging, return_exceptions=True)
            return "it waited for nothing"

        reply = await caller.call("waiter.two", budget=Budget(calls=3))
        assert "the budget for waiter.hang" in reply.json()


async def test_a_refusal_gives_the_budget_back(server: RunningServer) -> None:
    async with agent_of(server, "giver") as (caller, agent):

        @agent.tool
        async def poor() -> list[str]:
            outcomes = []
            for target in ("nobody.there", "giver.none", "giver.rich", "giver.rich"):
                try:
                    await agent.call(target)
                except Exception as error:
                    outcomes.append(type(error).__name__)
            return outcomes

        @agent.tool(cost=100)
        async def rich() -> None: ...

        reply = await caller.call("giver.poor", budget=Budget(calls=3, cost=50))
        assert reply.json() == ["NoSuchAgent", "NoSuchTool", "Refused", "Refused"]
        assert reply.left == Budget(1, 50.0)  # a tool that is not there was a call all the same


async def test_an_invocation_spends_from_its_handlers_budget(server: RunningServer) -> None:
    async with agent_of(server, "invoker") as (caller, agent):

        @agent.tool
        async def leaf() -> None: ...

        @agent.tool
        async def relay() -> str:
            request = Envelope(b"{}", id="r-1", source="/nats/x", type="t", subject="invoker.leaf")
            fabric = Fabric(agent.identity.link, "invoker")  # type: ignore[arg-type]
            async with fabric.invoke(request, deadline_s=BOUND_S) as replies:
                return str([envelope.get("fabbudget") async for envelope in replies])

        reply = await caller.call("invoker.relay", budget=Budget(calls=7))
        assert (reply.json(), reply.left) == ("['5/-']", Budget(5))


async def test_a_budget_that_cannot_be_read_allows_nothing(server: RunningServer) -> None:
    async with agent_of(server, "unread") as (caller, agent):

        @agent.tool
        async def leaf() -> None: ...

        with pytest.raises(ConfigInvalid):
            Budget(calls=-1)
        request = caller.envelope(b"{}", kind="request", subject="unread.leaf", fabbudget="plenty")
        reply = await caller.session.connection.request(
            "fab.call.unread.unread-caller", request.data, header=request.nats_header()
        )
        assert Envelope.from_nats(b"", reply.header, reply.data).json()["data"]["reason"] == "budget"


async def test_a_nested_refusal_arrives_with_its_own_reason(server: RunningServer) -> None:
    async with agent_of(server, "relayed") as (caller, agent):

        @agent.tool
        async def refuse() -> None:
            raise Refused("rate", retry_after_ms=77, depth=3, detail="not so fast")

        with pytest.raises(Refused, match="not so fast") as refused:
            await caller.call("relayed.refuse")
        assert (refused.value.reason, refused.value.retry_after_ms, refused.value.depth) == ("rate", 77, 3)


# Epochs


async def test_an_answer_from_a_former_life_is_fenced_and_counted(server: RunningServer) -> None:
    async with (
        opened(server, "lives-caller") as caller,
        opened(server, "lives") as fabric,
    ):
        for _ in range(2):
            async with fabric.agent("lives") as agent:

                @agent.tool
                async def life() -> int:
                    return agent.epoch

                epoch = (await caller.call("lives.life")).json()
        desk = caller.session.calls

        def answer_twice(subject: bytes, reply: bytes, header: bytes, _: bytes) -> None:
            request = Envelope.from_nats(subject, header, b"")
            for number in (epoch - 1, epoch):
                answer = fabric.envelope(
                    str(number).encode(),
                    kind="response",
                    subject="lives.life",
                    fabepoch=str(number),
                    causationid=request.id,
                    time=timestamp(now_us()),
                )
                fabric.session.connection.writer.publish(reply, b"", answer.nats_header(), answer.data)
            fabric.session.connection.wake()

        fabric.session.connection.subscribe("fab.call.lives.*", answer_twice)
        await fabric.channel("lives.ready").publish("a round trip: the subscription is active")
        async with asyncio.timeout(BOUND_S):
            assert (await caller.call("lives.life")).json() == epoch
        assert (desk.fenced, desk.late, desk.forged) == (1, 0, 0)


async def test_a_later_life_that_spoke_first_fences_the_former_ones_answer(server: RunningServer) -> None:
    async with (
        opened(server, "spoke-caller") as caller,
        opened(server, "spoke") as fabric,
    ):

        def answer(subject: bytes, reply: bytes, header: bytes, _: bytes) -> None:
            for kind, epoch in (("progress", 8), ("response", 7), ("response", 8)):
                said = fabric.envelope(
                    b'{"progress":%d}' % epoch, kind=kind, subject="spoke.up", fabepoch=str(epoch)
                )
                fabric.session.connection.writer.publish(reply, b"", said.nats_header(), said.data)
            fabric.session.connection.wake()

        fabric.session.connection.subscribe("fab.call.spoke.*", answer)
        await fabric.channel("spoke.ready").publish("a round trip: the subscription is active")
        reply = await caller.call("spoke.up", deadline_s=BOUND_S)
        assert reply.json() == {"progress": 8}
        assert caller.session.calls.fenced == 1
