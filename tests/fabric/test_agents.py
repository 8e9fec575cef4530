"""Agents on a real server: each join and leave is seen once by everybody, and a name has one holder."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from fabric.client import Fabric, Skill, Watch
from fabric.client.agents import registry as registry_module
from fabric.errors import FabricError, InvalidName, NameInUse, NoSuchAgent
from fabric.jetstream import watchdog
from fabric.jetstream.server import stream_info
from helpers.lane import opened
from helpers.proxy import Proxy
from helpers.server import RunningServer
from helpers.waiting import BOUND_S, until

SHORT: dict[str, Any] = {"lease_ttl_s": 2, "lease_refresh_s": 0.4}


class Seen:
    """What a watcher saw of some agents, in order."""

    def __init__(self, watch: Watch, *names: str) -> None:
        self._watch = watch
        self._names = names
        self.events: list[tuple[str, str]] = []

    async def until(self, *expected: tuple[str, str]) -> None:
        """Until as many events came as expected; then they must be these."""
        async with asyncio.timeout(BOUND_S):
            while len(self.events) < len(expected):
                event = await anext(self._watch)
                if event.card.name in self._names:
                    self.events.append((event.kind, event.card.name))
        assert self.events == list(expected)

    async def until_told(self, kind: str, name: str) -> list[str]:
        """The kinds of all events of this agent, up to that one."""
        async with asyncio.timeout(BOUND_S):
            while (kind, name) not in self.events:
                event = await anext(self._watch)
                if event.card.name in self._names:
                    self.events.append((event.kind, event.card.name))
        return [kind for kind, one in self.events if one == name]


@asynccontextmanager
async def watching(
    server: RunningServer, who: str, *names: str, **where: Any
) -> AsyncIterator[tuple[Seen, Fabric]]:
    async with opened(server, who, **where) as fabric, fabric.watch() as watch:
        yield Seen(watch, *names), fabric


async def test_every_watcher_sees_a_join_a_change_and_a_leave_once(server: RunningServer) -> None:
    async with (
        watching(server, "ag-w1", "ag-one") as (first, _),
        watching(server, "ag-w2", "ag-one") as (second, _),
        opened(server, "ag-one") as fabric,
    ):
        async with fabric.agent("ag-one", skills=["climate"], description="d", version="1") as me:

            @me.tool
            async def measure() -> int:
                return 1

            @me.tool
            async def adjust() -> int:
                return 1

            await until(lambda: me._update is not None and me._update.done(), "the change is announced")
        for seen in (first, second):
            kinds = await seen.until_told("leave", "ag-one")
            assert (kinds[0], kinds[-1], set(kinds[1:-1])) == ("join", "leave", {"change"})


async def test_a_late_watcher_sees_who_is_live_and_then_what_happens(server: RunningServer) -> None:
    async with opened(server, "ag-late") as fabric:
        agent = await fabric.agent("ag-late").__aenter__()
        async with watching(server, "ag-late-w", "ag-late") as (seen, _):
            await seen.until(("join", "ag-late"))
            await agent.leave()
            await agent.leave()
            await seen.until(("join", "ag-late"), ("leave", "ag-late"))


async def test_agents_are_found_by_name_skill_and_tag(server: RunningServer) -> None:
    async with opened(server, "ag-find", credentials=server.creds) as fabric:
        async with (
            fabric.agent("ag-find-1", skills=[Skill("heat", tags=("ag-climate",))]),
            fabric.agent("ag-find-2", skills=["ag-climate"]),
            fabric.agent("ag-find-3"),
        ):
            found = [card.name async for card in fabric.find(skill="ag-climate")]
            assert found == ["ag-find-1", "ag-find-2"]
            assert [card.name async for card in fabric.find(name="ag-find-3")] == ["ag-find-3"]
            assert [card async for card in fabric.find(name="x" * 1000)] == []
            assert await fabric.agent_card("x" * 1000) is None
            card = await fabric.agent_card("ag-find-2")
            assert card is not None
            assert (card.epoch, card.process) == (1, fabric.session.process)
        assert await fabric.agent_card("ag-find-2") is None


async def test_tools_added_while_live_are_all_in_the_card(server: RunningServer) -> None:
    async with opened(server, "ag-tools") as fabric, fabric.agent("ag-tools") as me:
        for number in range(20):

            async def tool(a: int) -> int:
                return a

            me.tool(name=f"tool{number}")(tool)
            if number % 7 == 0:
                await fabric.agent_card("ag-tools")
        await until(lambda: me._update is not None and me._update.done(), "announced")
        await until(lambda: fabric.session.registry.live["ag-tools"].tools == me.tools, "the whole card")


async def test_a_name_in_use_is_refused_with_its_holder(server: RunningServer) -> None:
    async with (
        opened(server, "ag-name") as one,
        opened(server, "ag-name") as two,
        one.agent("ag-name") as held,
    ):
        for fabric in (one, two):
            with pytest.raises(NameInUse, match=one.session.process):
                await fabric.agent("ag-name").__aenter__()
        assert len(two.session.enrolment) == 0
        await held.leave()
        async with two.agent("ag-name") as free:
            assert free.epoch == 2


async def test_a_take_over_fences_the_former_holder_and_raises_the_epoch(server: RunningServer) -> None:
    async with (
        watching(server, "ag-take-w", "ag-take") as (seen, caller),
        opened(server, "ag-take") as one,
        opened(server, "ag-take") as two,
    ):
        first = one.agent("ag-take")
        first.tool(name="who")(_one)
        await first.__aenter__()
        await seen.until(("join", "ag-take"))
        async with two.agent("ag-take", take_over=True) as second:
            second.tool(name="who")(_two)
            await until(lambda: first._subscription is None, "the former holder is fenced")
            assert second.epoch == first.epoch + 1
            assert (await caller.call("ag-take.who")).json() == "two"
            await first.leave()  # of a name that is not its own any more: nobody may see it
            assert (await caller.call("ag-take.who")).json() == "two"
            assert (await caller.agent_card("ag-take")) is not None
        assert len(one.session.enrolment) == 0
        lives = await seen.until_told("leave", "ag-take")  # of the former holder
        seen.events.clear()
        lives += await seen.until_told("leave", "ag-take")
        assert [kind for kind in lives if kind != "change"] == ["join", "leave", "join", "leave"]


async def _one() -> str:
    return "one"


async def _two() -> str:
    return "two"


async def test_a_record_that_names_somebody_else_is_nobodys(server: RunningServer) -> None:
    async with opened(server, "ag-spoof") as fabric, fabric.agent("ag-spoof"):
        await fabric.session.registry.synced()
        live = await fabric.agent_card("ag-spoof")
        assert live is not None
        record = msgspec.json.encode(live).replace(b'"name":"ag-spoof"', b'"name":"ag-victim"')
        await fabric.session.connection.request("fab.reg.ag-spoof", record)
        await until(lambda: "ag-spoof" not in fabric.session.registry.live, "the forged record came")
        assert [card async for card in fabric.find(name="ag-victim")] == []


async def test_an_agents_name_has_no_dot(server: RunningServer) -> None:
    async with opened(server, "ag-dot") as fabric:
        for name in ("a.b", ""):
            with pytest.raises(InvalidName):
                fabric.agent(name)


AGENT = """
import asyncio, sys
from fabric.client import Fabric, Session
async def main(url, creds, name):
    session = Session([url], name=name, credentials=creds, lease_ttl_s=2, lease_refresh_s=0.4)
    await session.open()
    async with Fabric(session, name).agent(name):
        print("live", flush=True)
        await asyncio.Event().wait()
asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_killed_process_leaves_within_its_lease(server: RunningServer) -> None:
    async with watching(server, "ag-killed-w", "ag-killed") as (seen, caller):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", AGENT, server.url, server.credentials("ag-killed"), "ag-killed"),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), BOUND_S) == b"live\n"
        await seen.until(("join", "ag-killed"))
        process.send_signal(signal.SIGKILL)
        await process.wait()
        with pytest.raises(NoSuchAgent):
            await caller.call("ag-killed.x")
        async with asyncio.timeout(SHORT["lease_ttl_s"] + 5.0):
            await seen.until(("join", "ag-killed"), ("leave", "ag-killed"))


async def test_a_watcher_that_missed_events_reads_the_registry_anew(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        Proxy(server.url) as proxy,
        watching(server, "ag-gap-w", "ag-gap", "ag-gap-2", url=proxy.url) as (seen, _),
        opened(server, "ag-gap", credentials=server.creds) as fabric,
    ):
        proxy.drop = lambda subject, _header, _payload: subject.startswith(b"fab.rego.")
        async with fabric.agent("ag-gap"):
            await until(lambda: proxy.dropped >= 2, "the join was lost")
            proxy.drop = None
            async with fabric.agent("ag-gap-2"):
                await seen.until(("join", "ag-gap"), ("join", "ag-gap-2"))


async def test_a_restart_of_the_server_makes_nobody_leave_or_join(
    private_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "PROBE_EVERY_S", 0.2)
    async with (
        watching(private_server, "ag-restart-w", "ag-restart", "ag-end", **SHORT) as (seen, caller),
        opened(private_server, "ag-restart", credentials=private_server.creds, **SHORT) as fabric,
        fabric.agent("ag-restart") as me,
    ):
        me.tool(name="who")(_one)
        await seen.until(("join", "ag-restart"))
        await private_server.kill_and_restart()
        for session in (caller.session, fabric.session):
            await session.connection.wait_up(BOUND_S)
        async with fabric.agent("ag-end"):  # not told if it were gone before the watcher is back
            assert await seen.until_told("join", "ag-end") == ["join"]
        assert await seen.until_told("leave", "ag-end") == ["join", "leave"]
        assert [kind for kind, name in seen.events if name == "ag-restart" and kind != "change"] == ["join"]
        assert (await caller.call("ag-restart.who")).json() == "one"


async def test_a_server_that_hung_longer_than_a_lease_makes_nobody_leave_or_join(
    private_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "PROBE_EVERY_S", 0.2)
    monkeypatch.setattr(watchdog, "PROBE_TIMEOUT_S", 1)
    clock = asyncio.get_running_loop().time
    async with (
        Proxy(private_server.url) as proxy,
        watching(private_server, "ag-hung-w", "ag-hung", "ag-after") as (seen, caller),
        opened(private_server, "ag-hung", url=proxy.url, **SHORT) as fabric,
        fabric.agent("ag-hung"),
        opened(private_server, "ag-after") as after,
    ):
        await seen.until(("join", "ag-hung"))
        private_server.signal(signal.SIGSTOP)
        ended = clock() + SHORT["lease_ttl_s"] + 0.5
        both = (caller.session.connection, fabric.session.connection)
        try:
            await until(lambda: clock() > ended and not any(one.is_up for one in both), "the leases ended")
            await proxy.go_away()  # the watcher is back first, and finds the agent's lease ended
        finally:
            private_server.signal(signal.SIGCONT)
        await until(lambda: caller.session.registry._directory._ending, "it learned of the end, and waits")
        await proxy.come_back()
        await both[1].wait_up(BOUND_S)
        await after.session.connection.wait_up(BOUND_S)
        async with after.agent("ag-after"):
            pass
        assert await seen.until_told("leave", "ag-after") == ["join", "leave"]
        assert [kind for kind, name in seen.events if name == "ag-hung" and kind != "change"] == ["join"]


async def test_an_agent_that_was_away_too_long_finds_its_name_taken(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "PROBE_EVERY_S", 0.2)
    async with (
        Proxy(server.url) as proxy,
        opened(server, "ag-away", url=proxy.url, **SHORT) as away,
        opened(server, "ag-away") as other,
        away.agent("ag-away") as former,
    ):
        await proxy.go_away()
        await other.session.registry.synced()
        await until(lambda: "ag-away" not in other.session.registry.live, "the lease ended")
        async with other.agent("ag-away") as second:
            await proxy.come_back()
            await until(lambda: former._subscription is None, "the former holder is fenced")
            assert second.epoch == 2


async def test_a_lease_that_cannot_be_stored_is_told(private_server: RunningServer) -> None:
    async with opened(private_server, "node", credentials=private_server.node_creds) as node:
        config = (await stream_info(node.session.connection, "REG"))["config"]
        assert config["allow_msg_ttl"]
        await node.session.connection.request("$JS.API.STREAM.DELETE.REG")
        with pytest.raises(FabricError):
            await node.agent("ag-broken").__aenter__()
        assert len(node.session.enrolment) == 0


async def test_watching_ends_when_the_session_closes(server: RunningServer) -> None:
    async with opened(server, "ag-close") as fabric:
        watch = await fabric.watch().__aenter__()
        reading = asyncio.create_task(_drain(watch))
        await fabric.session.close()
        await asyncio.wait_for(reading, BOUND_S)


async def _drain(watch: Watch) -> None:
    async for _ in watch:
        pass


async def test_a_watcher_that_falls_too_far_behind_is_told(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_module, "WATCH_EVENTS_MAX", 3)
    async with opened(server, "ag-lag", credentials=server.creds) as fabric, fabric.watch() as watch:
        for number in range(6):
            async with fabric.agent(f"ag-lag-{number}"):
                pass
        await until(lambda: watch._lagging, "more happened than it keeps")
        with pytest.raises(FabricError, match="watch again"):
            await asyncio.wait_for(_drain(watch), BOUND_S)
