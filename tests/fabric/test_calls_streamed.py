"""Streamed answers on a real server: in order, none missing, and no further ahead than the reader allows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fabric.client import Agent, Budget, Call, Fabric, Parts, ToolError
from fabric.client.calls import parts as parts_module
from fabric.errors import (
    CallFailed,
    ConfigInvalid,
    DeadlineExceeded,
    NoSuchAgent,
    Refused,
    StreamBroken,
)
from fabric.rules.calls import flow
from fabric_codecs.envelope import Envelope
from helpers.lane import opened
from helpers.proxy import Proxy
from helpers.server import RunningServer
from helpers.waiting import until


class Source:
    """What the streaming tools did: parts made, and whether the generator was closed."""

    def __init__(self) -> None:
        self.made = 0
        self.closed = 0

    def offer(self, agent: Agent) -> None:
        @agent.tool
        async def count(call: Call, to: int, size: int = 0, fail_at: int = -1) -> AsyncIterator[str]:
            try:
                for number in range(to):
                    if number == fail_at:
                        raise ToolError("too_hot", f"at {number}")
                    if number % 10 == 5:
                        call.progress(number, to)
                    self.made += 1
                    yield f"{number}".ljust(size)
            finally:
                self.closed += 1

        @agent.tool
        async def endless() -> AsyncIterator[int]:
            try:
                while True:
                    self.made += 1
                    yield self.made
            finally:
                self.closed += 1


async def read(parts: Parts, into: list[object] | None = None) -> None:
    """Read to the end, or to what ends it."""
    async for part in parts:
        if into is not None:
            into.append(part.json())


@asynccontextmanager
async def streaming(
    server: RunningServer, name: str, *, url: str | None = None
) -> AsyncIterator[tuple[Fabric, Agent, Source]]:
    source = Source()
    async with (
        opened(server, f"{name}-caller", url=url) as caller,
        opened(server, name) as fabric,
        fabric.agent(name) as agent,
    ):
        source.offer(agent)
        yield caller, agent, source


async def test_parts_arrive_in_order_and_then_the_stream_ends(server: RunningServer) -> None:
    async with streaming(server, "st-order") as (caller, _, source):
        async with caller.stream("st-order.count", {"to": 1000}) as parts:
            got = [part.json() async for part in parts]
            assert parts.progress == 100
        assert got == [str(number) for number in range(1000)]
        await until(lambda: source.closed == 1, "the generator ended")


async def test_a_stream_of_nothing_ends_at_once(server: RunningServer) -> None:
    async with (
        streaming(server, "st-none") as (caller, _, _),
        caller.stream("st-none.count", {"to": 0}) as parts,
    ):
        assert [part async for part in parts] == []


async def test_a_reader_that_stands_still_stops_the_generator(server: RunningServer) -> None:
    async with streaming(server, "st-still") as (caller, agent, source):
        async with caller.stream("st-still.endless", window=16) as parts:
            await until(lambda: source.made == 17, "the window is full")  # one is made and held
            assert (await caller.call("st-still.count", {"to": 1})).json() == ["0"]
            assert (source.made, len(parts._parts)) == (18, 16)
            for _ in range(100):
                await anext(parts)
            assert source.made <= 100 + 16 + 2
        await until(lambda: source.closed == 2, "leaving closed the generator")
        await until(lambda: not agent.is_busy, "the call ended")


async def test_large_parts_are_bounded_by_their_bytes(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "BYTES_MAX", 40_000)
    async with (
        streaming(server, "st-bytes") as (caller, _, source),
        caller.stream("st-bytes.count", {"to": 100, "size": 10_000}) as parts,
    ):
        await until(lambda: source.made == 5, "four parts are out, one is held")
        assert [len(part.json()) async for part in parts] == [10_000] * 100


async def test_an_error_comes_after_the_parts_before_it(server: RunningServer) -> None:
    async with (
        streaming(server, "st-error") as (caller, _, _),
        caller.stream("st-error.count", {"to": 10, "fail_at": 3}) as parts,
    ):
        got: list[object] = []
        with pytest.raises(CallFailed, match="at 3") as failed:
            await read(parts, got)
        assert (failed.value.remote_code, got) == ("too_hot", ["0", "1", "2"])


async def test_a_part_that_no_message_can_hold_fails_the_stream(server: RunningServer) -> None:
    async with streaming(server, "st-large") as (caller, _, source):
        with pytest.raises(CallFailed, match="a part cannot be sent"):
            async with caller.stream("st-large.count", {"to": 1, "size": 4 << 20}) as parts:
                await anext(parts)
        await until(lambda: source.closed == 1, "the generator was closed")


async def test_leaving_the_stream_cancels_the_tool(server: RunningServer) -> None:
    async with streaming(server, "st-leave") as (caller, agent, source):
        async with caller.stream("st-leave.endless") as parts:
            async for _ in parts:
                break
        await until(lambda: source.closed == 1 and not agent.is_busy, "the tool was cancelled")


async def test_the_deadline_is_for_the_whole_stream(server: RunningServer) -> None:
    async with streaming(server, "st-late") as (caller, agent, source):
        async with caller.stream("st-late.endless", deadline_s=0.3) as parts:
            with pytest.raises(DeadlineExceeded):
                await read(parts)
        await until(lambda: source.closed == 1 and not agent.is_busy, "the tool was cancelled")


async def test_a_plain_call_of_a_streaming_tool_gets_all_parts_as_a_list(server: RunningServer) -> None:
    async with streaming(server, "st-plain") as (caller, agent, source):
        assert (await caller.call("st-plain.count", {"to": 3})).json() == ["0", "1", "2"]
        with pytest.raises(CallFailed, match="call it as a stream"):
            await caller.call("st-plain.count", {"to": 1000, "size": 10_000})
        assert source.closed == 2
        [spec, _] = agent.tools
        assert (spec.output_schema, spec.streams) == (None, True)


async def test_a_plain_tool_called_as_a_stream_answers_with_one_part(server: RunningServer) -> None:
    async with streaming(server, "st-tool") as (caller, agent, _):

        @agent.tool
        async def plain() -> int:
            return 7

        async with caller.stream("st-tool.plain") as parts:
            assert [part.json() async for part in parts] == [7]


async def test_nobody_there_is_told_at_once(server: RunningServer) -> None:
    async with opened(server, "st-alone") as caller:
        with pytest.raises(NoSuchAgent):
            async with caller.stream("nobody.there", deadline_s=60) as parts:
                await anext(parts)


async def test_a_lost_connection_ends_the_stream_with_an_error(server: RunningServer) -> None:
    proxy = Proxy(server.url)
    async with (
        proxy,
        streaming(server, "st-cut", url=proxy.url) as (caller, _, _),
        caller.stream("st-cut.endless", deadline_s=60) as parts,
    ):
        await anext(parts)
        proxy.cut()
        with pytest.raises(Refused, match="connection was lost"):
            await read(parts)


async def test_a_stream_spends_from_its_budget_and_gives_back(server: RunningServer) -> None:
    async with streaming(server, "st-paid") as (caller, agent, _):

        @agent.tool
        async def relay() -> int:
            async with agent.stream("st-paid.count", {"to": 5}) as parts:
                return len([part async for part in parts])

        reply = await caller.call("st-paid.relay", budget=Budget(calls=7))
        assert (reply.json(), reply.left) == (5, Budget(5))


def test_a_tool_that_is_neither_coroutine_nor_generator_is_refused() -> None:
    from fabric.client.agents.cards import ToolContract
    from fabric.client.calls.tool import Tool

    with pytest.raises(ConfigInvalid, match="async def"):
        Tool(lambda: None, ToolContract(), Call)


# An agent that does not keep to it: played by hand.


@asynccontextmanager
async def played(
    server: RunningServer, name: str, numbers: list[tuple[str, int]]
) -> AsyncIterator[tuple[Fabric, list[str]]]:
    """An agent that answers each call with these kinds and numbers; and what kinds it was told."""
    heard: list[str] = []
    async with opened(server, f"{name}-caller") as caller, opened(server, name) as fabric:

        def answer(subject: bytes, reply: bytes, header: bytes, _: bytes) -> None:
            request = Envelope.from_nats(subject, header, b"")
            heard.append(request.kind or "")
            for kind, number in numbers if request.kind == "request" else ():
                said = fabric.envelope(b"%d" % number, kind=kind, subject=f"{name}.x", fabseq=str(number))
                fabric.session.connection.writer.publish(reply, b"", said.nats_header(), said.data)
            fabric.session.connection.wake()

        fabric.session.connection.subscribe(f"fab.call.{name}.*", answer)
        await fabric.channel(f"{name}.ready").publish("a round trip: the subscription is active")
        yield caller, heard


@pytest.mark.parametrize(
    ("numbers", "whole"),
    [
        ([("artifact", 0), ("artifact", 2), ("response", 3)], [0]),
        ([("artifact", 0), ("artifact", 1), ("response", 3)], [0, 1]),
        ([("artifact", 0), ("progress", 2)], [0]),
        ([("artifact", 1)], []),
    ],
)
async def test_a_lost_part_breaks_the_stream_after_those_before_it(
    server: RunningServer, numbers: list[tuple[str, int]], whole: list[int]
) -> None:
    async with played(server, "st-hole", numbers) as (caller, heard):
        got: list[object] = []
        async with caller.stream("st-hole.x") as parts:
            with pytest.raises(StreamBroken, match="call it again"):
                await read(parts, got)
        assert got == whole
        if numbers[-1][0] != "response":
            await until(lambda: heard[-1] == "cancel", "the agent was told")


async def test_second_copies_are_dropped(server: RunningServer) -> None:
    numbers = [("artifact", 0), ("artifact", 0), ("artifact", 1), ("artifact", 0), ("response", 2)]
    async with played(server, "st-copy", numbers) as (caller, _), caller.stream("st-copy.x") as parts:
        assert [part.json() async for part in parts] == [0, 1]


async def test_an_agent_that_overruns_the_window_is_given_up(server: RunningServer) -> None:
    numbers = [("artifact", number) for number in range(100)]
    async with played(server, "st-over", numbers) as (caller, heard):
        async with caller.stream("st-over.x", window=8) as parts:
            await until(lambda: parts._waiting and parts._waiting.answer.done(), "it broke")
            with pytest.raises(StreamBroken, match="more than 8 parts"):
                await read(parts)
        await until(lambda: heard[-1] == "cancel", "the agent was told")


async def test_a_reader_that_waits_long_says_its_grant_again(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts_module, "REGRANT_S", 0.05)
    async with (
        played(server, "st-again", [("artifact", 0)]) as (caller, heard),
        caller.stream("st-again.x") as parts,
    ):
        waiting = asyncio.create_task(read(parts))
        await until(lambda: heard.count("credit") >= 2, "it granted again")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_a_lost_grant_is_made_good_and_a_lost_last_part_is_found(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts_module, "REGRANT_S", 0.05)
    async with streaming(server, "st-regrant") as (caller, _, _):
        desk, lost = caller.session.calls, []
        grant = desk.grant

        def first_is_lost(*arguments: object) -> None:
            lost.append(arguments) if not lost else grant(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(desk, "grant", first_is_lost)
        async with caller.stream("st-regrant.count", {"to": 50}, window=2) as parts:
            assert len([part async for part in parts]) == 50
        assert lost

        send = Call.send

        def part_is_lost(self: Call, kind: str, data: bytes, left: Budget | None = None) -> None:
            if kind == "artifact" and self._sequence == 1:
                self._sequence += 1
            else:
                send(self, kind, data, left)

        monkeypatch.setattr(Call, "send", part_is_lost)
        async with caller.stream("st-regrant.endless", window=1, deadline_s=60) as parts:
            with pytest.raises(StreamBroken, match="number 1 never came"):
                await read(parts)
