"""Crews on a real server: thousands of agents join and leave together, each seen once, whatever breaks."""

import asyncio
import random

import pytest

from fabric.client import AgentEvent, Crew, Fabric, Watch
from fabric.errors import NameInUse
from helpers.lane import opened
from helpers.proxy import Proxy
from helpers.server import RunningServer
from helpers.waiting import BOUND_S, until


def crew_of(fabric: Fabric, prefix: str, count: int, *skills: str) -> Crew:
    return fabric.crew(fabric.agent(f"{prefix}{number}", skills=skills) for number in range(count))


class Lives:
    """What a watcher saw: each agent's joins and leaves alternate, or it saw one twice or missed one."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.live: set[str] = set()
        self.joins = 0

    async def follow(self, watch: Watch) -> None:
        async for event in watch:
            self.take(event)

    def take(self, event: AgentEvent) -> None:
        name = event.card.name
        if not name.startswith(self._prefix) or event.kind == "change":
            return
        assert (event.kind == "leave") == (name in self.live), f"{name}: a {event.kind} out of turn"
        self.joins += event.kind == "join"
        self.live = self.live - {name} if event.kind == "leave" else self.live | {name}


async def test_a_crew_joins_and_leaves_as_one_and_is_found_by_skill(server: RunningServer) -> None:
    async with (
        opened(server, "crew-w") as watcher,
        opened(server, "crew", credentials=server.creds) as fabric,
    ):
        async with crew_of(fabric, "crew-a", 500, "crew-skill") as crew:
            assert {agent.epoch for agent in crew.agents} == {1}
            await watcher.session.registry.synced()
            await until(lambda: "crew-a499" in watcher.session.registry.live, "the crew is seen")
            assert len([card async for card in watcher.find(skill="crew-skill")]) == 500
        await until(lambda: "crew-a499" not in watcher.session.registry.live, "the crew has left")
        assert [card async for card in watcher.find(skill="crew-skill")] == []


async def test_a_crew_that_comes_back_has_a_new_life(server: RunningServer) -> None:
    async with opened(server, "crew-b", credentials=server.creds) as fabric:
        async with crew_of(fabric, "crew-b", 300):
            pass
        async with crew_of(fabric, "crew-b", 400) as crew:
            assert [agent.epoch for agent in crew.agents] == [2] * 300 + [1] * 100


async def test_a_name_that_somebody_holds_keeps_the_whole_crew_out(server: RunningServer) -> None:
    async with (
        opened(server, "crew-h", credentials=server.creds) as holder,
        opened(server, "crew-c", credentials=server.creds) as fabric,
        holder.agent("crew-c7"),
    ):
        with pytest.raises(NameInUse, match="crew-c7"):
            await crew_of(fabric, "crew-c", 10).__aenter__()
        live = [card.name async for card in holder.find() if card.name.startswith("crew-c")]
        assert live == ["crew-c7"]
        assert len(fabric.session.enrolment) == 0


async def test_a_name_twice_in_a_crew_keeps_the_whole_crew_out(server: RunningServer) -> None:
    async with opened(server, "crew-d", credentials=server.creds) as fabric:
        with pytest.raises(NameInUse, match="crew-d1"):
            await fabric.crew(fabric.agent(name) for name in ("crew-d1", "crew-d2", "crew-d1")).__aenter__()
        assert len(fabric.session.enrolment) == 0


async def test_a_crew_joins_across_a_broken_connection(server: RunningServer) -> None:
    async with (
        Proxy(server.url) as proxy,
        opened(server, "crew-e", url=proxy.url, credentials=server.creds) as fabric,
        opened(server, "crew-e-w") as watcher,
    ):
        # Acknowledgements are lost, then the connection: the records that were stored are known as ours.
        proxy.drop = lambda subject, _header, _payload: b".a." in subject
        crew = crew_of(fabric, "crew-e", 200)
        joining = asyncio.create_task(crew.__aenter__())
        await until(lambda: proxy.dropped >= 50, "records were stored and we were not told")
        proxy.drop = None
        proxy.cut()
        await asyncio.wait_for(joining, BOUND_S)
        await watcher.session.registry.synced()
        await until(lambda: "crew-e199" in watcher.session.registry.live, "all are live")
        assert len([card async for card in watcher.find() if card.name.startswith("crew-e")]) == 200
        await crew.__aexit__()


async def test_a_short_interruption_costs_a_watcher_what_changed_and_not_the_whole(
    server: RunningServer,
) -> None:
    async with (
        Proxy(server.url) as proxy,
        opened(server, "crew-f-w", url=proxy.url) as watcher,
        opened(server, "crew-f", credentials=server.creds) as fabric,
        crew_of(fabric, "crew-f", 100),
    ):
        registry = watcher.session.registry
        await registry.synced()
        await until(lambda: "crew-f99" in registry.live, "all are live")
        await proxy.go_away()
        async with fabric.agent("crew-f-new"):
            await proxy.come_back()
            await until(lambda: "crew-f-new" in registry.live, "what changed is seen")
        assert registry.snapshots == 1


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_join_and_leave_is_seen_once_while_links_and_the_server_break(
    private_server: RunningServer, seed: int
) -> None:
    chance = random.Random(seed)
    lives = Lives("crew-g")
    async with (
        Proxy(private_server.url) as proxy,
        opened(private_server, "crew-g-w", url=proxy.url) as watcher,
        opened(private_server, "crew-g", credentials=private_server.creds) as fabric,
        watcher.watch() as watch,
    ):
        following = asyncio.create_task(lives.follow(watch))
        for turn in range(6):
            async with crew_of(fabric, f"crew-g{turn % 3}-", chance.randrange(20, 200)):
                match (turn + seed) % 3:
                    case 0:
                        proxy.cut()
                    case 1:
                        await private_server.kill_and_restart()
                        await fabric.session.connection.wait_up(BOUND_S)
        async with crew_of(fabric, "crew-g-end", 50) as last:
            expected = {agent.name for agent in last.agents}
            await until(lambda: lives.live == expected or following.done(), "the watcher knows who is live")
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            assert lives.live == expected
