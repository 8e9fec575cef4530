"""Kept calls on a real server: one execution for a key, its answer for every repeat, whatever died."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fabric import subjects
from fabric.client import Agent, Fabric, ToolError
from fabric.errors import (
    CallFailed,
    DeadlineExceeded,
    IdempotencyConflict,
    LimitExceeded,
    OutcomeUnknown,
    Refused,
)
from fabric.rules.calls import kept
from fabric.rules.calls.kept import record_key
from helpers import kept_agent as kept_agent_script
from helpers.lane import opened
from helpers.server import RunningServer
from helpers.waiting import BOUND_S, until


class Tools:
    """What the agent's tools did. `gate` holds `slow` back."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.gate = asyncio.Event()

    def offer(self, agent: Agent) -> None:
        @agent.tool
        async def note(text: str, options: dict[str, int] | None = None) -> str:
            self.runs.append(text)
            return f"{text} {len(self.runs)}"

        @agent.tool
        async def slow(text: str) -> str:
            self.runs.append(text)
            await self.gate.wait()
            return text

        @agent.tool
        async def fail(retriable: bool) -> None:
            self.runs.append("fail")
            raise ToolError("too_hot", "it burns", retriable=retriable)

        @agent.tool
        async def parts(to: int) -> AsyncIterator[int]:
            self.runs.append("parts")
            for number in range(to):
                yield number


@asynccontextmanager
async def kept_agent(server: RunningServer, name: str, tools: Tools) -> AsyncIterator[tuple[Fabric, Agent]]:
    async with (
        opened(server, f"{name}-caller") as caller,
        opened(server, name) as fabric,
        fabric.agent(name) as agent,
    ):
        tools.offer(agent)
        yield caller, agent


async def test_a_repeat_gets_the_answer_and_the_tool_runs_once(server: RunningServer) -> None:
    tools = Tools()
    async with kept_agent(server, "kept-once", tools) as (caller, agent):
        answers = [
            (await caller.call("kept-once.note", {"text": "a"}, idempotency_key="k 1/ü")).json()
            for _ in range(3)
        ]
        assert (answers, tools.runs) == (["a 1"] * 3, ["a"])
        assert (await caller.call("kept-once.note", {"text": "a"}, idempotency_key="k2")).json() == "a 2"
        assert (await caller.call("kept-once.note", {"text": "a"})).json() == "a 3"
        assert agent._receive()._kept.repeats == 2


async def test_a_repeat_gets_the_answer_after_the_agents_restart(server: RunningServer) -> None:
    tools = Tools()
    for _ in range(2):
        async with kept_agent(server, "kept-restart", tools) as (caller, _):
            reply = await caller.call("kept-restart.note", {"text": "a"}, idempotency_key="k")
            assert reply.json() == "a 1"
    assert tools.runs == ["a"]


async def test_a_repeat_while_it_runs_waits_for_the_same_execution(server: RunningServer) -> None:
    tools = Tools()
    async with kept_agent(server, "kept-join", tools) as (caller, _):
        calls = [
            asyncio.create_task(caller.call("kept-join.slow", {"text": "a"}, idempotency_key="k"))
            for _ in range(5)
        ]
        await until(lambda: tools.runs, "the tool runs")
        with pytest.raises(IdempotencyConflict):
            await caller.call("kept-join.slow", {"text": "b"}, idempotency_key="k")
        tools.gate.set()
        assert [reply.json() for reply in await asyncio.gather(*calls)] == ["a"] * 5
        assert tools.runs == ["a"]


async def test_a_caller_that_leaves_does_not_end_a_kept_call(server: RunningServer) -> None:
    tools = Tools()
    async with kept_agent(server, "kept-leave", tools) as (caller, agent):
        first = asyncio.create_task(caller.call("kept-leave.slow", {"text": "a"}, idempotency_key="k"))
        await until(lambda: tools.runs, "the tool runs")
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await until(lambda: not agent._receive()._running, "the agent has let the caller go")
        tools.gate.set()
        reply = await caller.call("kept-leave.slow", {"text": "a"}, idempotency_key="k")
        assert (reply.json(), tools.runs) == ("a", ["a"])


async def test_the_same_key_with_other_arguments_is_a_conflict(server: RunningServer) -> None:
    tools = Tools()
    async with kept_agent(server, "kept-conflict", tools) as (caller, _):
        await caller.call("kept-conflict.note", {"text": "a"}, idempotency_key="k")
        with pytest.raises(IdempotencyConflict, match="'k' was used with other arguments"):
            await caller.call("kept-conflict.note", {"text": "b"}, idempotency_key="k")
        assert tools.runs == ["a"]


async def test_arguments_are_compared_as_the_tool_understands_them(server: RunningServer) -> None:
    tools = Tools()
    async with kept_agent(server, "kept-same", tools) as (caller, _):
        for data in (
            b'{"text":"a","options":{"x":1,"y":2}}',
            b'{ "options":{"y":2,"x":1}, "text":"\\u0061"}',
        ):
            assert (await caller.call("kept-same.note", data, idempotency_key="k")).json() == "a 1"


async def test_a_key_belongs_to_its_caller_and_its_tool(server: RunningServer) -> None:
    tools = Tools()
    async with (
        kept_agent(server, "kept-scope", tools) as (caller, _),
        opened(server, "kept-scope-2") as other,
    ):
        await caller.call("kept-scope.note", {"text": "a"}, idempotency_key="k")
        assert (await other.call("kept-scope.note", {"text": "b"}, idempotency_key="k")).json() == "b 2"
        assert (await caller.call("kept-scope.parts", {"to": 3}, idempotency_key="k")).json() == [0, 1, 2]


async def test_a_failure_is_kept_unless_it_says_that_it_is_retriable(server: RunningServer) -> None:
    tools = Tools()
    async with kept_agent(server, "kept-fail", tools) as (caller, _):
        for key, retriable, runs in (("k1", False, 1), ("k2", True, 2)):
            tools.runs.clear()
            for _ in range(2):
                with pytest.raises(CallFailed, match="it burns") as failed:
                    await caller.call("kept-fail.fail", {"retriable": retriable}, idempotency_key=key)
                assert failed.value.remote_retriable is retriable
            assert len(tools.runs) == runs


async def test_arguments_that_do_not_fit_use_no_key_up(server: RunningServer) -> None:
    tools = Tools()
    async with kept_agent(server, "kept-bad", tools) as (caller, _):
        with pytest.raises(CallFailed, match="text"):
            await caller.call("kept-bad.note", {}, idempotency_key="k")
        assert (await caller.call("kept-bad.note", {"text": "a"}, idempotency_key="k")).json() == "a 1"


@pytest.mark.parametrize("key", ["", "x" * 257])
async def test_a_key_that_is_none_is_refused(server: RunningServer, key: str) -> None:
    tools = Tools()
    async with kept_agent(server, "kept-key", tools) as (caller, _):
        with pytest.raises(CallFailed, match="idempotency key") as failed:
            await caller.call("kept-key.note", {"text": "a"}, idempotency_key=key)
        assert failed.value.remote_code == LimitExceeded.code
        assert not tools.runs


async def test_an_answer_too_long_to_keep_is_given_once_and_never_made_twice(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "ANSWER_BYTES_MAX", 10)
    tools = Tools()
    async with kept_agent(server, "kept-long", tools) as (caller, _):
        text = "x" * 20
        assert (
            await caller.call("kept-long.note", {"text": text}, idempotency_key="k")
        ).json() == text + " 1"
        with pytest.raises(CallFailed, match="bytes of an answer that is kept"):
            await caller.call("kept-long.note", {"text": text}, idempotency_key="k")
        assert len(tools.runs) == 1


async def test_the_deadline_ends_the_tool_and_leaves_its_outcome_unknown(server: RunningServer) -> None:
    tools = Tools()
    async with kept_agent(server, "kept-late", tools) as (caller, agent):
        with pytest.raises((DeadlineExceeded, OutcomeUnknown)):
            await caller.call("kept-late.slow", {"text": "a"}, idempotency_key="k", deadline_s=0.2)
        await until(lambda: not agent.is_busy, "the tool was cancelled")
        with pytest.raises(OutcomeUnknown, match="call with a new key"):
            await caller.call("kept-late.slow", {"text": "a"}, idempotency_key="k")
        assert tools.runs == ["a"]


async def test_the_server_removes_what_was_kept_in_its_time(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "KEPT_S", 1)
    tools = Tools()
    async with kept_agent(server, "kept-ttl", tools) as (caller, agent):
        await caller.call("kept-ttl.note", {"text": "a"}, idempotency_key="k")
        record = subjects.state("kept-ttl", "call", record_key("kept-ttl-caller", "kept-ttl.note", "k"))
        state = agent.identity.link.state
        assert (await state.get(record)).revision > 0
        async with asyncio.timeout(BOUND_S):
            while (await state.get(record)).revision:
                pass
        assert (await caller.call("kept-ttl.note", {"text": "a"}, idempotency_key="k")).json() == "a 2"


async def test_an_agent_keeps_a_bounded_number_and_says_when_to_come_back(server: RunningServer) -> None:
    tools = Tools()
    async with kept_agent(server, "kept-bound", tools) as (caller, agent):
        agent._receive()._kept._keeping.calls_max = 1
        await caller.call("kept-bound.note", {"text": "a"}, idempotency_key="k1")
        with pytest.raises(Refused, match="keeps 1 calls") as refused:
            await caller.call("kept-bound.note", {"text": "a"}, idempotency_key="k2")
        assert (refused.value.reason, refused.value.retry_after_ms > 0) == ("full", True)
        assert (await caller.call("kept-bound.note", {"text": "a"})).json() == "a 2"


@pytest.mark.parametrize("tool", ["writes", "again"])
async def test_a_kill_in_the_middle_is_told_or_mended_as_the_contract_allows(
    server: RunningServer, tmp_path: Path, tool: str
) -> None:
    name, effects = f"kept-kill-{tool}", tmp_path / "effects"

    async def started() -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, kept_agent_script.__file__, server.url, server.credentials(name)),
            *(name, str(effects)),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), BOUND_S) == b"ready\n"
        return process

    async with opened(server, f"{name}-caller") as caller:
        process = await started()
        first = asyncio.create_task(caller.call(f"{name}.{tool}", idempotency_key="k", deadline_s=60))
        await until(lambda: "effect" in effects.read_text(), "the tool runs")
        process.kill()
        await process.wait()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        process = await started()
        try:
            if tool == "writes":
                for _ in range(2):
                    with pytest.raises(OutcomeUnknown):
                        await caller.call(f"{name}.{tool}", idempotency_key="k")
                assert effects.read_text().count("effect") == 1
            else:
                for _ in range(2):
                    assert (await caller.call(f"{name}.{tool}", idempotency_key="k")).json() == "life 2"
                assert effects.read_text().count("effect") == 2
        finally:
            process.kill()
            await process.wait()
