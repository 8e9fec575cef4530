"""What clients ask of a node: each request has one answer, whoever answers and however busy it is."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec
import pytest

from fabric.client import Fabric
from fabric.errors import CallFailed, NoSuchTopic, Refused, Unreachable
from fabric.jetstream.connection import Connection
from fabric.node import services
from fabric.node.services import Service, Services
from helpers.lane import connected, opened
from helpers.server import RunningServer
from helpers.waiting import until


async def echo(source: str, body: bytes) -> object:
    return {"source": source, "asked": msgspec.json.decode(body)}


@asynccontextmanager
async def a_node(server: RunningServer, offered: Mapping[str, Service]) -> AsyncIterator[Services]:
    async with connected(server, "svc-node", credentials=server.node_creds) as connection:
        running = Services(connection, offered)
        await settled(connection)
        try:
            yield running
        finally:
            await running.stop()
            await settled(connection)


async def settled(connection: Connection) -> None:
    """Until the server has read what was written before: it answers in order."""
    await connection.request("$JS.API.INFO")


async def test_an_answer_names_the_source_that_the_server_vouches_for(server: RunningServer) -> None:
    async with a_node(server, {"echo": echo}), opened(server, "svc-asker") as fabric:
        answer = await fabric.session.ask("echo", "svc-asker", [1, "two"])
        assert answer == {"source": "svc-asker", "asked": [1, "two"]}


async def test_nobody_asks_in_another_name(server: RunningServer) -> None:
    async with a_node(server, {"echo": echo}), opened(server, "svc-asker") as fabric:
        with pytest.raises(Refused, match="may not publish") as refused:
            await fabric.session.ask("echo", "svc-owner", None)
        assert refused.value.reason == "denied"


async def test_without_a_node_the_asker_is_told_so_at_once(private_server: RunningServer) -> None:
    async with opened(private_server, "svc-alone") as fabric, asyncio.timeout(5.0):
        with pytest.raises(Unreachable, match=r"no node runs there.*echo"):
            await fabric.session.ask("echo", "svc-alone", None)


async def test_an_unknown_service_names_those_that_there_are(server: RunningServer) -> None:
    async with a_node(server, {"echo": echo}), opened(server, "svc-asker") as fabric:
        with pytest.raises(CallFailed, match="this node has echo"):
            await fabric.session.ask("sing", "svc-asker", None)


async def refused(_source: str, _body: bytes) -> object:
    raise Refused("full", retry_after_ms=700, detail="no room")


async def typed(_source: str, _body: bytes) -> object:
    raise NoSuchTopic("climate")


async def broken(_source: str, _body: bytes) -> object:
    raise RuntimeError("what only the node's log should explain")


async def strict(_source: str, body: bytes) -> object:
    return msgspec.json.decode(body, type=int)


OFFERED = {"refused": refused, "typed": typed, "broken": broken, "strict": strict}


async def test_a_refusal_reaches_the_asker_as_it_is(server: RunningServer) -> None:
    async with a_node(server, OFFERED), opened(server, "svc-asker") as fabric:
        with pytest.raises(Refused, match="no room") as error:
            await fabric.session.ask("refused", "svc-asker", None)
        assert (error.value.reason, error.value.retry_after_ms) == ("full", 700)


@pytest.mark.parametrize(
    ("what", "code"), [("typed", "no_such_topic"), ("broken", "internal"), ("strict", "invalid_name")]
)
async def test_a_failure_reaches_the_asker_with_its_code(server: RunningServer, what: str, code: str) -> None:
    async with a_node(server, OFFERED), opened(server, "svc-asker") as fabric:
        with pytest.raises(CallFailed) as error:
            await fabric.session.ask(what, "svc-asker", "not a number")
        assert error.value.remote_code == code


class Slow:
    """A service that waits until it is let go."""

    def __init__(self) -> None:
        self.running = 0
        self.go = asyncio.Event()

    async def __call__(self, _source: str, _body: bytes) -> object:
        self.running += 1
        await self.go.wait()
        return "done"


def asking(fabric: Fabric, what: str) -> "asyncio.Task[object]":
    return asyncio.create_task(fabric.session.ask(what, "svc-asker", None))


async def test_a_busy_node_refuses_at_once_and_says_when_to_come_back(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "RUNNING_MAX", 2)
    slow = Slow()
    async with a_node(server, {"slow": slow}), opened(server, "svc-asker") as fabric:
        first = [asking(fabric, "slow") for _ in range(2)]
        await until(lambda: slow.running == 2, "both run")
        with pytest.raises(Refused, match="busy") as busy:
            await fabric.session.ask("slow", "svc-asker", None)
        assert (busy.value.reason, busy.value.retry_after_ms) == ("full", services.BUSY_RETRY_MS)
        slow.go.set()
        assert await asyncio.gather(*first) == ["done", "done"]


async def test_a_service_that_takes_too_long_is_refused_with_an_unknown_outcome(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "RUN_TIMEOUT_S", 0.05)
    async with a_node(server, {"slow": Slow()}), opened(server, "svc-asker") as fabric:
        with pytest.raises(Refused, match="too long") as late:
            await fabric.session.ask("slow", "svc-asker", None)
        assert (late.value.reason, late.value.unknown) == ("timeout", True)


async def test_a_stopping_node_answers_what_it_took(server: RunningServer) -> None:
    slow = Slow()
    async with a_node(server, {"slow": slow}) as node, opened(server, "svc-asker") as fabric:
        answer = asking(fabric, "slow")
        await until(lambda: slow.running == 1, "it runs")
        stopping = asyncio.create_task(node.stop())
        slow.go.set()
        await stopping
        assert await answer == "done"


async def test_one_of_several_nodes_answers(server: RunningServer) -> None:
    counts = {"first": 0, "second": 0}

    def counting(name: str) -> Service:
        async def count(_source: str, _body: bytes) -> object:
            counts[name] += 1
            return name

        return count

    async with (
        a_node(server, {"who": counting("first")}),
        a_node(server, {"who": counting("second")}),
        opened(server, "svc-asker") as fabric,
    ):
        answers = [await fabric.session.ask("who", "svc-asker", None) for _ in range(10)]
        assert sum(counts.values()) == len(answers)
