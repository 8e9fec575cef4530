"""An agent's reception: takes the requests that arrive, runs the tools, sends one answer to each.

| call    | input                              | act |
|---------|------------------------------------|-----|
| -       | request, admitted                  | run the tool in a task, record it in the journal |
| -       | request over a rate or a ceiling   | error `refused` (`rate`, `full`) with retry_after_ms |
| -       | request without hops left          | error `refused` (`loop`) with the chain that led here |
| -       | request whose budget does not pay  | error `refused` (`budget`), the budget goes back |
| -       | request for no tool of ours        | error `no_such_tool` with those there are |
| running | the tool returns or raises         | response or error, once, with what is left of the budget |
| running | the tool yields a part             | artifact, as the window allows; without one: collected |
| running | credit from the same caller        | the window moves |
| running | its deadline (`expirytime`)        | cancel the tool, error `deadline_exceeded` |
| running | cancel from the same caller        | cancel the tool, no answer; a kept call goes on |
| running | the agent leaves                   | cancel the tool after the grace, error `cancelled` |

In: messages of `fab.call.<agent>.*`. Out: answers. Above: `agent`. Below: `rules/admission`,
`kept`, `running`.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from fabric.client.calls.call import CALLER_LEFT, PAST_DEADLINE
from fabric.client.calls.failure import failed, failure
from fabric.client.calls.kept import Answer, KeptCall, KeptCalls
from fabric.client.calls.running import Answers, Call
from fabric.client.calls.spending import Spending, budget_of, over_budget
from fabric.client.calls.tool import Tool
from fabric.client.calls.yielding import Yielding, collected, only_part
from fabric.client.context import Cause, current_cause
from fabric.client.identity import Identity
from fabric.clock import monotonic, now_us
from fabric.errors import (
    CallCancelled,
    DeadlineExceeded,
    FabricError,
    LimitExceeded,
    NoSuchTool,
    Refused,
)
from fabric.rules.admission import Admission, Denied, Rate, Seats, full
from fabric.rules.calls.budget import Budget
from fabric.rules.calls.call_account import CallAccount
from fabric.rules.calls.hops import HOPS_MAX, hops_of, lengthened, steps
from fabric_codecs.envelope import Envelope

__all__ = ["DEFAULT_LIMITS", "AgentLimits", "Reception"]

log = logging.getLogger("fabric.agent")

ONE_CALL = Budget(1, 0.0)
Key = tuple[bytes, str]  # the caller's token, the request's id


class AgentLimits(msgspec.Struct, frozen=True):
    """What an agent takes: `calls_max` handlers at once, of which one caller gets four fifths at most; `rate`
    of all calls together and `caller_rate` of each caller's. Beyond, callers are refused rather than queued
    without a bound."""

    calls_max: int = 1024
    rate: Rate = Rate()
    caller_rate: Rate = Rate()


DEFAULT_LIMITS = AgentLimits()


class Reception:
    """One agent's calls, over its lives."""

    __slots__ = (
        "_admission",
        "_answers",
        "_identity",
        "_kept",
        "_limits",
        "_running",
        "_seats",
        "_tools",
        "_yielding",
        "account",
    )

    def __init__(
        self, identity: Identity, tools: Mapping[str, Tool], limits: AgentLimits, epoch: int
    ) -> None:
        self.account = CallAccount()
        self._identity = identity
        self._tools = tools
        self._limits = limits
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._yielding = Yielding()
        self._seats = Seats(max(limits.calls_max, 1))
        self._admission: Admission | None = None  # where there are rates: most agents have none
        if limits.rate.per_s > 0 or limits.caller_rate.per_s > 0:
            rates = {"agent": limits.rate, "caller": limits.caller_rate}
            self._admission = Admission(rates, {"caller": self._seats})
        self.begin(epoch)

    def begin(self, epoch: int) -> None:
        """Another life of the agent begins."""
        self._answers = Answers(self._identity, epoch)
        self._kept = KeptCalls(self._identity.link, self._identity.token, epoch, self._limits.calls_max)

    @property
    def tasks(self) -> list["asyncio.Task[Any]"]:
        """What runs."""
        return [*self._running.values(), *self._kept.tasks]

    def arrived(self, request: Envelope, caller: bytes, reply: bytes) -> None:
        """A request, a cancel or a credit, whose source is its caller's credential."""
        kind = request.kind
        if kind == "cancel":
            task = self._running.get((caller, request.causationid or ""))
            if task is not None:
                task.cancel(CALLER_LEFT)
        elif kind == "credit":
            self._yielding.granted((caller, request.causationid or ""), _number(request.get("fabseq") or ""))
        else:
            self._requested(request, caller, Call(self._answers, request, reply))

    def refuse(self, request: Envelope, reply: bytes, refused: Refused) -> None:
        """Answer with a refusal."""
        self._refuse(Call(self._answers, request, reply), refused)

    def _requested(self, request: Envelope, caller: bytes, call: Call) -> None:
        key = (caller, request.id)
        if key in self._running:
            self._refuse(call, Refused("denied", detail=f"call {request.id} is running already"))
            return
        hops = request.get("fabhops")
        if hops is not None and hops_of(hops) == 0:
            chain = steps(lengthened(request.get("fabchain"), request.subject or ""))
            self._refuse(
                call, Refused("loop", chain=chain, detail=f"a chain of {HOPS_MAX} messages ends here")
            )
            return
        tool, spending = self._tools.get((request.subject or "").partition(".")[2]), None
        granted = budget_of(request)
        if granted is not None:
            try:
                spending = _paid(request, granted, tool)
            except Refused as refused:
                self._refuse(call, refused)
                return
        who = caller.decode()
        if self._admission is not None:
            denied = self._admission.enter({"caller": who, "agent": ""}, monotonic())
        else:
            denied = None if self._seats.admit(who) else full("caller", self._seats, who)
        if denied is not None:
            self._refuse(call, self._as_refused(denied))
            return
        self.account.taken += 1
        task = asyncio.get_running_loop().create_task(self._run(call, key, tool, spending))
        self._running[key] = task
        task.add_done_callback(lambda task: self._ended(task, key, who))

    def _ended(self, task: "asyncio.Task[None]", key: Key, who: str) -> None:
        del self._running[key]
        self._seats.leave(who)
        if task.cancelled():  # before its first step
            self.account.cancelled += 1

    def _as_refused(self, denied: Denied) -> Refused:
        words = f"agent {self._identity.name} "
        if denied.reason == "rate":
            whose = "of one caller" if denied.scope == "caller" else "of anybody"
            words += f"takes no more calls a second {whose}"
        else:
            words += f"has {denied.depth} calls running of {self._limits.calls_max}"
            if denied.depth is not None and denied.depth < self._limits.calls_max:
                words += "; what is free is for other callers"
        return Refused(
            denied.reason,
            retry_after_ms=denied.retry_after_ms,
            depth=denied.depth,
            share=denied.share,
            detail=words,
        )

    def _refuse(self, call: Call, refused: Refused) -> None:
        self.account.refused += 1
        self._reply(call, "error", failed(refused), budget_of(call.request))

    async def _run(self, call: Call, key: Key, tool: Tool | None, spending: Spending | None) -> None:
        request = call.request
        self._identity.link.journal.record(request, "call", peer=self._identity.name)
        left_s = call.time_left_s
        if left_s <= 0:  # worthless by now: it must not have effects
            late = failure(DeadlineExceeded.code, "the deadline passed before the call came")
            self.account.expired += 1
            self._reply(call, "error", late, budget_of(request))
            return
        current_cause.set(Cause(request, now_us() + round(left_s * 1e6), spending))
        task = asyncio.current_task()
        assert task is not None
        timer = asyncio.get_running_loop().call_later(left_s, task.cancel, PAST_DEADLINE)
        kind, data = "error", b""
        try:
            kind, data = await self._answer(call, key, tool, left_s)
            self.account.answered += 1
        except asyncio.CancelledError as cancelled:
            if PAST_DEADLINE in cancelled.args:
                self.account.expired += 1
                data = failure(DeadlineExceeded.code, str(DeadlineExceeded(request.subject or "", left_s)))
            else:
                self.account.cancelled += 1
                if CALLER_LEFT in cancelled.args:
                    return
                data = failure(CallCancelled.code, f"agent {self._identity.name} is leaving")
        except Exception as error:
            self.account.answered += 1
            data = self._failed(error, request)
        finally:
            timer.cancel()
        self._reply(call, kind, data, None if spending is None else spending.close())

    async def _answer(self, call: Call, key: Key, tool: Tool | None, left_s: float) -> Answer:
        request = call.request
        if tool is None:
            name = (request.subject or "").partition(".")[2]
            raise NoSuchTool(self._identity.name, name, tuple(self._tools))
        arguments = tool.arguments(request.data)
        idempotency_key = request.get("fabkey")
        if idempotency_key is not None:
            kept = KeptCall(
                key[0].decode(),
                request.subject or "",
                idempotency_key,
                msgspec.json.encode(arguments, order="deterministic"),
                tool.is_repeatable,
                left_s,
            )
        if tool.context_parameter is not None:
            arguments[tool.context_parameter] = call
        if idempotency_key is not None:
            return await self._kept.answer(kept, lambda: self._outcome(tool, arguments, request))
        window = request.get("fabwindow")
        if not tool.streams:
            answer = msgspec.json.encode(await tool.function(**arguments))
            return "response", answer if window is None else only_part(call, answer)
        if window is None:
            return "response", await self._collected(tool, arguments)
        return "response", await self._yielding.stream(call, key, tool, arguments, _number(window))

    async def _outcome(self, tool: Tool, arguments: dict[str, Any], request: Envelope) -> Answer:
        # Of a kept call: what is stored is the answer, and a failure is one.
        try:
            if tool.streams:
                return "response", await self._collected(tool, arguments)
            return "response", msgspec.json.encode(await tool.function(**arguments))
        except Exception as error:
            return "error", self._failed(error, request)

    async def _collected(self, tool: Tool, arguments: dict[str, Any]) -> bytes:
        return await collected(tool, arguments, self._identity.link.connection.writer.payload_max)

    def _failed(self, error: Exception, request: Envelope) -> bytes:
        if not isinstance(error, FabricError):
            log.error("agent %s: %s raised", self._identity.name, request.subject, exc_info=error)
        return failed(error)

    def _reply(self, call: Call, kind: str, data: bytes, left: Budget | None) -> None:
        try:
            call.send(kind, data, left)
        except ValueError as error:  # CodecError: the answer is larger than a message may be
            words = f"the answer cannot be sent: {error}"
            try:
                call.send("error", failure(LimitExceeded.code, words), left)
            except ValueError:  # not even this: the caller's own attributes fill the header
                log.warning("agent %s: %s", self._identity.name, words)


def _paid(request: Envelope, granted: Budget, tool: Tool | None) -> Spending:
    """What is left of the request's budget for the handler. Raises Refused when it does not pay the call."""
    chain = steps(lengthened(request.get("fabchain"), request.subject or ""))
    price = ONE_CALL if tool is None else tool.price
    if not granted.covers(price):
        raise over_budget(f"{request.subject} costs {price}, {granted} is left (calls/thousandths)", chain)
    return Spending(granted - price, chain)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
