"""Kept calls, the agent's side: the record of each in the state stream, and who waits for which execution.

In: a call with an idempotency key, and the work it stands for. Out: an answer, kind and data, which every
repeat gets. `rules/calls/kept` decides and has the table; this module reads, writes and waits. Above:
`reception`. Below: `jetstream.state`. Cost: a first call two round trips, a repeat two, beside the call.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec

from fabric import subjects
from fabric.client.calls.failure import Failure, failed
from fabric.client.link import Link
from fabric.clock import monotonic
from fabric.errors import (
    FabricError,
    Fenced,
    IdempotencyConflict,
    LimitExceeded,
    OutcomeUnknown,
    Refused,
)
from fabric.rules.calls import kept
from fabric.rules.calls.kept import Done, Keeping, Running, arguments_hash, decide, record_key

__all__ = ["Answer", "KeptCall", "KeptCalls"]

log = logging.getLogger("fabric.agent")

WRITE_TRIES = 3  # of the answer: a leader's election is over by the second
TAKE_TRIES = 5  # each is a race lost to another life of the agent

Answer = tuple[str, bytes]
"""Kind (`response` or `error`) and data."""


class KeptCall(NamedTuple):
    """One call as its record knows it. `arguments` are as the tool understood them."""

    caller: str
    target: str
    key: str
    arguments: bytes
    repeatable: bool
    left_s: float


class KeptCalls:
    """Those of one life of an agent, at most `at_once` of them running."""

    def __init__(self, link: Link, agent: str, epoch: int, at_once: int) -> None:
        self.repeats = 0  # answered without running the tool
        self.unkept = 0  # answered, and the answer could not be kept
        self._link, self._agent, self._epoch = link, agent, epoch
        self._at_once = at_once
        self._keeping = Keeping()
        self._running: dict[str, tuple[str, asyncio.Task[Answer]]] = {}

    @property
    def tasks(self) -> list["asyncio.Task[Answer]"]:
        """The executions that go on, whoever still waits for them."""
        return [task for _, task in self._running.values()]

    async def answer(self, call: KeptCall, work: Callable[[], Awaitable[Answer]]) -> Answer:
        """The call's answer, by `work` or without it. Cancelling this waits no more; `work` goes on until
        the call's deadline. Raises IdempotencyConflict, OutcomeUnknown, LimitExceeded, Refused."""
        if not 0 < len(call.key) <= kept.KEY_CHARS_MAX:
            limit = "characters of an idempotency key"
            raise LimitExceeded(limit, allowed=kept.KEY_CHARS_MAX, actual=len(call.key))
        subject = subjects.state(self._agent, "call", record_key(call.caller, call.target, call.key))
        hashed = arguments_hash(call.arguments)
        same = self._running.get(subject)
        if same is not None:
            if same[0] != hashed:
                raise IdempotencyConflict(call.target, call.key)
            self.repeats += 1
            return await asyncio.shield(same[1])
        if len(self._running) >= self._at_once:  # they outlive the callers that admission counts
            detail = f"agent {self._agent} runs {self._at_once} kept calls"
            raise Refused("full", retry_after_ms=1000, depth=len(self._running), detail=detail)
        task = asyncio.create_task(self._execute(subject, hashed, call, work), name=f"kept {call.target}")
        self._running[subject] = hashed, task
        task.add_done_callback(lambda _: self._ended(subject))
        return await asyncio.shield(task)

    def _ended(self, subject: str) -> None:
        _, task = self._running.pop(subject)
        if not task.cancelled():
            task.exception()  # whoever waited has it; nobody may have

    async def _execute(
        self, subject: str, hashed: str, call: KeptCall, work: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        running = Running(self._link.process, self._epoch, self._link.new_id(), hashed)
        taken = await self._take(subject, running, call)
        if isinstance(taken, Done):
            return self._stored(taken)
        try:
            async with asyncio.timeout(call.left_s):
                answer = await work()
        except TimeoutError:  # the record stays: nobody knows how far the tool came
            raise OutcomeUnknown(call.target, call.key) from None
        await self._keep(subject, taken, running, answer)
        return answer

    async def _take(self, subject: str, running: Running, call: KeptCall) -> int | Done:
        """The revision of our own record, or the answer that is there already."""
        if wait_s := self._keeping.wait_s(monotonic()):
            detail = f"agent {self._agent} keeps {self._keeping.calls_max:,} calls"
            raise Refused("full", retry_after_ms=int(wait_s * 1000) + 1, detail=detail)
        value, revision = msgspec.json.encode(running), 0
        for _ in range(TAKE_TRIES):
            try:
                revision = await self._put(subject, value, revision)
                self._keeping.keep(monotonic(), kept.KEPT_S)
                return revision
            except Fenced:
                stored = await self._link.state.get(subject)
            decision = decide(stored.value, running.arguments, repeatable=call.repeatable)
            match decision.act, decision.done:
                case "answer", Done() as done:
                    return done
                case "conflict", _:
                    raise IdempotencyConflict(call.target, call.key)
                case "unknown", _:
                    raise OutcomeUnknown(call.target, call.key)
            revision = stored.revision
        raise Refused("conflict", retry_after_ms=100, detail="another life of the agent takes the same calls")

    async def _keep(self, subject: str, revision: int, running: Running, answer: Answer) -> None:
        kind, data = answer
        if kind == "error" and msgspec.json.decode(data, type=Failure).retriable:
            value = b""  # it may succeed when it is repeated, so the repeat runs
        else:
            fits = len(data) <= kept.ANSWER_BYTES_MAX
            raw = msgspec.Raw(data) if fits and data else msgspec.Raw(b"null")
            who = running.process, running.epoch, running.run, running.arguments
            value = msgspec.json.encode(Done(*who, kind, raw, fits))
        for last in range(WRITE_TRIES):
            try:
                await self._put(subject, value, revision)
                return
            except Refused as refused:
                problem: FabricError = refused
                if last + 1 < WRITE_TRIES and refused.retry_after_ms:
                    await asyncio.sleep(refused.retry_after_ms / 1000)
            except FabricError as error:
                problem = error
                break
        self.unkept += 1
        log.warning("agent %s: the answer of a kept call could not be kept: %s", self._agent, problem)

    async def _put(self, subject: str, value: bytes, expected: int) -> int:
        lifetime = f"Nats-TTL: {kept.KEPT_S}s\r\n"
        return await self._link.state.put(subject, value, expected=expected, headers=lifetime)

    def _stored(self, done: Done) -> Answer:
        self.repeats += 1
        if not done.whole:
            limit = "bytes of an answer that is kept"
            too_long = LimitExceeded(limit, allowed=kept.ANSWER_BYTES_MAX, actual=kept.ANSWER_BYTES_MAX + 1)
            return "error", failed(too_long)
        return done.kind, bytes(done.data)
